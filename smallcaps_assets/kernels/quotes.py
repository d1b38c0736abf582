"""Quotes and signed flow at the close of each bar: a step per quote, per print and per close.

    quotes     q   q q       q           a quote counts from its own instant on; a print, a
    prints   p   p     p   p   p         horizon and a close see those strictly before theirs
    bars     [. . . . . . .][. . . .     so that a quote at the instant of a close is the next bar's

A step takes what is known, as named tuples of numbers, and an event; it returns what is known then.
The compiler keeps such tuples in registers. `follow` is a loop over the steps, which may stop after
any print and go on to the same bits. What a print met, its mid and its Lee-Ready sign, is kept in
columns beside the tape, for the closes after its horizons have passed. Frames, names of features
and reasons belong to `domain.bars.quote_features`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from smallcaps_assets.kernels.compiled import compiled, inlined

CLEAN, LOCKED, ONE_SIDED, CROSSED, NOTHING = range(5)
HAS_QUOTE, NO_QUOTE_YET, NO_CLEAN_QUOTE = range(3)
EXPANSION_BARS = 20
NEVER = np.iinfo(np.int64).max
TOLERANCE = 1e-9
# Unsigned numbers are no places counted from the end, which saves a test at every look-up.
ZERO, ONE = np.uint64(0), np.uint64(1)
# Quotes that a search looks at together: it then jumps by a sum, and seldom where none foresees.
STRIDE = np.uint64(8)

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


class Book(NamedTuple):
    """Of which kind the quote in force is, and the last clean one; NaN before there was one."""

    kind: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    mid: float
    spread: float
    depth: float
    imbalance: float


class Quoted(NamedTuple):
    """Sums over the open bar's time with a clean quote, up to `since`; and the order flow."""

    since: int
    clean_time: int
    spread: float
    usd: float
    depth: float
    imbalance: float
    flow: float


class Signed(NamedTuple):
    """Sums over the open bar's prints that met a clean quote."""

    volume: float
    delta: float
    touch: float
    effective: float
    effective_volume: float


class Tape(NamedTuple):
    """The tick rule's price and sign; prints judged so far, and how many were inside the quote."""

    price: float
    sign: int
    judged: int
    inside: int


class Hours(NamedTuple):
    """Regular hours: up to when their quotes are accounted for, the longest time without one, and
    the nanoseconds in each bad kind of quote."""

    open: int
    close: int
    quoted_at: int
    silence: int
    locked: int
    one_sided: int
    crossed: int
    missing: int


class State(NamedTuple):
    """All that is known after a print: how many came of each, when the open bar began, and so on.

    Beside it go two arrays that closes change: records of HORIZON, and the time-weighted spreads of
    the last EXPANSION_BARS bars.
    """

    ticks: int
    quotes: int
    bars: int
    begin: int
    book: Book
    quoted: Quoted
    signed: Signed
    tape: Tape
    hours: Hours


# What is known of prints once a time has passed since: the next one, its next quote, and sums.
HORIZON = np.dtype(
    [
        *((name, "i8") for name in ("length", "next", "quote")),
        *((name, "f8") for name in ("realised", "impact", "volume")),
    ]
)


def start(opens: int, closes: int) -> State:
    """The state before a session whose regular hours are these, in UTC ns."""
    book, tape = Book(NOTHING, *[np.nan] * 8), Tape(np.nan, 0, 0, 0)
    hours = Hours(int(opens), int(closes), int(opens), 0, 0, 0, 0, 0)
    return State(0, 0, 0, 0, book, Quoted(0, 0, *[0.0] * 5), Signed(*[0.0] * 5), tape, hours)


# Quotes ------------------------------------------------------------------------------------------
@inlined
def kind_of(bid, bid_size, ask, ask_size):
    """What a quote is; a side counts with a price and a size above 0. A locked one is clean too."""
    has_bid, has_ask = (bid > 0.0) & (bid_size > 0.0), (ask > 0.0) & (ask_size > 0.0)
    if has_bid & has_ask & (bid <= ask):
        return CLEAN + int(bid == ask)
    if has_bid & has_ask:
        return CROSSED
    return ONE_SIDED if has_bid | has_ask else NOTHING


@inlined
def enter(book, bid, bid_size, ask, ask_size):
    """The book with a quote in force."""
    kind = kind_of(bid, bid_size, ask, ask_size)
    if kind > LOCKED:
        return Book(kind, *book[1:])
    mid, depth = (bid + ask) / 2.0, bid_size + ask_size
    spread, imbalance = (ask - bid) / mid, (bid_size - ask_size) / depth
    return Book(kind, bid, bid_size, ask, ask_size, mid, spread, depth, imbalance)


@inlined
def order_flow(old, new):
    """What came to the bid and went from the ask between two books; 0 before the first quote."""
    bid = new.bid_size if new.bid >= old.bid else 0.0
    bid -= old.bid_size if new.bid <= old.bid else 0.0
    ask = new.ask_size if new.ask <= old.ask else 0.0
    ask -= old.ask_size if new.ask >= old.ask else 0.0
    return bid - ask


