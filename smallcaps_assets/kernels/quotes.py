"""Quotes and signed flow at the close of each bar: a step per quote, per print and per close.

    quotes     q   q q       q           a quote counts from its own instant on; a print, a
    prints   p   p     p   p   p         horizon and a close see those strictly before theirs
    bars     [. . . . . . .][. . . .     so that a quote at the instant of a close is the next bar's

All that a step knows is a record of STATE and the tape up to its print: `follow` is a loop over the
steps, may stop after any print and go on to the same bits. What a print met, its mid and its
Lee-Ready sign, is kept in two columns beside the tape until its horizons have passed. Frames, names
of features and reasons belong to `domain.bars.quote_features`.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled

NOTHING, CLEAN, LOCKED, ONE_SIDED, CROSSED = range(5)
KINDS = 5
HAS_QUOTE, NO_QUOTE_YET, NO_CLEAN_QUOTE = range(3)
HORIZONS = 2
EXPANSION_BARS = 20
NEVER = np.iinfo(np.int64).max
TOLERANCE = 1e-9

COLUMNS = (
    "spread_last",
    "spread_time_weighted",
    "spread_time_weighted_usd",
    "spread_expansion",
    "depth_last",
    "depth_time_weighted",
    "quote_imbalance_last",
    "quote_imbalance_time_weighted",
    "microprice",
    "microprice_distance",
    "order_flow_imbalance",
    "lee_ready_delta",
    "lee_ready_delta_ratio",
    "touch_delta",
    "quoted_volume",
    "effective_spread",
    "realised_spread_5s",
    "price_impact_5s",
    "realised_spread_5m",
    "price_impact_5m",
    "null_reason",
)

STATE = np.dtype(
    [
        # Where the pass is, and the last quote.
        *((name, "i8") for name in ("ticks", "quotes", "bars", "kind", "seen_quotes")),
        *((name, "f8") for name in ("bid", "bid_size", "ask", "ask_size", "mid")),
        *((name, "f8") for name in ("spread", "depth", "imbalance")),
        # The last clean quote, for the order-flow imbalance.
        ("has_clean", "i8"),
        *((name, "f8") for name in ("old_bid", "old_bid_size", "old_ask", "old_ask_size")),
        # The tick rule.
        ("price", "f8"),
        ("sign", "i8"),
        # Sums of the open bar.
        *((name, "i8") for name in ("has_begun", "begin", "since", "clean_time")),
        *((name, "f8") for name in ("spread_time", "usd_time", "depth_time", "imbalance_time")),
        *((name, "f8") for name in ("flow", "delta", "touch", "volume")),
        *((name, "f8") for name in ("effective", "effective_volume")),
        # Prints whose horizons have passed: the next one of each, and when the first is due.
        ("matured", "i8", (HORIZONS,)),
        ("due", "i8"),
        *((name, "f8", (HORIZONS,)) for name in ("realised", "impact", "matured_volume")),
        # Time-weighted spreads of the bars before.
        ("spreads", "f8", (EXPANSION_BARS,)),
        ("place", "i8"),
        # Quality of the session: regular hours by kind of quote, prints inside.
        *((name, "i8") for name in ("open", "close", "quoted_at", "silence")),
        ("times", "i8", (KINDS,)),
        *((name, "i8") for name in ("judged", "inside")),
    ]
)


@compiled
def kind_of(bid, bid_size, ask, ask_size):
    """What a quote is; a side counts with a price and a size above 0."""
    has_bid, has_ask = bid > 0.0 and bid_size > 0.0, ask > 0.0 and ask_size > 0.0
    if has_bid and has_ask:
        return CROSSED if bid > ask else LOCKED if bid == ask else CLEAN
    return ONE_SIDED if has_bid or has_ask else NOTHING


@compiled
def is_usable(s):
    """Whether the quote in force is clean; a locked one is."""
    return s["kind"] == CLEAN or s["kind"] == LOCKED


@compiled
def accrue(s, time):
    """Weigh the quote in force by the time since it was last weighed, up to `time`."""
    if is_usable(s) and time > s["since"]:
        span = time - s["since"]
        s["clean_time"] += span
        s["spread_time"] += s["spread"] * span
        s["usd_time"] += (s["ask"] - s["bid"]) * span
        s["depth_time"] += s["depth"] * span
        s["imbalance_time"] += s["imbalance"] * span
    s["since"] = time


@compiled
def account(s, time):
    """Add the time since the last quote, as far as it is in regular hours, to its kind if bad."""
    span = min(time, s["close"]) - max(s["quoted_at"], s["open"])
    if span > 0:
        if s["kind"] != CLEAN:
            s["times"][s["kind"]] += span
        s["silence"] = max(s["silence"], span)
    s["quoted_at"] = time


@compiled
def mature(s, times, prices, sizes, mids, signs, horizons, now):
    """Settle the prints whose horizon has passed by `now`, at the quote in force."""
    known, has_mid, later = s["ticks"], is_usable(s), s["mid"]
    due = NEVER
    for k in range(HORIZONS):
        i = s["matured"][k]
        while i < known and times[i] + horizons[k] <= now:
            mid = mids[i]
            if has_mid and mid > 0.0:
                weight = 2.0 * signs[i] * sizes[i] / mid
                s["realised"][k] += weight * (prices[i] - later)
                s["impact"][k] += weight * (later - mid)
                s["matured_volume"][k] += sizes[i]
            i += 1
        s["matured"][k] = i
        if i < known:
            due = min(due, times[i] + horizons[k])
    s["due"] = due


@compiled
def quote_step(s, time, bid, bid_size, ask, ask_size):
    """A quote comes into force; prints that are due by `time` must have matured."""
    accrue(s, time)
    account(s, time)
    kind = kind_of(bid, bid_size, ask, ask_size)
    s["seen_quotes"] += 1
    s["kind"] = kind
    if kind not in (CLEAN, LOCKED):
        return
    mid, depth = (bid + ask) / 2.0, bid_size + ask_size
    s["bid"], s["bid_size"], s["ask"], s["ask_size"], s["mid"] = bid, bid_size, ask, ask_size, mid
    s["spread"], s["depth"] = (ask - bid) / mid, depth
    s["imbalance"] = (bid_size - ask_size) / depth
    if s["has_clean"]:
        flow = bid_size if bid >= s["old_bid"] else 0.0
        flow -= s["old_bid_size"] if bid <= s["old_bid"] else 0.0
        flow -= ask_size if ask <= s["old_ask"] else 0.0
        flow += s["old_ask_size"] if ask >= s["old_ask"] else 0.0
        s["flow"] += flow
    s["has_clean"] = 1
    s["old_bid"], s["old_bid_size"], s["old_ask"], s["old_ask_size"] = bid, bid_size, ask, ask_size


@compiled
def print_step(s, time, price, size, is_forming, is_auction, horizon):
    """A print meets the quote in force; its mid (NaN: none to measure it by) and its sign.

    Above mid it is a buy, below a sale, at mid the tick rule says (Lee and Ready 1991). An auction
    has no aggressor: its volume counts, its distance from mid measures nothing.
    """
    if price != s["price"]:
        if price > s["price"]:
            s["sign"] = 1
        elif price < s["price"]:
            s["sign"] = -1
        s["price"] = price
    s["ticks"] += 1
    s["due"] = min(s["due"], time + horizon)
    if not is_usable(s):
        return np.nan, 0
    mid, bid, ask = s["mid"], s["bid"], s["ask"]
    s["volume"] += size
    if is_forming:
        s["judged"] += 1
        s["inside"] += bid <= price <= ask
    if is_auction:
        return np.nan, 0
    distance = price - mid
    sign = s["sign"]
    if abs(distance) > TOLERANCE * mid:
        sign = 1 if distance > 0.0 else -1
    s["delta"] += sign * size
    if price >= ask or price <= bid:
        s["touch"] += sign * size
    s["effective"] += 2.0 * sign * size / mid * distance
    s["effective_volume"] += size
    return mid, sign


@compiled
def clear_sums(s, time):
    """Begin a bar's window at `time`."""
    s["begin"] = s["since"] = time
    s["clean_time"] = 0
    s["spread_time"] = s["usd_time"] = s["depth_time"] = s["imbalance_time"] = 0.0
    s["flow"] = s["delta"] = s["touch"] = s["volume"] = 0.0
    s["effective"] = s["effective_volume"] = 0.0
    for k in range(HORIZONS):
        s["realised"][k] = s["impact"][k] = s["matured_volume"][k] = 0.0


