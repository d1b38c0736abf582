"""Plain Python twins of the kernels: slow, obvious, and written from the definitions.

No numpy tricks, and no code shared with the package except `power`, whose last bit decides where a
bar ends and which `test_elementary_kernels` holds to the exact value; test data strategies are here
too.
"""

from __future__ import annotations

import bisect
import math

from hypothesis import strategies as st

from smallcaps_assets.kernels.elementary import power

PRICES = (2.97, 3.30, 3.31, 3.63, 3.795, 3.80)
SIZES = (0.5, 1.0, 7.0, 100.0, 1000.0, 50_000.0)


@st.composite
def tick_lists(draw, max_size=40):
    """Ticks as lists: equal times and prices, blocks, sessions, block trades, masks."""
    count = draw(st.integers(0, max_size))

    def column(values):
        return draw(st.lists(values, min_size=count, max_size=count))

    gaps = column(st.sampled_from((0, 0, 1, 5)))
    breaks = column(st.sampled_from((None,) * 8 + ("block", "session")))
    times, blocks, sessions = [], [], []
    time = block = session = 0
    for gap, kind in zip(gaps, breaks, strict=True):
        time += gap
        block += kind == "block"
        session += kind == "session"
        times.append(time)
        blocks.append(block)
        sessions.append(session)
    return {
        "times": times,
        "prices": column(st.sampled_from(PRICES)),
        "sizes": column(st.sampled_from(SIZES)),
        "blocks": blocks,
        "sessions": sessions,
        "forming": column(st.booleans()),
        "auction": column(st.sampled_from((False, False, False, True))),
    }


@st.composite
def span_lists(draw, max_bars=25, max_labels=20):
    """A bar count and label spans (i0, i1] with 0 <= i0 < i1 < bars, in any order."""
    bars = draw(st.integers(2, max_bars))
    starts = draw(st.lists(st.integers(0, bars - 2), max_size=max_labels))
    ends = [draw(st.integers(start + 1, bars - 1)) for start in starts]
    return bars, starts, ends


def tick_rule(prices, sessions, sign=0, previous=None, previous_session=0):
    """Sign of the last price change within a session; carried when there is none."""
    signs = []
    for price, session in zip(prices, sessions, strict=True):
        if previous is not None and session == previous_session and price != previous:
            sign = 1 if price > previous else -1
        signs.append(sign)
        previous, previous_session = price, session
    return signs


def bars(ticks, kind, target, alpha, gamma, kappa, final=True):
    """Bars as dictionaries, one trade after the other."""
    signs = tick_rule(ticks["prices"], ticks["sessions"])
    count = len(signs)
    in_dollars, is_imbalance = kind.startswith("dollar"), "imbalance" in kind
    result, current, last_forming = [], [], None
    threshold, expected_ticks, expected_imbalance = target, None, None

    def contribution(i):
        amount = ticks["prices"][i] * ticks["sizes"][i] if in_dollars else ticks["sizes"][i]
        sign = 0 if ticks["auction"][i] else signs[i]
        return amount * sign if is_imbalance else amount

    def close(reason):
        nonlocal threshold, expected_ticks, expected_imbalance, current
        theta = in_order(contribution(i) for i in current)
        result.append(
            bar_row(ticks, signs, current, last_forming)
            | {
                "reason": reason,
                "theta": theta,
                "threshold": threshold,
                "expected_ticks": expected_ticks,
                "expected_imbalance": expected_imbalance,
                "is_clamped": expected_ticks is not None
                and threshold in (target / kappa, target * kappa),
            }
        )
        if reason == "threshold" and is_imbalance:
            length = float(len(current))
            if expected_ticks is None:
                expected_ticks, expected_imbalance = length, theta / length
            else:
                expected_ticks += alpha * (length - expected_ticks)
                expected_imbalance += alpha * (theta / length - expected_imbalance)
            raw = expected_ticks * abs(expected_imbalance)
            wanted = target * power(raw / target, gamma)
            threshold = min(max(wanted, target / kappa), target * kappa)
        current = []

    for i in range(count):
        new_session = i > 0 and ticks["sessions"][i] != ticks["sessions"][i - 1]
        new_block = i > 0 and ticks["blocks"][i] != ticks["blocks"][i - 1]
        if current and (new_session or new_block):
            close("session" if new_session else "halt")
        if new_session:
            last_forming = None
        current.append(i)
        if ticks["forming"][i]:
            last_forming = ticks["prices"][i]
        if abs(in_order(contribution(k) for k in current)) >= threshold:
            close("threshold")
    if current and final:
        close("session")
    return result


