"""Kernels that print the trades of one simulated ticker-session.

Holds numba kernels only: arrays in, arrays out. What a day is to be is decided in plan.py, where
prices tend to in process.py, when trading pauses in luld.py; bars out of rows in bars.py, frames
in frames.py.

Prices live on a lattice of half cents (0.0001 dollars below one dollar). A change of price goes
back by one unit with probability 0.72, or on by 2 or 3 units (mean 0.72 / 0.28) with 0.28, so that
the expected change is zero whatever happened before although signs reverse; the drift of the
minute leans on that probability. How long a price stands, how large a unit is and how many trades
a minute has never depend on the direction, and what a pause does to the price is fair as well.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from smallcaps_assets.sandbox.randomness import (
    R11,
    exponential_table,
    log_uniform_table,
    next_bits,
    next_normal,
    next_uniform,
    pareto_table,
    portable_exp,
)
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import luld
from smallcaps_assets.sandbox.simulation import process as law

# Rows of a tape (int64[ROWS, n]): price in 1e-4 dollars, size in 1e-6 shares, instants in UTC ns.
SIP, PARTICIPANT, PRICE, SIZE, CODE, EXCHANGE, CORRECTION, SEQUENCE, TRF_TIME = range(9)
ROWS = 9

# Columns of a day's plan (float64[PLAN]).
(
    P_TRADES,  # expected regular trades
    P_PREMARKET,  # share of P_TRADES printed before the open
    P_POSTMARKET,  # the same after the close
    P_SIGMA,  # wanted standard deviation of the day's return
    P_GAP,  # relative overnight change, at 04:00
    P_SHOCK_MINUTE,  # minute from 04:00 of a news shock, -1 for none
    P_SHOCK,  # its relative change of price
    P_HALT,  # regular minute of a news halt, -1 for none
    P_HALT_MINUTES,  # its length; past the day for one that lasts until another day
    P_HALT_JUMP,  # relative change over it
    P_OFFERING,  # relative change after the close if the day rose by RUN_UP, 0 for none
    P_FACTS,  # drift of the first two hours by facts that are known, see process.py
    P_EDGE,  # scale of the drift
    P_PRICE_FACTOR,  # split factor on the previous close
    P_SIZE_FACTOR,  # factor on sizes
    P_DIVIDEND,  # dollars taken off the previous close
    P_FRACTIONAL,  # 1 when sizes may be fractions of a share
    P_PRIMARY,  # exchange id of the primary listing
    P_WILD,  # 1 on a day whose number of trades may shrink to keep P_SIGMA
    P_EARLY_BANDS,  # 1 in the years in which bands were doubled at the open as well
) = range(20)
PLAN = 20

# Columns of a trace: the state at the start of each minute, then these.
T_DRIFT, T_CHANGES, T_IS_HALTED = range(law.STATE, law.STATE + 3)
TRACE = law.STATE + 3

# Columns of an event (int64), and its kinds. before, after: prices in 1e-4 dollars.
E_KIND, E_BEGIN, E_END, E_BEFORE, E_AFTER = range(5)
EVENT = 5
PAUSE, NEWS_HALT, LONG_HALT, SHOCK, OFFERING = range(5)
MAXIMUM_EVENTS = 64

# What trading waits for (int64): the end of a limit state, of a halt, the price that was proposed,
# the earliest time a late report may name, and how many events there are.
H_LIMIT, H_UNTIL, H_PENDING, H_EARLIEST, H_EVENTS = range(5)

# What a day's printing carries along (float64): prints owed, probability of a change at the next
# print, reference price and bands in 1e-4 dollars, pace of the day, and of the minute the mean and
# the factor of a change.
(
    V_OWED,
    V_CHANGE,
    V_USUAL_CHANGE,
    V_REFERENCE,
    V_LOW,
    V_HIGH,
    V_TRADES,
    V_SHARE,
    V_ABOVE,
    V_BELOW,
    V_SCALE,
    V_UNIT_SCALE,
    V_LEAN,
    V_STEP,
    V_PRIOR,
) = range(15)
CARRIED = 15

PAUSE_NS = 300_000_000_000
TO_CLOSING_NS = 600_000_000_000  # pauses in force so long before the close end in its auction
EXTENDED = 0.12  # share of pauses that go on by five minutes
RESOLVED = 0.30  # share of limit states that end without a pause
RUN_UP = 0.25
MARGIN = 0.003  # prices stay so far inside a band, relative to its reference
CROSS_FROM_TRADES = 25.0  # quieter sessions have no auctions, and at times no trade at all
CHANGE_SHARE = 0.415
LONG_RUN_SHARE = 0.0205
LONG_RUN = 30.0
REVERSAL = 0.72
STEP_DEVIATION_BELOW = 2.2
STEP_DEVIATION = 185.0  # root mean square change in 1e-4 dollars when the unit is one cent
STEP, STEP_BELOW = 130.0, 1.62  # the same in a minute whose units are the usual ones
STEP_RATIO = 1.71  # of that to the mean unit
FANO = 60.0
UNIT_SPREAD = 0.72
MINUTE = 60_000_000_000
PREMARKET_MINUTES = 330
PRICE_FLOOR = 300
EXPONENTIAL = exponential_table()
TINY_GAPS = log_uniform_table(2_000, 900_000)
SHORT_DELAYS = log_uniform_table(600_000, 400_000_000)
LONG_DELAYS = log_uniform_table(400_000_000, 10_000_000_000)
BLOCK_SIZES = pareto_table(190.0, 1.40, 21_000.0)
VENUES = np.array([12, 12, 12, 11, 11, 8, 8, 19, 19, 7, 18, 15, 21, 20, 2, 10], dtype=np.int64)


@njit(cache=True, nogil=True)
def burst_scales(per_minute):
    """(deviation of the log of a minute's activity, deviation of the log of its unit of price).

    The variance of the bursts makes the Fano factor of prints per minute about FANO; where counts
    vary too little for real tails of returns, units vary the more.
    """
    spread = min(FANO / max(per_minute, 0.05), 6.0)
    log_variance = 0.0
    probe = 1.0
    while probe < 1.0 + spread and log_variance < 2.0:
        log_variance += 0.02
        probe = portable_exp(log_variance)
    scale = math.sqrt(log_variance)
    return scale, max(0.05, UNIT_SPREAD - 0.55 * scale)


@njit(cache=True, nogil=True, inline="always")
def usual_prints(plan, minute, regular, post, trades):
    """Expected prints of a minute by the time of day alone."""
    if minute < 0:
        x = (minute + PREMARKET_MINUTES) / PREMARKET_MINUTES
        return plan[P_PREMARKET] * trades / PREMARKET_MINUTES * (0.2 + x * x) / 0.533
    if minute < regular:
        x = minute / regular - 0.58
        return trades / regular * (0.8 + 2.0 * x * x) / 0.979
    x = 1.0 - (minute - regular) / post
    return plan[P_POSTMARKET] * trades / post * (0.1 + x * x) / 0.433


@njit(cache=True, nogil=True, inline="always")
def _lattice_unit(position, above, below, factor, state):
    """Size of one step: cents above a dollar (half cents at times), 0.0001 below."""
    if position < 10_000:
        return max(1, int(max(1.0, position * below) * factor + next_uniform(state)))
    cents = max(1.0, position * above / 100.0) * factor
    unit = max(1, int(cents + next_uniform(state))) * 100
    to_half = 0.77 if position % 100 != 0 else 0.325
    if next_uniform(state) < to_half:
        return 50
    return unit


@njit(cache=True, nogil=True, inline="always")
def _proposal(walk, above, below, factor, lean, state):
    """The next price. walk: [position, last direction, jitter]; lean: the mean change in units."""
    position = walk[0]
    if position >= 10_000 and position % 50 != 0:
        # Coming from below a dollar: on to the coarser lattice, up or down without bias.
        rest = position % 50
        position += 50 - rest if next_uniform(state) * 50.0 < rest else -rest
    unit = _lattice_unit(position, above, below, factor, state)
    # One step back or 18/7 on: a mean of lean takes 7/25 of it off the probability of going back.
    direction = walk[1]
    shift = min(0.2, max(-0.2, lean * 0.28))
    if next_uniform(state) < REVERSAL - shift * direction:
        direction = -direction
        steps = 1
    else:
        steps = 2 if next_uniform(state) < 3.0 / 7.0 else 3
    if position + direction * steps * unit < PRICE_FLOOR:
        direction = 1
    return position + direction * steps * unit


@njit(cache=True, nogil=True, inline="always")
def _set_price(walk, position, state):
    """Let the price be `position`, with the jitter of prices between cents."""
    walk[1] = 1 if position > walk[0] else -1
    walk[0] = position
    walk[2] = 0
    if position >= 10_000 and position % 100 != 0:
        walk[2] = int(next_uniform(state) * 9.0) - 4


@njit(cache=True, nogil=True)
def _on_lattice(price, state):
    """A price on the lattice of whole cents (0.0001 below a dollar), right on average."""
    unit = 100 if price >= 10_000.0 else 1
    return max(int(price / unit + next_uniform(state)) * unit, PRICE_FLOOR)


@njit(cache=True, nogil=True, inline="always")
def _size(odd_share, size_factor, fractional, state):
    """Shares in millionths, odd lots included."""
    u = next_uniform(state)
    v = next_uniform(state)
    if u < odd_share:
        whole = 1 + int(98.0 * v * v)
        if fractional > 0.0 and u < 0.3 * odd_share:
            return whole * 1_000_000 + int(v * 999_999.0)
        return whole * 1_000_000
    if u < odd_share + (1.0 - odd_share) * 0.50:
        return 100 * 1_000_000
    raw = BLOCK_SIZES[int(v * 4096.0)] * size_factor
    # Most blocks are round lots.
    if (u * 1000.0) % 1.0 < 0.72:
        return (int(raw / 100.0) + 1) * 100_000_000
    return max(101, int(raw)) * 1_000_000


@njit(cache=True, nogil=True, inline="always")
def _write(tape, n, sip, price, size, code, exchange, state):
    """Append one row; returns the new count."""
    bits = next_bits(state)
    r = (bits >> R11) * (1.0 / 9007199254740992.0)
    trf_time = 0
    if exchange == 4:
        if r < 0.93:
            delay = SHORT_DELAYS[int(r / 0.93 * 1024.0)]
        else:
            delay = LONG_DELAYS[int((r - 0.93) / 0.07 * 1024.0)]
        trf_time = sip - 20_000 - int(bits & np.uint64(0x3FFFF))
    else:
        delay = 120_000 + int(bits & np.uint64(0x7FFFF))
    tape[SIP, n] = sip
    tape[PARTICIPANT, n] = sip - delay
    tape[PRICE, n] = price
    tape[SIZE, n] = size
    tape[CODE, n] = code
    tape[EXCHANGE, n] = exchange
    tape[CORRECTION, n] = 0
    previous = tape[SEQUENCE, n - 1] if n > 0 else 1000
    tape[SEQUENCE, n] = previous + 1 + int(bits & np.uint64(0x1F))
    tape[TRF_TIME, n] = trf_time
    return n + 1


@njit(cache=True, nogil=True, inline="always")
def _print_trade(tape, n, sip, walk, plan, is_regular, earliest, state):
    """Append an ordinary print at the present price."""
    price = walk[0] + walk[2]
    size = _size(0.255 if is_regular else 0.39, plan[P_SIZE_FACTOR], plan[P_FRACTIONAL], state)
    code = c.ODD_BIT if size < 100_000_000 else 0
    if not is_regular:
        code += c.EXTENDED_BIT
    u = next_uniform(state)
    sub_penny = price >= 10_000 and price % 100 != 0
    if sub_penny or u < 0.22:
        exchange = 4
    else:
        exchange = VENUES[int(next_uniform(state) * 16.0)]
        if (u * 97.0) % 1.0 < 0.4:
            code += c.SWEEP_BIT
    n = _write(tape, n, sip, price, size, code, exchange, state)
    if u > 0.9945:
        if u > 0.9985:
            row = c.AVERAGE if is_regular else c.AVERAGE_EXTENDED
            tape[PRICE, n - 1] = price + int(price * 0.004 * (next_uniform(state) - 0.5))
            tape[CODE, n - 1] = row
            tape[EXCHANGE, n - 1] = 4
        elif is_regular and u > 0.9970:
            tape[CODE, n - 1] = c.DERIVATIVE if u > 0.9978 else c.OUT_OF_SEQUENCE
        elif is_regular and u > 0.9966:
            tape[CODE, n - 1] = tape[CODE, n - 1] | c.EXTENDED_BIT
        elif u > 0.9963:
            tape[CORRECTION, n - 1] = 8 if u > 0.99645 else 1
        if tape[EXCHANGE, n - 1] == 4 and tape[TRF_TIME, n - 1] == 0:
            tape[TRF_TIME, n - 1] = sip - 20_000
    if tape[PARTICIPANT, n - 1] < earliest:
        tape[PARTICIPANT, n - 1] = min(earliest, sip - 1)
    return n


@njit(cache=True, nogil=True)
def _auction(tape, n, sip, walk, plan, share, code, state):
    """Append a cross at the primary exchange: one big round-lot print on the penny."""
    lots = int(plan[P_TRADES] * share * (0.5 + next_uniform(state)) * 3.0) + 2
    exchange = int(plan[P_PRIMARY])
    price = walk[0]
    n = _write(tape, n, sip, price, lots * 100_000_000, code, exchange, state)
    if code == c.REOPENING:
        return n
    message = c.OFFICIAL_OPEN if code == c.OPENING else c.OFFICIAL_CLOSE
    size = lots * 100_000_000 if code == c.OPENING else 0
    return _write(tape, n, sip + 900_000, price, size, message, exchange, state)


@njit(cache=True, nogil=True)
def _times(count, start, end, state, times):
    """`count` instants in [start, end): bursts with tiny gaps, exponential gaps between them."""
    wide = 0.0
    tiny = 0
    for j in range(count + 1):
        u = next_uniform(state)
        if j > 0 and j < count and u < 0.46:
            times[j] = -TINY_GAPS[int(next_uniform(state) * 1024.0)]
            tiny -= times[j]
        else:
            gap = EXPONENTIAL[int(next_uniform(state) * 4096.0)] + 1e-6
            times[j] = int(gap * 1e9)
            wide += gap * 1e9
    room = max(float(end - start - tiny), 0.0)
    stretch = room / wide
    now = start
    for j in range(count):
        gap = times[j]
        now += -gap if gap < 0 else int(gap * stretch)
        times[j] = now if now < end else end - 1


@njit(cache=True, nogil=True)
def _note(events, wait, kind, begin, end, before, after):
    """Append an event."""
    row = wait[H_EVENTS]
    if row < MAXIMUM_EVENTS:
        events[row, E_KIND] = kind
        events[row, E_BEGIN] = begin
        events[row, E_END] = end
        events[row, E_BEFORE] = before
        events[row, E_AFTER] = after
        wait[H_EVENTS] = row + 1


@njit(cache=True, nogil=True)
def _end_limit(walk, wait, events, close, state):
    """A limit state is over: the price comes back, or a pause begins. Both are fair together."""
    begin = wait[H_LIMIT]
    wait[H_LIMIT] = 0
    pending = float(wait[H_PENDING])
    inside = walk[0] * (0.985 if pending > walk[0] else 1.015)
    if next_uniform(state) < RESOLVED:
        _set_price(walk, _on_lattice(inside, state), state)
        return
    wait[H_PENDING] = int((pending - RESOLVED * inside) / (1.0 - RESOLVED) + next_uniform(state))
    length = PAUSE_NS
    while next_uniform(state) < EXTENDED:
        length += PAUSE_NS
    wait[H_UNTIL] = begin + length
    if wait[H_UNTIL] > close - TO_CLOSING_NS:
        wait[H_UNTIL] = close
    _note(events, wait, PAUSE, begin, wait[H_UNTIL], walk[0], 0)


@njit(cache=True, nogil=True)
def _resume(walk, wait, events, law_state, state):
    """The price after a halt: what was proposed, and a fair change of some percent."""
    change = 0.03 * next_normal(state)
    price = _on_lattice(max(wait[H_PENDING] * (1.0 + change), 1.0), state)
    law_state[law.S_PUSH] = 1.0 if price > walk[0] else -1.0
    _set_price(walk, price, state)
    walk[2] = 0
    wait[H_UNTIL] = 0
    events[wait[H_EVENTS] - 1, E_AFTER] = price


@njit(cache=True, nogil=True)
def _reopen(tape, n, walk, plan, wait, events, window, law_state, state):
    """End a halt by an auction. Returns the new count."""
    at = wait[H_UNTIL] + 30_000_000 + int(next_uniform(state) * 9e8)
    _resume(walk, wait, events, law_state, state)
    wait[H_EARLIEST] = at
    n = _auction(tape, n, at, walk, plan, 0.01, c.REOPENING, state)
    luld.restart(window, n, at)
    return n


@njit(cache=True, nogil=True)
def pace(plan, start):
    """(trades, share of them that change the price, units of price relative to the price above
    and below a dollar).

    Chosen so that the day's return has about the wanted deviation: with fewer changes on ordinary
    days, fewer trades on wild ones, or units of more than a cent.
    """
    trades = max(plan[P_TRADES], 1e-3)
    cents = (plan[P_SIGMA] * start / STEP_DEVIATION) ** 2
    share = CHANGE_SHARE
    if start >= 10_000 and cents < CHANGE_SHARE * trades:
        if plan[P_WILD] > 0.0:
            trades = max(cents / CHANGE_SHARE, min(trades, 8_500.0))
        else:
            share = max(cents / trades, 0.08)
    unit = plan[P_SIGMA] / math.sqrt(share * trades)
    return trades, share, unit * 100.0 / STEP_DEVIATION, unit / STEP_DEVIATION_BELOW


@njit(cache=True, nogil=True)
def usual_step(price, above, below):
    """Deviation of a change of price in a minute with the usual units, relative to the price."""
    if price < 10_000.0:
        return STEP_BELOW * max(1.0, price * below) / price
    return STEP * max(1.0, price * above / 100.0) / price


@njit(cache=True, nogil=True, inline="always")
def _is_beyond(price, carried):
    """Whether a price is not well inside the bands in force."""
    margin = MARGIN * carried[V_REFERENCE]
    return not carried[V_LOW] + margin <= price <= carried[V_HIGH] - margin


@njit(cache=True, nogil=True, inline="always")
def _propose(walk, price, now, wait, carried, state):
    """Let the price be `price`, or begin a limit state where the bands are in the way."""
    if carried[V_HIGH] > 0.0 and _is_beyond(price, carried):
        wait[H_LIMIT] = now + luld.LIMIT
        wait[H_PENDING] = price
    else:
        _set_price(walk, price, state)


@njit(cache=True, nogil=True)
def _set_bands(plan, minute, regular, carried):
    """Bands in force around the reference price."""
    carried[V_HIGH] = 0.0
    if carried[V_REFERENCE] > 0.0 and 0 <= minute < regular:
        low, high = luld.bounds(
            carried[V_REFERENCE], carried[V_PRIOR], minute, regular, plan[P_EARLY_BANDS] > 0.0
        )
        carried[V_LOW] = low
        carried[V_HIGH] = high


@njit(cache=True, nogil=True)
def _open(tape, n, begin, walk, plan, window, state):
    """The opening auction. Returns (new count, when ordinary trading begins)."""
    window[luld.W_FIRST] = window[luld.W_NEXT] = n
    if plan[P_TRADES] < CROSS_FROM_TRADES:
        return n, begin
    at = begin + 80_000_000 + int(next_uniform(state) * 1.4e9)
    return _auction(tape, n, at, walk, plan, 0.012, c.OPENING, state), at + 2_000_000


@njit(cache=True, nogil=True)
def _close(tape, n, begin, walk, plan, wait, events, law_state, prior, state):
    """The closing auction, in which pauses end. Returns (new count, when trading goes on)."""
    if wait[H_LIMIT] > 0:
        wait[H_LIMIT] = 0
        _set_price(walk, _on_lattice(float(wait[H_PENDING]), state), state)
    if 0 < wait[H_UNTIL] <= begin:
        _resume(walk, wait, events, law_state, state)
    if plan[P_TRADES] >= CROSS_FROM_TRADES and wait[H_UNTIL] == 0:
        at = begin + 1_500_000_000 + int(next_uniform(state) * 5e9)
        n = _auction(tape, n, at, walk, plan, 0.022, c.CLOSING, state)
        begin = at + 50_000_000
        wait[H_EARLIEST] = begin
    if plan[P_OFFERING] != 0.0 and walk[0] > (1.0 + RUN_UP) * prior and wait[H_UNTIL] == 0:
        wait[H_PENDING] = _on_lattice(walk[0] * (1.0 + plan[P_OFFERING]), state)
        _note(events, wait, OFFERING, 0, 0, 0, wait[H_PENDING])
    return n, begin


@njit(cache=True, nogil=True)
def _offer(begin, walk, wait, events, law_state, state):
    """An offering is priced, if one was decided at the close."""
    last = wait[H_EVENTS] - 1
    if last >= 0 and events[last, E_KIND] == OFFERING:
        events[last, E_BEGIN] = events[last, E_END] = begin
        events[last, E_BEFORE] = walk[0]
        _set_price(walk, events[last, E_AFTER], state)
        law_state[law.S_EXCITED] += 4.0


@njit(cache=True, nogil=True)
def _shock(begin, walk, plan, wait, events, law_state, carried, state):
    """News at which trading goes on."""
    price = _on_lattice(walk[0] * (1.0 + plan[P_SHOCK]), state)
    _note(events, wait, SHOCK, begin, begin, walk[0], price)
    law_state[law.S_EXCITED] += min(20.0 * abs(plan[P_SHOCK]), 5.0)
    law_state[law.S_PUSH] = 1.0 if price > walk[0] else -1.0
    _propose(walk, price, begin, wait, carried, state)


@njit(cache=True, nogil=True)
def _halt(begin, hours, walk, plan, wait, events):
    """A halt for news, or one that lasts until another day."""
    is_long = plan[P_HALT_MINUTES] > 390.0
    until = begin + int(plan[P_HALT_MINUTES]) * MINUTE
    if is_long:
        until = hours[3] + MINUTE
    elif until > hours[2] - TO_CLOSING_NS:
        until = hours[2]
    wait[H_LIMIT] = 0
    wait[H_UNTIL] = until
    wait[H_PENDING] = int(walk[0] * (1.0 + plan[P_HALT_JUMP]))
    _note(events, wait, LONG_HALT if is_long else NEWS_HALT, begin, until, walk[0], 0)


@njit(cache=True, nogil=True, inline="always")
def _count(plan, minute, regular, post, law_state, carried, row):
    """How many prints a minute has; fills its row of the trace, and the mean of a change."""
    usual = usual_prints(plan, minute, regular, post, carried[V_TRADES])
    expected = usual * law.activity(law_state, carried[V_SCALE])
    regime = int(law_state[law.S_REGIME])
    step = law.REGIME_STEP[regime]
    if carried[V_UNIT_SCALE] * law_state[law.S_LEVEL] > 0.0:
        step *= portable_exp(carried[V_UNIT_SCALE] * law_state[law.S_LEVEL])
    changes = expected * carried[V_SHARE]
    drift = plan[P_EDGE] * law.public_drift(law_state, minute, regular)
    carried[V_LEAN] = drift * law.REGIME_DRIFT[regime] * STEP_RATIO / math.sqrt(max(changes, 1.0))
    carried[V_STEP] = step
    for k in range(law.STATE):
        row[k] = law_state[k]
    row[T_DRIFT] = drift
    row[T_CHANGES] = changes
    carried[V_OWED] += expected
    count = int(carried[V_OWED])
    carried[V_OWED] -= count
    return count


@njit(cache=True, nogil=True)
def _print_minute(
    tape, n, times, count, minute, regular, hours, walk, plan, wait, events, window, law_state,
    carried, state,
):  # fmt: skip
    """Print the trades of a minute at these times. Returns the new count."""
    is_regular = 0 <= minute < regular
    end = hours[1] + (minute + 1) * MINUTE
    for j in range(count):
        now = times[j]
        if wait[H_LIMIT] > 0 and now >= wait[H_LIMIT]:
            _end_limit(walk, wait, events, hours[2], state)
        if wait[H_UNTIL] > 0:
            if now < wait[H_UNTIL] or wait[H_UNTIL] >= hours[2]:
                continue
            n = _reopen(tape, n, walk, plan, wait, events, window, law_state, state)
            carried[V_REFERENCE] = walk[0]
            _set_bands(plan, minute, regular, carried)
        if n > 0 and now < tape[SIP, n - 1]:
            now = tape[SIP, n - 1] + j
        if is_regular:
            if now >= end:
                continue
            reference = luld.reference_at(
                carried[V_REFERENCE], window, tape, n, now, SIP, PRICE, CODE, CORRECTION
            )
            if reference != carried[V_REFERENCE]:
                carried[V_REFERENCE] = reference
                wait[H_EARLIEST] = max(wait[H_EARLIEST], now)
                _set_bands(plan, minute, regular, carried)
            if carried[V_HIGH] > 0.0 and _is_beyond(walk[0], carried):
                if wait[H_LIMIT] == 0:
                    wait[H_LIMIT] = now + luld.LIMIT
                    wait[H_PENDING] = walk[0]
                continue
        if wait[H_LIMIT] == 0 and next_uniform(state) < carried[V_CHANGE]:
            above, below, step = carried[V_ABOVE], carried[V_BELOW], carried[V_STEP]
            price = _proposal(walk, above, below, step, carried[V_LEAN], state)
            _propose(walk, price, now, wait, carried, state)
            is_long = next_uniform(state) < LONG_RUN_SHARE
            carried[V_CHANGE] = 1.0 / LONG_RUN if is_long else carried[V_USUAL_CHANGE]
        n = _print_trade(tape, n, now, walk, plan, is_regular, wait[H_EARLIEST], state)
    return n


@njit(cache=True, nogil=True)
def _start(plan, regular, previous, prior_close, walk, law_state, carried, state):
    """The price, the state and the pace with which a day begins."""
    factor, dividend = plan[P_PRICE_FACTOR], plan[P_DIVIDEND] * 10_000.0
    start = max((previous * factor - dividend) * (1.0 + plan[P_GAP]), PRICE_FLOOR * 1.0)
    walk[0] = int(start + 0.5) if start < 10_000 else int(start / 50.0 + 0.5) * 50
    walk[1] = 1 if next_uniform(state) < 0.5 else -1
    walk[2] = 0
    carried[:] = 0.0
    trades, share, above, below = pace(plan, float(walk[0]))
    usual_run = (1.0 / share - LONG_RUN_SHARE * LONG_RUN) / (1.0 - LONG_RUN_SHARE)
    carried[V_CHANGE] = carried[V_USUAL_CHANGE] = min(1.0, 1.0 / usual_run)
    carried[V_SCALE], carried[V_UNIT_SCALE] = burst_scales(trades / regular)
    carried[V_TRADES], carried[V_SHARE] = trades, share
    carried[V_ABOVE], carried[V_BELOW] = above, below
    carried[V_OWED] = next_uniform(state)
    carried[V_PRIOR] = prior_close * factor - dividend
    sigma = plan[P_SIGMA] / math.sqrt(float(regular))
    law.start_state(law_state, float(walk[0]), sigma, plan[P_FACTS], state)


@njit(cache=True, nogil=True)
def simulate_day(plan, hours, seed, previous, prior_close, tape, trace, events):
    """Print one ticker-session into `tape`; returns (number of rows, last price, events).

    hours: premarket open, open, close, postmarket close. previous: the last price of the session
    before, prior_close: its regular close, both in 1e-4 dollars. trace: float64[minutes, TRACE],
    events: int64[MAXIMUM_EVENTS, EVENT]; both are filled.
    """
    state = np.array([seed], dtype=np.uint64)
    regular = int((hours[2] - hours[1]) // MINUTE)
    post = int((hours[3] - hours[2]) // MINUTE)
    walk = np.empty(3, dtype=np.int64)
    wait = np.zeros(5, dtype=np.int64)
    window = np.zeros(luld.WINDOW, dtype=np.int64)
    times = np.empty(512, dtype=np.int64)
    law_state = np.empty(law.STATE)
    carried = np.empty(CARRIED)
    _start(plan, regular, previous, prior_close, walk, law_state, carried, state)
    n = 0
    for m in range(PREMARKET_MINUTES + regular + post):
        minute = m - PREMARKET_MINUTES
        begin = hours[0] + m * MINUTE if minute < 0 else hours[1] + minute * MINUTE
        end = begin + MINUTE
        _set_bands(plan, minute, regular, carried)
        if minute == 0:
            n, begin = _open(tape, n, begin, walk, plan, window, state)
        elif minute == regular:
            n, begin = _close(
                tape, n, begin, walk, plan, wait, events, law_state, carried[V_PRIOR], state
            )
        elif minute == regular + 30:
            _offer(begin, walk, wait, events, law_state, state)
        if m == plan[P_SHOCK_MINUTE] and wait[H_UNTIL] == 0 and wait[H_LIMIT] == 0:
            _shock(begin, walk, plan, wait, events, law_state, carried, state)
        if minute == plan[P_HALT] and 0 <= minute < regular and wait[H_UNTIL] == 0:
            _halt(begin, hours, walk, plan, wait, events)
        count = _count(plan, minute, regular, post, law_state, carried, trace[m])
        trace[m, T_IS_HALTED] = 1.0 if wait[H_UNTIL] > 0 else 0.0
        count = min(count, tape.shape[1] - 16 - n)
        if 0 < wait[H_UNTIL] <= begin:
            n = _reopen(tape, n, walk, plan, wait, events, window, law_state, state)
            carried[V_REFERENCE] = walk[0]
            _set_bands(plan, minute, regular, carried)
            begin = tape[SIP, n - 1] + 2_000_000
        before = n
        if count > 0:
            if count + 2 > len(times):
                times = np.empty(2 * count, dtype=np.int64)
            _times(count, begin, end, state, times)
            n = _print_minute(
                tape, n, times, count, minute, regular, hours, walk, plan, wait, events, window,
                law_state, carried, state,
            )  # fmt: skip
        law.next_minute(law_state, float(walk[0]), n - before, 0 <= minute < regular, state)
    return n, walk[0], wait[H_EVENTS]
