"""The report at the end of a main job: gather its frames from the lake, render, store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.cli.day import day_view
from smallcaps_assets.cli.patterns import labelled_events
from smallcaps_assets.domain.evidence.comparison import standings
from smallcaps_assets.domain.evidence.trials import trial_count
from smallcaps_assets.domain.patterns.hit_rates import hit_rates
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.meta import read_meta
from smallcaps_assets.lake.trials import trials
from smallcaps_assets.orchestration.location import remembered_settings
from smallcaps_assets.orchestration.runner import explain
from smallcaps_assets.pipeline.evidence import backtests
from smallcaps_assets.reports.backtest_words import outcome_lines
from smallcaps_assets.reports.days import choose_days
from smallcaps_assets.reports.run_report import RunReport, render
from smallcaps_assets.settings import UNION, Settings

PLACE = "reports/run_report.html"
_METRICS = ["date", "ticker", "high", "low", "close", "pct_change", "rvol30", "dollar_volume"]


def write_report(
    settings: Settings,
    lake: Lake,
    report: Any,
    rows: list[tuple[str, int, int, int, float, int]],
    sessions: tuple[date, date],
    losses: Sequence[str],
) -> str:
    """Render the page of a main job and store it in the lake; returns its path."""
    first, last = sessions
    watchlist = _between(lake, "watchlist", first, last)
    metrics = _between(lake, "daily_metrics", first, last)
    pump, fader = choose_days(watchlist, metrics)
    page = RunReport(
        title="smallcaps_assets run report",
        market=settings.market.name,
        start=first,
        end=last,
        summary=rows,
        watchlist=watchlist,
        metrics=metrics.select(_METRICS),
        dataset=lake.read("ml_dataset", UNION) if lake.exists("ml_dataset", UNION) else None,
        meta=read_meta(lake, "ml_dataset", UNION) or {},
        patterns=_pattern_rates(lake, first, last),
        **_backtests(settings, lake),
        pump=day_view(settings, lake, pump),
        fader=day_view(settings, lake, fader),
        failures=[explain(outcome) for outcome in report.failed],
        losses=losses,
        settings=remembered_settings(settings),
        dataset_path=str(lake.path("ml_dataset", UNION)),
    )
    lake.write_bytes(PLACE, render(page).encode())
    return str(lake.root / PLACE)


def _pattern_rates(lake: Lake, first: date, last: date) -> pl.DataFrame | None:
    """Hit rates of the events of some sessions whose day had been admitted by then."""
    keys = lake.keys("pattern_labels")
    if not keys:
        return None
    events = labelled_events(lake, keys)
    in_range = pl.col("date").is_between(first, last)
    return hit_rates(events.filter(in_range, "is_selection_known"), "pattern")


def _backtests(settings: Settings, lake: Lake) -> dict[str, Any]:
    """Standings of the strategies of this lake, and in words which survive their costs."""
    trades, days = backtests(lake, list(settings.backtest.names))
    if days.is_empty():
        return {}
    strategies = days["strategy"].unique().sort().to_list()
    words = outcome_lines(trades, days, trial_count(trials(lake)))
    return {"standings": standings(trades, strategies), "outcomes": list(words)}


def _between(lake: Lake, table: str, first: date, last: date) -> pl.DataFrame:
    keys = [key for key in lake.keys(table) if first.isoformat() <= key <= last.isoformat()]
    return lake.read_many(table, keys)
