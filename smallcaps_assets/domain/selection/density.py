"""The density report: how many days the rules select, and what their ticks would cost.

Look first, then decide which periods' ticks to fetch. Pure functions on watchlist, daily metrics
and halts. Every count or sum is by period, the unit `by` of polars' `truncate`: `1y` or `1mo`.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

PAGE_ROWS = 50_000
STORED_BYTES = {"trades": 18.0, "quotes": 14.0}
"""Of a row: 49.6 MB for 2.76 million simulated trades; real tapes have longer ids."""
PER_TRADE = {"trades": 1, "quotes": 5}
"""Rows that come with a trade; of quotes it is an estimate, from two to twenty."""
SECONDS_PER_PAGE = 1.5
FREE_CALLS_PER_HOUR = 5 / 61 * 3600
LARGE_CHANGE = 0.15
TAILS = (0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 0.999)
THRESHOLDS = (0.10, 0.15, 0.30, 0.50, 1.00)
BIN = 0.05
LONGEST_BIN = 30


@dataclass(frozen=True)
class TickCost:
    """What fetching some ticker-sessions' trades, or quotes, would take."""

    ticker_sessions: int
    requests: int
    gigabytes: float
    hours_free: float
    hours_paid: float


def tick_cost(
    days: pl.DataFrame, workers: int, requests_per_second: float, table: str = "trades"
) -> TickCost:
    """The cost of ticker-days with their number of `transactions`; unknown counts as one page.

    A paid plan is bound by its pages in flight or by the client's rate, whichever is slower.
    """
    counts = days["transactions"].fill_null(1).clip(lower_bound=1) * PER_TRADE[table]
    pages = int(((counts + PAGE_ROWS - 1) // PAGE_ROWS).sum())
    pace = min(workers / SECONDS_PER_PAGE, requests_per_second)
    return TickCost(
        ticker_sessions=days.height,
        requests=pages,
        gigabytes=float(counts.sum()) * STORED_BYTES[table] / 1e9,
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


def top_runners(watchlist: pl.DataFrame, by: str, most: int = 10) -> pl.DataFrame:
    """Tickers with the most info-rich days of each period: period, ticker, days, biggest change."""
    return (
        watchlist.filter(pl.col("rule") == "info_rich")
        .group_by(pl.col("date").dt.truncate(by).alias("period"), "ticker")
        .agg(pl.len().alias("days"), pl.col("change").max().alias("biggest"))
        .sort("period", "days", "biggest", "ticker", descending=[False, True, True, False])
        .group_by("period", maintain_order=True)
        .head(most)
    )


def change_tails(metrics: pl.DataFrame, by: str) -> pl.DataFrame:
    """Quantiles of `pct_change` by period, and days beyond the usual threshold of 15 %.

    Columns period, days, beyond, then q_0.001 to q_0.999 as fractions.
    """
    change = pl.col("pct_change")
    return (
        metrics.filter(change.is_not_null())
        .group_by(pl.col("date").dt.truncate(by).alias("period"))
        .agg(
            pl.len().alias("days"),
            (change.abs() >= LARGE_CHANGE).sum().alias("beyond"),
            *(change.quantile(q).alias(f"q_{q}") for q in TAILS),
        )
        .sort("period")
    )


def change_counts(metrics: pl.DataFrame) -> pl.DataFrame:
    """Days by |pct_change|: threshold, rises and falls of at least that much, and all days.

    Counts of parts of a market add up, which quantiles don't.
    """
    change = metrics["pct_change"].drop_nulls()
    rows = [
        (limit, int((change >= limit).sum()), int((change <= -limit).sum()), change.len())
        for limit in THRESHOLDS
    ]
    return pl.DataFrame(rows, schema=["threshold", "rises", "falls", "days"], orient="row")


def change_histogram(metrics: pl.DataFrame) -> pl.DataFrame:
    """Days by log change in bins of 0.05: bin (0 is centred on no change, ±30 ends), days."""
    place = (metrics["pct_change"].drop_nulls().log1p() / BIN).clip(-LONGEST_BIN, LONGEST_BIN)
    bins = place.round().cast(pl.Int64).alias("bin")
    return bins.to_frame().group_by("bin").agg(pl.len().cast(pl.Int64).alias("days")).sort("bin")


def rvol_near(metrics: pl.DataFrame, events: pl.DataFrame, reach: int = 5) -> pl.DataFrame:
    """Relative volumes from `reach` sessions before an event to as many after: offset, rvol30.

    `metrics` has date, ticker and rvol30; `events` has date and ticker, such as halts or splits.
    Sessions are counted in the dates of `metrics`; offset 0 is the event's own.
    """
    places = metrics.select(pl.col("date").unique().sort()).with_row_index("place")
    concerned = metrics.select("date", "ticker", "rvol30").join(events, on="ticker", how="semi")
    placed = concerned.join(places, on="date")
    days = events.select("date", "ticker").unique().join(places, on="date")
    offsets = pl.DataFrame({"offset": range(-reach, reach + 1)}, schema={"offset": pl.Int64})
    return (
        days.join(offsets, how="cross")
        .with_columns((pl.col("place").cast(pl.Int64) + pl.col("offset")).alias("at"))
        .join(
            placed.select("ticker", "rvol30", pl.col("place").cast(pl.Int64).alias("at")),
            on=["ticker", "at"],
        )
        .filter(pl.col("rvol30").is_not_null())
        .select("offset", "rvol30")
    )


def rvol_summary(near: pl.DataFrame) -> pl.DataFrame:
    """Of `rvol_near`: offset, count, median, mean.

    A halt or a split by itself must not lift the median before it.
    """
    return (
        near.group_by("offset")
        .agg(
            pl.len().alias("count"),
            pl.col("rvol30").median().alias("median"),
            pl.col("rvol30").mean().alias("mean"),
        )
        .sort("offset")
    )


def dollars_traded(watchlist: pl.DataFrame, metrics: pl.DataFrame, by: str) -> pl.DataFrame:
    """US dollars traded by period: period, market (all days with metrics), selected (days of any
    rule), share."""
    chosen = watchlist.select("date", "ticker").unique().with_columns(is_selected=True)
    dollars = pl.col("dollar_volume")
    return (
        metrics.select("date", "ticker", "dollar_volume")
        .join(chosen, on=["date", "ticker"], how="left")
        .group_by(pl.col("date").dt.truncate(by).alias("period"))
        .agg(
            dollars.sum().alias("market"),
            dollars.filter(pl.col("is_selected").is_not_null()).sum().alias("selected"),
        )
        .with_columns((pl.col("selected") / pl.col("market")).alias("share"))
        .sort("period")
    )
