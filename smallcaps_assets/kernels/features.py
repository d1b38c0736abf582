"""Running figures of a tape at the close of each bar; arrays in, arrays out.

One forward pass: what a row holds was known at its bar's last tick. Prices count only where they
form a price, volume always. Frames, names of features and ratios belong to `domain.features`.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled

COLUMNS = (
    "volume",
    "dollars",
    "premarket_high",
    "day_high",
    "day_low",
    "regular_low",
    "first_regular_price",
    "high_before",
    "odd_lots",
    "off_exchange_volume",
)


@compiled
def running_figures(
    price: np.ndarray,
    size: np.ndarray,
    is_forming: np.ndarray,
    is_off_exchange: np.ndarray,
    is_premarket: np.ndarray,
    is_regular: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    round_lot: float,
) -> np.ndarray:
    """COLUMNS at each bar's last tick, shape (bars, columns); NaN where there is none yet.

    `first` and `last` are tick indices, ascending, `last` inclusive. `high_before` is the day's
    high before the bar's first tick; odd lots and off-exchange volume are those of the bar.
    """
    out = np.empty((last.size, 10))
    volume, dollars = 0.0, 0.0
    premarket_high, day_high, day_low = np.nan, np.nan, np.nan
    regular_low, first_regular = np.nan, np.nan
    tick = 0
    for bar in range(last.size):
        high_before, odd_lots, off_volume = np.nan, 0.0, 0.0
        while tick <= last[bar]:
            if tick == first[bar]:
                high_before, odd_lots, off_volume = day_high, 0.0, 0.0
            p, s = price[tick], size[tick]
            volume += s
            dollars += p * s
            odd_lots += s < round_lot
            off_volume += s * is_off_exchange[tick]
            if is_forming[tick]:
                day_high = np.fmax(day_high, p)
                day_low = np.fmin(day_low, p)
                if is_premarket[tick]:
                    premarket_high = np.fmax(premarket_high, p)
                if is_regular[tick]:
                    regular_low = np.fmin(regular_low, p)
                    if np.isnan(first_regular):
                        first_regular = p
            tick += 1
        out[bar, 0], out[bar, 1] = volume, dollars
        out[bar, 2], out[bar, 3], out[bar, 4] = premarket_high, day_high, day_low
        out[bar, 5], out[bar, 6], out[bar, 7] = regular_low, first_regular, high_before
        out[bar, 8], out[bar, 9] = odd_lots, off_volume
    return out
