"""A lake whose events are in PostgreSQL: a real server, the real command, the same lake."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import (
    POSTGRES_VARIABLE,
    instance_home,
    known_keys,
    open_instance,
)
from smallcaps_assets.settings import SettingsError
from smallcaps_assets_tests.end_to_end.command import SMALL_MARKET, digests, settings, smallcaps
from smallcaps_assets_tests.postgres import postgres_server


def test_main_job_on_postgresql_knows_every_partition_and_makes_the_same_bytes(
    small_lake: Path, periods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server() as address:
        variables = {POSTGRES_VARIABLE: address}
        command = ["run", "--no-report", *settings(SMALL_MARKET), "--config", periods, "--lake"]
        done = smallcaps(*command, tmp_path / "events", cwd=tmp_path, **variables)
        assert (done.status, done.error) == (0, "")
        assert not list((tmp_path / "events" / "dagster").rglob("*.db"))
        monkeypatch.setenv(POSTGRES_VARIABLE, address)
        monkeypatch.setenv("DAGSTER_HOME", "")
        lake = Lake(tmp_path / "events")
        with open_instance(tmp_path / "events") as instance:
            for table in ("daily_bars", "watchlist", "adjustment_factors"):
                assert known_keys(instance, table) == set(lake.keys(table)), table
    assert digests(tmp_path / "events") == digests(small_lake)


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
