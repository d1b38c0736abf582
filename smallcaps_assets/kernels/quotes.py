"""Quotes and signed flow at the close of each bar: a step per quote, per print and per close.

    quotes     q   q q       q           a quote counts from its own instant on; a print, a
    prints   p   p     p   p   p         horizon and a close see those strictly before theirs
    bars     [. . . . . . .][. . . .     so that a quote at the instant of a close is the next bar's

All that a step knows is a record of STATE and the tape up to its print: `follow` is a loop over the
steps, may stop after any print and go on to the same bits. What a print met, its mid and its
Lee-Ready sign, is kept in columns beside the tape until its horizons have passed. Frames, names
of features and reasons belong to `domain.bars.quote_features`.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled

NOTHING, CLEAN, LOCKED, ONE_SIDED, CROSSED = range(5)
KINDS = 5
HAS_QUOTE, NO_QUOTE_YET, NO_CLEAN_QUOTE = range(3)
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
        # Where the pass is, what the quote in force is, and the last clean one.
        *((name, "i8") for name in ("ticks", "quotes", "bars", "seen_quotes")),
        *((name, "i8") for name in ("kind", "is_clean", "has_clean")),
        *((name, "f8") for name in ("bid", "bid_size", "ask", "ask_size", "mid")),
        *((name, "f8") for name in ("spread", "depth", "imbalance")),
        # The tick rule.
        ("price", "f8"),
        ("sign", "i8"),
        # Sums of the open bar.
        *((name, "i8") for name in ("has_begun", "begin", "since", "clean_time")),
        *((name, "f8") for name in ("spread_time", "usd_time", "depth_time", "imbalance_time")),
        *((name, "f8") for name in ("flow", "delta", "touch", "volume")),
        *((name, "f8") for name in ("effective", "effective_volume")),
        # Time-weighted spreads of the bars before.
        ("spreads", "f8", (EXPANSION_BARS,)),
        ("place", "i8"),
        # Quality of the session: regular hours by kind of quote, prints inside.
        *((name, "i8") for name in ("open", "close", "quoted_at", "silence")),
        ("times", "i8", (KINDS,)),
        *((name, "i8") for name in ("judged", "inside")),
    ]
)

# What is known of prints once a time has passed since: the next one, when it is due, and sums.
HORIZON = np.dtype(
    [
        *((name, "i8") for name in ("length", "next", "due")),
        *((name, "f8") for name in ("realised", "impact", "volume")),
    ]
)


@compiled
def kind_of(bid, bid_size, ask, ask_size):
    """What a quote is; a side counts with a price and a size above 0. A locked one is clean too."""
    has_bid, has_ask = (bid > 0.0) & (bid_size > 0.0), (ask > 0.0) & (ask_size > 0.0)
    if has_bid & has_ask & (bid <= ask):
        return CLEAN + np.int64(bid == ask)
    if has_bid & has_ask:
        return CROSSED
    return ONE_SIDED if has_bid | has_ask else NOTHING


@compiled
def accrue(s, time):
    """Weigh the quote in force by the time since it was last weighed, up to `time`."""
    if s["is_clean"] and time > s["since"]:
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
def mature_step(s, h, price, size, mid, weight):
    """The horizon of a print has passed: settle it at the quote in force, if both are clean."""
    if mid > 0.0 and s["is_clean"]:
        h["realised"] += weight * (price - s["mid"])
        h["impact"] += weight * (s["mid"] - mid)
        h["volume"] += size


@compiled
def quote_step(s, time, bid, bid_size, ask, ask_size):
    """A quote comes into force; prints that are due by then must have matured."""
    accrue(s, time)
    account(s, time)
    kind = kind_of(bid, bid_size, ask, ask_size)
    s["seen_quotes"] += 1
    s["kind"], s["is_clean"] = kind, kind in (CLEAN, LOCKED)
    if not s["is_clean"]:
        return
    if s["has_clean"]:
        flow = (bid >= s["bid"]) * bid_size - (bid <= s["bid"]) * s["bid_size"]
        flow -= (ask <= s["ask"]) * ask_size - (ask >= s["ask"]) * s["ask_size"]
        s["flow"] += flow
    mid, depth = (bid + ask) / 2.0, bid_size + ask_size
    s["has_clean"] = 1
    s["bid"], s["bid_size"], s["ask"], s["ask_size"], s["mid"] = bid, bid_size, ask, ask_size, mid
    s["spread"], s["depth"] = (ask - bid) / mid, depth
    s["imbalance"] = (bid_size - ask_size) / depth


@compiled
def print_step(s, price, size, is_forming, is_auction):
    """A print meets the quote in force: its mid (NaN: none to measure it by), weight and sign.

    Above mid it is a buy, below a sale, at mid the tick rule says (Lee and Ready 1991). An auction
    has no aggressor: its volume counts, its distance from mid measures nothing.
    """
    move = np.int64(price > s["price"]) - np.int64(price < s["price"])
    s["sign"] = move + np.int64(move == 0) * s["sign"]
    s["price"] = price
    s["ticks"] += 1
    if not s["is_clean"]:
        return np.nan, 0.0, 0
    mid, bid, ask = s["mid"], s["bid"], s["ask"]
    s["volume"] += size
    s["judged"] += is_forming
    s["inside"] += is_forming & (bid <= price) & (price <= ask)
    if is_auction:
        return np.nan, 0.0, 0
    distance, edge = price - mid, TOLERANCE * mid
    sign = np.int64(distance > edge) - np.int64(distance < -edge)
    sign += np.int64(abs(distance) <= edge) * s["sign"]
    s["delta"] += sign * size
    s["touch"] += ((price >= ask) | (price <= bid)) * sign * size
    weight = 2.0 * sign * size / mid
    s["effective"] += weight * distance
    s["effective_volume"] += size
    return mid, weight, sign


@compiled
def clear_sums(s, horizons, time):
    """Begin a bar's window at `time`."""
    s["begin"] = s["since"] = time
    s["clean_time"] = 0
    s["spread_time"] = s["usd_time"] = s["depth_time"] = s["imbalance_time"] = 0.0
    s["flow"] = s["delta"] = s["touch"] = s["volume"] = 0.0
    s["effective"] = s["effective_volume"] = 0.0
    for k in range(horizons.size):
        h = horizons[k]
        h["realised"] = h["impact"] = h["volume"] = 0.0


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
def close_step(s, horizons, time, row):
    """A bar closes at its last print: COLUMNS into `row`, and the next window begins."""
    accrue(s, time)
    for k in range(row.size):
        row[k] = np.nan
    is_known, span = s["is_clean"] > 0, float(s["clean_time"])
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
    if is_known or span > 0.0 or s["volume"] > 0.0:
        row[14] = s["volume"]
    if s["effective_volume"] > 0.0:
        row[15] = s["effective"] / s["effective_volume"]
    for k in range(horizons.size):
        h = horizons[k]
        if h["volume"] > 0.0:
            row[16 + 2 * k] = h["realised"] / h["volume"]
            row[17 + 2 * k] = h["impact"] / h["volume"]
    row[20] = HAS_QUOTE if is_known else NO_CLEAN_QUOTE if s["seen_quotes"] else NO_QUOTE_YET
    clear_sums(s, horizons, time)


