"""A lake whose events are in PostgreSQL: a real server, the real command, the same lake."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import (
    POSTGRES_VARIABLE,
    instance_home,
    known_keys,
    open_instance,
)
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import SettingsError
from smallcaps_assets_tests.end_to_end.command import digests, smallcaps
from smallcaps_assets_tests.postgres import postgres_server


def test_main_job_on_postgresql_knows_every_partition_and_makes_the_same_bytes(
    small_lake: Path,
    incomplete_lake: Path,
    periods: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A partition of every table is made, the others are told to a database that knows none."""
    shutil.rmtree(incomplete_lake / "dagster")
    with postgres_server() as address:
        variables = {POSTGRES_VARIABLE: address}
        command = ["run", "--no-report", "--config", periods, "--lake", incomplete_lake]
        done = smallcaps(*command, cwd=tmp_path, **variables)
        assert (done.status, done.error) == (0, "")
        assert not list((incomplete_lake / "dagster").rglob("*.db"))
        monkeypatch.setenv(POSTGRES_VARIABLE, address)
        monkeypatch.setenv("DAGSTER_HOME", "")
        lake = Lake(incomplete_lake)
        with open_instance(incomplete_lake) as instance:
            for table in TABLES:
                assert known_keys(instance, table) == set(lake.keys(table)), table
    assert digests(incomplete_lake) == digests(small_lake)


def test_lake_of_postgresql_without_its_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql://somewhere/lake")
    with pytest.raises(SettingsError, match="holds another address"):
        instance_home(tmp_path)
    monkeypatch.delenv(POSTGRES_VARIABLE)
    with pytest.raises(SettingsError, match="holds nothing"):
        instance_home(tmp_path)


def test_lake_of_files_takes_no_notice_of_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(POSTGRES_VARIABLE, raising=False)
    instance_home(tmp_path)
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql+psycopg2://somewhere/lake")
    assert "SqliteStorage" in (instance_home(tmp_path) / "dagster.yaml").read_text()
