"""Price bands of the limit-up limit-down plan, computed on a tape while it is printed.

Tier 2: the reference price is the mean of the eligible prints of the last five minutes; it moves
once that mean is at least 1 % away and 30 seconds have passed since its last move. The first
reference is the first eligible print, after a re-opening the re-opening price. Which prices are
proposed, and what a pause does to the tape, belongs to tape.py.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled, inlined
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation.conditions import CODE, CORRECTION, PRICE, SIP

# State of a day's bands: reference price and bands in 1e-4 dollars, when the reference moved, sum
# and number of the prices in its window, the window's first row and the next row.
FIELDS = (
    *((name, np.float64) for name in ("reference", "low", "high")),
    *((name, np.int64) for name in ("moved", "sum_of_prices", "prices", "first_row", "next_row")),
)

SECOND = 1_000_000_000
SPAN = 300 * SECOND
STILL = 30 * SECOND
LIMIT = 15 * SECOND
LAST_MINUTES = 25
FIRST_MINUTES = 15
ELIGIBLE = np.array([ids in ((), (14, 41), (9, 25), (9, 28)) for ids in c.COMBINATIONS])
"""By code of a print: whether it counts for the reference price."""


@compiled
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


@inlined
def _is_eligible(tape, i):
    return ELIGIBLE[tape[CODE, i]] and tape[CORRECTION, i] == 0


@inlined
def reference_at(d, tape, now):
    """The reference price at `now`, from the rows so far; 0 before the first eligible print."""
    reference = d.reference
    while d.next_row < d.rows:
        i = d.next_row
        if _is_eligible(tape, i):
            d.sum_of_prices += tape[PRICE, i]
            d.prices += 1
            if reference == 0.0:
                reference = float(tape[PRICE, i])
                d.moved = tape[SIP, i]
        d.next_row += 1
    while d.first_row < d.rows and tape[SIP, d.first_row] <= now - SPAN:
        i = d.first_row
        if _is_eligible(tape, i):
            d.sum_of_prices -= tape[PRICE, i]
            d.prices -= 1
        d.first_row += 1
    if d.prices > 0 and now >= d.moved + STILL:
        mean = d.sum_of_prices / d.prices
        if abs(mean - reference) >= 0.01 * reference:
            d.moved = now
            reference = mean
    return reference


@compiled
def restart(d, now):
    """Begin a new window with the last row, that of a re-opening."""
    d.moved = now
    d.sum_of_prices = d.prices = 0
    d.first_row = d.next_row = max(d.rows - 1, 0)
