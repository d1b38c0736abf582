"""Kernels of the labels: first touch of a barrier, on ticks and on bars.

A path is the compressed sequence of price-forming ticks of one session:

    ticks   0 1 2 3 4 5 6 7     first[i] = number of path ticks among ticks 0..i
    path    0 . 1 2 . . 3 4     so the path after tick i starts at path[first[i]]

Minima and maxima over blocks of BLOCK ticks let a search skip what can't touch.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled

BLOCK = 256
TOLERANCE = 1e-9


@compiled
def block_extremes(prices):
    """Minimum and maximum of each block of BLOCK prices."""
    count = (prices.size + BLOCK - 1) // BLOCK
    lows, highs = np.empty(count), np.empty(count)
    for b in range(count):
        low, high = np.inf, -np.inf
        for i in range(b * BLOCK, min((b + 1) * BLOCK, prices.size)):
            low = min(low, prices[i])
            high = max(high, prices[i])
        lows[b] = low
        highs[b] = high
    return lows, highs


@compiled
def scan(prices, start, end, lower, upper):
    """Index of the first price at or beyond a barrier in [start, end), else -1."""
    for i in range(start, end):
        if prices[i] >= upper or prices[i] <= lower:
            return i
    return -1


@compiled
def first_touch(prices, lows, highs, start, end, lower, upper):
    """`scan` that skips the blocks which stay between the barriers."""
    i = start
    while i < end:
        block = i // BLOCK
        stop = min((block + 1) * BLOCK, end)
        if highs[block] >= upper or lows[block] <= lower:
            hit = scan(prices, i, stop, lower, upper)
            if hit >= 0:
                return hit
        i = stop
    return -1


@compiled
def touch_barriers(prices, starts, ends, bases, take_profit, stop_loss):
    """For each event the path index of its first touch (-1: none) and its label.

    Event k looks at path ticks starts[k] to ends[k] - 1 from the price bases[k]. Comparison is
    inclusive with a relative tolerance: 3.30 x 0.9 is 2.9699999999999998 in doubles.
    """
    lows, highs = block_extremes(prices)
    touches = np.empty(starts.size, np.int64)
    labels = np.zeros(starts.size, np.int8)
    for k in range(starts.size):
        upper = bases[k] * (1.0 + take_profit[k]) * (1.0 - TOLERANCE)
        lower = bases[k] * (1.0 - stop_loss[k]) * (1.0 + TOLERANCE)
        hit = first_touch(prices, lows, highs, starts[k], ends[k], lower, upper)
        touches[k] = hit
        if hit >= 0:
            labels[k] = 1 if prices[hit] >= upper else -1
    return touches, labels


@compiled
def confirm_touches(times, prices, touches, labels, bases, take_profit, stop_loss, window):
    """Whether another path tick at or beyond the touched barrier follows within `window`."""
    confirmed = np.zeros(touches.size, np.bool_)
    for k in range(touches.size):
        hit = touches[k]
        if hit < 0:
            continue
        upper = bases[k] * (1.0 + take_profit[k]) * (1.0 - TOLERANCE)
        lower = bases[k] * (1.0 - stop_loss[k]) * (1.0 + TOLERANCE)
        i = hit + 1
        while i < times.size and times[i] <= times[hit] + window:
            if (labels[k] > 0 and prices[i] >= upper) or (labels[k] < 0 and prices[i] <= lower):
                confirmed[k] = True
                break
            i += 1
    return confirmed


@compiled
def bar_barriers(opens, highs, lows, starts, ends, bases, take_profit, stop_loss):
    """First touch on bars: bar index (-1: none), label, price of the exit, ambiguity.

    An open beyond a barrier is the exit. Both barriers inside one bar: the stop, ambiguous.
    """
    events = starts.size
    touches = np.full(events, -1, np.int64)
    labels = np.zeros(events, np.int8)
    exits = np.full(events, np.nan)
    ambiguous = np.zeros(events, np.bool_)
    for k in range(events):
        take = bases[k] * (1.0 + take_profit[k])
        stop = bases[k] * (1.0 - stop_loss[k])
        upper, lower = take * (1.0 - TOLERANCE), stop * (1.0 + TOLERANCE)
        for j in range(starts[k], ends[k]):
            is_up, is_down = highs[j] >= upper, lows[j] <= lower
            if not (is_up or is_down):
                continue
            touches[k] = j
            if opens[j] >= upper or opens[j] <= lower:
                exits[k] = opens[j]
                labels[k] = 1 if opens[j] >= upper else -1
            else:
                labels[k] = -1 if is_down else 1
                exits[k] = stop if is_down else take
                ambiguous[k] = is_up and is_down
            break
    return touches, labels, exits, ambiguous