@compiled
def follow(
    quote_times, bids, bid_sizes, asks, ask_sizes,
    times, prices, sizes, is_forming, is_auction, lasts, state, horizons, mids, weights, signs, out,
):  # fmt: skip
    """Take all prints from the state's next one on, each after the quotes before its instant.

    `lasts` are the last ticks of the bars, ascending; a row of `out` is filled at each of them.
    `mids`, `weights` and `signs` are filled beside the prints, `horizons` are records of HORIZON.
    Steps are given numbers: to hand an array on costs more than a step.
    """
    s = state[0]
    q = s["quotes"]
    for i in range(s["ticks"], times.size):
        time, has_quote = times[i], True
        while has_quote:
            has_quote = q < quote_times.size and quote_times[q] < time
            now = quote_times[q] if has_quote else time
            for k in range(horizons.size):
                h = horizons[k]
                while h["due"] <= now:
                    j = h["next"]
                    mature_step(s, h, prices[j], sizes[j], mids[j], weights[j])
                    h["next"] = j + 1
                    h["due"] = times[j + 1] + h["length"] if j + 1 < i else NEVER
            if has_quote:
                quote_step(s, now, bids[q], bid_sizes[q], asks[q], ask_sizes[q])
                q += 1
        s["quotes"] = q
        if not s["has_begun"]:
            s["has_begun"] = 1
            clear_sums(s, horizons, time)
        mids[i], weights[i], signs[i] = print_step(
            s, prices[i], sizes[i], is_forming[i], is_auction[i]
        )
        for k in range(horizons.size):
            h = horizons[k]
            if h["next"] == i:
                h["due"] = time + h["length"]
        bar = s["bars"]
        if bar < lasts.size and lasts[bar] == i:
            close_step(s, horizons, time, out[bar])
            s["bars"] = bar + 1


@compiled
def finish(quote_times, bids, bid_sizes, asks, ask_sizes, state):
    """Account for the quotes after the last print and for the time up to the close."""
    s = state[0]
    for q in range(s["quotes"], quote_times.size):
        account(s, quote_times[q])
        s["kind"] = kind_of(bids[q], bid_sizes[q], asks[q], ask_sizes[q])
    account(s, s["close"])
