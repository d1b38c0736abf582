"""Minutes of a tape as they end, and a regression over the last closes: steps on a record.

A minute without a price-forming print has no close: it is passed over, and neither counts nor
breaks a run. `patterns` and `features` each keep a record of MINUTES of their own.
"""

from __future__ import annotations

import math

import numpy as np

from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.kernels.elementary import log

MINUTE = 60_000_000_000
CLOSES = 15

MINUTES = np.dtype(
    [
        # The open minute: when it ends, whether it has a price, and the last print of one.
        *((name, "i8") for name in ("end", "has_price", "tick")),
        *((name, "f8") for name in ("high", "low", "close")),
        # The last minute that ended with a price, and the low of the one before.
        *((name, "i8") for name in ("last_end", "last_tick")),
        *((name, "f8") for name in ("last_high", "last_low", "last_close", "low_before")),
        # The last closes, each with the number of its clock minute; `place` is the oldest.
        *((name, "i8") for name in ("closes", "place")),
        ("clock", "i8", (CLOSES,)),
        *((name, "f8", (CLOSES,)) for name in ("prices", "logs")),
    ]
)


@compiled
def end_minute(m, time):
    """End the open minute if it has ended by `time`; whether one with a price did."""
    if time < m["end"]:
        return False
    has_price = m["has_price"] > 0
    if has_price:
        m["low_before"] = m["last_low"]
        m["last_end"], m["last_tick"] = m["end"], m["tick"]
        m["last_high"], m["last_low"], m["last_close"] = m["high"], m["low"], m["close"]
        place = m["place"]
        m["clock"][place] = m["end"] // MINUTE
        m["prices"][place], m["logs"][place] = m["close"], log(m["close"])
        m["place"] = place + 1 if place + 1 < CLOSES else 0
        m["closes"] += 1
    m["end"] = (time // MINUTE + 1) * MINUTE
    m["has_price"] = 0
    m["high"], m["low"] = -np.inf, np.inf
    return has_price


@compiled
def add_price(m, price, tick):
    """A price-forming print of the open minute."""
    m["high"] = max(m["high"], price)
    m["low"] = min(m["low"], price)
    m["close"], m["tick"] = price, tick
    m["has_price"] = 1


@compiled
def slope_and_t(clock, logs, first):
    """Least-squares slope of a ring of logarithms on their minutes, and its t; oldest at `first`.

    NaN where all are equal; an exact line has an infinite t.
    """
    count, origin = logs.size, clock[first]
    mean_x = mean_y = 0.0
    low = high = logs[first]
    for k in range(count):
        mean_x += (clock[k] - origin) / count
        low, high = min(low, logs[k]), max(high, logs[k])
    if low == high:
        return 0.0, np.nan
    for k in range(count):
        mean_y += (logs[(first + k) % count] - low) / count
    xx = xy = 0.0
    for k in range(count):
        i = (first + k) % count
        x = (clock[i] - origin) - mean_x
        xx += x * x
        xy += x * (logs[i] - low - mean_y)
    slope, rest = xy / xx, 0.0
    for k in range(count):
        i = (first + k) % count
        error = (logs[i] - low - mean_y) - slope * ((clock[i] - origin) - mean_x)
        rest += error * error
    if rest <= 0.0:
        return slope, np.inf if slope > 0.0 else -np.inf
    return slope, slope / math.sqrt(rest / (count - 2) / xx)


@compiled
def recent_slope(m):
    """`slope_and_t` of the last closes; NaN before there are so many."""
    if m["closes"] < CLOSES:
        return np.nan, np.nan
    return slope_and_t(m["clock"], m["logs"], m["place"])


@compiled
def recent_return(m):
    """Last of the last closes over the first of them, less 1; NaN before there are so many."""
    if m["closes"] < CLOSES:
        return np.nan
    return m["last_close"] / m["prices"][m["place"]] - 1.0
