"""Real trades of a recorded market, through to a dataset."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.end_to_end.command import settings, smallcaps
from smallcaps_assets_tests.end_to_end.recording import DAY, OPENED, ibm_trades, write_recording

SHARED = Path(__file__).parents[3] / "shared" / "data" / "recorded"
KEY = f"IBM_{DAY}"


def run_recorded(lake: Path, folder: Path, *arguments: str) -> str:
    """The main job on a recorded market with an open selection; what it printed."""
    options = [
        "--no-report",
        "--market",
        f"recorded:{folder}",
        "--lake",
        str(lake),
        *settings(OPENED),
    ]
    done = smallcaps("run", *options, *arguments, cwd=lake.parent)
    assert (done.status, done.error) == (0, ""), done.out
    return done.out


@pytest.fixture(scope="module")
def recorded_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A finished lake of the one recorded session."""
    root = tmp_path_factory.mktemp("recorded")
    told = run_recorded(root / "lake", write_recording(root / "market"))
    assert "a recorded market has no source for them: short_volume, short_interest, " in told
    return Lake(root / "lake")


def test_recorded_market_keeps_every_real_trade(recorded_lake: Lake) -> None:
    stored, given = recorded_lake.read("trades", KEY), ibm_trades()
    assert recorded_lake.keys("trades") == [KEY]
    assert stored.height == given.height == 24_293
    assert stored["size"].sum() == given["size"].sum()
    instants = stored.sort("sip_timestamp", "sequence_number")["sip_timestamp"].cast(pl.Int64)
    assert instants.to_list() == given["sip_timestamp"].to_list()


def test_recorded_market_reaches_every_table_that_it_can_fill(recorded_lake: Lake) -> None:
    lake = recorded_lake
    rows = {table: sum(lake.read(table, k).height for k in lake.keys(table)) for table in TABLES}
    empty = {table for table, count in rows.items() if not count}
    feeds = {t for t in TABLES if TABLES[t].group in ("short_data", "events", "fundamentals")}
    # Of two sessions none is volatile; flat files of trades have no quotes; no month is tested.
    absent = {"splits", "dividends", "adjustment_factors", "quotes", "volatile"}
    absent |= {n for n, t in TABLES.items() if t.group in ("models", "backtest")} - {"day_families"}
    assert empty == absent | feeds
    assert not any(lake.has(table) for table in feeds)
    status = smallcaps("status", "--json", "--lake", lake.root, cwd=Path(str(lake.root)).parent)
    known = {row["table"]: row["expected"] for row in json.loads(status.out)}
    assert known["daily_bars"] > 0 == known["short_volume"] == known["halts"]


def test_recorded_dataset_has_labels_of_both_barriers(recorded_lake: Lake) -> None:
    dataset = recorded_lake.read("ml_dataset", "union")
    assert dataset.height == recorded_lake.read("sample_weights", KEY).height > 100
    assert set(dataset["label"].unique()) == {-1, 0, 1}
    assert dataset["date"].unique().to_list() == [DAY]
    place = Path(str(recorded_lake.path("ml_dataset", "union"))).with_name("meta.json")
    assert json.loads(place.read_text())["rows"] == dataset.height


@pytest.mark.skipif(not SHARED.is_dir(), reason="the larger recording is not at hand")
def test_larger_recording_runs_through_to_a_dataset(tmp_path: Path) -> None:
    days = ["--from", "2013-10-08", "--to", "2013-10-09"]
    run_recorded(tmp_path / "lake", SHARED, *days)
    lake = Lake(tmp_path / "lake")
    dataset = lake.read("ml_dataset", "union")
    assert set(dataset["date"].unique()) == {date(2013, 10, d) for d in (8, 9)}
    assert dataset.height > 1000 and set(dataset["label"].unique()) == {-1, 0, 1}
    assert len(lake.keys("trades")) == lake.read("ticker_sessions").height
