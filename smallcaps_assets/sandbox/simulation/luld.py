"""Price bands of the limit-up limit-down plan, computed on a tape while it is printed.

Tier 2: the reference price is the mean of the eligible prints of five minutes; it moves when that
is at least 1 % away and at least 30 seconds after its last move. The first reference is the first
eligible print, after a re-opening its price. Which prices are proposed and what a pause does to
the tape belongs to tape.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from smallcaps_assets.sandbox.simulation import conditions as c

# Columns of a window (int64): last move, sum and number of its prices, its first row, next row.
W_MOVED, W_SUM, W_COUNT, W_FIRST, W_NEXT = range(5)
WINDOW = 5

SECOND = 1_000_000_000
SPAN = 300 * SECOND
STILL = 30 * SECOND
LIMIT = 15 * SECOND
LAST_MINUTES = 25
FIRST_MINUTES = 15
ELIGIBLE = np.array(
    [
        ids in ((), (14, 41), (9, 25), (9, 28))
        for ids in c.COMBINATIONS
    ]
)  # fmt: skip
"""By code of a print: whether it counts for the reference price."""


@njit(cache=True, nogil=True)
def bounds(reference, previous_close, minute, regular, is_doubled_early):
    """(lower, upper) band in 1e-4 dollars around a reference price at a regular minute."""
    if previous_close > 30_000.0:
        width = 0.10 * reference
    elif previous_close >= 7_500.0:
        width = 0.20 * reference
    else:
        width = min(1_500.0, 0.75 * reference)
    is_last = minute >= regular - LAST_MINUTES
    if (is_last and (previous_close <= 30_000.0 or is_doubled_early)) or (
        is_doubled_early and minute < FIRST_MINUTES
    ):
        width *= 2.0
    return max(reference - width, 0.0), reference + width


@njit(cache=True, nogil=True, inline="always")
def reference_at(reference, window, tape, n, now, sip, price, code, correction):
    """The reference price at `now`, from the first `n` rows; 0 before the first eligible print.

    sip, price, code, correction: numbers of the tape's rows.
    """
    while window[W_NEXT] < n:
        i = window[W_NEXT]
        if ELIGIBLE[tape[code, i]] and tape[correction, i] == 0:
            window[W_SUM] += tape[price, i]
            window[W_COUNT] += 1
            if reference == 0.0:
                reference = float(tape[price, i])
                window[W_MOVED] = tape[sip, i]
        window[W_NEXT] += 1
    while window[W_FIRST] < n and tape[sip, window[W_FIRST]] <= now - SPAN:
        i = window[W_FIRST]
        if ELIGIBLE[tape[code, i]] and tape[correction, i] == 0:
            window[W_SUM] -= tape[price, i]
            window[W_COUNT] -= 1
        window[W_FIRST] += 1
    if window[W_COUNT] > 0 and now >= window[W_MOVED] + STILL:
        mean = window[W_SUM] / window[W_COUNT]
        if abs(mean - reference) >= 0.01 * reference:
            window[W_MOVED] = now
            reference = mean
    return reference


@njit(cache=True, nogil=True)
def restart(window, n, now):
    """Begin a new window after a re-opening, whose print is row n - 1."""
    window[W_MOVED] = now
    window[W_SUM] = 0
    window[W_COUNT] = 0
    window[W_FIRST] = n - 1
    window[W_NEXT] = n - 1
