"""Time bars made locally: ticks into any interval, minutes into coarser ones.

Views on data that is stored already; none of this is stored again. Activity bars are in `bars.py`.
"""

from __future__ import annotations

import re

import polars as pl

from smallcaps_assets.schemas.table import INSTANT

MARKET_ZONE = "America/New_York"
_EVERY = re.compile(r"[1-9]\d*(s|m|h)")


class IntervalError(ValueError):
    """An interval that makes no time bars."""


def time_bars(ticks: pl.DataFrame, every: str) -> pl.DataFrame:
    """Bars of equal time from the ticks of one session, empty intervals left out.

    `every` is a count and s, m or h, such as 1s, 5m, 4h; windows are aligned to New York midnight.
    Columns: window_start (UTC), open, high, low, close over price-forming ticks (null without one),
    vwap, volume, dollar_volume, transactions. Raises IntervalError.
    """
    forming = pl.col("price").filter(pl.col("is_price_forming"))
    return (
        _windows(ticks, "sip_timestamp", every)
        .group_by("window_start", maintain_order=True)
        .agg(
            open=forming.first(),
            high=forming.max(),
            low=forming.min(),
            close=forming.last(),
            vwap=pl.col("price").dot("size") / pl.col("size").sum(),
            volume=pl.col("size").sum(),
            dollar_volume=pl.col("price").dot("size"),
            transactions=pl.len().cast(pl.Int64),
        )
    )


def coarser_bars(minutes: pl.DataFrame, every: str) -> pl.DataFrame:
    """Minute bars of any tickers joined into longer ones, in order of ticker and time.

    `every` as in `time_bars`, at least 1m. Columns as in minute_bars without date; vwap is null
    when a minute has none. Raises IntervalError.
    """
    if every.endswith("s"):
        raise IntervalError(f"{every!r} is finer than the minutes given; use 1m or more, or ticks")
    dollars = pl.col("vwap") * pl.col("volume")
    is_complete = pl.col("vwap").is_not_null().all() & (pl.col("volume").sum() > 0)
    return (
        _windows(minutes.sort("ticker", "window_start"), "window_start", every)
        .group_by("ticker", "window_start", maintain_order=True)
        .agg(
            open=pl.col("open").first(),
            high=pl.col("high").max(),
            low=pl.col("low").min(),
            close=pl.col("close").last(),
            volume=pl.col("volume").sum(),
            vwap=pl.when(is_complete).then(dollars.sum() / pl.col("volume").sum()),
            transactions=pl.col("transactions").sum(),
        )
    )


def _windows(frame: pl.DataFrame, time: str, every: str) -> pl.DataFrame:
    """The start of each row's window, as `window_start`."""
    if not _EVERY.fullmatch(every):
        raise IntervalError(f"interval {every!r} is not a count and s, m or h; try 1s, 5m or 4h")
    local = pl.col(time).cast(INSTANT).dt.convert_time_zone(MARKET_ZONE)
    start = local.dt.truncate(every).dt.convert_time_zone("UTC")
    return frame.with_columns(window_start=start)
