"""The main job on a lake under faults: kills, two jobs at once, a disk that refuses, damage.

Each test has a copy of the small lake from which the tables of the last steps are gone, as if they
had never been made; whatever happens, the job ends with the bytes that were there before.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from benchmarks import chaos, clock
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import known_keys
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.migrations import MIGRATIONS
from smallcaps_assets_tests.end_to_end.command import (
    PROGRAM,
    Finished,
    digests,
    environment,
    in_process,
    run_again,
    smallcaps,
)
from smallcaps_assets_tests.end_to_end.conftest import instance_of

LAST = ("coverage", "ml_dataset", "ticker_history")


def on_lake(command: str, lake: Path, *arguments: str) -> Finished:
    """A command on a lake."""
    return smallcaps(command, "--lake", lake, *arguments, cwd=lake.parent)


def complete(lake: Path) -> None:
    """The main job goes on and ends well."""
    done = run_again(lake)
    assert (done.status, done.error) == (0, ""), done.out


def tables_of(lake: Path) -> dict[str, str]:
    """SHA-256 of the tables' files; replaced versions and the like are left out."""
    return {name: one for name, one in digests(lake).items() if not name.startswith("state/")}


@pytest.fixture
def begun(own_lake: Path) -> Path:
    """A lake whose last tables are still to be made."""
    chaos.begin_again(own_lake, LAST)
    return own_lake


