"""What the simulated market itself can foretell: the best that any model could.

For an instant of a ticker-session, the mean of the mid's return over a horizon and the
probability that it is above zero among returns that are not, given

* public: everything shown by prints and quotes so far, and the facts that were known. The hidden
  regime enters with its probability given the activity so far (a Hamilton filter);
* hidden: the regime as well.

Both follow by nested simulation of the minutes to come under process.py, which also moves the
market: paths draw prices to find the drift that they would meet, and only drift and variance are
averaged, so the error of the mean is small and is stated. Two readings make it tractable: order
pressure and activity count as read exactly from quotes and prints, and a path's drift and its
noise count as independent.
"""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numba import njit

from smallcaps_assets.sandbox.randomness import mix, next_normal, next_uniform, portable_exp
from smallcaps_assets.sandbox.simulation import process as law
from smallcaps_assets.sandbox.simulation import quotes as q
from smallcaps_assets.sandbox.simulation import tape as t

if TYPE_CHECKING:
    from smallcaps_assets.sandbox.simulation.prices import SimulatedPrices

STREAM_ORACLE = 601
HORIZON = 15 * t.MINUTE
LATENCY = 250_000_000
PATHS = 48
_LOGS, _SHARES = np.log(law.REGIME_ACTIVITY), law.REGIME_SHARES


# What does not change in a session, for the kernels.
(
    D_TRADES,
    D_CHANGE_SHARE,
    D_SCALE,
    D_UNIT_SCALE,
    D_ABOVE,
    D_BELOW,
    D_REGULAR,
    D_POST,
) = range(8)


@njit(cache=True, nogil=True)
def regime_odds(trace, scale):
    """Probabilities of the regimes at the start of each minute given the activity so far."""
    minutes = trace.shape[0]
    odds = np.empty((minutes, 3))
    now = _SHARES.copy()
    before = 0.0
    fresh = np.empty(3)
    for m in range(minutes):
        seen = scale * trace[m, law.S_LEVEL] + _LOGS[int(trace[m, law.S_REGIME])]
        total = 0.0
        for r in range(3):
            fresh[r] = 0.0
            for old in range(3):
                moved = law.REGIME_LEAVES * _SHARES[r]
                if old == r:
                    moved += 1.0 - law.REGIME_LEAVES
                wanted = _LOGS[r] + law.PERSISTENCE * (before - _LOGS[old]) if m > 0 else _LOGS[r]
                width = scale * (law.FRESH if m > 0 else 1.0)
                z = (seen - wanted) / width
                fresh[r] += now[old] * moved * math.exp(-0.5 * z * z)
            total += fresh[r]
        for r in range(3):
            now[r] = fresh[r] / total if total > 1e-300 else _SHARES[r]
            odds[m, r] = now[r]
        before = seen
    return odds


@njit(cache=True, nogil=True)
def _path(state, price, minute, share, plan, numbers, horizon, random):
    """(sum of drifts, sum of variances) over a horizon in minutes; `state` is used up.

    share: part of the present minute that is to come.
    """
    regular, post = int(numbers[D_REGULAR]), int(numbers[D_POST])
    drift = 0.0
    variance = 0.0
    left = horizon
    while left > 0.0 and minute < regular + post:
        part = min(share, left)
        usual = t.usual_prints(plan, minute, regular, post, numbers[D_TRADES])
        prints = usual * law.activity(state, numbers[D_SCALE])
        changes = prints * numbers[D_CHANGE_SHARE]
        regime = int(state[law.S_REGIME])
        step = t.usual_step(price, numbers[D_ABOVE], numbers[D_BELOW]) * law.REGIME_STEP[regime]
        step *= max(1.0, portable_exp(numbers[D_UNIT_SCALE] * state[law.S_LEVEL]))
        theta = plan[t.P_EDGE] * law.public_drift(state, minute, regular)
        theta *= law.REGIME_DRIFT[regime]
        mean = theta * step * changes / math.sqrt(max(changes, 1.0)) * part
        spread = step * step * changes * part
        drift += mean
        variance += spread
        price *= max(1.0 + mean + math.sqrt(spread) * next_normal(random), 0.5)
        left -= part
        share = 1.0
        is_regular = 0 <= minute < regular
        law.next_minute(state, price, prints, is_regular, random)
        minute += 1
    return drift, variance


