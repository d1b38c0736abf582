"""The tables of a session over the real client: what they must not depend on."""

from __future__ import annotations

import shutil
from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.minute_fallback import bars_from_minutes, minute_tape
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import BAR_TABLES, SESSION_TABLES
from smallcaps_assets_tests.pipeline.bench import make_sessions, reference, workspace

MADE = [table for table in SESSION_TABLES if table != "short_volume"]
SELECTED = ("session_summary", "daily_metrics", "watchlist", "runners")
LATE = "2024-10-04"
# So few sessions make no mean of thirty, and so small a market no five million dollars.
EASY = {
    "sandbox": {"end": LATE},
    "metrics": {"min_sessions": 1},
    "selection": {"min_relative_volume": 0.2, "min_change": 0.01, "min_dollar_volume": 10_000},
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Workspace]:
    """The same sessions with minutes over REST, which have a vwap, and from files without one."""
    folder = tmp_path_factory.mktemp("routes")
    rest = workspace(folder / "rest", **EASY, polygon={"minute_route": "rest"})
    outcomes = [*reference(rest), *make_sessions(rest, MADE).values()]
    shutil.copytree(folder / "rest", folder / "flat")
    flat = workspace(folder / "flat", **EASY, polygon={"minute_route": "flatfile"})
    outcomes += make_sessions(flat, ["minute_bars", *SELECTED], is_resumed=False).values()
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    return rest, flat


def test_sessions_given_either_route_expected_the_same_selection(
    routes: tuple[Workspace, Workspace],
) -> None:
    rest, flat = routes
    vwaps = [work.lake.read("minute_bars", LATE)["vwap"].null_count() for work in routes]
    assert vwaps[0] == 0 < vwaps[1]
    for key in rest.lake.keys("watchlist"):
        for table in SELECTED:
            assert rest.lake.read(table, key).equals(flat.lake.read(table, key)), (table, key)
    triggered = flat.lake.read("watchlist", LATE).filter(pl.col("rule") == "intraday_trigger")
    assert triggered.height > 3


@pytest.mark.parametrize("table", BAR_TABLES)
def test_bars_from_minutes_given_either_route_expected_the_same(
    routes: tuple[Workspace, Workspace], table: str
) -> None:
    hours, bars, tapes = session_hours(date.fromisoformat(LATE)), [], []
    for work in routes:
        minutes = work.lake.read("minute_bars", LATE)
        busiest = minutes["ticker"].value_counts().sort("count", "ticker")["ticker"][-1]
        own = minutes.filter(pl.col("ticker") == busiest)
        bars.append(bars_from_minutes(own, hours, table, work.settings.bars, 2_000))
        tapes.append(minute_tape(own, hours, work.settings.ticks, busiest).ticks)
    assert bars[0].height > 3
    assert bars[0].equals(bars[1])
    assert tapes[0].equals(tapes[1])
