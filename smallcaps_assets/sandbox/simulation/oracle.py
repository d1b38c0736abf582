"""What the simulated market itself can predict: the upper bound for any model.

For an instant of a ticker-session, the mean of the mid's return over a horizon, and the probability
that a return other than zero is positive, given

* public: all prints and quotes so far, and the facts that were known. The hidden regime enters by
  its probability given the activity so far (a Hamilton filter);
* hidden: the regime as well.

Both come from nested simulation of the coming minutes under process.py, which also drives the
market: paths draw prices to find the drift that they would meet, and only drift and variance are
averaged, so the error of the mean is small; it is stated. Three simplifications make this
tractable: order pressure and activity are taken as read exactly from quotes and prints, a path's
drift and noise as independent, and bands are checked once a minute. A halt in force is taken to end
when announced, a pause after five minutes, with the usual chance of an extension.
"""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.sandbox.randomness import mix, next_normal, next_uniform
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import luld
from smallcaps_assets.sandbox.simulation import process as law
from smallcaps_assets.sandbox.simulation import quotes as q
from smallcaps_assets.sandbox.simulation import tape as t

if TYPE_CHECKING:
    from smallcaps_assets.sandbox.simulation.market import SimulatedMarket

STREAM_ORACLE = 601
HORIZON = 15 * t.MINUTE
LATENCY = 250_000_000
PATHS = 48
MEANINGS = ("mean", "mean_error", "p_up", "deviation")
PAUSE = t.PAUSE_NS / t.MINUTE
_LOGS, _SHARES = np.log(law.REGIME_ACTIVITY), law.REGIME_SHARES


@compiled
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


@compiled
def _reached(d, recent, before, price, spread, minute):
    """The band that a minute from one price to another touches, 0 for none: a Brownian bridge.

    recent: prices of five minutes, whose mean is the reference; spread: relative variance.
    """
    if not 0 <= minute < d.regular:
        return 0.0
    reference = recent.mean()
    low, high = luld.bounds(reference, d.prior, minute, d.regular, d.early_bands > 0.0)
    low, high = low + t.MARGIN * reference, high - t.MARGIN * reference
    band = high if high - max(before, price) < min(before, price) - low else low
    room = (band - before) * (band - price)
    is_inside = room > 0.0 and low < price < high
    if is_inside and next_uniform(d) >= math.exp(-2.0 * room / (spread * before * before + 1e-9)):
        return 0.0
    return band


@compiled
def _path(d, recent, price, minute, share, halted, horizon):
    """(sum of means, sum of variances) over a horizon in minutes; changes `d` and `recent`.

    share: part of the present minute still to come; halted: minutes until a halt ends.
    """
    drift = 0.0
    variance = 0.0
    left = horizon
    while left > 0.0 and minute < d.regular + d.post:
        part = min(share, left)
        left -= part
        trading = max(part - halted, 0.0)
        was_halted = halted > 0.0
        halted = max(halted - part, 0.0)
        if was_halted and halted == 0.0:
            if next_uniform(d) < t.EXTENDED:
                halted, trading = PAUSE, 0.0
            else:
                change = t.RESUMED * next_normal(d)
                d.push = 1.0 if change > 0.0 else -1.0
                price *= 1.0 + change
                variance += t.RESUMED**2
                recent[:] = price
        prints = t.expected_prints(d, minute)
        _, _, mean, square = t.outlook(d, price, minute, prints)
        changes = prints * d.share * trading
        mean *= changes / price
        spread = square * changes / (price * price)
        drift += mean
        variance += spread
        before = price
        price *= max(1.0 + mean + math.sqrt(spread) * next_normal(d), 0.5)
        band = _reached(d, recent, before, price, spread, minute) if trading else 0.0
        if band > 0.0 and next_uniform(d) >= t.RESOLVED:  # half a minute is left out, on average
            price, halted = band, PAUSE - 0.5
            drift -= 0.5 * mean
        recent[minute % 5] = price
        law.next_minute(d, price, prints * trading / part, 0 <= minute < d.regular)
        share = 1.0
        minute += 1
    return drift, variance


@compiled
def _draw_regime(d, odds):
    """Draw the hidden regime by its probabilities given the activity so far."""
    was = int(d.regime)
    u = next_uniform(d)
    regime = 0 if u < odds[0] else 1 if u < odds[0] + odds[1] else 2
    d.level += (_LOGS[was] - _LOGS[regime]) / d.scale
    d.regime = regime


