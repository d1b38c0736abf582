"""Checks of stored feeds, and of figures that halts may have distorted.

As `checks.py`, of which it is a part: pure functions that return findings.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.quality.checks import Finding

HIGH_RELATIVE_VOLUME = 2.0


def short_volumes_fit(frame: pl.DataFrame) -> Finding:
    """No more shares short than traded, no more exempt than short."""
    wrong = frame.filter(
        (pl.col("short_volume") > pl.col("total_volume"))
        | (pl.col("short_exempt_volume") > pl.col("short_volume")).fill_null(False)
    )
    return Finding(
        "short <= total",
        wrong.is_empty(),
        f"{wrong.height:,} of {frame.height:,} rows have more shares short than traded",
        "materialize the session again: the file may have been corrected since",
        is_error=False,
        figures={"rows with more short than traded": wrong.height},
    )


def known_not_before(frame: pl.DataFrame, column: str) -> Finding:
    """No row counts as known before its own New York day."""
    begin = pl.col(column).cast(pl.Datetime("ns")).dt.replace_time_zone("America/New_York")
    early = frame.filter(pl.col("known_at") < begin.dt.convert_time_zone("UTC"))
    return Finding(
        f"known not before {column}",
        early.is_empty(),
        f"{early.height:,} of {frame.height:,} rows are known before their day",
        "do not use this partition: it would be look-ahead; this is a defect, report it",
        figures={"rows known before their day": early.height},
    )


def clocks_told(frame: pl.DataFrame) -> Finding:
    """Filings whose time of acceptance can't be read for certain are told: they may count late."""
    of = dict(frame["accepted_clock"].value_counts().iter_rows())
    timeless = frame["accepted_at"].null_count()
    return Finding(
        "acceptance",
        True,
        f"{frame.height:,} filings: {of.get('utc', 0):,} accepted by UTC, {of.get('new_york', 0):,}"
        f" by New York time, {of.get('unknown', 0) - timeless:,} as the later of both,"
        f" {timeless:,} without a time",
        figures={"filings without a time": timeless},
    )


def halts_have_ended(frame: pl.DataFrame) -> Finding:
    """Halts of the session that had not ended when the feed was read are told."""
    still = frame.filter(pl.col("halt_end").is_null())
    shown = ", ".join(still["ticker"].unique().sort().head(5))
    return Finding(
        "halts",
        True,
        f"{frame.height:,} halts, {still.height:,} of them without an end{': ' if shown else ''}"
        f"{shown}",
        figures={"halts without an end": still.height},
    )


def halts_offered(has_feed: bool) -> Finding:
    """Whether the feed still had the session: without it nothing is known of its halts."""
    return Finding(
        "halt feed",
        has_feed,
        "the feed had the session" if has_feed else "the feed no longer had the session",
        "it can't be had any more; halts of the session come from re-opening prints and silence on"
        " the tape",
        is_error=False,
    )


def halts_usable(frame: pl.DataFrame, unusable: Collection[str]) -> Finding:
    """Rows of the feed that end before they begin are named; they are not in the table."""
    return Finding(
        "halts end after they begin",
        not unusable,
        f"{len(unusable):,} of {frame.height + len(unusable):,} halts end before they begin and"
        f" were left out: {'; '.join(unusable) or 'none'}",
        "materialize the session again once the feed has mended them; until then the halts of"
        " these tickers come from the tape",
        is_error=False,
        figures={"halts left out": len(unusable)},
    )


def volume_after_halts(metrics: pl.DataFrame, halted: Collection[str]) -> Finding:
    """High relative volumes of tickers that were halted long in the sessions of their mean.

    A halted session trades little, which lowers the mean and raises today's ratio.
    """
    high = metrics.filter(
        pl.col("rvol30") >= HIGH_RELATIVE_VOLUME, pl.col("ticker").is_in(sorted(halted))
    )
    shown = ", ".join(high["ticker"].sort().head(5))
    return Finding(
        "relative volume after halts",
        high.is_empty(),
        f"{high.height:,} tickers have a relative volume of {HIGH_RELATIVE_VOLUME:g} or more"
        f" against sessions of which they were halted for half or longer: {shown or 'none'}",
        "look at their sessions before selecting by it: the halt explains a part of the ratio",
        is_error=False,
        figures={"high relative volumes after halts": high.height},
    )


def long_halts(feed: pl.DataFrame, hours: SessionHours) -> list[str]:
    """Tickers that were halted for half of a session's regular hours or longer."""
    start = pl.col("halt_start").cast(pl.Int64).clip(hours.open, hours.close)
    end = pl.col("halt_end").cast(pl.Int64).fill_null(hours.close).clip(hours.open, hours.close)
    halted = feed.group_by("ticker").agg((end - start).sum().alias("halted"))
    long = halted.filter(pl.col("halted") * 2 >= hours.close - hours.open)
    return long["ticker"].sort().to_list()
