"""Plain Python twins of the seven patterns, each written from its definition; slow and obvious.

Ticks are (time, price, size, is_forming), times in nanoseconds of the New York day. Each function
gives its events as (pattern, minutes, side, number, t0, tick, level, price).
"""

from __future__ import annotations

import math
from collections import Counter

MINUTE = 60 * 10**9
OPEN, CLOSE = 570 * MINUTE, 960 * MINUTE


def above(value, bound):
    """At or above, within rounding."""
    return value > bound or math.isclose(value, bound, rel_tol=1e-9)


def forming(ticks, start=0, end=CLOSE):
    """(index, time, price) of the ticks that form prices in [start, end)."""
    return [(i, t[0], t[1]) for i, t in enumerate(ticks) if t[3] and start <= t[0] < end]


def numbered(events):
    """Events with their number per pattern and side; a range's are each the first."""
    counts, result = Counter(), []
    for pattern, minutes, side, *rest in events:
        counts[pattern, minutes, side] += 1
        result.append((pattern, minutes, side, counts[pattern, minutes, side], *rest))
    return result


def opening_ranges(ticks, lengths):
    """First tick strictly beyond the range, per length and side."""
    events = []
    for length in lengths:
        edge = OPEN + length * MINUTE
        prices = [price for _, _, price in forming(ticks, OPEN, edge)]
        if not prices:
            continue
        later = forming(ticks, edge)
        for side, level in ((1, max(prices)), (-1, min(prices))):
            hit = next((x for x in later if (x[2] - level) * side > 0), None)
            if hit:
                events.append(
                    ("opening_range_breakout", length, side, hit[1], hit[0], level, hit[2])
                )
    return events


def gap_and_go(ticks, previous_close, least, minutes):
    premarket = [price for _, _, price in forming(ticks, 0, OPEN)]
    regular = forming(ticks, OPEN)
    if not premarket or not regular or previous_close is None:
        return []
    gap = regular[0][2] / previous_close - 1
    if not above(abs(gap), least):
        return []
    side, level = (1, max(premarket)) if gap > 0 else (-1, min(premarket))
    for i, time, price in regular[1:]:
        if time <= regular[0][1] + minutes * MINUTE and (price - level) * side > 0:
            return [("gap_and_go", 0, side, time, i, level, price)]
    return []


def minutes_of(ticks, until):
    """The minutes with a price that have ended by a clock and before the close, in order."""
    found = []
    for number in sorted({time // MINUTE for _, time, _ in forming(ticks)}):
        end = (number + 1) * MINUTE
        members = forming(ticks, number * MINUTE, end)
        prices = [price for _, _, price in members]
        if end < CLOSE and end <= until:
            found.append(
                {
                    "number": number,
                    "end": end,
                    "high": max(prices),
                    "low": min(prices),
                    "close": prices[-1],
                    "tick": members[-1][0],
                }
            )
    return found


def vwap_crossings(ticks, until, closes):
    events, sides = [], []
    for minute in minutes_of(ticks, until):
        flow = [t for t in ticks if t[0] < minute["end"]]
        vwap = sum(t[1] * t[2] for t in flow) / sum(t[2] for t in flow)
        close = minute["close"]
        side = 0 if math.isclose(close, vwap, rel_tol=1e-9) else 1 if close > vwap else -1
        if side and len(sides) >= closes and set(sides[-closes:]) == {-side}:
            name = "vwap_reclaim" if side > 0 else "vwap_reject"
            events.append((name, 0, side, minute["end"], minute["tick"], vwap, close))
        sides.append(side)
    return events


def pullbacks(ticks, until, rise, window, shallow, deep):
    events, leg, begin = [], None, 0
    path, minutes = forming(ticks), minutes_of(ticks, until)
    for i, time, price in path:
        if leg is None:
            low = min(p for k, t, p in path if begin <= k <= i and t >= time - window * MINUTE)
            if above(price, low * (1 + rise)):
                leg = {"low": low, "high": price, "at": time, "armed": False, "spent": False}
            continue
        ended = [m for m in minutes if m["end"] <= time]
        last = ended[-1] if ended else None
        if leg["armed"] and last and last["end"] > leg["at"] and price > last["high"]:
            events.append(("first_pullback", 0, 1, time, i, last["high"], price))
            leg["armed"], leg["spent"] = False, True
        if price > leg["high"]:
            leg |= {"high": price, "at": time, "armed": False}
            continue
        share = (leg["high"] - price) / (leg["high"] - leg["low"])
        if share > deep and not math.isclose(share, deep, rel_tol=1e-9):
            leg, begin = None, i
        elif above(share, shallow) and not leg["spent"]:
            leg["armed"] = True
    return events


def resumptions(ticks, halts):
    events = []
    outside = [x for x in forming(ticks) if not any(start < x[1] < end for start, end in halts)]
    for last, (i, time, price) in zip([None, *outside], outside, strict=False):
        was_halted = any(end <= time and (last is None or last[1] < end) for _, end in halts)
        if last and was_halted and price != last[2]:
            side = 1 if price > last[2] else -1
            events.append(("halt_resumption", 0, side, time, i, last[2], price))
    return events


def highs_of_day(ticks, age):
    events, high = [], None
    for i, time, price in forming(ticks, OPEN):
        if high is not None and price <= high[1]:
            continue
        if high is not None and time - high[0] >= age * MINUTE:
            events.append(("high_of_day_breakout", 0, 1, time, i, high[1], price))
        high = (time, price)
    return events


def slope_and_t(xs, ys):
    """Ordinary least squares with an intercept: the slope and its t, None for equal values."""
    if len(set(ys)) == 1:
        return 0.0, None
    count = len(xs)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    xx = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / xx
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return slope, slope / math.sqrt(rest / (count - 2) / xx) if rest > 1e-25 else math.inf


def exhaustions(ticks, until, least_t, least_return):
    events, armed, held = [], False, False
    minutes = minutes_of(ticks, until)
    for k, minute in enumerate(minutes):
        if armed and minute["close"] < minutes[k - 1]["low"]:
            level = minutes[k - 1]["low"]
            end = ("parabolic_exhaustion", 0, -1, minute["end"], minute["tick"], level)
            events.append((*end, minute["close"]))
            armed = False
        holds, recent = False, minutes[max(k - 14, 0) : k + 1]
        if len(recent) == 15:
            logs = [math.log(m["close"]) for m in recent]
            _, t = slope_and_t([m["number"] for m in recent], logs)
            gain = recent[-1]["close"] / recent[0]["close"] - 1
            holds = t is not None and above(t, least_t) and above(gain, least_return)
        armed |= holds and not held
        held = holds
    return events


def all_events(ticks, halts, previous_close, until, settings):
    """Events of all patterns in order of t0."""
    events = [
        *opening_ranges(ticks, settings.opening_range_minutes),
        *gap_and_go(ticks, previous_close, settings.min_gap, settings.gap_minutes),
        *vwap_crossings(ticks, until, settings.vwap_closes),
        *pullbacks(
            ticks, until, settings.min_rise, settings.rise_minutes, settings.min_retreat,
            settings.max_retreat,
        ),
        *resumptions(ticks, halts),
        *highs_of_day(ticks, settings.high_minutes),
        *exhaustions(ticks, until, settings.min_slope_t, settings.min_parabolic_return),
    ]  # fmt: skip
    return numbered(sorted(events, key=lambda event: event[3]))
