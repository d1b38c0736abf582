"""The figures of the data-quality report: sums over partitions that are good one by one.

What is looked at in a single partition, and what to do about it, is in `checks.py` and
`diagnostics.py`, whose limits hold here too. Pure functions on frames of the lake; each takes parts
of a table as well, and the parts' answers can be put together by sums or by one above the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

import polars as pl

from smallcaps_assets.domain.bars.diagnostics import (
    BUSY_DOLLARS,
    MAX_CLAMPED,
    MAX_SPACING_SECONDS,
    MIN_BARS,
)
from smallcaps_assets.domain.quality.checks import VOLUME_TOLERANCE

PARTS = ("expected", "got", "empty", "not_entitled", "failed", "missing")
RECONCILED = ("date", "ticker", "volume", "volume_source", "minute_volume", "minute_count")
BARS = (
    *("date", "ticker", "source", "reason", "is_clamped"),
    *("close_timestamp", "volume", "dollar_volume"),
)


def coverage_over_time(coverage: pl.DataFrame, by: str) -> pl.DataFrame:
    """Share of the expected tickers that were answered for: table, period, answered."""
    answered = (pl.col("got") + pl.col("empty")).sum() / pl.col("expected").sum()
    return (
        coverage.filter(pl.col("expected") > 0)
        .group_by("table", pl.col("date").dt.truncate(by).alias("period"))
        .agg(answered.alias("answered"))
        .sort("table", "period")
    )


def coverage_totals(coverage: pl.DataFrame) -> pl.DataFrame:
    """The number columns summed by table, and the share that was answered for."""
    answered = (pl.col("got") + pl.col("empty")) / pl.col("expected")
    return (
        coverage.group_by("table")
        .agg(pl.col(PARTS).sum())
        .with_columns(pl.when(pl.col("expected") > 0).then(answered).alias("answered"))
        .sort("table")
    )


def gap_runs(expected: Sequence[str], stored: Collection[str]) -> list[tuple[str, str, int]]:
    """Missing keys as runs of neighbours among the expected: first, last, how many."""
    runs = []
    for is_stored, keys in groupby(expected, key=lambda key: key in stored):
        if not is_stored:
            run = list(keys)
            runs.append((run[0], run[-1], len(run)))
    return runs


def reconciliation(summary: pl.DataFrame) -> pl.DataFrame:
    """Daily volume against the sum of the minutes, by session, from session_summary.

    Columns date, daily and minutes (shares, of tickers with both), compared (those tickers), more
    (of them with more in the minutes than in the day, beyond rounding), traded and without_minutes
    (tickers).
    """
    is_both = (pl.col("volume_source") == "daily") & pl.col("minute_volume").is_not_null()
    is_more = pl.col("minute_volume") > pl.col("volume") * (1 + VOLUME_TOLERANCE)
    has_traded = pl.col("volume") > 0
    lacks_minutes = pl.col("minute_count").fill_null(0) == 0
    return (
        summary.group_by("date")
        .agg(
            pl.col("volume").filter(is_both).sum().alias("daily"),
            pl.col("minute_volume").filter(is_both).sum().alias("minutes"),
            is_both.sum().alias("compared"),
            (is_both & is_more).sum().alias("more"),
            has_traded.sum().alias("traded"),
            (has_traded & lacks_minutes).sum().alias("without_minutes"),
        )
        .sort("date")
    )


def bar_figures(bars: pl.DataFrame) -> pl.DataFrame:
    """Of dollar_imbalance_bars, one row per ticker-session: as `diagnostics.bar_diagnostics`.

    Columns date, ticker, source, bars, dollar_volume, volume, clamped_share, spacing_seconds
    (median between bars) and is_often_clamped, is_slow, is_scarce.
    """
    is_full = pl.col("reason") == "threshold"
    closes = pl.col("close_timestamp").filter(is_full).to_physical()
    bars_left = pl.col("bars") < MIN_BARS
    return (
        bars.group_by("date", "ticker", maintain_order=True)
        .agg(
            pl.col("source").first(),
            is_full.sum().alias("bars"),
            pl.col("dollar_volume", "volume").sum(),
            pl.col("is_clamped").filter(is_full).mean().fill_null(0.0).alias("clamped_share"),
            (closes.diff().drop_nulls().median() / 1e9).fill_null(0.0).alias("spacing_seconds"),
        )
        .with_columns(
            (pl.col("clamped_share") > MAX_CLAMPED).alias("is_often_clamped"),
            (pl.col("spacing_seconds") > MAX_SPACING_SECONDS).alias("is_slow"),
            (bars_left & (pl.col("dollar_volume") > BUSY_DOLLARS)).alias("is_scarce"),
        )
    )


def tape_shares(figures: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    """`bar_figures` with tape_share, eligible trades / minutes' volume; null where not both exist.

    `minutes` has date, ticker and minute_volume of the same ticker-sessions.
    """
    is_both = (pl.col("source") == "trades") & (pl.col("minute_volume") > 0)
    share = pl.when(is_both).then(pl.col("volume") / pl.col("minute_volume"))
    return figures.join(
        minutes, on=["date", "ticker"], how="left", maintain_order="left"
    ).with_columns(share.alias("tape_share"))


def label_balance(dataset: pl.DataFrame, by: str) -> pl.DataFrame:
    """Events by period and label: period, label, rows, known (those with known selection)."""
    return (
        dataset.group_by(pl.col("date").dt.truncate(by).alias("period"), "label")
        .agg(pl.len().alias("rows"), pl.col("is_selection_known").sum().alias("known"))
        .sort("period", "label")
    )
