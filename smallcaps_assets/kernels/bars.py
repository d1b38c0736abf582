"""The kernels of the activity bars: dollar, volume and imbalance bars in one pass.

    ticks   0 1 2 3 4 5 6 7 8        a bar takes whole trades up to and including the one
    bars   [0 . .][1][2 . . .][3     that reaches the threshold; the rest waits in the state
    edges         ^         ^        where the session or the block changes: a bar ends before

State lives in two small arrays, so that a pass may stop anywhere and go on bit-identically. Sums
run in the order of the ticks; extremes, which do not depend on order, are taken bar by bar. Ticks
are checked, signed and cut a chunk at a time, while the chunk is in the processor's cache: reading
them from memory more than once would take longer than all the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from smallcaps_assets.kernels.checks import SMALLEST, first_descent, first_outside
from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.kernels.elementary import power
from smallcaps_assets.kernels.ticks import CHUNK, count_below, sign_chunk

# Float state; the first FLOAT_COLUMNS of them are the columns of a bar.
OPEN, HIGH, LOW, CLOSE, VOLUME, DOLLARS, BUY, SELL, UNSIGNED, THETA = range(10)
THRESHOLD, E_TICKS, E_IMBALANCE, FIRST_PRICE, LAST_FORMING = range(10, 15)
FLOAT_STATE = 15
FLOAT_COLUMNS = 13

# Integer state.
FIRST, OPEN_TIME, LAST_TIME, TICKS, FORMING, CLOSED, BLOCK, SESSION, SEEN = range(9)
INT_STATE = 9
# Integer columns of a bar.
C_FIRST, C_LAST, C_OPEN_TIME, C_CLOSE_TIME, C_TICKS, C_REASON, C_CLAMPED, C_SESSION = range(8)
INT_COLUMNS = 8

BY_THRESHOLD, BY_SESSION, BY_HALT = 0, 1, 2
ALL_BUT_SIGN = 0x7FFF_FFFF_FFFF_FFFF
# Doubles hold every whole number up to 2^53; sizes below 2^31 can't overflow an int64 before.
LARGEST_WHOLE, LARGEST_SIZE = 2**53, 2**31
# Room in the output that a chunk may need: each tick can end a bar, before it and with it.
MOST_ROWS = 2 * CHUNK


class Ticks(NamedTuple):
    """Columns of ticks, of one length."""

    times: np.ndarray
    prices: np.ndarray
    sizes: np.ndarray
    forming: np.ndarray


class Signing(NamedTuple):
    """How ticks get their signs: known ones, or if empty the tick rule, anew at `starts`.

    Where `auctions`, which may be empty too, is true they are 0.
    """

    known: np.ndarray
    auctions: np.ndarray
    starts: np.ndarray


class Edges(NamedTuple):
    """Another block or session, `blocks[e]` and `sessions[e]`, begins at tick `ticks[e]`."""

    ticks: np.ndarray
    blocks: np.ndarray
    sessions: np.ndarray


class Rule(NamedTuple):
    """When a bar ends: what is counted, the threshold's target, and how it adapts."""

    in_dollars: bool
    is_imbalance: bool
    target: float
    alpha: float
    gamma: float
    kappa: float


class State(NamedTuple):
    """The open bar and what outlives it, changed in place: FLOAT_STATE and INT_STATE values."""

    floats: np.ndarray
    integers: np.ndarray


class Rows(NamedTuple):
    """Room for bars: FLOAT_COLUMNS and INT_COLUMNS columns."""

    floats: np.ndarray
    integers: np.ndarray


@compiled
def clear_bar(state):
    """Forget the open bar; thresholds, averages and the last price stay."""
    f, n = state.floats, state.integers
    f[OPEN] = np.nan
    f[HIGH] = -np.inf
    f[LOW] = np.inf
    f[CLOSE] = np.nan
    for k in range(VOLUME, THETA + 1):
        f[k] = 0.0
    n[TICKS] = 0
    n[FORMING] = 0


