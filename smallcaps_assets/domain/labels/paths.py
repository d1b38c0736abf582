"""What labels look at: the prices that could touch a barrier, and the decisions on them.

Shared by the labels of `labels.py` and `forward_returns.py`; no label is made here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from smallcaps_assets.domain.guards import boolean_array, price_array, same_length, time_array

SECOND = 1_000_000_000


class LabelError(ValueError):
    """Bars or parameters that can't be labelled."""


@dataclass(frozen=True)
class Path:
    """The price-forming ticks of a session: times (int64), prices, and their tick indices."""

    times: np.ndarray
    prices: np.ndarray
    ticks: np.ndarray


def decisions(
    timestamps: ArrayLike, prices: ArrayLike, events: ArrayLike, price_forming: ArrayLike | None
) -> tuple[Path, np.ndarray, np.ndarray, np.ndarray]:
    """The path, and the indices, times and prices of the events."""
    times, values = time_array("timestamps", timestamps), price_array("prices", prices)
    forming = boolean_array("price_forming", price_forming, times.size, True)
    same_length({"timestamps": times, "prices": values, "price_forming": forming})
    chosen = np.ascontiguousarray(events, np.int64)
    if chosen.size and (chosen.min() < 0 or chosen.max() >= times.size):
        raise LabelError(
            f"events reach from {chosen.min()} to {chosen.max()}, expected indices below "
            f"{times.size}; pass the last ticks of the bars"
        )
    return path_of(times, values, forming), chosen, times[chosen], values[chosen]


def path_of(times: np.ndarray, prices: np.ndarray, mask: np.ndarray) -> Path:
    """The ticks of the mask."""
    ticks = np.flatnonzero(mask)
    return Path(times[ticks], prices[ticks], ticks)