# Kills -------------------------------------------------------------------------------------------
def test_killed_commands_lose_nothing_and_do_nothing_twice(
    own_lake: Path, small_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small version of `python benchmarks/chaos.py`: some kills a scene, all on one lake.

    The daemon is not waited for until it has work, which takes it many seconds.
    """
    monkeypatch.setattr(chaos, "LAUNCH", 0.5)
    monkeypatch.setattr(chaos, "DAMAGED", 3)
    rng, result = random.Random(5), chaos.Result()
    chaos.switch_on(own_lake)
    kills = {"ticks": 3, "daemon": 1, "together": 1, "backfill": 1, "repair": 1}
    for name, count in kills.items():
        killed = chaos.kill_often(chaos.SCENES[name], own_lake, count, 3, rng)
        assert killed.kills, name
        result.add(killed)
    result.add(chaos.complete_and_inspect(chaos.SCENES["repair"], own_lake, small_lake))
    assert result.is_good, result


# Two jobs ----------------------------------------------------------------------------------------
@pytest.fixture
def jumping_clock(tmp_path: Path) -> dict[str, str]:
    """Variables under which a process's clock jumps back a day after four seconds.

    None where there is no C compiler.
    """
    if not shutil.which("cc"):
        return {}
    try:
        return clock.jump(clock.build(tmp_path), 4, 86_400)
    except subprocess.CalledProcessError:
        return {}


class Reader(threading.Thread):
    """Reads what is being made, again and again, until it is told to stop."""

    def __init__(self, lake: Path, whole: Path) -> None:
        super().__init__(daemon=True)
        self.lake, self.whole, self.is_over = Lake(lake), Lake(whole), threading.Event()
        self.reads, self.problems = 0, []

    def run(self) -> None:
        while not self.is_over.wait(0.05):
            for table in LAST:
                for key in self.lake.keys(table):
                    self.reads += 1
                    rows = self.lake.read(table, key or None)
                    if not rows.equals(self.whole.read(table, key or None)):
                        self.problems.append((table, key))


def test_two_jobs_on_one_lake_end_in_whole_files_while_a_reader_sees_nothing_else(
    begun: Path, small_lake: Path, jumping_clock: dict[str, str]
) -> None:
    """One does a part of what the other does, and its clock jumps back meanwhile."""
    reader = Reader(begun, small_lake)
    reader.start()
    part = subprocess.Popen(
        [*PROGRAM, "run", "--no-report", "--lake", str(begun), "--from", "2024-12-20"],
        env=environment(**jumping_clock),
        cwd=begun.parent,
        stdout=subprocess.DEVNULL,
    )
    complete(begun)
    assert part.wait() == 0
    reader.is_over.set()
    reader.join()
    # To Dagster, events of the day before are older than the wiping; the next start reports them.
    complete(begun)
    assert reader.reads and not reader.problems
    assert tables_of(begun) == tables_of(small_lake)
    with instance_of(begun) as instance:
        for table in TABLES:
            assert known_keys(instance, table) == set(Lake(begun).keys(table)), table


# Damage ------------------------------------------------------------------------------------------
def test_verify_finds_and_marks_damage_and_the_next_run_mends_it(
    own_lake: Path, small_lake: Path
) -> None:
    flipped, lost = sorted(own_lake.glob("processed/watchlist/*/*.parquet"))[:2]
    data = bytearray(flipped.read_bytes())
    data[len(data) // 3] ^= 0x10
    flipped.write_bytes(data)
    lost.unlink()
    meta = own_lake / "processed/ml_dataset/period=union/meta.json"
    meta.write_text(meta.read_text().replace('"rows"', '"rowz"', 1))
    found = on_lake("verify", own_lake)
    assert found.status == 1 and found.out.count("watchlist 2024-12-") == 2, found
    assert "checksum" in found.out and "not stored" in found.out and "meta.json" in found.out
    marked = on_lake("verify", own_lake, "--repair")
    assert "3 partitions are marked" in marked.out
    assert on_lake("verify", own_lake).status == 0
    differences = smallcaps("diff", own_lake, small_lake, cwd=own_lake)
    assert differences.status == 1 and "only in the second lake" in differences.out
    complete(own_lake)
    assert tables_of(own_lake) == tables_of(small_lake)
    aside = sorted(path.name for path in own_lake.rglob("state/bad/**/*.*"))
    assert aside == ["meta.json", "watchlist.parquet"]
    again = smallcaps("diff", own_lake, small_lake, cwd=own_lake)
    assert again.out.strip() == "the lakes are equal"


# Files of other times ----------------------------------------------------------------------------
def test_replaced_file_is_listed_and_put_back(own_lake: Path, small_lake: Path) -> None:
    lake = Lake(own_lake)
    key = lake.keys("daily_bars")[-1]
    stamp = lake.stamp("daily_bars", key)
    assert stamp is not None
    lake.write("daily_bars", key, lake.read("daily_bars", key).head(5), stamp)
    listed = on_lake("restore", own_lake, "daily_bars", key)
    assert listed.status == 0 and "rows" in listed.out, listed
    assert on_lake("restore", own_lake, "daily_bars", key, "--version", "2").status == 0
    assert tables_of(own_lake) == tables_of(small_lake)


def test_older_contract_is_refused_until_it_is_migrated(
    own_lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, table = Lake(own_lake), TABLES["daily_bars"]
    keys = lake.keys("daily_bars")
    before = [lake.read("daily_bars", key) for key in keys]
    monkeypatch.setitem(TABLES, "daily_bars", replace(table, version=table.version + 1))
    refused = on_lake("verify", own_lake, "daily_bars")
    assert refused.status == 1 and refused.out.count("run `smallcaps migrate`") == len(keys)
    monkeypatch.setitem(MIGRATIONS, ("daily_bars", table.version), lambda rows: rows)
    done = on_lake("migrate", own_lake)
    assert f"{len(keys)} partitions migrated, 0 failed" in done.out, done
    assert all(map(pl.DataFrame.equals, before, (lake.read("daily_bars", key) for key in keys)))


# A disk that refuses -----------------------------------------------------------------------------
@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own where mounting is allowed, else a folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    may_mount = not os.getuid() and shutil.which("mount")
    is_mounted = may_mount and not subprocess.run(command, check=False).returncode
    yield folder
    if is_mounted:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full(disk: Path, lake: Path) -> Iterator[Callable[[], None] | None]:
    """No room for more than a few pages; without a file system of its own, for no larger file."""
    if not disk.is_mount():
        largest = max(path.stat().st_size for path in lake.rglob("*.db*"))
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        return
    with (disk / "filler").open("wb") as filler:
        free = os.statvfs(disk)
        os.posix_fallocate(filler.fileno(), 0, (free.f_bavail - 40) * free.f_frsize)
    try:
        yield None
    finally:
        (disk / "filler").unlink()


@contextmanager
def read_only(disk: Path, lake: Path) -> Iterator[None]:
    """Nothing can be written: permissions say so, or for root the file system."""
    if disk.is_mount():
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        return
    if not os.getuid():
        pytest.skip("root may write everywhere, and mounting is not allowed here")
    folders = [lake, *(path for path in lake.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def assert_refused(done: Finished, *reasons: str) -> None:
    """A clear word and no traceback."""
    assert done.status in (1, 2), done
    assert any(reason in done.out + done.error for reason in reasons), done
    assert "Traceback" not in done.out + done.error


def test_job_on_a_full_disk_ends_in_a_clear_error_and_the_rerun_completes(
    begun: Path, small_lake: Path, disk: Path
) -> None:
    lake = Path(shutil.copytree(begun, disk / "lake"))
    before = tables_of(lake)
    with full(disk, lake) as limit:
        done = in_process("run", "--no-report", "--lake", lake, cwd=disk, before=limit)
    assert_refused(done, "No space left", "is full", "File too large", "disk I/O error")
    assert tables_of(lake).items() >= before.items()
    complete(lake)
    assert tables_of(lake) == tables_of(small_lake)


def test_job_that_may_not_write_ends_in_a_clear_error_and_the_rerun_completes(
    begun: Path, small_lake: Path, disk: Path
) -> None:
    lake = Path(shutil.copytree(begun, disk / "lake"))
    before = tables_of(lake)
    with read_only(disk, lake):
        done = run_again(lake)
    assert_refused(done, "Read-only file system", "Permission denied", "readonly database")
    assert tables_of(lake) == before
    complete(lake)
    assert tables_of(lake) == tables_of(small_lake)


def test_job_with_few_open_files_ends_in_a_clear_error_and_the_rerun_completes(
    begun: Path, small_lake: Path
) -> None:
    before = tables_of(begun)

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

    done = in_process("run", "--no-report", "--lake", begun, cwd=begun.parent, before=few)
    assert_refused(done, "Too many open files", "unable to open database file")
    assert tables_of(begun).items() >= before.items()
    complete(begun)
    assert tables_of(begun) == tables_of(small_lake)
