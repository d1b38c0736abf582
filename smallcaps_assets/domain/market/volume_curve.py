"""The volume that is usual by a minute of the day, from the minute bars of earlier sessions.

What is so far today is compared with it in `domain.bars.features` and by the intraday trigger.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import floats, integers
from smallcaps_assets.domain.market.calendar import session_hours

MINUTE = 60_000_000_000
MINUTES = 960
LEAST_SESSIONS, MOST_SESSIONS = 20, 60


def volume_curve(minutes: pl.DataFrame) -> np.ndarray | None:
    """Mean cumulative volume by the end of each minute since 04:00, shape (960,), in shares.

    `minutes` are minute bars (date, window_start, volume) of one listing from sessions before the
    one to compare, volumes on that one's share basis. The newest 60 sessions in which it traded
    count; None where there are fewer than 20. A session that closes early stays at its total.
    """
    traded = minutes.filter(pl.col("volume") > 0).sort("date", "window_start")
    days = traded["date"].unique().sort()[-MOST_SESSIONS:]
    if days.len() < LEAST_SESSIONS:
        return None
    recent = traded.filter(pl.col("date") >= days[0])
    starts = np.array([session_hours(day).premarket_open for day in days])
    place = integers(days.search_sorted(recent["date"]))
    minute = (integers(recent["window_start"]) - starts[place]) // MINUTE
    volume = np.zeros((days.len(), MINUTES))
    inside = (minute >= 0) & (minute < MINUTES)
    np.add.at(volume, (place[inside], minute[inside]), floats(recent["volume"])[inside])
    return volume.cumsum(axis=1).mean(axis=0)