@inlined
def accrue(quoted, book, time, flow):
    """Weigh the quote in force by the time since it was last weighed; add to the order flow."""
    span, flow = time - quoted.since, quoted.flow + flow
    if book.kind > LOCKED or span <= 0:
        return Quoted(
            time,
            quoted.clean_time,
            quoted.spread,
            quoted.usd,
            quoted.depth,
            quoted.imbalance,
            flow,
        )
    return Quoted(
        time,
        quoted.clean_time + span,
        quoted.spread + book.spread * span,
        quoted.usd + (book.ask - book.bid) * span,
        quoted.depth + book.depth * span,
        quoted.imbalance + book.imbalance * span,
        flow,
    )


@inlined
def account(h, kind, time):
    """Add the time since the last quote, as far as it is in regular hours, to its kind."""
    time = min(max(time, h.open), h.close)
    span = time - h.quoted_at
    silence = max(h.silence, span)
    if kind == CLEAN:
        return Hours(h.open, h.close, time, silence, *h[4:])
    return Hours(
        h.open,
        h.close,
        time,
        silence,
        h.locked + span * (kind == LOCKED),
        h.one_sided + span * (kind == ONE_SIDED),
        h.crossed + span * (kind == CROSSED),
        h.missing + span * (kind == NOTHING),
    )


@inlined
def quote_step(book, quoted, hours, time, bid, bid_size, ask, ask_size):
    """A quote comes into force: the book, the sums of the bar and the hours."""
    new = enter(book, bid, bid_size, ask, ask_size)
    flow = 0.0 if new.kind > LOCKED else order_flow(book, new)
    quoted = accrue(quoted, book, time, flow)
    return new, quoted, account(hours, book.kind, time)


# Prints ------------------------------------------------------------------------------------------
@inlined
def print_step(book, signed, tape, price, size, is_forming, is_auction):
    """A print meets the quote in force: the sums, the tape, its mid and its sign.

    The mid is NaN where there is none to measure it by.

    Above mid it is a buy, below a sale, at mid the tick rule says (Lee and Ready 1991). An auction
    has no aggressor: its volume counts, its distance from mid measures nothing.
    """
    move = int(price > tape.price) - int(price < tape.price)
    tick = move if move != 0 else tape.sign
    if book.kind > LOCKED:
        return signed, Tape(price, tick, tape.judged, tape.inside), np.nan, 0
    is_inside = is_forming & (book.bid <= price) & (price <= book.ask)
    tape = Tape(price, tick, tape.judged + is_forming, tape.inside + is_inside)
    volume = signed.volume + size
    if is_auction:
        return Signed(volume, *signed[1:]), tape, np.nan, 0
    distance, edge = price - book.mid, TOLERANCE * book.mid
    sign = int(distance > edge) - int(distance < -edge)
    sign = tick if abs(distance) <= edge else sign
    is_touch = (price >= book.ask) | (price <= book.bid)
    weight = 2.0 * sign * size / book.mid
    signed = Signed(
        volume,
        signed.delta + sign * size,
        signed.touch + is_touch * sign * size,
        signed.effective + weight * distance,
        signed.effective_volume + size,
    )
    return signed, tape, book.mid, sign


# Closes ------------------------------------------------------------------------------------------
@inlined
def quotes_before(quote_times, place, count, time):
    """How many of the first `count` quotes are before a time, at least `place`."""
    jump = STRIDE
    while jump == STRIDE and place + STRIDE <= count:
        jump = ZERO
        for k in range(STRIDE):
            jump += np.uint64(quote_times[place + k] < time)
        place += jump
    if place + STRIDE > count:
        while place < count and quote_times[place] < time:
            place += ONE
    return place


@compiled
def mature(
    h,
    quote_times,
    bids,
    bid_sizes,
    asks,
    ask_sizes,
    times,
    prices,
    sizes,
    mids,
    signs,
    quotes,
    time,
):
    """Settle the prints whose horizon has passed by a close, each at the last of the first `quotes`
    quotes before that instant, if both are clean.
    """
    j, q, length = np.uint64(h["next"]), np.uint64(h["quote"]), h["length"]
    realised = impact = volume = 0.0
    due = times[j] + length
    while due <= time:
        q = quotes_before(quote_times, q, quotes, due)
        mid = mids[j]
        if mid > 0.0 and q > ZERO:
            k = q - ONE
            bid, ask = bids[k], asks[k]
            if kind_of(bid, bid_sizes[k], ask, ask_sizes[k]) <= LOCKED:
                later, size = (bid + ask) / 2.0, sizes[j]
                weight = 2.0 * signs[j] * size / mid
                realised += weight * (prices[j] - later)
                impact += weight * (later - mid)
                volume += size
        j += ONE
        due = times[j] + length
    h["next"], h["quote"] = np.int64(j), np.int64(q)
    h["realised"], h["impact"], h["volume"] = realised, impact, volume


