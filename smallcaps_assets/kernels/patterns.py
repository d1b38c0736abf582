"""Seven patterns of a tape in one pass: a step per print, and one for the clock.

    prints   . .|. . .|     |. .       a minute's end is known by the clock: events of it come
    minutes     ^     ^     ^          before those of the print that is at or after it

All that a step knows is a record of STATE, one of the minutes, and the tape up to its print, so
that `find_events` may stop after any print and go on to the same events. What every print changes
is a named tuple, which the compiler keeps in registers; it goes into the records when something may
come of a print, and of most, which are within Bounds, nothing does.

`lows` is a column beside the tape: the lowest price from each print of a window's older part up to
where that part ends; the lowest of a window that slides over the tape then needs no search.

What an event is worth knowing by, and its labels, belong to `domain.patterns`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from smallcaps_assets.kernels.compiled import compiled, inlined
from smallcaps_assets.kernels.minutes import (
    end_minute,
    recent_return,
    recent_slope,
)

PATTERNS = (
    "opening_range_breakout",
    "gap_and_go",
    "vwap_reclaim",
    "vwap_reject",
    "first_pullback",
    "halt_resumption",
    "high_of_day_breakout",
    "parabolic_exhaustion",
)
OPENING_RANGE, GAP, RECLAIM, REJECT, PULLBACK, RESUMPTION, HIGH_OF_DAY, EXHAUSTION = range(8)
MOST_RANGES = 8
# Room in the output that a step may need.
MOST_EVENTS = 2 * MOST_RANGES + 6
TOLERANCE = 1e-9
NEVER = np.iinfo(np.int64).max
# A price and one of these: that price where it is one, else NaN.
FORMED = np.array([np.nan, 0.0])

SETTINGS = np.dtype(
    [
        *((name, "i8") for name in ("open", "close")),
        ("previous_close", "f8"),
        ("range_minutes", "i8", (MOST_RANGES,)),
        ("range_ends", "i8", (MOST_RANGES,)),
        ("ranges", "i8"),
        ("gap", "f8"),
        *((name, "i8") for name in ("gap_window", "vwap_closes", "rise_window", "high_age")),
        *((name, "f8") for name in ("rise", "shallow", "deep", "slope_t", "parabolic_return")),
    ]
)
STATE = np.dtype(
    [
        *((name, "i8") for name in ("ticks", "events")),
        ("numbers", "i8", (2 * len(PATTERNS),)),
        *((name, "f8") for name in ("volume", "dollars", "regular_low")),
        # Opening ranges: those that may still be broken, upwards and downwards.
        *((name, "f8", (MOST_RANGES,)) for name in ("range_high", "range_low")),
        *((name, "i8", (MOST_RANGES,)) for name in ("may_rise", "may_fall")),
        # Gap and go.
        *((name, "f8") for name in ("premarket_high", "premarket_low", "open_price", "gap_level")),
        *((name, "i8") for name in ("gap_side", "gap_end")),
        # Closes in a row on one side of the session's vwap.
        *((name, "i8") for name in ("run_side", "run")),
        # First pullback: the window that looks for a rise, then the leg.
        *((name, "i8") for name in ("window", "older", "newer_time")),
        *((name, "f8") for name in ("newer_low", "swing_low", "leg_high")),
        *((name, "i8") for name in ("is_leg", "is_armed", "is_spent", "leg_high_time")),
        # Strictly between these, up to that time, a print changes neither window nor leg.
        *((name, "f8") for name in ("calm_low", "calm_high")),
        ("calm_until", "i8"),
        # Halts: the next one, and up to when a print has nothing to do with any.
        *((name, "i8") for name in ("halts", "was_halted", "trading_until")),
        ("price", "f8"),
        # High of day.
        ("high", "f8"),
        ("high_time", "i8"),
        # Parabolic: waiting for the end, and whether the condition held at the last close.
        *((name, "i8") for name in ("is_parabolic", "held")),
    ]
)
EVENT = np.dtype(
    [
        *((name, "i8") for name in ("pattern", "minutes", "side", "number", "t0", "tick")),
        *((name, "f8") for name in ("level", "price", "volume", "open_price", "regular_low")),
    ]
)


class Running(NamedTuple):
    """What every print changes: flow, last price and extremes, and the open minute."""

    volume: float
    dollars: float
    price: float
    high: float
    low: float
    close: float
    tick: int
    has_price: int
    newer_low: float
    newer_time: int
    premarket_high: float
    premarket_low: float


class Bounds(NamedTuple):
    """Where nothing comes of a print: strictly between, from least to most, up to a time."""

    above: float
    below: float
    least: float
    most: float
    until: int


@inlined
def load(s, m):
    """The running numbers of the records."""
    return Running(
        s["volume"], s["dollars"], s["price"],
        m["high"], m["low"], m["close"], m["tick"], m["has_price"],
        s["newer_low"], s["newer_time"], s["premarket_high"], s["premarket_low"],
    )  # fmt: skip


@inlined
def keep(s, m, run):
    """Put the running numbers into the records."""
    s["volume"], s["dollars"], s["price"] = run.volume, run.dollars, run.price
    m["high"], m["low"], m["close"] = run.high, run.low, run.close
    m["tick"], m["has_price"] = run.tick, run.has_price
    s["newer_low"], s["newer_time"] = run.newer_low, run.newer_time
    s["premarket_high"], s["premarket_low"] = run.premarket_high, run.premarket_low


@inlined
def bounds_of(p, s, time):
    """Bounds of the prints after an instant."""
    until = min(s["calm_until"], s["trading_until"])
    least, most = -np.inf, np.inf
    if time < p["open"]:
        until = min(until, p["open"] - 1)
    else:
        least, most = s["regular_low"], s["high"]
        if s["gap_side"] > 0:
            most, until = min(most, s["gap_level"]), min(until, s["gap_end"])
        elif s["gap_side"] < 0:
            least, until = max(least, s["gap_level"]), min(until, s["gap_end"])
    return Bounds(s["calm_low"], s["calm_high"], least, most, until)


@compiled
def emit(s, out, pattern, minutes, side, t0, tick, level, price):
    """Write an event with what was so far; of its pattern and side it is the next by number.

    Each opening range is a pattern of its own.
    """
    slot = 2 * pattern + (side > 0)
    s["numbers"][slot] += 1
    row = out[s["events"]]
    row["pattern"], row["minutes"], row["side"] = pattern, minutes, side
    row["number"] = 1 if pattern == OPENING_RANGE else s["numbers"][slot]
    row["t0"], row["tick"] = t0, tick
    row["level"], row["price"] = level, price
    row["volume"] = s["volume"]
    row["open_price"], row["regular_low"] = s["open_price"], s["regular_low"]
    s["events"] += 1


@compiled
def clock_step(p, s, m, time, out):
    """The clock has reached `time`: events of a minute that has ended by then."""
    if not end_minute(m, time) or m["last_end"] >= p["close"]:
        return
    cross_vwap(p, s, m, out)
    end_parabola(p, s, m, out)
    if s["is_leg"]:
        settle_leg(p, s, m)


@compiled
def cross_vwap(p, s, m, out):
    """A close beyond the running vwap after so many in a row on its other side."""
    close, vwap = m["last_close"], s["dollars"] / s["volume"]
    side = 0
    if abs(close - vwap) > TOLERANCE * vwap:
        side = 1 if close > vwap else -1
    if side != 0 and side == s["run_side"]:
        s["run"] += 1
        return
    if side != 0 and s["run_side"] != 0 and s["run"] >= p["vwap_closes"]:
        pattern = RECLAIM if side > 0 else REJECT
        emit(s, out, pattern, 0, side, m["last_end"], m["last_tick"], vwap, close)
    s["run_side"], s["run"] = side, 1


@compiled
def end_parabola(p, s, m, out):
    """The first close below the low before, once a steep rise held; it must cease to hold first."""
    close, low = m["last_close"], m["low_before"]
    if s["is_parabolic"] and close < low:
        s["is_parabolic"] = 0
        emit(s, out, EXHAUSTION, 0, -1, m["last_end"], m["last_tick"], low, close)
    gain = recent_return(m)
    holds = gain >= p["parabolic_return"] * (1.0 - TOLERANCE)
    if holds:
        _, t = recent_slope(m)
        holds = t >= p["slope_t"] * (1.0 - TOLERANCE)
    if holds and not s["held"]:
        s["is_parabolic"] = 1
    s["held"] = holds


@inlined
def print_step(run, time, price, size, formed, is_premarket, i):
    """A print, which the clock has reached. `formed` is the price that it forms, NaN for none.

    Comparisons with NaN are false, so that no branch depends on what a print forms, which nothing
    foresees.
    """
    is_newer = formed <= run.newer_low
    has_price = formed > 0.0
    return Running(
        run.volume + size,
        run.dollars + price * size,
        formed if has_price else run.price,
        formed if formed > run.high else run.high,
        formed if formed < run.low else run.low,
        formed if has_price else run.close,
        i if has_price else run.tick,
        1 if has_price else run.has_price,
        formed if is_newer else run.newer_low,
        time if is_newer else run.newer_time,
        formed if is_premarket and formed > run.premarket_high else run.premarket_high,
        formed if is_premarket and formed < run.premarket_low else run.premarket_low,
    )


@inlined
def is_beyond(bounds, time, formed):
    """Whether something may come of a print."""
    is_outside = (formed <= bounds.above) | (formed >= bounds.below)
    is_outside |= (formed < bounds.least) | (formed > bounds.most)
    return is_outside | ((time > bounds.until) & (formed > 0.0))


@compiled
def pattern_step(p, s, m, times, prices, is_forming, starts, ends, lows, i, out):
    """The patterns of a print of which something may come."""
    time, price, is_extreme = times[i], prices[i], False
    if time >= p["open"]:
        is_extreme = price > s["high"] or price < s["regular_low"]
        s["regular_low"] = min(s["regular_low"], price)
        go_with_gap(p, s, time, price, i, out)
    resume(s, starts, ends, time, price, i, out)
    if is_extreme:
        break_range(p, s, time, price, i, out)
    if s["is_leg"]:
        pull_back(p, s, m, time, price, i, out)
    else:
        seek_rise(p, s, m, times, prices, is_forming, lows, i)


@compiled
def resume(s, starts, ends, time, price, i, out):
    """The first print after a halt, against the last one before it; prints inside are passed over.

    An inferred halt begins at the print before it, so that one at its start is before it.
    """
    h = s["halts"]
    while h < starts.size and ends[h] <= time:
        s["was_halted"] = 1
        h += 1
    s["halts"] = h
    if h < starts.size and starts[h] < time:
        s["trading_until"] = 0
        return
    s["trading_until"] = starts[h] if h < starts.size else NEVER
    if s["was_halted"]:
        s["was_halted"] = 0
        if price != s["price"] and s["price"] > 0.0:
            side = 1 if price > s["price"] else -1
            emit(s, out, RESUMPTION, 0, side, time, i, s["price"], price)
    s["price"] = price


@compiled
def break_range(p, s, time, price, i, out):
    """A new high or low of regular hours, without which nothing leaves a range that began there.

    The first print strictly beyond each opening range, once per side; and a new high, where the
    one before it has stood for long enough.
    """
    for k in range(p["ranges"]):
        high, low = s["range_high"][k], s["range_low"][k]
        if time < p["range_ends"][k]:
            s["range_high"][k], s["range_low"][k] = max(high, price), min(low, price)
        elif low <= high:
            if price > high and s["may_rise"][k]:
                s["may_rise"][k] = 0
                emit(s, out, OPENING_RANGE, p["range_minutes"][k], 1, time, i, high, price)
            elif price < low and s["may_fall"][k]:
                s["may_fall"][k] = 0
                emit(s, out, OPENING_RANGE, p["range_minutes"][k], -1, time, i, low, price)
    if price > s["high"]:
        if s["high"] > 0.0 and time - s["high_time"] >= p["high_age"]:
            emit(s, out, HIGH_OF_DAY, 0, 1, time, i, s["high"], price)
        s["high"], s["high_time"] = price, time


@compiled
def go_with_gap(p, s, time, price, i, out):
    """The first print beyond the premarket extreme after an opening gap in that direction."""
    if s["gap_side"] != 0:
        is_beyond = (price - s["gap_level"]) * s["gap_side"] > 0.0
        if is_beyond and time <= s["gap_end"]:
            emit(s, out, GAP, 0, s["gap_side"], time, i, s["gap_level"], price)
        if is_beyond or time > s["gap_end"]:
            s["gap_side"] = 0
    if s["gap_end"] == 0:
        s["open_price"], s["gap_end"] = price, time + p["gap_window"]
        gap = price / p["previous_close"] - 1.0 if p["previous_close"] > 0.0 else 0.0
        if s["premarket_high"] > 0.0 and abs(gap) >= p["gap"] * (1.0 - TOLERANCE):
            s["gap_side"] = 1 if gap > 0.0 else -1
            s["gap_level"] = s["premarket_high"] if gap > 0.0 else s["premarket_low"]


@compiled
def seek_rise(p, s, m, times, prices, is_forming, lows, i):
    """The lowest of the window that ends with this print, and whether the print is a leg's start.

    Of the window's prints before `older`, `lows` has at each the lowest from there to `older`; the
    lowest since is `newer_low`.
    """
    first, price = s["window"], prices[i]
    while times[first] < times[i] - p["rise_window"]:
        first += 1
    if first >= s["older"]:
        low = np.inf
        for k in range(i, first - 1, -1):
            low = min(low, prices[k]) if is_forming[k] else low
            lows[k] = low
        s["older"], s["newer_low"] = i + 1, np.inf
    low, place = lows[first], first
    if s["newer_low"] <= low:
        low, since = s["newer_low"], s["newer_time"]
    else:
        while place + 1 < s["older"] and lows[place + 1] == low:
            place += 1
        since = times[place]
    s["window"] = place if low == lows[first] else first
    risen = low * (1.0 + p["rise"]) * (1.0 - TOLERANCE)
    s["swing_low"] = low
    if price >= risen:
        s["is_leg"], s["is_armed"], s["is_spent"] = 1, 0, 0
        s["leg_high"], s["leg_high_time"] = price, times[i]
        settle_leg(p, s, m)
    else:
        s["calm_low"], s["calm_high"], s["calm_until"] = low, risen, since + p["rise_window"]


@compiled
def settle_leg(p, s, m):
    """Between which prices a leg stays as it is: up to what arms, spends, raises or ends it."""
    rise = s["leg_high"] - s["swing_low"]
    share = p["deep"] if s["is_armed"] or s["is_spent"] else p["shallow"]
    s["calm_low"] = s["leg_high"] - rise * share
    s["calm_low"] += rise * TOLERANCE
    s["calm_high"], s["calm_until"] = s["leg_high"], NEVER
    if s["is_armed"] and m["last_end"] > s["leg_high_time"]:
        s["calm_high"] = min(s["leg_high"], m["last_high"])


@compiled
def pull_back(p, s, m, time, price, i, out):
    """A leg: armed by a retreat, spent by the print above the last minute's high after it.

    The print that ends a leg is the first of the next search.
    """
    if s["is_armed"] and m["last_end"] > s["leg_high_time"] and price > m["last_high"]:
        emit(s, out, PULLBACK, 0, 1, time, i, m["last_high"], price)
        s["is_armed"], s["is_spent"] = 0, 1
    rise, retreat = s["leg_high"] - s["swing_low"], s["leg_high"] - price
    if retreat < 0.0:
        s["leg_high"], s["leg_high_time"], s["is_armed"] = price, time, 0
    elif retreat > rise * p["deep"] * (1.0 + TOLERANCE):
        s["is_leg"], s["window"], s["older"] = 0, i, i
        s["newer_low"], s["calm_low"] = np.inf, np.inf
        return
    elif retreat >= rise * p["shallow"] * (1.0 - TOLERANCE) and not s["is_spent"]:
        s["is_armed"] = 1
    settle_leg(p, s, m)


@compiled
def find_events(
    times, prices, sizes, is_forming, starts, ends, settings, state, minutes, lows, out
):
    """Take prints from the state's next one on; the events are the first rows of `out`.

    Stops early when those of another print might not fit. Returns the number of events; `starts`
    and `ends` are halts in order, none overlapping another.
    """
    p, s, m = settings[0], state[0], minutes[0]
    s["events"], s["trading_until"] = 0, 0
    opens, closes, end, done = p["open"], p["close"], m["end"], times.size
    run, bounds = load(s, m), bounds_of(p, s, 0)
    for i in range(s["ticks"], times.size):
        if s["events"] + MOST_EVENTS > out.size:
            done = i
            break
        k = np.uint64(i)
        time, price = times[k], prices[k]
        if time >= end:
            keep(s, m, run)
            clock_step(p, s, m, time, out)
            run, bounds, end = load(s, m), bounds_of(p, s, time), m["end"]
        if time >= closes:
            continue
        formed, before = price + FORMED[np.uint64(is_forming[k])], run.price
        run = print_step(run, time, price, sizes[k], formed, time < opens, i)
        if is_beyond(bounds, time, formed):
            keep(s, m, run)
            s["price"] = before
            pattern_step(p, s, m, times, prices, is_forming, starts, ends, lows, i, out)
            run, bounds = load(s, m), bounds_of(p, s, time)
    keep(s, m, run)
    s["ticks"] = max(done, s["ticks"])
    return s["events"]


@compiled
def reach(settings, state, minutes, time, out):
    """The clock alone reaches `time`. Returns the number of events, the first rows of `out`."""
    s = state[0]
    s["events"] = 0
    clock_step(settings[0], s, minutes[0], time, out)
    return s["events"]
