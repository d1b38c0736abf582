"""Bars as REST serves them: split adjustment, coarser windows, one page of a range.

Pure functions on frames with market.BAR_SCHEMA; parameters and envelopes belong to routes_bars.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from smallcaps_assets.sandbox.market import Row

MS = 1_000_000
PRICES = ("open", "high", "low", "close", "vwap")
TIMESPANS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_SUFFIX = {"minute": "m", "hour": "h", "day": "d", "month": "mo", "quarter": "q", "year": "y"}


def _local() -> pl.Expr:
    stamp = pl.col("window_start").cast(pl.Datetime("ns", "UTC"))
    return stamp.dt.convert_time_zone("America/New_York")


def adjust(bars: pl.DataFrame, splits: Sequence[Row], today: date) -> pl.DataFrame:
    """Prices and volumes on the share basis of `today`: splits only, never dividends."""
    names, days = bars["ticker"], bars.select(_local().dt.date()).to_series()
    present = set(names.unique())
    factor = np.ones(bars.height)
    for split in splits:
        day = date.fromisoformat(split["execution_date"])
        if split["ticker"] in present and day <= today and split["split_from"] * split["split_to"]:
            before = ((names == split["ticker"]) & (days < day)).to_numpy()
            factor[before] *= split["split_from"] / split["split_to"]
    if (factor == 1.0).all():
        return bars
    ratio = pl.Series(factor)
    return bars.with_columns(
        *(pl.when(ratio != 1.0).then((pl.col(c) * ratio).round(4)).otherwise(c).alias(c)
          for c in PRICES),
        pl.col("volume") / ratio,
    )  # fmt: skip


def window_of(timespan: str, multiplier: int) -> pl.Expr:
    """Start of the New York window (as a local datetime) that a base bar belongs to."""
    if timespan == "week":
        days = _local().dt.offset_by("1d").dt.truncate(f"{multiplier}w")
        return days.dt.offset_by("-1d")
    return _local().dt.truncate(f"{multiplier}{_SUFFIX[timespan]}")


def aggregate(bars: pl.DataFrame, timespan: str, multiplier: int) -> pl.DataFrame:
    """Base bars of one ticker joined into windows of `multiplier` timespans."""
    if bars.is_empty():
        return bars
    window = window_of(timespan, multiplier).alias("window")
    dollars = (pl.col("vwap") * pl.col("volume")).sum() / pl.col("volume").sum()
    joined = bars.group_by(window, maintain_order=True).agg(
        pl.col("ticker").first(),
        pl.col("volume").sum(),
        pl.col("open").first(),
        pl.col("close").last(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("transactions").sum(),
        dollars.round(4).alias("vwap"),
    )
    start = pl.col("window").dt.convert_time_zone("UTC").dt.timestamp("ns").alias("window_start")
    return joined.with_columns(start).select(bars.columns)


def wire_columns(bars: pl.DataFrame, with_ticker: bool) -> pl.DataFrame:
    """The vendor's one-letter columns; milliseconds; rows without volume have no vw and n."""
    traded = pl.col("volume") > 0
    columns = [
        pl.col("volume").alias("v"),
        pl.when(traded).then("vwap").alias("vw"),
        pl.col("open").alias("o"),
        pl.col("close").alias("c"),
        pl.col("high").alias("h"),
        pl.col("low").alias("l"),
        (pl.col("window_start") // MS).alias("t"),
        pl.when(traded).then("transactions").alias("n"),
    ]
    return bars.select(*([pl.col("ticker").alias("T")] if with_ticker else []), *columns)
