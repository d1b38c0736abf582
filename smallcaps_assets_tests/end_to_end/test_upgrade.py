"""A lake of version 0.1.0: migrated and read; its market is another than that of today."""

from __future__ import annotations

import tarfile
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.migrate import outdated_keys
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests import golden
from smallcaps_assets_tests.end_to_end.command import Finished, digests, smallcaps


@pytest.fixture
def old_lake(tmp_path: Path) -> Path:
    with (
        as_file(files(golden) / "lakes" / "simulated_0_1_0.tar.xz") as archive,
        tarfile.open(archive) as stored,
    ):
        stored.extractall(tmp_path / "lake", filter="data")
    return tmp_path / "lake"


def test_lake_of_0_1_0_is_migrated_and_its_market_is_not_gone_on_with(old_lake: Path) -> None:
    lake, before = Lake(old_lake), digests(old_lake / "raw")
    raw = [name for name in TABLES if TABLES[name].layer == "raw"]
    assert {name for name in raw if outdated_keys(lake, name)} == {"filings"}

    done = smallcaps("migrate", "--lake", old_lake, cwd=old_lake.parent)
    assert done.status == 0
    assert "1 partitions migrated, 0 failed" in done.out
    assert not any(outdated_keys(lake, name) for name in raw)
    after = digests(old_lake / "raw")
    assert {path.split("/")[0] for path in after if after[path] != before[path]} == {"filings"}
    assert after.keys() == before.keys()

    stored = digests(old_lake)
    done = smallcaps("run", "--lake", old_lake, cwd=old_lake.parent)
    assert done.status == 2 and len(done.error.splitlines()) == 1
    assert "made by an earlier version of the simulation" in done.error
    assert "name another folder with --lake" in done.error
    assert digests(old_lake) == stored


def test_sql_names_what_is_of_an_older_contract_and_reads_the_rest(old_lake: Path) -> None:
    def asked(query: str) -> Finished:
        return smallcaps("sql", "--lake", old_lake, query, "--csv", cwd=old_lake.parent)

    assert asked("select count(*) as n from tickers").out.split() == ["n", "266"]
    refused = asked("select * from ml_dataset")
    assert refused.status == 2
    assert "ml_dataset is stored in an older contract; run `smallcaps migrate`" in refused.error
