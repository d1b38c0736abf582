"""Filters and statistics on single series: CUSUM events, fractional differences, VPIN.

Arrays in, arrays out, for research on the stored tables; nothing of the pipeline depends on them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from smallcaps_assets.domain.guards import float_array, read_only, same_length, size_array
from smallcaps_assets.kernels.series import cusum

MAX_FRACDIFF_WEIGHTS = 100_000


class SeriesError(ValueError):
    """A parameter that a filter can't take."""


def cusum_events(returns: ArrayLike, threshold: float) -> np.ndarray:
    """Indices at which a cumulative sum of returns passes +-threshold (AFML 2.5.2.1).

    Strictly beyond; only the side that fired is reset. Raises SeriesError unless threshold > 0.
    """
    if not threshold > 0:
        raise SeriesError(f"CUSUM threshold is {threshold}, expected > 0; try a daily deviation")
    return cusum(read_only(float_array("returns", returns)), float(threshold))


def fracdiff_weights(order: float, tolerance: float) -> np.ndarray:
    """Weights of a fractional difference, newest first, down to |weight| >= tolerance (AFML 5.5).

    Raises SeriesError when the tolerance is not positive or needs too many weights.
    """
    if not tolerance > 0:
        raise SeriesError(f"tolerance is {tolerance}, expected > 0; try 1e-4")
    weights = [1.0]
    while len(weights) <= MAX_FRACDIFF_WEIGHTS:
        following = -weights[-1] * (order - len(weights) + 1) / len(weights)
        if abs(following) < tolerance:
            return np.array(weights)
        weights.append(following)
    raise SeriesError(f"order {order} needs over {MAX_FRACDIFF_WEIGHTS} weights; raise tolerance")


def fractional_difference(values: ArrayLike, order: float, tolerance: float) -> np.ndarray:
    """Fixed-width fractional difference; NaN until the window is full (AFML 5.5)."""
    series, weights = float_array("values", values), fracdiff_weights(order, tolerance)
    result = np.full(series.size, np.nan)
    if series.size >= weights.size:
        result[weights.size - 1 :] = np.convolve(series, weights, "valid")
    return result


def vpin(buy_volume: ArrayLike, sell_volume: ArrayLike, buckets: int) -> np.ndarray:
    """Mean |buy - sell| over mean volume of the last `buckets` bars; NaN before (AFML 19.5.2)."""
    buy, sell = size_array("buy_volume", buy_volume), size_array("sell_volume", sell_volume)
    same_length({"buy_volume": buy, "sell_volume": sell})
    if buckets < 1:
        raise SeriesError(f"buckets is {buckets}, expected at least 1; the usual number is 50")
    result = np.full(buy.size, np.nan)
    if buy.size < buckets:
        return result
    window = np.ones(buckets)
    imbalance = np.convolve(np.abs(buy - sell), window, "valid")
    total = np.convolve(buy + sell, window, "valid")
    full = total > 0
    result[buckets - 1 :][full] = imbalance[full] / total[full]
    return result
