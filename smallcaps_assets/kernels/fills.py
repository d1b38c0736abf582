"""Fills on a recorded tape: what an order meets, quote by quote and print by print.

    quotes   q   q q         q       a marketable order takes what the quote in force shows, then
    prints     p   p p   p     p     what each change of that side adds; a passive one waits for
    order      [------------)        prints at its limit, behind what was shown there, or beyond it

All that an order knows is a record of ORDER; `take` and `meet` are its steps, for a recorded tape
and for one that is still growing. A trade is an entry and, for each range of sizes, the exit that
its average price leads to: `fill_candidates` takes one after the other and may stop after any.
A tape is a tuple of arrays, `TAPE` names them. What prices, rules and reasons mean belongs to
`domain.execution`.
"""

from __future__ import annotations

import math

import numpy as np

from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.kernels.minutes import MINUTE

TAPE = (
    *("quote_times", "bids", "bid_sizes", "asks", "ask_sizes", "is_usable"),
    *("times", "prices", "kinds", "volumes"),
    *("halt_starts", "halt_ends", "reopenings"),
    *("band_times", "lowers", "uppers"),
    *("block_lows", "block_highs"),
)
"""Quotes; prints with the volume up to and with each; halts with the re-opening print of each,
NEVER for none; the price bands from each time on; the range of prices of each block of prints."""
BLOCK = 64
"""Prints of a block: an exit passes over those whose prices lie between its stop and its profit."""
FLOW, AUCTION, PRICE = 1, 2, 3
"""Kinds of prints: all have volume, the last two form prices, and only the last fills an order."""
TOLERANCE = 1e-9
NEVER = np.iinfo(np.int64).max
FILLED, NO_QUOTE, STALE, HALTED, RESTRICTED, NO_VOLUME, BANDED, NO_FILL = range(8)
"""What became of an entry."""
TAKE_PROFIT, STOP, TIME, SESSION = range(4)
"""Why an exit was made."""
FULL = -1

ORDER = np.dtype(
    [
        *((name, "i8") for name in ("side", "shares", "filled", "is_banded")),
        *((name, "f8") for name in ("limit", "seen_price", "seen_size", "queue")),
    ]
)
REFERENCE = np.dtype(
    [
        *((name, "i8") for name in ("next", "first", "halts", "moved")),
        *((name, "f8") for name in ("total", "price")),
    ]
)
"""What `follow_reference` goes on from: places of prints, the sum of the window, the last move."""
RULES = np.dtype(
    [
        *((name, "i8") for name in ("latency", "entry_window", "timeout", "last_exit")),
        *((name, "i8") for name in ("entry_age", "exit_age", "is_passive", "mark_step")),
        ("restricted_from", "i8"),
        *((name, "f8") for name in ("slack", "take_profit", "stop_loss")),
        *((name, "f8") for name in ("capacity", "most_value")),
    ]
)
CANDIDATE = np.dtype(
    [
        *((name, "i8") for name in ("t0", "side")),
        # What is found of it.
        *((name, "i8") for name in ("live", "outcome", "most_shares")),
        *((name, "f8") for name in ("price", "mid", "volume")),
        *(
            (name, "i8")
            for name in ("entries", "ranges", "exits", "marks", "marks_from", "is_trapped")
        ),
    ]
)
FILL = np.dtype(
    [
        *((name, "i8") for name in ("time", "shares", "reason")),
        *((name, "f8") for name in ("price", "mid")),
    ]
)
RANGE = np.dtype(
    [
        *((name, "i8") for name in ("size", "fills", "is_halted")),
        *((name, "f8") for name in ("take_profit", "stop", "low", "high")),
    ]
)