@compiled
def foretell(days, trace, instants, horizon, paths, seed, out):
    """Fill out[instants, 8]: mean, error, P(> 0) and deviation given the public, then given all.

    days: an array of one t.DAY with its pace. instants: float64[instants, 5]: minute, part of it
    to come, price, minutes for which a halt lasts, and the push that a halt left since the minute
    began, else 0.
    """
    d, recent = days[0], np.empty(5)
    odds = regime_odds(trace, d.scale)
    d.random = seed
    for i in range(len(instants)):
        minute, share, price, halted, push = instants[i]
        row = int(minute) + t.PREMARKET_MINUTES
        for known in range(2):
            total = 0.0
            squares = 0.0
            up = 0.0
            widths = 0.0
            for _ in range(paths):
                law.load(d, trace[row])
                for k in range(5):
                    recent[(int(minute) - k) % 5] = trace[max(row - k, 0), law.S_START]
                if push != 0.0:
                    d.push = push
                    recent[:] = price
                if known == 0:
                    _draw_regime(d, odds[row])
                drift, variance = _path(d, recent, price, int(minute), share, halted, horizon)
                total += drift
                squares += drift * drift
                widths += variance
                up += 0.5 * math.erfc(-drift / math.sqrt(2.0 * max(variance, 1e-12)))
            mean = total / paths
            error = math.sqrt(max(squares / paths - mean * mean, 0.0) / paths)
            out[i, 4 * known], out[i, 4 * known + 1] = mean, error
            out[i, 4 * known + 2], out[i, 4 * known + 3] = up / paths, math.sqrt(widths / paths)


def oracle(
    market: SimulatedMarket,
    ticker: str,
    day: date,
    instants: np.ndarray,
    horizon: int = HORIZON,
    paths: int = PATHS,
) -> pl.DataFrame:
    """Columns MEANINGS given the public, and those with `hidden_` before them given all as well.

    instants: UTC nanoseconds inside the session, horizon in nanoseconds; a return is relative.
    mean_error: standard error of `mean` by the number of paths; deviation: of the return, without
    what news may do.
    Raises ValueError for a ticker-session that the market does not have.
    """
    listing = market.listing_of(ticker, day)
    if listing is None:
        raise ValueError(f"{ticker} is not traded on {day}; name a ticker-session of the market")
    plan, hours, events = market.plan(listing, day), market.hours(day), market.events(listing, day)
    tape, trace = market.printed(listing, day)
    days = np.zeros(1, dtype=t.DAY)
    t.fill_pace(days[0], plan, hours, trace[0, law.S_START])
    days[0].prior = market.prior_close(listing, day)
    known = np.array([_instant(at, tape, trace, events, hours) for at in instants]).reshape(-1, 5)
    out = np.empty((len(instants), 8))
    seed = np.uint64(mix(market.config.seed, STREAM_ORACLE, listing.number, day.toordinal()))
    foretell(days, trace, known, horizon / t.MINUTE, paths, seed, out)
    names = (*MEANINGS, *(f"hidden_{name}" for name in MEANINGS))
    return pl.DataFrame({name: out[:, k] for k, name in enumerate(names)})


def _instant(
    at: int, tape: np.ndarray, trace: np.ndarray, events: np.ndarray, hours: np.ndarray
) -> tuple[float, ...]:
    """What is known at an instant, as in `foretell`; a pause is expected to last five minutes."""
    since = int(at) - int(hours[1])
    minute, rest = divmod(since, t.MINUTE)
    place = int(np.searchsorted(tape[c.SIP], at, side="right")) - 1
    price = float(tape[c.PRICE, place]) if place >= 0 else float(trace[0, law.S_START])
    halted, push = 0.0, 0.0
    for kind, begin, end, before, after, value in events.tolist():
        if kind in (t.PAUSE, t.NEWS_HALT, t.LONG_HALT):
            if begin <= at < end:
                price = value if kind == t.PAUSE else price
                left = end - at if kind != t.PAUSE else t.PAUSE_NS - (at - begin) % t.PAUSE_NS
                halted = left / t.MINUTE
            elif at - rest < end <= at:
                push = 1.0 if after > before else -1.0
        elif kind == t.LIMIT and begin <= at < end:
            price, halted = value, (end - at) / t.MINUTE
    return float(minute), 1.0 - rest / t.MINUTE, price, halted, push


def mid_returns(
    market: SimulatedMarket, ticker: str, day: date, instants: np.ndarray, horizon: int = HORIZON
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


def foretold(market: SimulatedMarket, rows: pl.DataFrame, horizon: int = HORIZON) -> pl.DataFrame:
    """`rows` (ticker, date, t0 in UTC) with the columns of `oracle` and the real `mid_return`."""
    parts = []
    for (ticker, day), part in rows.group_by("ticker", "date", maintain_order=True):
        instants = part["t0"].dt.epoch("ns").to_numpy()
        told = oracle(market, str(ticker), day, instants, horizon)  # pyright: ignore[reportArgumentType]
        returns = mid_returns(market, str(ticker), day, instants, horizon)  # pyright: ignore[reportArgumentType]
        parts.append(part.hstack(told).with_columns(pl.Series("mid_return", returns)))
    return pl.concat(parts)