def in_order(values):
    """A sum in the order given, without compensation."""
    total = 0.0
    for value in values:
        total += value
    return total


def bar_row(ticks, signs, members, last_forming):
    """Prices and sums of one bar."""
    prices = [ticks["prices"][i] for i in members if ticks["forming"][i]]
    if not prices:
        prices = [ticks["prices"][members[0]] if last_forming is None else last_forming]

    def volume(wanted):
        effective = [0 if ticks["auction"][i] else signs[i] for i in members]
        pairs = zip(members, effective, strict=True)
        return in_order(ticks["sizes"][i] for i, sign in pairs if sign in wanted)

    return {
        "first_tick": members[0],
        "last_tick": members[-1],
        "open_timestamp": ticks["times"][members[0]],
        "close_timestamp": ticks["times"][members[-1]],
        "session": ticks["sessions"][members[-1]],
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": volume((-1, 0, 1)),
        "dollar_volume": in_order(ticks["prices"][i] * ticks["sizes"][i] for i in members),
        "ticks": len(members),
        "buy_volume": volume((1,)),
        "sell_volume": volume((-1,)),
        "unsigned_volume": volume((0,)),
    }


def entry(times, forming, event, delay):
    """The first price-forming tick after the event and at least `delay` after its time, or None."""
    for i in range(event + 1, len(times)):
        if forming[i] and times[i] >= times[event] + delay:
            return i
    return None


def triple_barrier(times, prices, forming, event, take, stop, vertical, delay=None):
    """Label, t1, return (None without a path), touching tick (None), path ticks of one event.

    Barriers and return are from the event's price; with a delay from that of the entry.
    """
    begin = event if delay is None else entry(times, forming, event, delay)
    if begin is None:
        return 0, vertical, None, None, 0
    base, looked, last = prices[begin], 0, None
    for i in range(begin + 1, len(times)):
        if not forming[i] or times[i] > vertical:
            continue
        looked, last = looked + 1, i
        if reaches(prices[i], base * (1 + take)):
            return 1, times[i], prices[i] / base - 1, i, looked
        if falls_to(prices[i], base * (1 - stop)):
            return -1, times[i], prices[i] / base - 1, i, looked
    return 0, vertical, None if last is None else prices[last] / base - 1, None, looked


def forward_return(times, prices, forming, event, horizon, session_end):
    """Return to the last print at or before the horizon, and its age; None after the session."""
    target = times[event] + horizon
    path = [i for i in range(len(times)) if forming[i] and times[i] <= target]
    if target > session_end or not path:
        return None, None
    return prices[path[-1]] / prices[event] - 1, target - times[path[-1]]


def reaches(price, barrier):
    """At or above, within rounding."""
    return price > barrier or math.isclose(price, barrier, rel_tol=5e-10)


def falls_to(price, barrier):
    """At or below, within rounding."""
    return price < barrier or math.isclose(price, barrier, rel_tol=5e-10)


