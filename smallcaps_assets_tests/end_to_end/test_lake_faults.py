"""A whole lake under faults: kills, two jobs at once, no space, damage, and no secret anywhere."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from benchmarks import chaos
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import known_keys
from smallcaps_assets.sandbox import Sandbox, SandboxConfig
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.end_to_end.command import (
    PROGRAM,
    SMALL_MARKET,
    digests,
    environment,
    run_small,
    settings,
    smallcaps,
)
from smallcaps_assets_tests.end_to_end.conftest import instance_of

PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of an uninterrupted job with default periods."""
    lake = tmp_path_factory.mktemp("whole") / "lake"
    done = run_small(lake)
    assert (done.status, done.error) == (0, "")
    return lake


def test_killed_jobs_lose_nothing_and_do_nothing_twice(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small version of `python benchmarks/chaos.py --kills 100`."""
    monkeypatch.setattr(chaos, "EARLY_KILLS", 0.0)
    lake = tmp_path / "lake"
    result = chaos.kill_and_finish(lake, chaos.files(whole), 15.0, 3, random.Random(5))
    assert result.kills
    assert result.is_good, result


def test_two_jobs_on_one_lake_end_in_whole_files_and_the_next_has_the_last_word(
    whole: Path, tmp_path: Path
) -> None:
    """A job may make a table of files that the other one replaces next: then it is out of date."""
    lake = tmp_path / "lake"
    command = [*PROGRAM, "run", "--lake", str(lake), *settings(SMALL_MARKET)]
    jobs = [
        subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [job.wait() for job in jobs] == [0, 0]
    with instance_of(lake) as instance:
        for table in TABLES:
            assert known_keys(instance, table) == set(Lake(lake).keys(table)), table
    done = smallcaps("verify", "--lake", lake, cwd=tmp_path)
    assert "(checksum)" not in done.out and "not stored" not in done.out
    assert run_small(lake).status == 0
    assert tables_of(lake) == tables_of(whole)


def tables_of(lake: Path) -> dict[str, str]:
    """SHA-256 of the tables' files; replaced versions and the like are left out."""
    return {name: one for name, one in digests(lake).items() if not name.startswith("state/")}


# Damage ------------------------------------------------------------------------------------------
def test_verify_finds_and_marks_damage_and_the_next_run_mends_it(
    whole: Path, tmp_path: Path
) -> None:
    lake = Path(shutil.copytree(whole, tmp_path / "lake"))
    assert smallcaps("verify", "--lake", lake, cwd=tmp_path).status == 0
    flipped, lost = sorted(lake.glob("processed/watchlist/*/*.parquet"))[:2]
    data = bytearray(flipped.read_bytes())
    data[len(data) // 3] ^= 0x10
    flipped.write_bytes(data)
    lost.unlink()
    meta = lake / "processed/ml_dataset/period=union/meta.json"
    meta.write_text(meta.read_text().replace('"rows"', '"rowz"', 1))
    found = smallcaps("verify", "--lake", lake, cwd=tmp_path)
    assert found.status == 1 and found.out.count("watchlist 2024-12-") == 2
    assert "checksum" in found.out and "not stored" in found.out and "meta.json" in found.out
    marked = smallcaps("verify", "--lake", lake, "--repair", cwd=tmp_path)
    assert "3 partitions are marked" in marked.out
    assert smallcaps("verify", "--lake", lake, cwd=tmp_path).status == 0
    done = run_small(lake)
    assert (done.status, done.error) == (0, "")
    assert (
        tables_of(lake) == tables_of(whole) and len(list(lake.rglob("state/bad/**/*.parquet"))) == 2
    )
    assert smallcaps("diff", lake, whole, cwd=tmp_path).out.strip() == "the lakes are equal"


# Space -------------------------------------------------------------------------------------------
def test_job_without_space_ends_in_a_clear_error_and_the_rerun_completes(
    whole: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.getuid() or subprocess.run(mount(disk), check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = run_small(disk / "lake")
        assert done.status in (1, 2), done.out + done.error
        told = done.out + done.error
        assert any(words in told for words in ("No space left", "is full", "is the disk full")), (
            told
        )
        assert "Traceback" not in done.error, done.error
        lake = Lake(disk / "lake")
        for table in TABLES:
            for key in lake.keys(table):
                lake.read(table, key or None)
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        done = run_small(disk / "lake")
        assert (done.status, done.error) == (0, "")
        assert tables_of(disk / "lake") == tables_of(whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def mount(folder: Path) -> list[str]:
    """A file system too small for a lake."""
    return ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)]


# Secrets -----------------------------------------------------------------------------------------
KEY = "test-key-7f3b9c2e51d84a60"
SECRETS = {
    "POLYGON_API_KEY": KEY,
    "AWS_SECRET_ACCESS_KEY": "aws-secret-91c4e07b2f",
    "AWS_ACCESS_KEY_ID": "aws-id-5b8d13aa70",
}


@pytest.fixture
def faulty_vendor() -> Iterator[Sandbox]:
    """A server that fails now and then, and for one endpoint for good."""
    faults = ("429@trades~0.2", "500@bars*3", "cut_gzip@trades*2", "403@splits", "reset@grouped*1")
    config = SandboxConfig(
        tickers=20,
        start=date(2024, 12, 2),
        end=date(2024, 12, 30),
        api_key=KEY,
        pump_days=4,
        faults=faults,
    )
    with Sandbox(config) as server:
        assert server.url.startswith("http://127.0.0.1:")
        yield server


def test_no_secret_and_no_pickle_is_left_by_a_run_with_faults(
    faulty_vendor: Sandbox, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    places = {
        "SMALLCAPS_POLYGON_URL": faulty_vendor.url,
        "SMALLCAPS_POLYGON_FLATFILES_URL": faulty_vendor.flatfiles_url,
        "SMALLCAPS_FINRA_URL": faulty_vendor.finra_url,
    }
    days = ["--from", "2024-12-26", "--to", "2024-12-30", "--set", "polygon.retry_budget=2"]
    done = smallcaps("run", "--lake", lake, *days, cwd=tmp_path, **places, **SECRETS)
    assert done.status == 1 and "splits" in done.out, done.out + done.error
    texts = [done.out.encode(), done.error.encode(), *(p.read_bytes() for p in every_file(lake))]
    for secret in SECRETS.values():
        assert not [text[:80] for text in texts if secret.encode() in text]
    assert not [path for path in every_file(lake) if path.read_bytes()[:2] in PICKLES]
    assert events(lake) > 0


def every_file(folder: Path) -> list[Path]:
    """All files: tables, reports, state, Dagster's databases and logs."""
    return [path for path in folder.rglob("*") if path.is_file()]


def events(lake: Path) -> int:
    """Events in Dagster's databases; their texts are plain, so that a search finds them."""
    found = 0
    for path in (lake / "dagster" / "history" / "runs").glob("*.db"):
        with sqlite3.connect(path) as file:
            for (event,) in file.execute("SELECT event FROM event_logs"):
                found += bool(json.loads(event))
    return found
