"""Kernels that aggregate a tape into day and minute bars by the vendor's update rules.

Daily and minute bars come from the very same rows, so that the day's volume is at least the sum
of its minutes and that at least the sum of the eligible trades. Simulating the rows belongs to
tape.py, frames to frames.py.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation.tape import MINUTE

# Columns of a bar: prices in 1e-4 dollars, volume in 1e-6 shares, window start in UTC ns.
B_START, B_OPEN, B_HIGH, B_LOW, B_CLOSE, B_VOLUME, B_COUNT = range(7)
BAR = 7


@compiled
def _update(bar, price, size, flags, dollars):
    """Let one trade update a bar; returns the new sum of price x size."""
    if flags & c.HIGH_LOW:
        bar[B_HIGH] = max(bar[B_HIGH], price)
        bar[B_LOW] = price if bar[B_LOW] == 0 else min(bar[B_LOW], price)
    if flags & c.OPEN_CLOSE:
        if bar[B_OPEN] == 0:
            bar[B_OPEN] = price
        bar[B_CLOSE] = price
    if flags & c.VOLUME:
        bar[B_VOLUME] += size
        bar[B_COUNT] += 1
        dollars += price * (size * 1e-6)
    return dollars


@compiled
def day_bar(tape, n, bar):
    """Fill one day bar; returns its vwap in 1e-4 dollars (0 without volume)."""
    bar[:] = 0
    dollars = 0.0
    for i in range(n):
        if tape[c.CORRECTION, i] <= 1:
            flags = c.REGULAR_FLAGS[tape[c.CODE, i]]
            dollars = _update(bar, tape[c.PRICE, i], tape[c.SIZE, i], flags, dollars)
    return dollars / (bar[B_VOLUME] * 1e-6) if bar[B_VOLUME] > 0 else 0.0


@compiled
def minute_bars(tape, n, hours, bars, vwaps):
    """Fill minute bars in time order; returns how many.

    A minute in which no trade may set a price has no bar, as at the vendor.
    """
    count = 0
    i = 0
    while i < n:
        start = tape[c.SIP, i] // MINUTE * MINUTE
        is_regular = hours[1] <= start < hours[2]
        bar = bars[count]
        bar[:] = 0
        bar[B_START] = start
        dollars = 0.0
        while i < n and tape[c.SIP, i] < start + MINUTE:
            if tape[c.CORRECTION, i] <= 1:
                code = tape[c.CODE, i]
                flags = c.REGULAR_FLAGS[code] if is_regular else c.EXTENDED_FLAGS[code]
                dollars = _update(bar, tape[c.PRICE, i], tape[c.SIZE, i], flags, dollars)
            i += 1
        if bar[B_OPEN] > 0 and bar[B_VOLUME] > 0:
            vwaps[count] = dollars / (bar[B_VOLUME] * 1e-6)
            count += 1
    return count


@compiled
def off_exchange_volume(tape, n, hours):
    """Volume off exchange in regular hours, in 1e-6 shares."""
    total = 0
    for i in range(n):
        inside = hours[1] <= tape[c.SIP, i] < hours[2]
        if inside and tape[c.EXCHANGE, i] == 4 and tape[c.CORRECTION, i] <= 1:
            total += tape[c.SIZE, i]
    return total


def empty_bars(count: int) -> np.ndarray:
    """Room for `count` bars."""
    return np.zeros((count, BAR), dtype=np.int64)