@compiled
def write_bar(state, rule, reason, out, row):
    """Write the open bar as a row; without price-forming trades it keeps the last known price."""
    f, n = state.floats, state.integers
    out_f, out_n = out.floats, out.integers
    low_clamp, high_clamp = rule.target / rule.kappa, rule.target * rule.kappa
    for k in range(FLOAT_COLUMNS):
        out_f[row, k] = f[k]
    if n[FORMING] == 0:
        price = f[LAST_FORMING] if f[LAST_FORMING] == f[LAST_FORMING] else f[FIRST_PRICE]
        for k in range(OPEN, CLOSE + 1):
            out_f[row, k] = price
    clamped = n[CLOSED] > 0 and (f[THRESHOLD] == low_clamp or f[THRESHOLD] == high_clamp)
    out_n[row, C_FIRST] = n[FIRST]
    out_n[row, C_LAST] = n[FIRST] + n[TICKS] - 1
    out_n[row, C_OPEN_TIME] = n[OPEN_TIME]
    out_n[row, C_CLOSE_TIME] = n[LAST_TIME]
    out_n[row, C_TICKS] = n[TICKS]
    out_n[row, C_REASON] = reason
    out_n[row, C_CLAMPED] = clamped
    out_n[row, C_SESSION] = n[SESSION]


@compiled
def update_threshold(state, rule):
    """Averages and threshold after a bar that reached its threshold (AFML 2.3.2.1, damped)."""
    f, n, target = state.floats, state.integers, rule.target
    ticks = float(n[TICKS])
    imbalance = f[THETA] / ticks
    if n[CLOSED] == 0:
        f[E_TICKS] = ticks
        f[E_IMBALANCE] = imbalance
    else:
        f[E_TICKS] += rule.alpha * (ticks - f[E_TICKS])
        f[E_IMBALANCE] += rule.alpha * (imbalance - f[E_IMBALANCE])
    raw = f[E_TICKS] * abs(f[E_IMBALANCE])
    wanted = target * power(raw / target, rule.gamma)
    f[THRESHOLD] = min(max(wanted, target / rule.kappa), target * rule.kappa)
    n[CLOSED] += 1


@compiled
def fill_bar(prices, sizes, signs, rule, f):
    """Add dollars and theta of ticks up to the one that reaches the threshold; how many it took.

    Two chains of sums in the order of the ticks, and no branch on the sign, which would mispredict
    half of the time. All else that a bar sums can wait until its ticks are known.
    """
    in_dollars, is_imbalance = rule.in_dollars, rule.is_imbalance
    dollars, theta, threshold = f[DOLLARS], f[THETA], f[THRESHOLD]
    taken = prices.size
    for i in range(prices.size):
        size, sign = sizes[i], float(signs[i])
        amount = prices[i] * size
        dollars += amount
        theta += (amount if in_dollars else size) * (sign if is_imbalance else 1.0)
        if abs(theta) >= threshold:
            taken = i + 1
            break
    f[DOLLARS], f[THETA] = dollars, theta
    return taken


@compiled
def sum_sizes(sizes, signs, f):
    """Add the sizes of ticks to the open bar: all, bought, sold and without a sign.

    Whole numbers add up to the same in any order, so that those take vector instructions; a
    fractional size makes its bar add up tick by tick.
    """
    whole = total = buy = sell = np.int64(0)
    for i in range(sizes.size):
        size, sign = np.int64(sizes[i]), np.int64(signs[i])
        whole += np.int64(float(size) == sizes[i]) & np.int64(size < LARGEST_SIZE)
        total += size
        buy += size & -np.int64(sign > 0)
        sell += size & -np.int64(sign < 0)
    is_whole = whole == sizes.size and f[VOLUME] + total < LARGEST_WHOLE
    for k in (VOLUME, BUY, SELL, UNSIGNED):
        is_whole &= f[k] == np.floor(f[k])
    if is_whole:
        f[VOLUME] += total
        f[BUY] += buy
        f[SELL] += sell
        f[UNSIGNED] += total - buy - sell
        return
    for i in range(sizes.size):
        f[VOLUME] += sizes[i]
        f[BUY] += sizes[i] * float(max(signs[i], 0))
        f[SELL] += sizes[i] * float(max(-signs[i], 0))
        f[UNSIGNED] += sizes[i] * float(1 - abs(signs[i]))


@compiled
def form_prices(prices, forming, f, n):
    """Add ticks to the open bar's open, high, low and close, as far as they form prices.

    Positive doubles order like their bits, and integers have vector instructions for extremes.
    """
    first, last = 0, prices.size - 1
    while first <= last and not forming[first]:
        first += 1
    if first > last:
        return
    while not forming[last]:
        last -= 1
    bits, counts, state = prices.view(np.int64), forming.view(np.int8), f.view(np.int64)
    high, low = state[HIGH], state[LOW]
    for i in range(bits.size):
        mask = -np.int64(counts[i])
        high = max(high, bits[i] & mask)
        low = min(low, bits[i] | (~mask & ALL_BUT_SIGN))
    state[HIGH], state[LOW] = high, low
    if n[FORMING] == 0:
        f[OPEN] = prices[first]
    f[CLOSE] = f[LAST_FORMING] = prices[last]
    n[FORMING] = 1