# Steps of an order -------------------------------------------------------------------------------
@compiled
def take(o, price, size, lower, upper):
    """Shares that a marketable order gets of a state of the side that it takes from.

    A state as the one before shows nothing new; one beyond the limit or a band gives nothing.
    """
    if price == o["seen_price"] and size == o["seen_size"]:
        return 0
    o["seen_price"], o["seen_size"] = price, size
    if (price - o["limit"]) * o["side"] > TOLERANCE * price:
        return 0
    if price < lower * (1.0 - TOLERANCE) or price > upper * (1.0 + TOLERANCE):
        o["is_banded"] = 1
        return 0
    shares = min(o["shares"] - o["filled"], np.int64(size + TOLERANCE))
    o["filled"] += shares
    return shares


@compiled
def meet(o, price, size, lower, upper):
    """Shares that a passive order gets of a print: behind its queue at the limit, all beyond it."""
    limit = o["limit"]
    beyond = (limit - price) * o["side"]
    if beyond < -TOLERANCE * limit:
        return 0
    if limit < lower * (1.0 - TOLERANCE) or limit > upper * (1.0 + TOLERANCE):
        o["is_banded"] = 1
        return 0
    shares = o["shares"] - o["filled"]
    if beyond <= TOLERANCE * limit:
        eaten = min(o["queue"], size)
        o["queue"] -= eaten
        shares = min(shares, np.int64(size - eaten + TOLERANCE))
    o["filled"] += shares
    return shares


@compiled
def take_one(orders, price, size, lower, upper):
    """`take`, of the one order of `orders`."""
    return take(orders[0], price, size, lower, upper)


@compiled
def meet_one(orders, price, size, lower, upper):
    """`meet`, of the one order of `orders`."""
    return meet(orders[0], price, size, lower, upper)


# Places on a tape --------------------------------------------------------------------------------
@compiled
def place(times, time):
    """Index of the last that is at or before a time; -1: none."""
    low, high = 0, times.size
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low - 1


@compiled
def halt_at(starts, ends, time):
    """Index of the halt that covers a time, [start, end); -1: none."""
    h = place(starts, time)
    return h if h >= 0 and time < ends[h] else -1


@compiled
def usable_at(is_usable, q):
    """Index of the last usable quote up to one; -1: none."""
    while q >= 0 and not is_usable[q]:
        q -= 1
    return q


@compiled
def after_halts(starts, ends, reopenings, time, latency):
    """When an order that would be live at a time is; NEVER if trading does not begin again."""
    h = halt_at(starts, ends, time)
    while h >= 0:
        if reopenings[h] == NEVER:
            return NEVER
        time = reopenings[h] + latency
        h = halt_at(starts, ends, time)
    return time


# What a tape is made of ---------------------------------------------------------------------------
@compiled
def read_quotes(times, bids, bid_sizes, asks, ask_sizes, starts, ends):
    """Whether each quote has two sides above 0 that are not crossed, outside of halts; and whether
    no time is before the one ahead of it."""
    is_usable = np.empty(times.size, np.bool_)
    h, is_ascending = -1, True
    for q in range(times.size):
        is_ascending &= q == 0 or times[q] >= times[q - 1]
        while h + 1 < starts.size and starts[h + 1] <= times[q]:
            h += 1
        is_open = h < 0 or times[q] >= ends[h]
        is_whole = bids[q] > 0.0 and bid_sizes[q] > 0.0 and ask_sizes[q] > 0.0
        is_usable[q] = is_open and is_whole and asks[q] >= bids[q]
    return is_usable, is_ascending


@compiled
def read_prints(times, prices, kinds, sizes, starts, ends):
    """Volume up to and with each print; lowest and highest price of each whole block of prints, of
    those that form prices outside of halts, NaN in a block without one; and whether no time is
    before the one ahead of it."""
    volumes, count = np.empty(times.size), times.size // BLOCK
    lows, highs = np.full(count, np.nan), np.full(count, np.nan)
    h, is_ascending, volume = -1, True, 0.0
    for k in range(count + 1):
        low, high = np.inf, -np.inf
        for i in range(k * BLOCK, min((k + 1) * BLOCK, times.size)):
            is_ascending &= i == 0 or times[i] >= times[i - 1]
            volume += sizes[i]
            volumes[i] = volume
            while h + 1 < starts.size and starts[h + 1] <= times[i]:
                h += 1
            if kinds[i] != FLOW and (h < 0 or times[i] >= ends[h]):
                low, high = min(low, prices[i]), max(high, prices[i])
        if k < count and low <= high:
            lows[k], highs[k] = low, high
    return volumes, lows, highs, is_ascending


