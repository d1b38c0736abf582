"""The process behind the simulated price: what is public, what is hidden, and the drift.

A day is a chain of minutes. At the start of each, the public state can be read from the tape and
the quotes so far, and the drift of the coming minute is an explicit function of it:

    theta = edge * regime * (pressure + trend + vwap + push + facts)

in units of the minute's standard deviation. Everything else is a martingale: the number of prints
in a minute and the size of each step do not depend on direction. The regime is hidden: it moves
activity and volatility, and scales the drift without changing its sign. tape.py prints by this
process and oracle.py predicts with the very same functions. With an edge of 0 nothing predicts a
direction.

Only additions, multiplications, divisions and square roots: they give the same bits everywhere.
"""

from __future__ import annotations

import math

import numpy as np

from smallcaps_assets.kernels.compiled import compiled, inlined
from smallcaps_assets.sandbox.randomness import next_normal, next_uniform, portable_exp

# The state: columns of a trace, and fields of a record.
STATE_FIELDS = (
    "start",  # price at the start of the minute, 1e-4 dollars
    "pressure",  # order pressure in [-3.5, 3.5], shown by the sizes of the quotes
    "slow",  # mean price with a memory of 22 minutes
    "variance",  # mean squared return of a minute, memory 15 minutes
    "dollars",  # price x prints since the open
    "prints",  # prints since the open
    "push",  # what re-openings and news leave, fading
    "facts",  # drift of the day by the facts known before its open
    "level",  # activity, a standard normal in logs
    "excited",  # activity that large moves excite
    "regime",  # hidden: 0 calm, 1 usual, 2 hot
)
STATE = len(STATE_FIELDS)
S_START, S_PRESSURE, _, S_VARIANCE, _, _, _, _, S_LEVEL, S_EXCITED, S_REGIME = range(STATE)

PRESSURE, TREND, VWAP, PUSH, FACTS = 0.100, 0.090, 0.055, 0.070, 0.045
"""Coefficients at an edge of 1, in standard deviations of a minute per unit of each part."""
PRESSURE_MEMORY = 0.80
PUSH_MEMORY = 0.93
SLOW_WEIGHT = 1.0 / 22.0
VARIANCE_WEIGHT = 1.0 / 15.0
FACTS_MINUTES = 120.0
PERSISTENCE = 0.80
FRESH = 0.6  # square root of 1 - PERSISTENCE squared
EXCITED_MEMORY, EXCITED_BY = 0.85, 0.08
MEAN_EXCITED = 1.0 + EXCITED_BY * 0.75 / (1.0 - EXCITED_MEMORY)
# Regimes: share of time, factor on activity, on steps of price, on the drift.
REGIME_SHARES = np.array([0.30, 0.50, 0.20])
REGIME_ACTIVITY = np.array([0.60, 1.00, 1.60])
REGIME_STEP = np.array([0.90, 1.00, 1.12])
REGIME_DRIFT = np.array([0.60, 1.00, 1.60])
REGIME_LEAVES = 0.02  # probability per minute of drawing a regime anew
PRESSURE_FRESH = math.sqrt(1.0 - PRESSURE_MEMORY**2)


@inlined
def bounded(z):
    """z, squashed into the range from -1 to 1."""
    return z / (1.0 + abs(z))


@inlined
def clock(x):
    """Momentum by time of day: 1 in the morning and the last hour, -1 (reversal) at midday.

    x: elapsed share of the regular session.
    """
    if x < 0.20:
        return 1.0
    if x < 0.45:
        return 1.0 - 8.0 * (x - 0.20)
    if x < 0.70:
        return -1.0
    if x < 0.85:
        return -1.0 + (x - 0.70) * 2.0 / 0.15
    return 1.0


@inlined
def public_drift(d, minute, regular):
    """Drift of the coming minute at an edge of 1 and the usual regime, in its deviations."""
    total = PRESSURE * d.pressure + PUSH * d.push
    if minute < 0 or minute >= regular:
        return total
    deviation = math.sqrt(max(d.variance, 1e-9))
    price = d.start
    x = minute / regular
    total += TREND * clock(x) * bounded((price / d.slow - 1.0) / (2.5 * deviation))
    if d.prints > 0.0 and minute >= 15:
        vwap = d.dollars / d.prints
        total -= VWAP * bounded((price / vwap - 1.0) / (8.0 * deviation))
    if minute < FACTS_MINUTES:
        total += FACTS * d.facts
    return total


@compiled
def start_state(d, price, deviation, facts):
    """Set the state at 04:00. deviation: usual relative deviation of a minute."""
    d.dollars = d.prints = d.push = 0.0
    d.start = d.slow = price
    d.variance = deviation * deviation
    d.pressure = next_normal(d)
    d.facts = facts
    d.level = next_normal(d)
    d.excited = MEAN_EXCITED - 1.0
    d.regime = draw_regime(d)


@compiled
def draw_regime(d):
    u = next_uniform(d)
    if u < 0.30:
        return 0.0
    return 1.0 if u < 0.80 else 2.0


@inlined
def activity(d, scale):
    """Factor with mean one on the minute's expected prints. scale: deviation of its log."""
    burst = portable_exp(scale * d.level - 0.5 * scale * scale)
    regime = REGIME_ACTIVITY[int(d.regime)]
    return burst * regime * (1.0 + d.excited) / MEAN_EXCITED


@inlined
def next_minute(d, price, prints, is_regular):
    """Update the state with a minute that had `prints` prints and ended at `price`."""
    change = price / d.start - 1.0
    deviation = math.sqrt(max(d.variance, 1e-9))
    size = min(abs(change) / deviation, 4.0)
    d.excited = EXCITED_MEMORY * d.excited + EXCITED_BY * size
    bent = min(change * change, 16.0 * d.variance)
    if prints > 0:
        d.variance += VARIANCE_WEIGHT * (bent - d.variance)
    d.slow += SLOW_WEIGHT * (price - d.slow)
    if is_regular:
        d.dollars += price * prints
        d.prints += prints
    d.start = price
    d.push *= PUSH_MEMORY
    fresh = next_normal(d)
    d.pressure = PRESSURE_MEMORY * d.pressure + PRESSURE_FRESH * fresh
    d.level = PERSISTENCE * d.level + FRESH * next_normal(d)
    if next_uniform(d) < REGIME_LEAVES:
        d.regime = draw_regime(d)


@compiled
def store(d, row):
    """Put the state into a row of a trace."""
    row[0], row[1], row[2], row[3], row[4] = d.start, d.pressure, d.slow, d.variance, d.dollars
    row[5], row[6], row[7] = d.prints, d.push, d.facts
    row[8], row[9], row[10] = d.level, d.excited, d.regime


@compiled
def load(d, row):
    """Take the state from a row of a trace."""
    d.start, d.pressure, d.slow, d.variance, d.dollars = row[0], row[1], row[2], row[3], row[4]
    d.prints, d.push, d.facts = row[5], row[6], row[7]
    d.level, d.excited, d.regime = row[8], row[9], row[10]
