"""The national best bid and offer around a ticker-session's trades.

Quotes are derived from the tape and its trace in one pass, whenever they are asked for. The mid
lies at the price of the last print: a print at a new price comes with a quote that moves the mid
there, stamped at the print's own instant if the old quote spans the price, and mostly just before
it if not. So trading against a quote carries no regret on average, and since the price is a
martingale but for the drift of process.py, so is the mid. Spreads widen with price, volatility and
inactivity, outside regular hours and after halts; depth thins with volatility. Order pressure shows
in the sizes: quotes that refresh a level carry more on the bid and less on the ask, by `LEANING`
times the bounded value of `STRETCH` times the pressure, while those at a new price are thin. Levels
thus build up on the side of the pressure, which links imbalance and order flow to later moves.
Prints that need not respect quotes (averages, derivative prices, late sales) do not move them.
"""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl

from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.sandbox.market import QUOTE_SCHEMA
from smallcaps_assets.sandbox.randomness import mix, next_bits, next_uniform, record
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import process as law
from smallcaps_assets.sandbox.simulation import tape as t

STREAM_QUOTES = 501
# Sizes are in shares from this day on, in round lots before.
SHARES_FROM = date(2025, 11, 3)
ROUND_LOT = 100

# Rows of quotes (int64[ROWS, n]): instants in UTC ns, prices in 1e-4 dollars (0: no such side),
# sizes in round lots, and random bits for what carries no meaning.
Q_SIP, Q_BID, Q_ASK, Q_BID_LOTS, Q_ASK_LOTS, Q_BITS = range(6)
ROWS = 6

# The book behind the quotes: how many there are, mid and half spread in 1e-4 dollars, wanted spread
# in ticks, mean lots of a side and how they lean, the minute up to which it was refreshed, and the
# instant up to which it stays wide after a halt.
BOOK = record(
    [
        ("random", np.uint64),
        *((name, np.int64) for name in ("rows", "mid", "half", "clock", "wide_until", "event")),
        *((name, np.float64) for name in ("ticks", "depth", "lean")),
    ]
)

LEANING, STRETCH = 0.9, 2.0
THIN = 0.6  # what a new level lacks of the usual depth
REFRESHED = 1.6  # refreshing quotes per print, on average
RELATIVE_SPREAD, QUIET_SPREAD = 0.0012, 4.0
WIDE, WIDE_AFTER_HALT_NS = 3.0, 120_000_000_000
LIMIT_SPREAD, WIDE_LIMIT = 0.013, 0.05
LOCKED, CROSSED, ONE_SIDED = 0.004, 0.0008, 0.002
BRIEF_NS = 40_000_000
AHEAD = 0.88  # share of prints outside the old quote that a new one precedes
AHEAD_NS = 150_000
_UNQUOTED = np.array(
    [
        code in (c.AVERAGE, c.AVERAGE_EXTENDED, c.DERIVATIVE, c.OUT_OF_SEQUENCE)
        or code in (c.OFFICIAL_OPEN, c.OFFICIAL_CLOSE)
        for code in range(len(c.COMBINATIONS))
    ]
)
_VENUES = np.array([12, 11, 8, 19, 7, 18, 15, 21, 20, 2, 10], dtype=np.int64)


@compiled
def _append(book, quotes, sip, bid, ask, bid_lots, ask_lots):
    """Append a quote, never before the last."""
    n = book.rows
    quotes[Q_SIP, n] = max(sip, quotes[Q_SIP, n - 1]) if n > 0 else sip
    quotes[Q_BID, n] = bid
    quotes[Q_ASK, n] = ask
    quotes[Q_BID_LOTS, n] = bid_lots
    quotes[Q_ASK_LOTS, n] = ask_lots
    quotes[Q_BITS, n] = np.int64(next_bits(book) >> np.uint64(16))
    book.rows = n + 1