# Orders on a tape --------------------------------------------------------------------------------
@compiled
def add_fill(out, count, time, shares, price, mid, reason):
    """Write a fill behind the others; `shares` are all of the order up to it."""
    row = out[count]
    row["time"], row["shares"], row["reason"] = time, shares, reason
    row["price"], row["mid"] = price, mid


@compiled
def take_quotes(tape, o, live, until, max_age, reason, out, count):
    """Work a marketable order from its live instant until a time; fills behind `count` of `out`.

    The number of fills so far, or FULL where `out` is too short.
    """
    quote_times, bids, bid_sizes, asks, ask_sizes, is_usable = tape[:6]
    starts, ends = tape[10], tape[11]
    band_times, lowers, uppers = tape[13], tape[14], tape[15]
    q = place(quote_times, live)
    before = usable_at(is_usable, q)
    is_standing = before >= 0 and before == q and live - quote_times[q] <= max_age
    is_standing = is_standing and halt_at(starts, ends, live) < 0
    if before >= 0 and not is_standing:
        is_buy = o["side"] > 0
        o["seen_price"] = asks[before] if is_buy else bids[before]
        o["seen_size"] = ask_sizes[before] if is_buy else bid_sizes[before]
    if not is_standing:
        q += 1
    b, is_first = place(band_times, live), is_standing
    while q < quote_times.size and o["filled"] < o["shares"]:
        time = live if is_first else quote_times[q]
        if time > until:
            break
        is_first = False
        if is_usable[q]:
            while b + 1 < band_times.size and band_times[b + 1] <= time:
                b += 1
            lower, upper = (lowers[b], uppers[b]) if b >= 0 else (0.0, np.inf)
            price, size = (asks[q], ask_sizes[q]) if o["side"] > 0 else (bids[q], bid_sizes[q])
            if take(o, price, size, lower, upper) > 0:
                if count >= out.size:
                    return FULL
                mid = (bids[q] + asks[q]) / 2.0
                add_fill(out, count, time, o["filled"], price, mid, reason)
                count += 1
        q += 1
    return count


@compiled
def mid_at(tape, time, otherwise):
    """Mid of the usable quote in force at a time."""
    q = usable_at(tape[5], place(tape[0], time))
    return (tape[1][q] + tape[3][q]) / 2.0 if q >= 0 else otherwise


@compiled
def set_queue(tape, o, live, max_age):
    """What is ahead of a passive order: what was shown at its price, all where nothing is known."""
    q = place(tape[0], live)
    o["queue"] = np.inf
    if q >= 0 and tape[5][q] and live - tape[0][q] <= max_age:
        is_buy = o["side"] > 0
        price, size = (tape[1][q], tape[2][q]) if is_buy else (tape[3][q], tape[4][q])
        o["queue"] = size if abs(price - o["limit"]) <= TOLERANCE * price else 0.0


@compiled
def meet_prints(tape, o, live, until, reason, out, count):
    """Work a passive order on the prints after its live instant until a time; as `take_quotes`."""
    times, prices, kinds, volumes, starts, ends = tape[6:12]
    band_times, lowers, uppers = tape[13], tape[14], tape[15]
    i = place(times, live) + 1
    while i < times.size and times[i] <= until and o["filled"] < o["shares"]:
        if kinds[i] == PRICE and halt_at(starts, ends, times[i]) < 0:
            b = place(band_times, times[i])
            lower, upper = (lowers[b], uppers[b]) if b >= 0 else (0.0, np.inf)
            size = volumes[i] - (volumes[i - 1] if i > 0 else 0.0)
            if meet(o, prices[i], size, lower, upper) > 0:
                if count >= out.size:
                    return FULL
                mid = mid_at(tape, times[i], o["limit"])
                add_fill(out, count, times[i], o["filled"], o["limit"], mid, reason)
                count += 1
        i += 1
    return count


