"""Kernels on single trades: condition flags and the tick rule.

What a condition id means is data of `domain.conditions`; bars are in `bars.py`.
"""

from __future__ import annotations

import numpy as np
from numba import njit


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
        merged = np.uint16(0)
        is_decided = False
        for k in range(offsets[i], offsets[i + 1]):
            code = ids[k]
            bits = table[tapes[i], code] if 0 <= code < width else unknown
            if bits & excluding and not is_decided:
                decisive[i] = code
                is_decided = True
            merged |= bits
        flags[i] = merged
    return flags, decisive


@njit(cache=True, nogil=True)
def tick_signs(prices, sessions, sign, previous, previous_session):
    """Tick rule (AFML 2.3.2.1): the sign of the last price change, 0 before the first.

    The sign carries over sessions, the previous price does not: the first trade of a session is
    compared with nothing. Returns the signs and the state to resume from.
    """
    signs = np.empty(prices.size, np.int8)
    for i in range(prices.size):
        price = prices[i]
        # Branchless: taken branches here mispredict half of the time.
        change = np.int64(price > previous) - np.int64(price < previous)
        change *= np.int64(sessions[i] == previous_session)
        sign = change + np.int64(change == 0) * sign
        signs[i] = sign
        previous = price
        previous_session = sessions[i]
    return signs, sign, previous, previous_session
