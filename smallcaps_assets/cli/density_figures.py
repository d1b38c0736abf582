"""The figures of the density report from the lake, a year of sessions in memory at a time."""

from __future__ import annotations

from itertools import groupby

import polars as pl

from smallcaps_assets.cli.spans import Advance, dated_keys, parts, rows
from smallcaps_assets.domain.selection import density
from smallcaps_assets.lake import Lake
from smallcaps_assets.reports.density_measures import DensityFigures
from smallcaps_assets.reports.spans import Span
from smallcaps_assets.settings import Settings

REACH = 5
_METRICS = ["date", "ticker", "pct_change", "rvol30", "dollar_volume"]


def sessions_to_read(lake: Lake, span: Span) -> int:
    """How many sessions `advance` will count."""
    return len(dated_keys(lake, "daily_metrics", span)) + len(dated_keys(lake, "watchlist", span))


def density_figures(settings: Settings, lake: Lake, span: Span, advance: Advance) -> DensityFigures:
    """The figures of a span. Reads five columns of daily_metrics, three of session_summary."""
    sessions = dated_keys(lake, "watchlist", span)
    watchlist = rows(lake, "watchlist", sessions, ["date", "ticker", "rule", "change"])
    rich = watchlist.filter(pl.col("rule").is_in(settings.selection.tick_rules))
    events = {"halts": _halts(lake, span), "splits": _splits(lake)}
    tails, counts, bins, dollars = [], [], [], []
    near: dict[str, list[pl.DataFrame]] = {event: [] for event in events}
    keys = dated_keys(lake, "daily_metrics", span)
    for year, group in groupby(keys, key=lambda key: key[:4]):
        own = list(group)
        found = rows(lake, "daily_metrics", _widened(keys, own), _METRICS)
        of_year = found.filter(pl.col("date").dt.year() == int(year))
        tails.append(density.change_tails(of_year, "1y"))
        counts.append(density.change_counts(of_year))
        bins.append(density.change_histogram(of_year))
        dollars.append(density.dollars_traded(rich, of_year, "1mo"))
        for event, days in events.items():
            of_days = days.filter(pl.col("date").dt.year() == int(year))
            near[event].append(density.rvol_near(found, of_days, REACH))
        advance(len(own))
    empty = rows(lake, "daily_metrics", [], _METRICS)
    return DensityFigures(
        span=span,
        sessions=pl.Series("date", sessions, pl.String).str.to_date(),
        watchlist=watchlist,
        tails=pl.concat([density.change_tails(empty, "1y"), *tails]),
        counts=_summed(["threshold"], [density.change_counts(empty), *counts]),
        histogram=_summed(["bin"], [density.change_histogram(empty), *bins]),
        dollars=pl.concat([density.dollars_traded(rich, empty, "1mo"), *dollars]),
        around={
            event: density.rvol_summary(_concat(found, empty)) for event, found in near.items()
        },
        cost=tick_cost(settings, tick_days(settings, lake, watchlist, sessions, advance)),
    )


def _widened(keys: list[str], own: list[str]) -> list[str]:
    """The sessions of a year and the few around it, for events near its ends."""
    first, last = keys.index(own[0]), keys.index(own[-1])
    return keys[max(0, first - REACH) : last + 1 + REACH]


def _halts(lake: Lake, span: Span) -> pl.DataFrame:
    return rows(lake, "halts", dated_keys(lake, "halts", span), ["date", "ticker"])


def _splits(lake: Lake) -> pl.DataFrame:
    found = rows(lake, "splits", lake.keys("splits"), ["execution_date", "ticker"])
    return found.rename({"execution_date": "date"})


def _summed(keys: list[str], frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Counts of parts of a market added up."""
    return pl.concat(frames).group_by(keys, maintain_order=True).agg(pl.all().sum()).sort(keys)


def _concat(frames: list[pl.DataFrame], metrics: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([density.rvol_near(metrics, metrics, REACH), *frames])


def tick_days(
    settings: Settings,
    lake: Lake,
    watchlist: pl.DataFrame,
    sessions: list[str],
    advance: Advance = lambda count: None,
) -> pl.DataFrame:
    """The days that the tick rules select in some sessions, with their transactions."""
    wanted = watchlist.filter(pl.col("rule").is_in(settings.selection.tick_rules))
    chosen = wanted.select("date", "ticker").unique()
    columns = ["date", "ticker", "transactions"]
    counts = []
    for found in parts(lake, "session_summary", sessions, columns):
        counts.append(found.join(chosen, on=["date", "ticker"], how="semi"))
        advance(found["date"].n_unique())
    return chosen.join(pl.concat(counts), on=["date", "ticker"], how="left")


def tick_cost(settings: Settings, days: pl.DataFrame, table: str = "trades") -> density.TickCost:
    """What the trades, or quotes, of such days would cost."""
    pace = settings.polygon.workers, settings.polygon.requests_per_second
    return density.tick_cost(days, *pace, table)
