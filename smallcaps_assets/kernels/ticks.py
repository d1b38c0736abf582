"""Kernels on single trades: condition flags and the tick rule.

What a condition id means is data of `domain.conditions`; bars are in `bars.py`.
"""

from __future__ import annotations

import numpy as np
from numba import config

from smallcaps_assets.kernels.checks import HIGHEST
from smallcaps_assets.kernels.compiled import compiled

# Ticks that all is done with while they are in the processor's cache; few where nothing is
# compiled, so that what happens at the borders can be tried there too.
CHUNK = 256 if config.DISABLE_JIT else 8192  # type: ignore[attr-defined]
USUAL = 3
CARRY_STEPS = (1, 2, 4, 8, 16, 32, 64)
LAWFUL = 1
KEPT, NOTHING_TRADED, CORRECTION, UNKNOWN_CONDITION = 0, 1, 2, 3
FORM_T_IN_HOURS, BEFORE_SESSION, AFTER_SESSION, CONDITION = 4, 5, 6, 16


@compiled
def combine_flags(ids, offsets, tapes, table, unknown, excluding):
    """The union of the flags of each trade's conditions, and the id that excludes it (else -1).

    Trade i has the conditions ids[offsets[i]:offsets[i + 1]]; table[tape, id] holds the bits of a
    condition, an id outside the table counts as `unknown`, a tape outside it as the first one, and
    `excluding` are the bits that exclude. Few trades have more than USUAL conditions: so many are
    looked up of every trade, since a branch for their number would be guessed wrong too often.
    Indices are unsigned, which puts what is negative outside the table as well.
    """
    trades, tapes_known, width = offsets.size - 1, np.uint64(table.shape[0]), table.shape[1]
    flags, decisive = np.zeros(trades, np.uint16), np.full(trades, -1, np.int32)
    if ids.size == 0:
        return flags, decisive
    padded = np.full((table.shape[0], width + 1), unknown, np.uint16)
    padded[:, :width] = table
    bits, stride, beyond = padded.ravel(), np.uint64(width + 1), np.uint64(width)
    begin = offsets[0]
    for i in range(trades):
        end, tape = offsets[i + 1], np.uint64(tapes[i])
        row = stride * tape if tape < tapes_known else np.uint64(0)
        merged = np.uint16(0)
        for k in range(begin, begin + USUAL):
            found = bits[row + min(np.uint64(ids[np.uint64(min(k, ids.size - 1))]), beyond)]
            merged |= found if k < end else np.uint16(0)
        for k in range(begin + USUAL, end):
            merged |= bits[row + min(np.uint64(ids[k]), beyond)]
        flags[i] = merged
        # Trades that are left out are few, so that this branch costs nothing.
        if merged & excluding:
            for k in range(begin, end):
                if bits[row + min(np.uint64(ids[k]), beyond)] & excluding:
                    decisive[i] = ids[k]
                    break
        begin = end
    return flags, decisive


@compiled
def exclusion_code(time, price, size, correction, flags, decisive, bits, hours):
    """Why a trade is left out: KEPT, one of the codes above, or CONDITION + the id that says so.

    A correction above `LAWFUL` (or below 0) excludes; `bits` are the flags of unknown conditions,
    form T and closing prints; `hours` are premarket open, open, close, the end of the session and
    the last moment of a closing print. The first reason that holds counts.
    """
    unknown, form_t, closing = bits
    premarket_open, opening, close, session_end, closing_end = hours
    code = np.int32(KEPT)
    if time > session_end and not (flags & closing and time <= closing_end):
        code = np.int32(AFTER_SESSION)
    if time < premarket_open:
        code = np.int32(BEFORE_SESSION)
    if flags & form_t and opening <= time < close:
        code = np.int32(FORM_T_IN_HOURS)
    if decisive >= 0:
        code = np.int32(CONDITION + decisive)
    if flags & unknown:
        code = np.int32(UNKNOWN_CONDITION)
    if correction < 0 or correction > LAWFUL:
        code = np.int32(CORRECTION)
    if not (price > 0.0 and size > 0.0):
        code = np.int32(NOTHING_TRADED)
    return code


@compiled
def exclusion_codes(times, prices, sizes, corrections, flags, decisive, bits, hours):
    """`exclusion_code` of each trade, int32."""
    codes = np.empty(times.size, np.int32)
    for i in range(times.size):
        codes[i] = exclusion_code(
            times[i], prices[i], sizes[i], corrections[i], flags[i], decisive[i], bits, hours
        )
    return codes


@compiled
def tick_marks(times, flags, signs, flow_only, auction, session_end):
    """Whether each tick forms prices, is an auction, and lies in the path of labels.

    `flow_only` and `auction` are bits of the flags; the path are ticks that form prices by the
    session's end. An auction has no aggressor: its sign becomes 0 in `signs`.
    """
    is_forming, is_auction = np.empty(times.size, np.bool_), np.empty(times.size, np.bool_)
    in_path = np.empty(times.size, np.bool_)
    for i in range(times.size):
        is_forming[i] = (flags[i] & flow_only) == 0
        is_auction[i] = (flags[i] & auction) != 0
        in_path[i] = ((flags[i] & flow_only) == 0) & (times[i] <= session_end)
        signs[i] = 0 if flags[i] & auction else signs[i]
    return is_forming, is_auction, in_path