@compiled
def work_order(tape, orders, live, until, max_age, is_passive, out):
    """Work the one order of `orders` from its live instant until a time; as `take_quotes`."""
    o = orders[0]
    if is_passive:
        set_queue(tape, o, live, max_age)
        return meet_prints(tape, o, live, until, 0, out, 0)
    return take_quotes(tape, o, live, until, max_age, 0, out, 0)


# Trades ------------------------------------------------------------------------------------------
@compiled
def tick_of(price):
    """The smallest step of an order's price (rule 612)."""
    return 0.01 if price >= 1.0 else 0.0001


@compiled
def on_tick(price, direction):
    """A price on the grid of ticks, up or down; one that is on it stays."""
    tick = tick_of(price)
    steps = price / tick
    rounded = math.ceil(steps - 1e-6) if direction > 0 else math.floor(steps + 1e-6)
    return round(rounded * tick, 4)


@compiled
def barriers(r, side, average):
    """Take profit and stop of an average entry price, on ticks, both on the far side of it."""
    profit = average * (1.0 + side * r["take_profit"])
    stop = average * (1.0 - side * r["stop_loss"])
    return on_tick(profit, side), on_tick(stop, -side)


@compiled
def is_stopped(times, prices, kinds, i, side, stop):
    """Whether a later print of the same instant is at a stop or beyond it: that comes first."""
    j = i + 1
    while j < times.size and times[j] == times[i]:
        if kinds[j] != FLOW and (prices[j] - stop) * side <= 0.0:
            return True
        j += 1
    return False


@compiled
def is_reached(low, high, side, far, near):
    """Whether a range of prices touches a take profit or a stop; never of no prices, NaN."""
    best, worst = (high, low) if side > 0 else (low, high)
    return (best - far) * side >= 0.0 or (worst - near) * side <= 0.0


@compiled
def close_trade(tape, r, side, t0, since, profit, stop, shares, row, out, count):
    """The exit of so many shares that were entered by `since`: take profit, stop, or the clock.

    What is left at the tape's end is not filled. Fills behind `count` of `out`, and the extremes
    into `row`; the number of fills so far, or FULL.
    """
    times, prices, kinds, volumes, starts, ends, reopenings = tape[6:13]
    band_times, lowers, uppers, block_lows, block_highs = tape[13:18]
    orders = np.zeros(2, ORDER)
    o = orders[0]
    o["side"], o["shares"], o["limit"] = -side, shares, profit
    set_queue(tape, o, since, r["exit_age"])
    reason = TIME if t0 + r["timeout"] <= r["last_exit"] else SESSION
    trigger = max(min(t0 + r["timeout"], r["last_exit"]), since)
    low = high = np.nan
    i, h = place(times, since) + 1, place(starts, since)
    far, near = profit * (1.0 - side * TOLERANCE), stop * (1.0 + side * TOLERANCE)
    while i < times.size and times[i] <= trigger:
        k = i // BLOCK
        if i % BLOCK == 0 and k < block_lows.size and times[i + BLOCK - 1] <= trigger:
            if not is_reached(block_lows[k], block_highs[k], side, far, near):
                low, high = np.fmin(low, block_lows[k]), np.fmax(high, block_highs[k])
                i += BLOCK
                continue
        price, time = prices[i], times[i]
        while h + 1 < starts.size and starts[h + 1] <= time:
            h += 1
        if kinds[i] != FLOW and not (h >= 0 and time < ends[h]):
            is_seen = not math.isnan(low)
            low, high = (min(low, price), max(high, price)) if is_seen else (price, price)
            if (price - near) * side <= 0.0:
                trigger, reason = time, STOP
                break
            is_near = kinds[i] == PRICE and (price - far) * side >= 0.0
            if is_near and not is_stopped(times, prices, kinds, i, side, near):
                b = place(band_times, time)
                lower, upper = (lowers[b], uppers[b]) if b >= 0 else (0.0, np.inf)
                size = volumes[i] - (volumes[i - 1] if i > 0 else 0.0)
                if meet(o, price, size, lower, upper) > 0:
                    if count >= out.size:
                        return FULL
                    mid = mid_at(tape, time, profit)
                    add_fill(out, count, time, o["filled"], profit, mid, TAKE_PROFIT)
                    count += 1
                    if o["filled"] == shares:
                        break
        i += 1
    row["low"], row["high"] = low, high
    if o["filled"] == shares:
        return count
    live = after_halts(starts, ends, reopenings, trigger + r["latency"], r["latency"])
    if live == NEVER:
        return count
    rest = orders[1]
    rest["side"], rest["shares"], rest["filled"] = -side, shares, o["filled"]
    rest["limit"] = np.inf * -side
    rest["seen_price"] = np.nan
    return take_quotes(tape, rest, live, NEVER, r["exit_age"], reason, out, count)


