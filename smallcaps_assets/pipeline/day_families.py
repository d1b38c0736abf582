"""Day families: read from the minutes of the selected days, made whole."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import polars as pl

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.models.day_families import day_descriptors, shares_by_year, stability
from smallcaps_assets.domain.models.day_families import day_families as families_of
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.outcome import BuildResult, Outcomes
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.markdown import preview
from smallcaps_assets.schemas import TABLES

_MINUTES = ["date", "ticker", "window_start", "open", "high", "low", "close", "volume"]


def day_families(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """The outcome of `day_families`, which is made whole."""
    yield work.make("day_families", None, lambda: _build(work))


def _build(work: Workspace) -> BuildResult:
    share, wanted = work.settings.families.share, selected_days(work.lake)
    parts = [
        day_descriptors(minutes, _metrics(work.lake, day, minutes), session_hours(day))
        for day, minutes in minutes_of(work.lake, wanted)
    ]
    table = TABLES["day_families"]
    if not parts:
        return BuildResult(table.empty(), {"days without minutes": wanted.height})
    found = families_of(pl.concat(parts), share)
    return BuildResult(
        table.conform(found),
        {
            "days without minutes": wanted.height - found.height,
            "by year": preview(shares_by_year(found), 40),
            "stability": preview(stability(found, share), 40),
        },
    )


def selected_days(lake: Lake) -> pl.DataFrame:
    """Date and ticker of the ticker-sessions whose ticks are wanted."""
    registry = lake.read("ticker_sessions", columns=["date", "ticker", "is_qualified"])
    return registry.filter("is_qualified").select("date", "ticker")


def minutes_of(lake: Lake, days: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """Each session with the minutes of some of its tickers, in order; without those not stored."""
    for (day,), rows in days.sort("date", "ticker").group_by("date", maintain_order=True):
        assert isinstance(day, date)
        if lake.exists("minute_bars", day.isoformat()):
            minutes = lake.read("minute_bars", day.isoformat(), _MINUTES)
            yield day, minutes.join(rows.select("ticker"), on="ticker", how="semi")


def _metrics(lake: Lake, day: date, minutes: pl.DataFrame) -> pl.DataFrame:
    metrics = lake.read("daily_metrics", day.isoformat(), ["date", "ticker", "gap", "rvol30"])
    return metrics.join(minutes.select("ticker").unique(), on="ticker", how="semi")