@compiled
def cut_bars(ticks, signs, edges, rule, state, out):
    """Cut ticks into bars. Returns the number of rows written, at most two a tick."""
    prices, sizes, f, n = ticks.prices, ticks.sizes, state.floats, state.integers
    rows, i = 0, 0
    for e in range(edges.ticks.size + 1):
        stop = edges.ticks[e] if e < edges.ticks.size else prices.size
        while i < stop:
            if n[TICKS] == 0:
                n[FIRST], n[OPEN_TIME] = n[SEEN] + i, ticks.times[i]
                f[FIRST_PRICE] = prices[i]
            taken = fill_bar(prices[i:stop], sizes[i:stop], signs[i:stop], rule, f)
            end = i + taken
            sum_sizes(sizes[i:end], signs[i:end], f)
            form_prices(prices[i:end], ticks.forming[i:end], f, n)
            n[TICKS] += taken
            n[LAST_TIME] = ticks.times[end - 1]
            i = end
            if abs(f[THETA]) >= f[THRESHOLD]:
                write_bar(state, rule, BY_THRESHOLD, out, rows)
                rows += 1
                if rule.is_imbalance:
                    update_threshold(state, rule)
                clear_bar(state)
        if e < edges.ticks.size:
            is_new_session = edges.sessions[e] != n[SESSION]
            reason = BY_SESSION if is_new_session else BY_HALT
            rows += cut_rest(state, rule, reason, out, rows)
            if is_new_session:
                f[LAST_FORMING] = np.nan
            n[BLOCK], n[SESSION] = edges.blocks[e], edges.sessions[e]
    n[SEEN] += prices.size
    return rows


@compiled
def cut_rest(state, rule, reason, out, row):
    """Write the open bar, if there is one, as the remainder. Returns the number of rows written."""
    if state.integers[TICKS] == 0:
        return 0
    write_bar(state, rule, reason, out, row)
    clear_bar(state)
    return 1


@compiled
def cut_ticks(ticks, signing, sign, previous, edges, rule, state, start, out):
    """Check ticks from `start` on, sign them and cut them into bars, chunk by chunk.

    `sign` and `previous`, a price, are those before the first tick, as in `tick_signs`. Returns the
    rows written, the next tick (not the end, when the rows of another chunk might not fit; -1 when
    a value is no good), and the sign and price before it.
    """
    times, prices, sizes = ticks.times, ticks.prices, ticks.sizes
    starts, auctions = signing.starts, signing.auctions
    signs, spare = np.empty(CHUNK, np.int8), np.empty(CHUNK, np.int8)
    s, e, rows = count_below(starts, 0, start), count_below(edges.ticks, 0, start), 0
    for begin in range(start, prices.size, CHUNK):
        if rows + MOST_ROWS > out.floats.shape[0]:
            return rows, begin, sign, previous
        end = min(begin + CHUNK, prices.size)
        part, own = prices[begin:end], signs[: end - begin]
        is_good = first_outside(part, SMALLEST) < 0 and first_outside(sizes[begin:end], 0.0) < 0
        if not is_good or first_descent(times[max(begin - 1, 0) : end]) >= 0:
            return rows, -1, sign, previous
        if signing.known.size > 0:
            own[:] = signing.known[begin:end]
        else:
            after = count_below(starts, s, end)
            sign = sign_chunk(part, starts[s:after] - begin, sign, previous, own, spare)
            s, previous = after, part[-1]
        if auctions.size > 0:
            for i in range(own.size):
                own[i] *= np.int8(not auctions[begin + i])
        after = count_below(edges.ticks, e, end)
        rows += cut_bars(
            Ticks(times[begin:end], part, sizes[begin:end], ticks.forming[begin:end]),
            own,
            Edges(edges.ticks[e:after] - begin, edges.blocks[e:after], edges.sessions[e:after]),
            rule,
            state,
            Rows(out.floats[rows:], out.integers[rows:]),
        )
        e = after
    return rows, prices.size, sign, previous