@compiled
def expansion(s, spread):
    """A time-weighted spread over the mean of the 20 bars before, which it joins; else NaN."""
    total = 0.0
    for k in range(EXPANSION_BARS):
        total += s["spreads"][(s["place"] + k) % EXPANSION_BARS]
    s["spreads"][s["place"]] = spread
    s["place"] = (s["place"] + 1) % EXPANSION_BARS
    return spread / (total / EXPANSION_BARS) if total > 0.0 else np.nan


@compiled
def close_step(s, time, row):
    """A bar closes at its last print: COLUMNS into `row`, and the next window begins."""
    accrue(s, time)
    for k in range(row.size):
        row[k] = np.nan
    is_known, span = is_usable(s), float(s["clean_time"])
    if span > 0.0:
        row[1], row[2] = s["spread_time"] / span, s["usd_time"] / span
        row[5], row[7] = s["depth_time"] / span, s["imbalance_time"] / span
    elif is_known and time == s["begin"]:
        row[1], row[2] = s["spread"], s["ask"] - s["bid"]
        row[5], row[7] = s["depth"], s["imbalance"]
    row[3] = expansion(s, row[1])
    if is_known:
        ask_weight, bid_weight = s["ask"] * s["bid_size"], s["bid"] * s["ask_size"]
        microprice = (ask_weight + bid_weight) / s["depth"]
        row[0], row[4], row[6] = s["spread"], s["depth"], s["imbalance"]
        row[8], row[9] = microprice, microprice / s["mid"] - 1.0
    if s["has_clean"]:
        row[10] = s["flow"]
    if s["volume"] > 0.0:
        row[11], row[12], row[13] = s["delta"], s["delta"] / s["volume"], s["touch"]
    row[14] = s["volume"]
    if s["effective_volume"] > 0.0:
        row[15] = s["effective"] / s["effective_volume"]
    for k in range(HORIZONS):
        if s["matured_volume"][k] > 0.0:
            row[16 + 2 * k] = s["realised"][k] / s["matured_volume"][k]
            row[17 + 2 * k] = s["impact"][k] / s["matured_volume"][k]
    row[20] = HAS_QUOTE if is_known else NO_CLEAN_QUOTE if s["seen_quotes"] else NO_QUOTE_YET
    clear_sums(s, time)