def bar_barrier(path, start, end, base, take, stop):
    """Touching bar (None), label, exit price (None), ambiguity, of one event on bars."""
    upper, lower = base * (1 + take), base * (1 - stop)
    for j in range(start, end):
        bar_open, high, low = path["open"][j], path["high"][j], path["low"][j]
        if reaches(bar_open, upper):
            return j, 1, bar_open, False
        if falls_to(bar_open, lower):
            return j, -1, bar_open, False
        if falls_to(low, lower):
            return j, -1, lower, reaches(high, upper)
        if reaches(high, upper):
            return j, 1, upper, False
    return None, 0, None, False


def concurrency(bars_count, starts, ends):
    """Labels over each bar's return."""
    spans = list(zip(starts, ends, strict=True))
    return [sum(first < t <= last for first, last in spans) for t in range(bars_count)]


def average_uniqueness(bars_count, starts, ends):
    """Mean of 1 / concurrency over each span."""
    counts = concurrency(bars_count, starts, ends)
    return [
        sum(1 / counts[t] for t in range(first + 1, last + 1)) / (last - first)
        for first, last in zip(starts, ends, strict=True)
    ]


def return_attribution(closes, starts, ends):
    """|sum of log return / concurrency| over each span."""
    counts = concurrency(len(closes), starts, ends)
    return [
        abs(
            sum(math.log(closes[t] / closes[t - 1]) / counts[t] for t in range(first + 1, last + 1))
        )
        for first, last in zip(starts, ends, strict=True)
    ]


def label_span(close_times, start, end_time):
    """The first later bar closing at or after the end, else the last."""
    for j in range(start + 1, len(close_times)):
        if close_times[j] >= end_time:
            return j
    return len(close_times) - 1


def time_decay(uniqueness, oldest):
    """Factors on the line through (total, 1); it starts at `oldest`, or crosses 0 at its share."""
    total, seen, factors = sum(uniqueness), 0.0, []
    for value in uniqueness:
        seen += value
        share = seen / total
        if oldest >= 0:
            factors.append(oldest + (1 - oldest) * share)
        else:
            factors.append(max(0.0, (share + oldest) / (1 + oldest)))
    return factors


def bootstrap_probabilities(bars_count, starts, ends, drawn):
    """Chances of the next draw, recomputed whole."""
    counts = concurrency(bars_count, [starts[d] for d in drawn], [ends[d] for d in drawn])
    means = [
        sum(1 / (1 + counts[t]) for t in range(first + 1, last + 1)) / (last - first)
        for first, last in zip(starts, ends, strict=True)
    ]
    return [mean / sum(means) for mean in means]


def bootstrap_draws(bars_count, starts, ends, uniforms):
    """Sequential draws by inverting the cumulative chances of each."""
    drawn = []
    for uniform in uniforms:
        cumulative, running = [], 0.0
        for chance in bootstrap_probabilities(bars_count, starts, ends, drawn):
            running += chance
            cumulative.append(running)
        drawn.append(min(bisect.bisect_right(cumulative, uniform), len(starts) - 1))
    return drawn


def cusum(returns, threshold):
    """Indices at which a one-sided sum passes the threshold."""
    up = down = 0.0
    events = []
    for i, value in enumerate(returns):
        up, down = max(0.0, up + value), min(0.0, down + value)
        if up > threshold:
            up = 0.0
            events.append(i)
        elif down < -threshold:
            down = 0.0
            events.append(i)
    return events


def exclusion_code(time, price, size, correction, flags, decisive):
    """Why a trade is left out: sessions from 4 to 20, open from 9 to 16, closing prints until 22;
    flags 1 unknown, 2 form T, 4 closing print."""
    is_closing_print = bool(flags & 4) and time <= 22
    reasons = [
        (price <= 0 or size <= 0, 1),
        (correction not in (0, 1), 2),
        (flags & 1, 3),
        (decisive >= 0, 16 + decisive),
        (flags & 2 and 9 <= time < 16, 4),
        (time < 4, 5),
        (time > 20 and not is_closing_print, 6),
    ]
    return next((code for holds, code in reasons if holds), 0)