@compiled
def _half_width(book, mid):
    """Half of about the wanted spread, such that both sides lie on ticks."""
    wanted = book.ticks * (0.75 + 0.5 * next_uniform(book))
    if mid < 10_000:
        half = max(1, int(0.5 * wanted + next_uniform(book)))
        return min(half, mid - 1, max(1, 9_999 - mid))
    odd = 1 if mid % 100 != 0 else 0
    half = odd + 2 * max(0, int(0.5 * (wanted - odd) + next_uniform(book)))
    return min(max(half, 2 - odd), mid // 50 - 1) * 50


@compiled
def _lots(book, lean):
    """Round lots of one side, at least one: about the depth, raised by the share `lean`."""
    u = next_uniform(book)
    mean = book.depth * (1.0 + lean)
    return 1 + int((mean - 1.0) * 2.7 * u * u * (0.55 + 0.45 * u) + next_uniform(book))


@compiled
def _usual_ticks(mid, pace, deviation, is_regular, minute, is_wide):
    """Spread in ticks by price, prints a minute, volatility and time of day."""
    ratio = RELATIVE_SPREAD * (1.0 + QUIET_SPREAD / (1.0 + pace))
    ratio *= min(max(deviation / 0.007, 0.8), 2.0)
    tick = 1.0 if mid < 10_000 else 100.0
    ticks = max(1.4, mid * ratio / tick)
    limit = LIMIT_SPREAD
    if is_regular and minute < 10:
        ticks *= 1.5 - 0.05 * minute
    if not is_regular or is_wide:
        ticks *= WIDE
        limit = WIDE_LIMIT
    return min(ticks, max(limit * mid / tick, 1.0))


@compiled
def _refresh(book, quotes, at):
    """Append a quote that restores both sides, leaning with the pressure."""
    bid_lots, ask_lots = _lots(book, book.lean), _lots(book, -book.lean)
    _append(book, quotes, at, book.mid - book.half, book.mid + book.half, bid_lots, ask_lots)


@compiled
def _lean(book, trace, m):
    """Set how sizes lean from the pressure of a minute."""
    book.lean = LEANING * law.bounded(STRETCH * trace[m, law.S_PRESSURE])


@compiled
def _minutes(book, quotes, trace, hours, sip):
    """Refresh the book at the start of each regular minute up to `sip`."""
    now = max(hours[1], book.clock * t.MINUTE)
    while now < min(sip, hours[2]) and book.rows < quotes.shape[1] - 8:
        m = (now - hours[1]) // t.MINUTE + t.PREMARKET_MINUTES
        if book.mid > 0 and trace[m, t.T_IS_HALTED] == 0.0:
            _lean(book, trace, m)
            _refresh(book, quotes, now + int(next_uniform(book) * 9e8))
        now += t.MINUTE
        book.clock = now // t.MINUTE


@compiled
def _look(book, trace, hours, sip, position):
    """Set spread, depth and lean of the book at a print."""
    m = (sip - hours[0]) // t.MINUTE
    if sip >= hours[1]:
        m = min((sip - hours[1]) // t.MINUTE + t.PREMARKET_MINUTES, trace.shape[0] - 1)
    deviation = math.sqrt(trace[m, law.S_VARIANCE])
    pace = trace[m, t.T_CHANGES] / t.CHANGE_SHARE
    is_regular = hours[1] <= sip < hours[2]
    minute = m - t.PREMARKET_MINUTES
    is_wide = sip < book.wide_until
    book.ticks = _usual_ticks(position, pace, deviation, is_regular, minute, is_wide)
    book.depth = 1.6 + 6.0 / (1.0 + deviation / 0.004 + 1.5 * trace[m, law.S_EXCITED])
    _lean(book, trace, m)


@compiled
def _move(book, quotes, price, position, before, sip):
    """Append the quote that moves the mid to a print's price."""
    old, half = book.mid, book.half
    at = sip
    if (old == 0 or abs(price - old) > half) and next_uniform(book) < AHEAD:
        at = min(max(before + 1, sip - 1 - int(next_uniform(book) * AHEAD_NS)), sip)
    half = max(_half_width(book, position), abs(price - position))
    book.mid, book.half = position, half
    bid, bid_lots = position - half, _lots(book, -THIN)
    if old == 0:  # the day's first quote is one-sided: somebody offers before anybody bids
        bid, bid_lots = 0, 0
    _append(book, quotes, at, bid, position + half, bid_lots, _lots(book, -THIN))


@compiled
def _revalue(book, quotes, events, sip):
    """Append quotes at the values that events up to `sip` imply.

    Nothing is printed between a price proposed beyond a band and the re-opening; quotes then lie
    where the auction is expected.
    """
    while book.event < events.shape[0] and book.rows < quotes.shape[1] - 8:
        event = events[book.event]
        at, value = event[t.E_BEGIN], event[t.E_VALUE]
        if event[t.E_KIND] == t.NEWS_HALT:
            at += int(t.NEWS_OUT * (event[t.E_END] - at))
        if at > sip:
            break
        if value > 0 and book.mid > 0:
            book.mid = _position(value)
            book.half = _half_width(book, book.mid)
            _refresh(book, quotes, at)
        book.event += 1


@compiled
def _position(price):
    """The mid for a price: on half cents above a dollar."""
    return price if price < 10_000 else (price + 25) // 50 * 50


@compiled
def _flicker(book, quotes, at, u):
    """Append a locked, crossed or one-sided quote for a moment."""
    mid, half = book.mid, book.half
    bid, ask = mid, mid
    if u < CROSSED:
        bid, ask = mid + half, mid - half
    elif u < CROSSED + ONE_SIDED:
        bid, ask = mid - half, 0
    elif mid % 100 != 0 and mid >= 10_000:
        bid, ask = mid + 50, mid + 50
    lots = _lots(book, 0.0)
    _append(book, quotes, at, bid, ask, lots, 0 if ask == 0 else lots)


@compiled
def _follow(book, quotes, sip, later, price, position):
    """Append the quotes between a print and the next."""
    at = sip
    count = int(REFRESHED * 2.0 * next_uniform(book) + next_uniform(book) * 0.5)
    for k in range(count):
        if later - at < 2_000 or book.rows >= quotes.shape[1] - 8:
            break
        at += 1 + int(next_uniform(book) * min((later - at) / (count - k), 2e9))
        u = next_uniform(book)
        if u < LOCKED + CROSSED + ONE_SIDED and later - at > 2 * BRIEF_NS:
            _flicker(book, quotes, at, u)
            at += 1_000_000 + int(next_uniform(book) * BRIEF_NS)
        elif u > 0.85:
            book.half = max(_half_width(book, position), abs(price - position))
        _refresh(book, quotes, at)


@compiled
def quote_tape(books, tape, trace, events, hours, quotes):
    """Fill `quotes` from a tape; returns how many there are. books: an array of one BOOK."""
    book = books[0]
    rows = tape.shape[1]
    for i in range(rows):
        if _UNQUOTED[tape[c.CODE, i]] or tape[c.CORRECTION, i] != 0:
            continue
        sip, price = tape[c.SIP, i], tape[c.PRICE, i]
        position = _position(price)
        if tape[c.CODE, i] == c.REOPENING:
            book.wide_until = sip + WIDE_AFTER_HALT_NS
        _revalue(book, quotes, events, sip)
        if sip >= hours[1]:
            _minutes(book, quotes, trace, hours, sip)
        _look(book, trace, hours, sip, position)
        if position != book.mid:
            before = tape[c.SIP, i - 1] if i > 0 else hours[0]
            _move(book, quotes, price, position, before, sip)
        later = tape[c.SIP, i + 1] if i + 1 < rows else sip + 1_000_000_000
        _follow(book, quotes, sip, later, price, position)
    return book.rows


def quote_rows(
    seed: int,
    number: int,
    day: date,
    tape: np.ndarray,
    trace: np.ndarray,
    events: np.ndarray,
    hours: np.ndarray,
) -> np.ndarray:
    """Quotes of a ticker-session, int64[ROWS, n]; `number` is that of the listing."""
    room = np.empty((ROWS, 5 * tape.shape[1] + 1_200 + len(events)), dtype=np.int64)
    books = np.zeros(1, dtype=BOOK)
    books[0].random = np.uint64(mix(seed, STREAM_QUOTES, number, day.toordinal()))
    return room[:, : quote_tape(books, tape, trace, events, hours, room)]


def quote_frame(ticker: str, day: date, tape_letter: int, rows: np.ndarray) -> pl.DataFrame:
    """QUOTE_SCHEMA of a ticker-session from its rows."""
    lot = ROUND_LOT if day >= SHARES_FROM else 1
    bits = rows[Q_BITS]
    frame = pl.DataFrame(
        {
            "ask_exchange": _VENUES[bits % 11],
            "ask_price": rows[Q_ASK] / 10_000.0,
            "ask_size": (rows[Q_ASK_LOTS] * lot).astype(np.float64),
            "bid_exchange": _VENUES[(bits >> 8) % 11],
            "bid_price": rows[Q_BID] / 10_000.0,
            "bid_size": (rows[Q_BID_LOTS] * lot).astype(np.float64),
            "participant_timestamp": rows[Q_SIP] - 120_000 - (bits >> 16) % 400_000,
            "sequence_number": 2_000 + np.cumsum(1 + (bits >> 24) % 31),
            "sip_timestamp": rows[Q_SIP],
            "is_marked": bits % 50 == 0,
        }
    )
    sides = [
        pl.when(pl.col(f"{side}_price") > 0).then(f"{side}_{part}").alias(f"{side}_{part}")
        for side in ("bid", "ask")
        for part in ("price", "size", "exchange")
    ]
    told = {
        "ticker": pl.lit(ticker),
        "conditions": pl.lit("1"),
        "indicators": pl.when("is_marked").then(pl.lit("604")),
        "tape": pl.lit(tape_letter, pl.Int64),
        "trf_timestamp": pl.lit(None, pl.Int64),
    }
    return frame.with_columns(*sides, **told).select(
        pl.col(name).cast(dtype) for name, dtype in QUOTE_SCHEMA.items()
    )
