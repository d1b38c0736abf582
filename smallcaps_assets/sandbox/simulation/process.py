"""The law of the simulated price: what is public, what is hidden, and the drift between them.

A day is a chain of minutes. At the start of each, the state of `S_` columns is known from the
tape and the quotes so far, and the drift of the coming minute is an explicit function of it:

    theta = edge * regime * (pressure + trend + vwap + push + facts)

in units of the minute's standard deviation. Everything else is a martingale: how many prints a
minute has and how far each goes depends on no direction. The regime is hidden: it moves activity
and volatility, and scales the drift without turning it. tape.py prints by this law and oracle.py
foretells by the very same functions. With an edge of 0 no instant foretells a direction.

Only additions, multiplications, divisions and square roots: they are the same on every machine.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from smallcaps_assets.sandbox.randomness import next_normal, next_uniform, portable_exp

# Columns of the state.
(
    S_PRICE,  # price at the start of the minute, 1e-4 dollars
    S_PRESSURE,  # order pressure in [-3.5, 3.5], shown by the sizes of the quotes
    S_SLOW,  # mean price with a memory of 22 minutes
    S_VARIANCE,  # mean squared return of a minute, memory 15 minutes
    S_DOLLARS,  # price x prints since the open
    S_PRINTS,  # prints since the open
    S_PUSH,  # what re-openings and news leave, fading
    S_FACTS,  # drift of the day by the facts known before its open
    S_LEVEL,  # activity, a standard normal in logs
    S_EXCITED,  # activity that large moves excite
    S_REGIME,  # hidden: 0 calm, 1 usual, 2 hot
) = range(11)
STATE = 11

PRESSURE, TREND, VWAP, PUSH, FACTS = 0.038, 0.100, 0.060, 0.070, 0.045
"""Coefficients at an edge of 1, in standard deviations of a minute per unit of each part."""
PRESSURE_MEMORY = 0.93
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


@njit(cache=True, nogil=True, inline="always")
def bounded(z):
    """z, bent so that it stays between -1 and 1."""
    return z / (1.0 + abs(z))


@njit(cache=True, nogil=True, inline="always")
def clock(x):
    """How moves go on by the time of day: 1 in the morning and the last hour, -1 at midday.

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


@njit(cache=True, nogil=True, inline="always")
def public_drift(state, minute, regular):
    """Drift of the coming minute at an edge of 1 and the usual regime, in its deviations."""
    total = PRESSURE * state[S_PRESSURE] + PUSH * state[S_PUSH]
    if minute < 0 or minute >= regular:
        return total
    deviation = math.sqrt(max(state[S_VARIANCE], 1e-9))
    price = state[S_PRICE]
    x = minute / regular
    total += TREND * clock(x) * bounded((price / state[S_SLOW] - 1.0) / (2.5 * deviation))
    if state[S_PRINTS] > 0.0 and minute >= 15:
        vwap = state[S_DOLLARS] / state[S_PRINTS]
        total -= VWAP * bounded((price / vwap - 1.0) / (8.0 * deviation))
    if minute < FACTS_MINUTES:
        total += FACTS * state[S_FACTS]
    return total


@njit(cache=True, nogil=True)
def start_state(state, price, deviation, facts, random):
    """Fill the state of 04:00. deviation: usual relative deviation of a minute."""
    state[:] = 0.0
    state[S_PRICE] = state[S_SLOW] = price
    state[S_VARIANCE] = deviation * deviation
    state[S_PRESSURE] = next_normal(random)
    state[S_FACTS] = facts
    state[S_LEVEL] = next_normal(random)
    state[S_EXCITED] = MEAN_EXCITED - 1.0
    state[S_REGIME] = draw_regime(random)


@njit(cache=True, nogil=True)
def draw_regime(random):
    u = next_uniform(random)
    if u < 0.30:
        return 0.0
    return 1.0 if u < 0.80 else 2.0


@njit(cache=True, nogil=True, inline="always")
def activity(state, scale):
    """Factor on the expected prints of the minute, of mean one. scale: deviation of its log."""
    burst = portable_exp(scale * state[S_LEVEL] - 0.5 * scale * scale)
    regime = REGIME_ACTIVITY[int(state[S_REGIME])]
    return burst * regime * (1.0 + state[S_EXCITED]) / MEAN_EXCITED


@njit(cache=True, nogil=True, inline="always")
def next_minute(state, price, prints, is_regular, random):
    """Let a minute that ended at `price` after `prints` prints change the state."""
    change = price / state[S_PRICE] - 1.0
    deviation = math.sqrt(max(state[S_VARIANCE], 1e-9))
    size = min(abs(change) / deviation, 4.0)
    state[S_EXCITED] = EXCITED_MEMORY * state[S_EXCITED] + EXCITED_BY * size
    bent = min(change * change, 16.0 * state[S_VARIANCE])
    if prints > 0:
        state[S_VARIANCE] += VARIANCE_WEIGHT * (bent - state[S_VARIANCE])
    state[S_SLOW] += SLOW_WEIGHT * (price - state[S_SLOW])
    if is_regular:
        state[S_DOLLARS] += price * prints
        state[S_PRINTS] += prints
    state[S_PRICE] = price
    state[S_PUSH] *= PUSH_MEMORY
    fresh = next_normal(random)
    state[S_PRESSURE] = PRESSURE_MEMORY * state[S_PRESSURE] + PRESSURE_FRESH * fresh
    state[S_LEVEL] = PERSISTENCE * state[S_LEVEL] + FRESH * next_normal(random)
    if next_uniform(random) < REGIME_LEAVES:
        state[S_REGIME] = draw_regime(random)
