"""A damaged history of Dagster's ends in one line with the remedy, and the remedy works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smallcaps_assets.cli import main
from smallcaps_assets.lake import open_lake
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.orchestration.location import remembered_settings
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import load_settings
from smallcaps_assets_tests.end_to_end.command import environment

MARKET = ("sandbox.tickers=20", "sandbox.start=2024-12-09", "sandbox.end=2024-12-11")
INDEX = "history/runs/index.db"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake without tables, and its history."""
    lake, settings = tmp_path_factory.mktemp("whole") / "lake", load_settings(MARKET)
    open_lake(lake, market_of(settings).identity, remembered_settings(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        open_instance(lake).dispose()
    return lake


@pytest.fixture
def lake(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.environ", environment())
    return Path(shutil.copytree(whole, tmp_path / "lake"))


def command(lake: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [arguments[0], "--lake", str(lake), *arguments[1:]])


def garble(file: Path, start: int, end: int | None = None) -> None:
    data = bytearray(file.read_bytes())
    data[start:end] = bytes(byte ^ 0x5A for byte in data[start:end])
    file.write_bytes(data)


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def assert_told(done: Result, lake: Path) -> None:
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.output
    assert done.stderr.startswith("smallcaps: Dagster's history is damaged (")
    assert f"move the folder {lake}/dagster away: `smallcaps run` reports every" in done.stderr


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (INDEX, lambda file: garble(file, 0, 100)),
        (INDEX, lambda file: garble(file, 4096)),
        (INDEX, halve),
        ("history/runs.db", lambda file: garble(file, 0, 100)),
        ("schedules/schedules.db", lambda file: garble(file, 0, 100)),
    ],
    ids=["header", "pages", "half", "runs", "schedules"],
)
def test_damage_is_told_with_its_remedy(
    lake: Path, file: str, damage: Callable[[Path], None]
) -> None:
    damage(lake / "dagster" / file)
    assert_told(command(lake, "status"), lake)


@pytest.mark.parametrize(
    "arguments", [("run",), ("verify",), ("backfill", "splits"), ("ui",)], ids=lambda a: a[0]
)
def test_every_command_that_needs_the_history_tells_of_its_damage(
    lake: Path, arguments: tuple[str, ...]
) -> None:
    garble(lake / "dagster" / INDEX, 0, 100)
    assert_told(command(lake, *arguments), lake)


def test_history_that_was_moved_away_is_made_anew(lake: Path) -> None:
    shutil.rmtree(lake / "dagster")
    assert command(lake, "status").exit_code == 0


def test_damaged_configuration_of_the_instance_is_told(lake: Path) -> None:
    (lake / "dagster" / "dagster.yaml").write_text("{:")
    done = command(lake, "status")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "dagster.yaml is damaged; remove it, the next command writes it again" in done.stderr