@compiled
def expansion(spreads, bar, spread):
    """A time-weighted spread over the mean of the 20 bars before, which it joins; else NaN."""
    total = 0.0
    for k in range(EXPANSION_BARS):
        total += spreads[(bar + k) % EXPANSION_BARS]
    spreads[bar % EXPANSION_BARS] = spread
    return spread / (total / EXPANSION_BARS) if total > 0.0 else np.nan


@compiled
def close_step(book, quoted, signed, horizons, spreads, bar, begin, has_quotes, row):
    """A bar closes at its last print, and all up to it is weighed: COLUMNS into `row`."""
    for k in range(row.size):
        row[k] = np.nan
    is_known, span = book.kind <= LOCKED, float(quoted.clean_time)
    if span > 0.0:
        row[1], row[2] = quoted.spread / span, quoted.usd / span
        row[5], row[7] = quoted.depth / span, quoted.imbalance / span
    elif is_known and quoted.since == begin:
        row[1], row[2] = book.spread, book.ask - book.bid
        row[5], row[7] = book.depth, book.imbalance
    row[3] = expansion(spreads, bar, row[1])
    if is_known:
        ask_weight, bid_weight = book.ask * book.bid_size, book.bid * book.ask_size
        microprice = (ask_weight + bid_weight) / book.depth
        row[0], row[4], row[6] = book.spread, book.depth, book.imbalance
        row[8], row[9] = microprice, microprice / book.mid - 1.0
    if book.mid > 0.0:
        row[10] = quoted.flow
    if signed.volume > 0.0:
        row[11], row[12], row[13] = signed.delta, signed.delta / signed.volume, signed.touch
    if is_known or span > 0.0 or signed.volume > 0.0:
        row[14] = signed.volume
    if signed.effective_volume > 0.0:
        row[15] = signed.effective / signed.effective_volume
    for k in range(horizons.size):
        h = horizons[k]
        if h["volume"] > 0.0:
            row[16 + 2 * k] = h["realised"] / h["volume"]
            row[17 + 2 * k] = h["impact"] / h["volume"]
    row[20] = HAS_QUOTE if is_known else NO_CLEAN_QUOTE if has_quotes else NO_QUOTE_YET


# Passes ------------------------------------------------------------------------------------------
@compiled
def follow(
    quote_times, bids, bid_sizes, asks, ask_sizes,
    times, prices, sizes, is_forming, is_auction, lasts,
    state, horizons, spreads, mids, signs, out,
):  # fmt: skip
    """Take all prints from the state's next one on, each after the quotes before its instant.

    `lasts` are the last ticks of the bars, ascending; a row of `out` is filled at each of them.
    `mids` and `signs` are filled beside the prints. Returns the state; see there for the others.
    """
    q, count = np.uint64(state.quotes), np.uint64(quote_times.size)
    bar, begin = state.bars, state.begin
    book, quoted, signed, tape, hours = state[4:]
    last = lasts[bar] if bar < lasts.size else NEVER
    for n in range(state.ticks, times.size):
        i = np.uint64(n)
        time = times[i]
        while q < count and quote_times[q] < time:
            book, quoted, hours = quote_step(
                book, quoted, hours,
                quote_times[q], bids[q], bid_sizes[q], asks[q], ask_sizes[q],
            )  # fmt: skip
            q += ONE
        if n == 0:
            begin, quoted = time, Quoted(time, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
        signed, tape, mids[i], signs[i] = print_step(
            book, signed, tape, prices[i], sizes[i], is_forming[i], is_auction[i]
        )
        if n == last:
            for k in range(horizons.size):
                mature(
                    horizons[k], quote_times, bids, bid_sizes, asks, ask_sizes,
                    times, prices, sizes, mids, signs, q, time,
                )  # fmt: skip
            quoted = accrue(quoted, book, time, 0.0)
            close_step(book, quoted, signed, horizons, spreads, bar, begin, q > ZERO, out[bar])
            begin, quoted = time, Quoted(time, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
            signed = Signed(0.0, 0.0, 0.0, 0.0, 0.0)
            bar += 1
            last = lasts[bar] if bar < lasts.size else NEVER
    quotes: int = np.int64(q)  # type: ignore[assignment]
    return State(times.size, quotes, bar, begin, book, quoted, signed, tape, hours)


@compiled
def finish(quote_times, bids, bid_sizes, asks, ask_sizes, state):
    """The hours with the quotes after the last print and the time up to the close."""
    hours, kind = state.hours, state.book.kind
    for q in range(state.quotes, quote_times.size):
        hours = account(hours, kind, quote_times[q])
        kind = kind_of(bids[q], bid_sizes[q], asks[q], ask_sizes[q])
    return account(hours, kind, hours.close)
