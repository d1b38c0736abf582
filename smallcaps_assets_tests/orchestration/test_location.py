"""Settings of a command and of the code location in its child processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.lake import open_lake
from smallcaps_assets.orchestration.location import (
    hand_over,
    handed_over,
    location_settings,
    remembered_settings,
)
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import LakeSettings

GIVEN = ["lake.root=lake", "run.tick_runs=7", "labels.take_profit=0.2", "market.name=simulated"]


def test_code_location_comes_to_the_settings_of_the_command_that_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text("[run]\nthreads = 5\ntick_runs = 6\n[bars]\nalpha = 0.3\n")
    monkeypatch.chdir(tmp_path)
    environment = {"SMALLCAPS_RUN_RETRIES": "4"}
    settings = location_settings(environment, GIVEN, "own.toml")
    open_lake("lake", market_of(settings).identity, remembered_settings(settings))
    handed = environment | hand_over(GIVEN, "own.toml", settings.lake)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = location_settings(handed, *handed_over(handed))
    assert found.model_copy(update={"lake": settings.lake}) == settings
    assert (found.run.threads, found.run.tick_runs, found.run.retries) == (5, 7, 4)
    assert Path(found.lake.root) == Path(found.lake.local) == tmp_path / "lake"


def test_code_location_of_no_command_works_with_its_own_sources() -> None:
    assert handed_over({}) == ([], None)


@pytest.mark.parametrize("home", ["", "here"])
def test_place_of_a_remote_lake_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = LakeSettings(root="s3://bucket/lake", home=home)
    assert lake.absolute.root == "s3://bucket/lake"
    assert lake.absolute.local == str(Path(lake.local).resolve())
    assert lake.absolute.absolute == lake.absolute
