"""Plain Python twins of the features of trades that look at the whole session; slow and obvious.

Prints are (time, price, size, is_forming), times in nanoseconds; `now` is that of a bar's close,
`prints` end with its last one.
"""

from __future__ import annotations

import math
import statistics

from smallcaps_assets_tests.kernels.brute_patterns import MINUTE, slope_and_t


def gini(prints):
    """Of the shares over the cents traded."""
    shares = {}
    for _, price, size, _ in prints:
        shares[round(price * 100)] = shares.get(round(price * 100), 0) + size
    values = list(shares.values())
    differences = sum(abs(a - b) for a in values for b in values)
    return differences / (2 * len(values) * sum(values))


def burst(prints, now, begin):
    """Volume of the last minute over the mean of the 20 before; None without any or too early."""

    def volume(since, until):
        return sum(size for time, _, size, _ in prints if since < time <= until)

    before = volume(now - 21 * MINUTE, now - MINUTE)
    if now - begin < 21 * MINUTE or not before:
        return None
    return volume(now - MINUTE, now) / (before / 20)


def large(prints):
    """Indices of prints above mean + 3 sample deviations of the 50 or more before that form
    prices."""
    found, sizes = [], []
    for i, (_, _, size, is_forming) in enumerate(prints):
        if not is_forming:
            continue
        if len(sizes) >= 50:
            bound = statistics.mean(sizes) + 3 * statistics.stdev(sizes)
            if size > bound and not math.isclose(size, bound, rel_tol=1e-9):
                found.append(i)
        sizes.append(size)
    return found


def exhausted(prints, first):
    """Whether from print `first` on one fell below a large print at the high within 60 s of it."""
    path = [(i, *p) for i, p in enumerate(prints) if p[3]]
    for i in large(prints):
        time, price = prints[i][:2]
        if price < max(p for k, _, p, *_ in path if k <= i):
            continue
        later = [k for k, t, p, *_ in path if k > i and t <= time + MINUTE and p < price]
        if later and later[0] >= first:
            return True
    return False


def slope(prints, now):
    """Slope and t of the last 15 minute closes; None before there are so many."""
    closes = {}
    for time, price, _, is_forming in prints:
        if is_forming and (time // MINUTE + 1) * MINUTE <= now:
            closes[time // MINUTE] = price
    recent = list(closes.items())[-15:]
    if len(recent) < 15:
        return None, None
    return slope_and_t([number for number, _ in recent], [math.log(p) for _, p in recent])