@compiled
def is_halted_between(starts, ends, first, last):
    """Whether a halt lies within two instants, in part."""
    h = place(starts, last)
    return h >= 0 and ends[h] > first


@compiled
def enter(tape, r, c, out):
    """The entry of a candidate at its largest size: its fills into `out`, what became of it into
    `c`; their number, or FULL."""
    quote_times, bids, asks, is_usable = tape[0], tape[1], tape[3], tape[5]
    times, volumes, starts, ends = tape[6], tape[9], tape[10], tape[11]
    side, t0 = c["side"], c["t0"]
    live = t0 + r["latency"]
    c["live"] = live
    c["price"] = c["mid"] = np.nan
    last, first = place(times, live), place(times, live - MINUTE)
    c["volume"] = (volumes[last] if last >= 0 else 0.0) - (volumes[first] if first >= 0 else 0.0)
    q = place(quote_times, t0)
    if halt_at(starts, ends, t0) >= 0 or halt_at(starts, ends, live) >= 0:
        c["outcome"] = HALTED
        return 0
    if q < 0 or not is_usable[q]:
        c["outcome"] = NO_QUOTE
        return 0
    if t0 - quote_times[q] > r["entry_age"]:
        c["outcome"] = STALE
        return 0
    bid, ask = bids[q], asks[q]
    c["price"], c["mid"] = (ask if side > 0 else bid), (bid + ask) / 2.0
    orders = np.zeros(1, ORDER)
    o = orders[0]
    o["side"], o["seen_price"] = side, np.nan
    o["limit"] = c["price"] * (1.0 + side * r["slack"])
    if r["is_passive"]:
        c["price"] = o["limit"] = bid if side > 0 else ask
    now = usable_at(is_usable, place(quote_times, live))
    if (
        side < 0
        and live >= r["restricted_from"]
        and (not r["is_passive"] or o["limit"] <= bids[now])
    ):
        c["outcome"] = RESTRICTED
        return 0
    most = min(r["capacity"] * c["volume"], r["most_value"] / c["price"])
    o["shares"] = np.int64(most * (1.0 + TOLERANCE))
    if o["shares"] < 1:
        c["outcome"] = NO_VOLUME
        return 0
    until = live + r["entry_window"]
    if r["is_passive"]:
        set_queue(tape, o, live, r["entry_age"])
        count = meet_prints(tape, o, live, until, 0, out, 0)
    else:
        count = take_quotes(tape, o, live, until, r["entry_age"], 0, out, 0)
    c["most_shares"] = o["filled"]
    if count == 0:
        c["outcome"] = BANDED if o["is_banded"] else NO_FILL
    else:
        c["outcome"] = FILLED
    return count


