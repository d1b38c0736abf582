"""What was selected and is lost: days without trades, events outside every period."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl

from smallcaps_assets.cli.quality_figures import Source, _losses
from smallcaps_assets.orchestration.checks import severity
from smallcaps_assets.orchestration.instance import report_stored
from smallcaps_assets.orchestration.storage.check_results import check_results
from smallcaps_assets.pipeline.coverage import _of_session
from smallcaps_assets.pipeline.dataset import build_dataset
from smallcaps_assets.pipeline.findings import find
from smallcaps_assets.pipeline.losses import losses
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.spans import Span
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.pipeline.small_dataset import (
    DAY,
    EARLIER,
    EVENTS,
    KEYS,
    SHARES,
    fill,
    work_on,
)

YEAR = (date(2024, 1, 1), date(2024, 12, 31))
OPEN = ({"name": "p", "start": "2024-01-01"},)


def stored(root: Path, shares: dict[str, float] | None = None, periods=OPEN, events=EVENTS):
    work = work_on(root, periods)
    fill(work, events, shares)
    return work


def verdict(work: Workspace, table: str, key: str) -> tuple[bool, str]:
    found = find(work, table, key, work.lake.read(table, key))
    return all(one.is_good for one in found), severity(found).value


def told(work: Workspace) -> list[str]:
    return losses(work.lake, work.settings.dataset.periods, *YEAR).lines()


# Trades ------------------------------------------------------------------------------------------
def test_day_without_trades_is_an_error_of_its_trades_and_of_its_bars(tmp_path: Path) -> None:
    work = stored(tmp_path, {KEYS[1]: 0.0})
    assert verdict(work, "trades", KEYS[1]) == (False, "ERROR")
    assert verdict(work, "trades", KEYS[2])[0]
    for table in ("dollar_bars", "volume_imbalance_bars"):
        found = find(work, table, KEYS[1], TABLES[table].empty())
        assert severity(found).value == "ERROR"
        assert any("0 shares in the bars, 1,000,000" in one.found for one in found)


def test_far_too_few_trades_are_an_error_and_what_late_trading_explains_is_not(
    tmp_path: Path,
) -> None:
    work = stored(tmp_path, {KEYS[1]: 0.49 * SHARES, KEYS[2]: 0.51 * SHARES})
    assert verdict(work, "trades", KEYS[1]) == (False, "ERROR")
    assert verdict(work, "trades", KEYS[2])[0]


def test_run_quality_coverage_and_meta_tell_of_lost_days(tmp_path: Path) -> None:
    """Of B nothing is left, of A's day half a percent."""
    kept = [one for one in EVENTS if one["ticker"] != "B"]
    work = stored(tmp_path, {KEYS[2]: 0.0, KEYS[1]: 5000.0}, events=kept)
    (line,) = told(work)
    assert line.startswith("2 of 3 selected ticker-sessions have no trades or far too few")
    assert f"{KEYS[2]} (0 shares in the trades, 1,000,000 in the day's bar" in line
    source = Source(work.settings, work.lake, None, pl.DataFrame(), 0, lambda count: None)  # type: ignore[arg-type]
    short = _losses(source, Span("all", *YEAR))["short"]
    assert short["key"].to_list() == [KEYS[1], KEYS[2]]
    rows = _of_session(work, DAY.isoformat()).frame.filter(pl.col("table") == "trades")
    (row,) = rows.to_dicts()
    assert (row["expected"], row["got"], row["empty"], row["failed"]) == (2, 0, 0, 2)
    assert "A: 5,000 shares in the trades" in row["reason"]
    for key in ("p", "union"):
        outcome = work.store("ml_dataset", key, lambda key=key: build_dataset(work, key))
        assert outcome.error is None
        meta = outcome.metadata["meta"]
        assert meta["ticker_sessions_selected"] == 3
        assert meta["ticker_sessions_without_events"] == [KEYS[2]]
        assert list(meta["ticker_sessions_short_of_trades"]) == [KEYS[1], KEYS[2]]


def test_whole_days_are_told_nothing_of(tmp_path: Path) -> None:
    work = stored(tmp_path)
    assert told(work) == []
    (row,) = _of_session(work, DAY.isoformat()).frame.filter(pl.col("table") == "trades").to_dicts()
    assert (row["got"], row["failed"]) == (2, 0)


def test_defect_of_a_file_that_dagster_has_forgotten_is_reported_with_it(tmp_path: Path) -> None:
    work = stored(tmp_path, {KEYS[1]: 0.0})
    with dg.DagsterInstance.ephemeral() as instance:
        report_stored(instance, work.reuse("trades", KEYS[1]))
        (found,) = check_results(instance).to_dicts()
    assert (found["table"], found["key"], found["is_error"]) == ("trades", KEYS[1], True)
    assert "0 shares in the trades" in found["text"]


# Periods -----------------------------------------------------------------------------------------
def test_events_in_no_period_are_counted_by_the_run_and_by_quality(tmp_path: Path) -> None:
    work = stored(tmp_path, periods=({"name": "p", "start": str(DAY)},))
    (line,) = told(work)
    assert line.startswith(f"1 weighted events of 1 ticker-sessions, {EARLIER} to {EARLIER}, lie")
    assert "dataset.periods" in line
    source = Source(work.settings, work.lake, None, pl.DataFrame(), 0, lambda count: None)  # type: ignore[arg-type]
    outside = _losses(source, Span("all", *YEAR))["outside"]
    assert outside.to_dicts() == [{"key": KEYS[0], "events": 1}]
    assert verdict(work, "sample_weights", KEYS[0]) == (False, "WARN")
    assert verdict(work, "sample_weights", KEYS[1])[0]


def test_dataset_of_an_open_period_has_all_later_events_and_new_ones_put_it_out_of_date(
    tmp_path: Path,
) -> None:
    work = stored(tmp_path, events=EVENTS[3:])
    first = work.store("ml_dataset", "p", lambda: build_dataset(work, "p"))
    assert first.error is None and first.written is not None and first.written.rows == 1
    assert work.is_current("ml_dataset", "p")
    fill(work)
    assert not work.is_current("ml_dataset", "p")
    again = work.store("ml_dataset", "p", lambda: build_dataset(work, "p"))
    assert again.written is not None and again.written.rows == len(EVENTS)
    assert again.metadata["meta"]["periods"]["p"]["end"] is None


# Tables without rows ------------------------------------------------------------------------------
def test_universe_and_dataset_without_rows_are_warnings_and_told(tmp_path: Path) -> None:
    work = work_on(tmp_path, OPEN)
    empty = {name: TABLES[name].empty() for name in ("universe", "ml_dataset")}
    for table, key, what in (
        ("universe", str(DAY), "0 companies"),
        ("ml_dataset", "p", "0 events"),
    ):
        found = next(one for one in find(work, table, key, empty[table]) if one.name == "rows")
        assert (found.is_good, found.is_error, found.found) == (False, False, what)
    work.lake.write("universe", str(DAY), empty["universe"], work.stamp("universe", str(DAY)))
    assert told(work) == [
        f"the universe of 1 sessions, {DAY} to {DAY}, holds no company;"
        " look at universe.types, universe.exchanges and universe.max_market_cap"
    ]
