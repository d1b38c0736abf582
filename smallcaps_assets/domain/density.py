"""The density report: how many days the rules select, and what their ticks would cost.

Look first, then decide which periods' ticks to fetch. Pure functions on the watchlist and the
session summaries.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

PAGE_ROWS = 50_000
STORED_BYTES_PER_TRADE = 18.0
"""Of a trades file: 49.6 MB for 2.76 million simulated trades; real tapes have longer ids."""
SECONDS_PER_PAGE = 1.5
FREE_CALLS_PER_HOUR = 5 / 61 * 3600


@dataclass(frozen=True)
class TickCost:
    """What fetching some ticker-sessions' trades would take."""

    ticker_sessions: int
    requests: int
    gigabytes: float
    hours_free: float
    hours_paid: float


def tick_cost(days: pl.DataFrame, workers: int, requests_per_second: float) -> TickCost:
    """The cost of ticker-days with their number of `transactions`; unknown counts as one page.

    A paid plan is bound by its pages in flight or by the client's rate, whichever is slower.
    """
    counts = days["transactions"].fill_null(1).clip(lower_bound=1)
    pages = int(((counts + PAGE_ROWS - 1) // PAGE_ROWS).sum())
    pace = min(workers / SECONDS_PER_PAGE, requests_per_second)
    return TickCost(
        ticker_sessions=days.height,
        requests=pages,
        gigabytes=float(counts.sum()) * STORED_BYTES_PER_TRADE / 1e9,
        hours_free=pages / FREE_CALLS_PER_HOUR,
        hours_paid=pages / pace / 3600,
    )


def selected_days(watchlist: pl.DataFrame, sessions: pl.Series, by: str) -> pl.DataFrame:
    """Selected days by rule and period (`1y` or `1mo`): days, mean and median per session.

    `sessions` are the dates that were looked at; those without a selected day count as zero.
    """
    looked_at = pl.DataFrame({"date": sessions})
    rules = watchlist.select("rule").unique()
    counts = watchlist.group_by("date", "rule").len("days")
    every = looked_at.join(rules, how="cross").join(counts, on=["date", "rule"], how="left")
    return (
        every.with_columns(pl.col("days").fill_null(0), period=pl.col("date").dt.truncate(by))
        .group_by("period", "rule")
        .agg(
            pl.col("days").sum(),
            pl.len().alias("sessions"),
            pl.col("days").mean().alias("mean"),
            pl.col("days").median().alias("median"),
        )
        .sort("period", "rule")
    )
