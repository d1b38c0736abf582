"""A plain Python twin of the quote kernels, written from the definitions; slow and obvious.

Quotes are (time, bid, bid size, ask, ask size), None for what is missing; prints are (time, price,
size, is_forming, is_auction). Every question is asked anew of the whole lists.
"""

from __future__ import annotations

import itertools
import math


def clean(quote):
    """Whether both sides are there and not crossed."""
    if quote is None or any(value is None for value in quote):
        return False
    _, bid, bid_size, ask, ask_size = quote
    return bid > 0 and ask > 0 and bid_size > 0 and ask_size > 0 and bid <= ask


def kind(quote):
    """The name of what a quote is."""
    if quote is None:
        return "missing"
    _, bid, bid_size, ask, ask_size = quote
    sides = bool(bid and bid_size) + bool(ask and ask_size)
    if sides < 2:
        return ("missing", "one_sided")[sides]
    return "crossed" if bid > ask else "locked" if bid == ask else "clean"


def before(quotes, time):
    """The last quote before a time."""
    return next((q for q in reversed(quotes) if q[0] < time), None)


def mid(quote):
    return (quote[1] + quote[3]) / 2


def tick_signs(prints):
    signs, sign, last = [], 0, None
    for _, price, *_ in prints:
        if last is not None and price != last:
            sign = 1 if price > last else -1
        signs.append(sign)
        last = price
    return signs


def lee_ready(quotes, prints):
    """(quote, sign) of each print; without a clean quote None, an auction has sign 0."""
    found = []
    for (time, price, _, _, is_auction), tick in zip(prints, tick_signs(prints), strict=True):
        quote = before(quotes, time)
        if not clean(quote):
            found.append(None)
        elif is_auction:
            found.append((quote, 0))
        elif math.isclose(price, mid(quote), rel_tol=1e-9):
            found.append((quote, tick))
        else:
            found.append((quote, 1 if price > mid(quote) else -1))
    return found


def weighted(quotes, start, end, measure):
    """Mean of a measure of clean quotes over [start, end); None without any."""
    instants = sorted({start, end, *(q[0] for q in quotes if start < q[0] < end)})
    total = span = 0
    for begin, until in itertools.pairwise(instants):
        quote = next((q for q in reversed(quotes) if q[0] <= begin), None)
        if clean(quote):
            total += measure(quote) * (until - begin)
            span += until - begin
    last = before(quotes, end)
    if span == 0:
        return measure(last) if start == end and clean(last) else None
    return total / span


def order_flow(quotes, start, end):
    """Cont, Kukanov and Stoikov, over consecutive clean quotes; None before the first."""
    usable = [q for q in quotes if clean(q) and q[0] < end]
    total = 0
    for old, new in itertools.pairwise(usable):
        if new[0] >= start:
            total += (new[1] >= old[1]) * new[2] - (new[1] <= old[1]) * old[2]
            total += (new[3] >= old[3]) * old[4] - (new[3] <= old[3]) * new[4]
    return total if usable else None


def spread(quote):
    return (quote[3] - quote[1]) / mid(quote)


def depth(quote):
    return quote[2] + quote[4]


def imbalance(quote):
    return (quote[2] - quote[4]) / depth(quote)


def mean(pairs):
    """Mean of values by weight, None without any."""
    weight = sum(w for _, w in pairs)
    return sum(v * w for v, w in pairs) / weight if weight else None


def horizon_rows(quotes, prints, signed, horizon, start, end):
    """(realised, impact, size) of the prints whose horizon passes within (start, end]."""
    rows = []
    for (time, price, size, _, is_auction), met in zip(prints, signed, strict=False):
        later = before(quotes, time + horizon)
        if met is None or is_auction or not start < time + horizon <= end or not clean(later):
            continue
        quote, sign = met
        scale = 2 * sign / mid(quote)
        rows.append((scale * (price - mid(later)), scale * (mid(later) - mid(quote)), size))
    return rows


def rows(quotes, prints, lasts, horizons):
    """The features of each bar as dictionaries."""
    signed, result, spreads = lee_ready(quotes, prints), [], []
    for number, last in enumerate(lasts):
        first = lasts[number - 1] + 1 if number else 0
        end = prints[last][0]
        start = prints[first - 1][0] if number else prints[0][0]
        met = [(p, m) for p, m in zip(prints, signed, strict=True)][first : last + 1]
        met = [(p, m) for p, m in met if m is not None]
        quote = before(quotes, end)
        has = clean(quote)
        time_weighted = weighted(quotes, start, end, spread)
        recent = spreads[-20:]
        known = len(recent) == 20 and None not in recent and sum(recent) > 0
        volume = sum(p[2] for p, _ in met)
        delta = sum(m[1] * p[2] for p, m in met)
        micro = (quote[1] * quote[4] + quote[3] * quote[2]) / depth(quote) if has else None
        row = {
            "spread_last": spread(quote) if has else None,
            "spread_time_weighted": time_weighted,
            "spread_time_weighted_usd": weighted(quotes, start, end, lambda q: q[3] - q[1]),
            "spread_expansion": time_weighted / (sum(recent) / 20)
            if known and time_weighted is not None
            else None,
            "depth_last": depth(quote) if has else None,
            "depth_time_weighted": weighted(quotes, start, end, depth),
            "quote_imbalance_last": imbalance(quote) if has else None,
            "quote_imbalance_time_weighted": weighted(quotes, start, end, imbalance),
            "microprice": micro,
            "microprice_distance": micro / mid(quote) - 1 if has else None,
            "order_flow_imbalance": order_flow(quotes, start, end),
            "lee_ready_delta": delta if met else None,
            "lee_ready_delta_ratio": delta / volume if met else None,
            "touch_delta": sum(m[1] * p[2] for p, m in met if p[1] >= m[0][3] or p[1] <= m[0][1])
            if met
            else None,
            "quoted_volume": volume if volume or has or time_weighted is not None else None,
            "effective_spread": mean(
                [(2 * m[1] * (p[1] - mid(m[0])) / mid(m[0]), p[2]) for p, m in met if not p[4]]
            ),
            "null_reason": None if has else "no_clean_quote_at_close" if quote else "no_quote_yet",
        }
        for name, horizon in zip(("5s", "5m"), horizons, strict=True):
            begin = start if number else start - 1
            measured = horizon_rows(quotes, prints[: last + 1], signed, horizon, begin, end)
            row[f"realised_spread_{name}"] = mean([(r, w) for r, _, w in measured])
            row[f"price_impact_{name}"] = mean([(i, w) for _, i, w in measured])
        spreads.append(time_weighted)
        result.append(row)
    return result