@compiled
def exits_of(tape, r, c, entries, ranges, exits):
    """The exits of a candidate, a range of sizes after the other; their number, or FULL.

    A range has one last fill of the entry, one take profit and one stop: its sizes are closed by
    the first fills of its largest.
    """
    side, count, number, done, cost = c["side"], 0, 0, 0, 0.0
    for k in range(c["entries"]):
        fill = entries[k]
        first = done + 1
        while first <= fill["shares"]:
            profit, stop = barriers(r, side, (cost + (first - done) * fill["price"]) / first)
            low, high = first, fill["shares"]
            while low < high:
                size = (low + high + 1) // 2
                found = barriers(r, side, (cost + (size - done) * fill["price"]) / size)
                if found[0] == profit and found[1] == stop:
                    low = size
                else:
                    high = size - 1
            if number >= ranges.size:
                return FULL
            row, before = ranges[number], count
            count = close_trade(
                tape, r, side, c["t0"], fill["time"], profit, stop, low, row, exits, count
            )
            if count == FULL:
                return FULL
            row["size"], row["take_profit"], row["stop"] = low, profit, stop
            row["fills"] = count - before
            if count == before or exits[count - 1]["shares"] < low:
                c["is_trapped"] = 1
            last = exits[count - 1]["time"] if count > before else NEVER - 1
            row["is_halted"] = is_halted_between(tape[10], tape[11], entries[0]["time"], last)
            number += 1
            first = low + 1
        cost += (fill["shares"] - done) * fill["price"]
        done = fill["shares"]
    c["ranges"] = number
    return count


