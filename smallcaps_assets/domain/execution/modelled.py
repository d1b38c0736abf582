"""Quotes where none were recorded, estimated from prints alone, and the average range of minutes.

A fill on such quotes is marked as modelled. The half-spread is half the median change that reverses
the one before, of the last five minutes, or of the session so far where these have few, and at
least half a tick; the last closed bar's imbalance widens it. Size is taken to be no limit but the
participation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from smallcaps_assets.domain.guards import read_only
from smallcaps_assets.domain.patterns.costs import (
    HALF_TICK,
    HALF_TICK_BELOW_ONE,
    LEAST_REVERSALS,
    WINDOW,
)
from smallcaps_assets.kernels import fills as kernel
from smallcaps_assets.kernels.minutes import MINUTE

ENDLESS = 1e9
"""Shares that a modelled quote shows."""
MINUTES_OF_RANGE = 14


@dataclass(frozen=True)
class Flow:
    """Imbalance, (buys - sells) / (buys + sells), of bars from when each closed."""

    times: np.ndarray
    imbalances: np.ndarray


def modelled_quotes(
    times: np.ndarray,
    prices: np.ndarray,
    flow: Flow,
    model: Literal["reversals", "quarter"] = "reversals",
    restricted_from: int = kernel.NEVER,
) -> tuple[np.ndarray, ...]:
    """Times, bids, bid sizes, asks and ask sizes: a quote around each print that forms prices.

    `model` is `reversals`, or `quarter`: half as wide, and twice that under the short-sale
    restriction, which flatters and is there for comparison.
    """
    half = half_spreads(times, prices)
    if model == "quarter":
        width = half * np.where(times >= restricted_from, 1.0, 0.5)
    else:
        place = np.searchsorted(flow.times, times, "right") - 1
        known = np.append(np.nan_to_num(np.abs(flow.imbalances)), 0.0)[place]
        width = half * (1.0 + np.where(place >= 0, known, 0.0))
    sizes = np.full(times.size, ENDLESS)
    return times, np.maximum(prices - width, 0.0), sizes, prices + width, sizes


def half_spreads(times: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """The half-spread in USD at each print that forms prices, from it and those before."""
    medians = kernel.reversal_medians(read_only(times), read_only(prices), WINDOW, LEAST_REVERSALS)
    return np.maximum(medians / 2.0, np.where(prices >= 1.0, HALF_TICK, HALF_TICK_BELOW_ONE))


def average_ranges(times: np.ndarray, prices: np.ndarray, at: np.ndarray) -> np.ndarray:
    """At each instant of `at` the mean high less low of the last minutes that had ended by then.

    Of `MINUTES_OF_RANGE` minutes with prints that form prices, or fewer; NaN before the first.
    """
    if not times.size:
        return np.full(at.size, np.nan)
    minutes = times // MINUTE
    first = np.flatnonzero(np.diff(minutes, prepend=minutes[0] - 1))
    ranges = np.maximum.reduceat(prices, first) - np.minimum.reduceat(prices, first)
    total = np.concatenate([[0.0], np.cumsum(ranges)])
    until = np.searchsorted((minutes[first] + 1) * MINUTE, at, "right")
    since = np.maximum(until - MINUTES_OF_RANGE, 0)
    counts = until - since
    return np.where(counts > 0, (total[until] - total[since]) / np.maximum(counts, 1), np.nan)