@njit(cache=True, nogil=True)
def foretell(trace, odds, minutes, shares, prices, plan, numbers, horizon, paths, seed, out):
    """Fill out[instants, 6]: mean, its error and P(> 0) given the public, then given all."""
    random = np.array([seed], dtype=np.uint64)
    state = np.empty(law.STATE)
    for i in range(len(minutes)):
        row = minutes[i] + t.PREMARKET_MINUTES
        for known in range(2):
            total = 0.0
            squares = 0.0
            up = 0.0
            for _ in range(paths):
                state[:] = trace[row, : law.STATE]
                if known == 0:
                    was = int(state[law.S_REGIME])
                    u = next_uniform(random)
                    regime = 0 if u < odds[row, 0] else 1 if u < odds[row, 0] + odds[row, 1] else 2
                    state[law.S_LEVEL] += (_LOGS[was] - _LOGS[regime]) / numbers[D_SCALE]
                    state[law.S_REGIME] = regime
                drift, variance = _path(
                    state, prices[i], minutes[i], shares[i], plan, numbers, horizon, random
                )
                total += drift
                squares += drift * drift
                up += 0.5 * math.erfc(-drift / math.sqrt(2.0 * max(variance, 1e-12)))
            mean = total / paths
            out[i, 3 * known] = mean
            out[i, 3 * known + 1] = math.sqrt(max(squares / paths - mean * mean, 0.0) / paths)
            out[i, 3 * known + 2] = up / paths


def oracle(
    market: SimulatedPrices,
    ticker: str,
    day: date,
    instants: np.ndarray,
    horizon: int = HORIZON,
    paths: int = PATHS,
) -> pl.DataFrame:
    """Columns `mean`, `mean_error`, `p_up` given the public and `hidden_` ones given all as well.

    instants: UTC nanoseconds inside the session, horizon in nanoseconds; a return is relative.
    Raises ValueError for a ticker-session that the market does not have.
    """
    listing = market.listing_of(ticker, day) if day in market.sessions else None
    if listing is None:
        raise ValueError(f"{ticker} is not traded on {day}; name a ticker-session of the market")
    plan, (tape, trace) = market.plan(listing, day), market.printed(listing, day)
    numbers = _numbers(plan, trace, market.hours(day))
    place = np.searchsorted(tape[t.SIP], instants, side="right") - 1
    prices = np.where(place >= 0, tape[t.PRICE][np.maximum(place, 0)], trace[0, law.S_PRICE])
    since = instants - market.hours(day)[1]
    minutes = since // t.MINUTE
    shares = 1.0 - (since - minutes * t.MINUTE) / t.MINUTE
    out = np.empty((len(instants), 6))
    seed = np.uint64(mix(market.config.seed, STREAM_ORACLE, listing.number, day.toordinal()))
    foretell(
        *(trace, regime_odds(trace, numbers[D_SCALE]), minutes, shares, prices.astype(float)),
        *(plan, numbers, horizon / t.MINUTE, paths, seed, out),
    )
    names = ("mean", "mean_error", "p_up", "hidden_mean", "hidden_mean_error", "hidden_p_up")
    return pl.DataFrame({name: out[:, k] for k, name in enumerate(names)})


def _numbers(plan: np.ndarray, trace: np.ndarray, hours: np.ndarray) -> np.ndarray:
    start = trace[0, law.S_PRICE]
    trades, share, above, below = t.pace(plan, start)
    regular, post = int((hours[2] - hours[1]) // t.MINUTE), int((hours[3] - hours[2]) // t.MINUTE)
    scale, unit_scale = t.burst_scales(trades / regular)
    return np.array([trades, share, scale, unit_scale, above, below, regular, post])


def mid_returns(
    market: SimulatedPrices, ticker: str, day: date, instants: np.ndarray, horizon: int = HORIZON
) -> np.ndarray:
    """Relative changes from the first clean mid at or after each instant + LATENCY to the last at
    or before instant + horizon; NaN where there is none."""
    quotes = market.quote_rows(ticker, day)
    bid, ask = quotes[q.Q_BID], quotes[q.Q_ASK]
    clean = (bid > 0) & (ask >= bid)
    at, mid = quotes[q.Q_SIP][clean], 0.5 * (bid[clean] + ask[clean])
    if not len(at):
        return np.full(len(instants), np.nan)
    first = np.searchsorted(at, instants + LATENCY, side="left")
    last = np.searchsorted(at, instants + horizon, side="right") - 1
    is_held = (first < len(at)) & (last >= 0) & (last >= first)
    start = mid[np.minimum(first, len(at) - 1)]
    return np.where(is_held, mid[np.maximum(last, 0)] / start - 1.0, np.nan)


def foretold(market: SimulatedPrices, rows: pl.DataFrame, horizon: int = HORIZON) -> pl.DataFrame:
    """`rows` (ticker, date, t0 in UTC) with the columns of `oracle` and the real `mid_return`."""
    parts = []
    for (ticker, day), part in rows.group_by("ticker", "date", maintain_order=True):
        instants = part["t0"].dt.epoch("ns").to_numpy()
        told = oracle(market, str(ticker), day, instants, horizon)  # pyright: ignore[reportArgumentType]
        returns = mid_returns(market, str(ticker), day, instants, horizon)  # pyright: ignore[reportArgumentType]
        parts.append(part.hstack(told).with_columns(pl.Series("mid_return", returns)))
    return pl.concat(parts)