@compiled
def closing_prices(tape, step):
    """Prices to close a position at, at each step of the clock from the first quote's on: bids,
    which close a long, and asks; NaN before any usable quote. And the first step's time."""
    times, is_usable = tape[0], tape[5]
    if times.size == 0:
        return np.empty((2, 0)), 0
    first = times[0] // step * step
    out = np.full((2, (times[-1] - first) // step + 2), np.nan)
    q, u = -1, -1
    for k in range(out.shape[1]):
        time = first + k * step
        while q + 1 < times.size and times[q + 1] <= time:
            q += 1
            u = q if is_usable[q] else u
        if u >= 0:
            out[0, k], out[1, k] = tape[1][u], tape[3][u]
    return out, first


@compiled
def mark(r, c, closing, begin, first, last, out):
    """The closing prices of a position at the steps within two times into `out`; how many, or FULL.

    `closing` are those of its side, from the time `begin` on; after the last it stays.
    """
    step = r["mark_step"]
    c["marks_from"] = (first + step - 1) // step * step
    place, count = (c["marks_from"] - begin) // step, (last - c["marks_from"]) // step + 1
    if count > out.size:
        return FULL
    for k in range(count):
        out[k] = closing[min(place + k, closing.size - 1)]
    return count


@compiled
def fill_candidates(
    tape, rules, closing, begin, candidates, first, entries, ranges, exits, marks, counts
):
    """Fill candidates from `first` on until some output is full; the next one to take.

    `rules` has one record; `closing` and `begin` are those of `closing_prices`; `counts` tells how
    much of the four outputs is used.
    """
    counts[:] = 0
    r = rules[0]
    for k in range(first, candidates.size):
        c = candidates[k]
        c["entries"] = c["ranges"] = c["exits"] = c["marks"] = c["most_shares"] = 0
        c["is_trapped"] = 0
        found = enter(tape, r, c, entries[counts[0] :])
        if found == FULL:
            return k
        c["entries"] = found
        if found > 0:
            held = entries[counts[0] : counts[0] + found]
            rows = exits[counts[2] :]
            closed = exits_of(tape, r, c, held, ranges[counts[1] :], rows)
            if closed == FULL:
                return k
            c["exits"] = closed
            last = held[0]["time"]
            for j in range(closed):
                last = max(last, rows[j]["time"])
            if c["is_trapped"]:
                last = max(last, tape[0][-1])
            prices = closing[0 if c["side"] > 0 else 1]
            marked = mark(r, c, prices, begin, held[0]["time"], last, marks[counts[3] :])
            if marked == FULL:
                return k
            c["marks"] = marked
        counts[0] += c["entries"]
        counts[1] += c["ranges"]
        counts[2] += c["exits"]
        counts[3] += c["marks"]
    return candidates.size


# Price bands -------------------------------------------------------------------------------------
@compiled
def follow_reference(times, prices, reopenings, state, open_time, close_time, window, pause, move):
    """Reference prices of the bands: times and prices from each of which on one holds.

    Of the prices that form them: the first of regular hours, then the mean of a trailing window,
    once it is far enough away and the last move long enough ago; a re-opening print begins anew.
    `reopenings` are its times, ascending. Goes on from the record of REFERENCE in `state`.
    """
    s = state[0]
    out_times, out_prices = np.empty(times.size, np.int64), np.empty(times.size)
    count, first, total, h = 0, s["first"], s["total"], s["halts"]
    reference, moved = s["price"], s["moved"]
    for i in range(s["next"], times.size):
        time = times[i]
        if time < open_time or time >= close_time:
            continue
        is_new = math.isnan(reference)
        while h < reopenings.size and reopenings[h] <= time:
            is_new = is_new or reopenings[h] >= open_time
            h += 1
        if is_new:
            first, total = i, 0.0
        total += prices[i]
        while times[first] <= time - window:
            total -= prices[first]
            first += 1
        mean = total / (i - first + 1)
        is_far = abs(mean - reference) >= move * reference * (1.0 - TOLERANCE)
        if is_new or (is_far and time - moved >= pause):
            reference, moved = (prices[i] if is_new else mean), time
            out_times[count], out_prices[count] = time, reference
            count += 1
    s["next"], s["first"], s["total"], s["halts"] = max(times.size, s["next"]), first, total, h
    s["price"], s["moved"] = reference, moved
    return out_times[:count], out_prices[:count]


# Modelled quotes ---------------------------------------------------------------------------------
@compiled
def insert(sorted_values, count, value):
    """Put a value in its place among the first `count`."""
    i = count
    while i > 0 and sorted_values[i - 1] > value:
        sorted_values[i] = sorted_values[i - 1]
        i -= 1
    sorted_values[i] = value


@compiled
def remove(sorted_values, count, value):
    """Take a value out of the first `count`."""
    i = place(sorted_values[:count], value)
    while i + 1 < count:
        sorted_values[i] = sorted_values[i + 1]
        i += 1


@compiled
def median_of(sorted_values, count):
    """Median of the first `count`; 0 of none."""
    if count == 0:
        return 0.0
    return (sorted_values[(count - 1) // 2] + sorted_values[count // 2]) / 2.0


@compiled
def reversal_medians(times, prices, window, least):
    """At each print the median change that reversed the one before, over a trailing window.

    Over all so far where the window has fewer than `least`; changes of 0 are no reversals.
    """
    medians = np.zeros(prices.size)
    moments, sizes = np.empty(prices.size, np.int64), np.empty(prices.size)
    recent, every = np.empty(prices.size), np.empty(prices.size)
    found, first, before = 0, 0, 0.0
    for i in range(prices.size):
        change = prices[i] - prices[i - 1] if i > 0 else 0.0
        if change * before < 0.0:
            moments[found], sizes[found] = times[i], abs(change)
            insert(recent, found - first, abs(change))
            insert(every, found, abs(change))
            found += 1
        before = change
        while first < found and moments[first] <= times[i] - window:
            remove(recent, found - first, sizes[first])
            first += 1
        is_enough = found - first >= least
        medians[i] = median_of(recent, found - first) if is_enough else median_of(every, found)
    return medians
