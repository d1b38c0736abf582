"""Kernels on single trades: condition flags and the tick rule.

What a condition id means is data of `domain.conditions`; bars are in `bars.py`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CARRY_CHUNK = 1024
CARRY_STEPS = (1, 2, 4, 8, 16, 32, 64)


@njit(cache=True, nogil=True)
def combine_flags(ids, offsets, tapes, table, unknown, excluding):
    """The union of the flags of each trade's conditions, and the id that excludes it (else -1).

    Trade i has the conditions ids[offsets[i]:offsets[i + 1]]; table[tape, id] holds the bits of a
    condition, an id outside the table counts as `unknown`, and `excluding` are the bits that
    exclude.
    """
    trades = offsets.size - 1
    flags = np.zeros(trades, np.uint16)
    decisive = np.full(trades, -1, np.int32)
    width = table.shape[1]
    for i in range(trades):
        row = table[tapes[i]]
        merged = np.uint16(0)
        for k in range(offsets[i], offsets[i + 1]):
            merged |= row[ids[k]] if 0 <= ids[k] < width else unknown
        flags[i] = merged
        # Trades that are left out are few, so that this branch costs nothing.
        if merged & excluding:
            for k in range(offsets[i], offsets[i + 1]):
                bits = row[ids[k]] if 0 <= ids[k] < width else unknown
                if bits & excluding:
                    decisive[i] = ids[k]
                    break
    return flags, decisive


@njit(cache=True, nogil=True)
def is_in_order(times, sequences):
    """Whether every trade comes after the one before it, by time and then by sequence number."""
    earlier, later, before, after = times[:-1], times[1:], sequences[:-1], sequences[1:]
    good = 0
    for i in range(later.size):
        is_next = np.int64(later[i] == earlier[i]) & np.int64(after[i] > before[i])
        good += np.int64(later[i] > earlier[i]) | is_next
    return good == later.size


@njit(cache=True, nogil=True)
def tick_signs(prices, starts, sign, previous):
    """Tick rule (AFML 2.3.2.1): the sign of the last price change, 0 before the first.

    The trades at `starts` begin a session and are compared with nothing; the sign carries over.
    `sign` and `previous` (NaN: nothing) are those of the trade before. Returns the signs, int8,
    and the last sign and price, to resume from.
    """
    signs = np.empty(prices.size, np.int8)
    if prices.size == 0:
        return signs, sign, previous
    compare(prices[:-1], prices[1:], signs[1:])
    signs[0] = np.int64(prices[0] > previous) - np.int64(prices[0] < previous)
    for start in starts:
        signs[start] = 0
    return signs, carry_signs(signs, sign), prices[-1]


@njit(cache=True, nogil=True)
def compare(before, after, signs):
    """Signs of the changes from `before` to `after`, written into `signs`."""
    for i in range(after.size):
        signs[i] = np.int64(after[i] > before[i]) - np.int64(after[i] < before[i])


@njit(cache=True, nogil=True)
def carry_signs(signs, sign):
    """Replace each 0 by the last sign before it, in place; `sign` stands before the first.

    In vector instructions, by doubling: a 0 takes the sign one place back, then two, four ... back.
    A run of zeros too long for that is filled one by one.
    """
    spare = np.empty(CARRY_CHUNK, np.int8)
    for start in range(0, signs.size, CARRY_CHUNK):
        part = signs[start : start + CARRY_CHUNK]
        if part[0] == 0:
            part[0] = sign
        for step in CARRY_STEPS:
            seen = spare[: part.size]
            for i in range(part.size):
                seen[i] = part[i]
            earlier, later, filled = seen[:-step], seen[step:], part[step:]
            for i in range(filled.size):
                filled[i] = later[i] if later[i] != 0 else earlier[i]
        zeros = 0
        for i in range(part.size):
            zeros += np.int64(part[i] == 0)
        if zeros > 0:
            for i in range(part.size):
                sign = part[i] if part[i] != 0 else sign
                part[i] = sign
        sign = part[-1]
    return np.int64(sign)