@compiled
def long_silences(times, wait):
    """Ticks that nothing follows for `wait` or longer; the last tick is one of them."""
    places = [0 for _ in range(0)]
    for begin in range(0, times.size - 1, CHUNK):
        before = times[begin : min(begin + CHUNK, times.size - 1)]
        after = times[begin + 1 :]
        found = 0
        for i in range(before.size):
            found += np.int64(after[i] - before[i] >= wait)
        if found:
            for i in range(before.size):
                if after[i] - before[i] >= wait:
                    places.append(begin + i)
    places.append(times.size - 1)
    return np.array(places)


@compiled
def is_in_order(times, sequences):
    """Whether every trade comes after the one before it, by time and then by sequence number."""
    earlier, later, before, after = times[:-1], times[1:], sequences[:-1], sequences[1:]
    good = 0
    for i in range(later.size):
        is_next = np.int64(later[i] == earlier[i]) & np.int64(after[i] > before[i])
        good += np.int64(later[i] > earlier[i]) | is_next
    return good == later.size


@compiled
def tick_signs(prices, starts, sign, previous, signs):
    """Tick rule (AFML 2.3.2.1): the sign of the last price change, 0 before the first.

    The trades at `starts` begin a session and are compared with nothing; the sign carries over.
    `sign` and `previous` (NaN: nothing) are those of the trade before. `signs`, int8 and as long,
    is filled; it is an argument, because numpy asks for huge pages. Returns whether every price is
    a finite number, and stops at one that is not.
    """
    spare = np.empty(CHUNK, np.int8)
    s = 0
    for begin in range(0, prices.size, CHUNK):
        end = min(begin + CHUNK, prices.size)
        part = prices[begin:end]
        own, after = signs[begin:end], count_below(starts, s, end)
        if compare_finite(part, own) < part.size:
            return False
        sign = settle_signs(part, starts[s:after] - begin, sign, previous, own, spare)
        s, previous = after, part[-1]
    return True


@compiled
def count_below(places, known, end):
    """How many of the ascending places are below `end`; the first `known` of them are."""
    while known < places.size and places[known] < end:
        known += 1
    return known


@compiled
def sign_chunk(prices, starts, sign, previous, signs, spare):
    """The tick rule of at most CHUNK prices, into `signs`. Returns the last sign."""
    compare(prices, signs)
    return settle_signs(prices, starts, sign, previous, signs, spare)


@compiled
def compare(prices, signs):
    """Signs of the changes from one price to the next, into `signs` from its second place on."""
    before, after, own = prices[:-1], prices[1:], signs[1:]
    for i in range(after.size):
        own[i] = np.int64(after[i] > before[i]) - np.int64(after[i] < before[i])


@compiled
def compare_finite(prices, signs):
    """As `compare`, of prices that nobody has checked; returns how many are finite numbers.

    One pass over the prices takes less time than a check and `compare`, but more than `compare`.
    """
    before, after, own = prices[:-1], prices[1:], signs[1:]
    found = np.int64(abs(prices[0]) <= HIGHEST)
    for i in range(after.size):
        found += np.int64(abs(after[i]) <= HIGHEST)
        own[i] = np.int64(after[i] > before[i]) - np.int64(after[i] < before[i])
    return found


@compiled
def settle_signs(prices, starts, sign, previous, signs, spare):
    """Signs from those of the changes: of the first price, at starts, and where nothing changed."""
    signs[0] = np.int64(prices[0] > previous) - np.int64(prices[0] < previous)
    for start in starts:
        signs[start] = 0
    return carry_signs(signs, sign, spare)


@compiled
def carry_signs(signs, sign, spare):
    """Replace each 0 by the last sign before it, in place; `sign` stands before the first.

    In vector instructions, by doubling: a 0 takes the sign one place back, then two, four ... back.
    A run of zeros too long for that is filled one by one. `spare` is room for as many signs.
    """
    if signs[0] == 0:
        signs[0] = sign
    for step in CARRY_STEPS:
        seen = spare[: signs.size]
        for i in range(signs.size):
            seen[i] = signs[i]
        earlier, later, filled = seen[:-step], seen[step:], signs[step:]
        for i in range(filled.size):
            filled[i] = later[i] if later[i] != 0 else earlier[i]
    zeros = 0
    for i in range(signs.size):
        zeros += np.int64(signs[i] == 0)
    if zeros > 0:
        for i in range(signs.size):
            sign = signs[i] if signs[i] != 0 else sign
            signs[i] = sign
    return np.int64(signs[-1])