@compiled
def follow(
    quote_times, bids, bid_sizes, asks, ask_sizes,
    times, prices, sizes, is_forming, is_auction, lasts,
    horizons, state, mids, signs, out,
):  # fmt: skip
    """Take all prints from the state's next one on, each after the quotes before its instant.

    `lasts` are the last ticks of the bars, ascending; a row of `out` is filled at each of them.
    `mids` and `signs` are filled beside the prints. `horizons` are ascending nanoseconds.
    """
    s = state[0]
    for i in range(s["ticks"], times.size):
        time = times[i]
        q = s["quotes"]
        while q < quote_times.size and quote_times[q] < time:
            if s["due"] <= quote_times[q]:
                mature(s, times, prices, sizes, mids, signs, horizons, quote_times[q])
            quote_step(s, quote_times[q], bids[q], bid_sizes[q], asks[q], ask_sizes[q])
            q += 1
        s["quotes"] = q
        if s["due"] <= time:
            mature(s, times, prices, sizes, mids, signs, horizons, time)
        if not s["has_begun"]:
            s["has_begun"] = 1
            clear_sums(s, time)
        mids[i], signs[i] = print_step(
            s, time, prices[i], sizes[i], is_forming[i], is_auction[i], horizons[0]
        )
        bar = s["bars"]
        if bar < lasts.size and lasts[bar] == i:
            close_step(s, time, out[bar])
            s["bars"] = bar + 1


@compiled
def finish(quote_times, bids, bid_sizes, asks, ask_sizes, state):
    """Account for the quotes after the last print and for the time up to the close."""
    s = state[0]
    for q in range(s["quotes"], quote_times.size):
        account(s, quote_times[q])
        s["kind"] = kind_of(bids[q], bid_sizes[q], asks[q], ask_sizes[q])
    account(s, s["close"])
