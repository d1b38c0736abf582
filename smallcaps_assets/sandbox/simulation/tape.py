"""Kernels that print the trades of one simulated ticker-session.

Holds numba kernels only: arrays in, arrays out. Which days are wild is decided in plan.py; how
rows become frames in simulated.py; bars out of rows in bars.py.

Prices live on a lattice of half cents (0.0001 dollars below one dollar) and are a martingale by
construction unless a day has a target: a change of price goes back by one unit with probability
0.72, or on by 2 or 3 units (mean 0.72 / 0.28) with 0.28, so that the expected change is zero
whatever happened before although signs reverse. How long a price stands, how large a unit is and
how many trades a minute has never depend on the direction.
"""

from __future__ import annotations

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

# Rows of a tape (int64[ROWS, n]): price in 1e-4 dollars, size in 1e-6 shares, instants in UTC ns.
SIP, PARTICIPANT, PRICE, SIZE, CODE, EXCHANGE, CORRECTION, SEQUENCE, TRF_TIME = range(9)
ROWS = 9

# Columns of a day's plan (float64[PLAN]).
(
    P_TRADES,  # expected regular trades
    P_PREMARKET,  # share of P_TRADES printed before the open
    P_POSTMARKET,  # the same after the close
    P_SIGMA,  # wanted standard deviation of the day's return
    P_SHAPE,  # 0 none, 1 ramp that holds (negative: crash), 2 ramp given back
    P_TARGET,  # return at the top of the ramp, against the start of the day
    P_FINAL,  # return wanted at the close of a shape 2 day
    P_RAMP_START,  # minute of the regular session
    P_RAMP_END,
    P_HALT,  # minute of the halt, -1 for none
    P_JUMP,  # relative jump over the halt
    P_GAP,  # relative overnight gap
    P_PRICE_FACTOR,  # split factor on the previous close
    P_SIZE_FACTOR,  # factor on sizes
    P_DIVIDEND,  # dollars taken off the previous close
    P_FRACTIONAL,  # 1 when sizes may be fractions of a share
    P_PRIMARY,  # exchange id of the primary listing
    P_WILD,  # 1 on a day whose number of trades may shrink to keep P_SIGMA
) = range(18)
PLAN = 18

HALT_MINUTES = 5
CROSS_FROM_TRADES = 25.0  # quieter sessions have no auctions, and at times no trade at all
CHANGE_SHARE = 0.415
LONG_RUN_SHARE = 0.0205
LONG_RUN = 30.0
REVERSAL = 0.72
STEP_DEVIATION_BELOW = 2.2
STEP_DEVIATION = 185.0  # root mean square change in 1e-4 dollars when the unit is one cent
FANO = 88.0
UNIT_SPREAD = 0.72
PERSISTENCE = 0.80
PULL = 0.07
MINUTE = 60_000_000_000
PRICE_FLOOR = 300
EXPONENTIAL = exponential_table()
TINY_GAPS = log_uniform_table(2_000, 900_000)
SHORT_DELAYS = log_uniform_table(600_000, 400_000_000)
LONG_DELAYS = log_uniform_table(400_000_000, 10_000_000_000)
BLOCK_SIZES = pareto_table(190.0, 1.38, 32_000.0)
VENUES = np.array([12, 12, 12, 11, 11, 8, 8, 19, 19, 7, 18, 15, 21, 20, 2, 10], dtype=np.int64)


@njit(cache=True, nogil=True)
def minute_counts(plan, regular, post, total, state, counts, agitation):
    """Fill `counts` (premarket, regular, postmarket minutes) with numbers of trades.

    `agitation` gets the factor on the unit of price in each minute: busy minutes move more.
    """
    trades = total
    mean = max(trades / regular, 0.05)
    # The variance of the bursts makes the Fano factor of prints per minute about FANO.
    spread = min(FANO / mean, 6.0)
    log_variance = 0.0
    probe = 1.0
    while probe < 1.0 + spread and log_variance < 2.0:
        log_variance += 0.02
        probe = portable_exp(log_variance)
    scale = log_variance**0.5
    fresh = (1.0 - PERSISTENCE * PERSISTENCE) ** 0.5
    ramp0, ramp1 = plan[P_RAMP_START], plan[P_RAMP_END] + 45.0
    # Where counts alone vary too little for real tails of returns, units vary the more.
    unit_scale = max(0.05, UNIT_SPREAD - 0.55 * scale)
    level = next_normal(state)
    sums = np.zeros(3)
    weights = np.empty(330 + regular + post)
    for m in range(330 + regular + post):
        level = PERSISTENCE * level + fresh * next_normal(state)
        weight = portable_exp(scale * level)
        agitation[m] = max(1.0, portable_exp(unit_scale * level))
        if m < 330:
            part = 0
            weight *= 0.2 + (m / 330.0) ** 2
        elif m < 330 + regular:
            part = 1
            minute = m - 330
            x = minute / regular - 0.58
            weight *= 0.8 + 2.0 * x * x
            if plan[P_SHAPE] != 0.0 and ramp0 <= minute <= ramp1:
                weight *= 1.6
            if plan[P_HALT] >= 0 and plan[P_HALT] <= minute < plan[P_HALT] + HALT_MINUTES:
                weight = 0.0
        else:
            part = 2
            x = 1.0 - (m - 330 - regular) / post
            weight *= 0.1 + x * x
        weights[m] = weight
        sums[part] += weight
    shares = np.array([plan[P_PREMARKET], 1.0, plan[P_POSTMARKET]])
    carry = next_uniform(state)
    for m in range(330 + regular + post):
        part = 0 if m < 330 else (1 if m < 330 + regular else 2)
        carry += weights[m] / max(sums[part], 1e-9) * trades * shares[part]
        counts[m] = int(carry)
        carry -= counts[m]


@njit(cache=True, nogil=True, inline="always")
def _target(plan, minute, regular, start):
    """The price a shaped day is drawn to at a regular minute."""
    top = start * (1.0 + plan[P_TARGET])
    if minute < plan[P_RAMP_START]:
        return start
    if minute < plan[P_RAMP_END]:
        x = (minute - plan[P_RAMP_START]) / (plan[P_RAMP_END] - plan[P_RAMP_START])
        return start + (top - start) * x
    if plan[P_SHAPE] == 2.0:
        hold = plan[P_RAMP_END] + 0.25 * (regular - plan[P_RAMP_END])
        if minute > hold:
            x = (minute - hold) / (regular - hold)
            return top + (start * (1.0 + plan[P_FINAL]) - top) * min(1.0, 1.15 * x)
    return top


@njit(cache=True, nogil=True, inline="always")
def _lattice_unit(position, relative_unit, factor, state):
    """Size of one step: cents above a dollar (half cents at times), 0.0001 below."""
    if position < 10_000:
        return max(1, int(max(1.0, position * relative_unit) * factor + next_uniform(state)))
    cents = max(1.0, position * relative_unit / 100.0) * factor
    unit = max(1, int(cents + next_uniform(state))) * 100
    to_half = 0.77 if position % 100 != 0 else 0.325
    if next_uniform(state) < to_half:
        return 50
    return unit


@njit(cache=True, nogil=True, inline="always")
def _move(walk, relative_unit, factor, goal, pull, state):
    """Change the price. walk: [position, last direction, jitter]."""
    position = walk[0]
    if position >= 10_000 and position % 50 != 0:
        # Coming from below a dollar: on to the coarser lattice, up or down without bias.
        rest = position % 50
        position += 50 - rest if next_uniform(state) * 50.0 < rest else -rest
    unit = _lattice_unit(position, relative_unit, factor, state)
    reversal = REVERSAL
    if pull > 0.0:
        distance = (goal - position) / (0.06 * goal)
        distance = min(1.0, max(-1.0, distance))
        reversal -= pull * distance * walk[1]
    direction = walk[1]
    if next_uniform(state) < reversal:
        direction = -direction
        steps = 1
    else:
        steps = 2 if next_uniform(state) < 3.0 / 7.0 else 3
    if position + direction * steps * unit < PRICE_FLOOR:
        direction = 1
    walk[0] = position + direction * steps * unit
    walk[1] = direction
    walk[2] = 0
    if walk[0] >= 10_000 and walk[0] % 100 != 0:
        walk[2] = int(next_uniform(state) * 9.0) - 4


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
def _print_trade(tape, n, sip, walk, plan, is_regular, state):
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
    return n


@njit(cache=True, nogil=True, inline="always")
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
def _pace(plan, start):
    """(trades, share of trades that change the price, unit of price relative to the price).

    Chosen so that the day's return has about the wanted deviation: with fewer changes on ordinary
    days, fewer trades on wild ones, or units of more than a cent.
    """
    trades = max(plan[P_TRADES], 1e-3)
    deviation = STEP_DEVIATION if start >= 10_000 else STEP_DEVIATION_BELOW
    wanted = (plan[P_SIGMA] * start / deviation) ** 2
    if wanted < CHANGE_SHARE * trades and start >= 10_000:
        if plan[P_WILD] > 0.0:
            return max(wanted / CHANGE_SHARE, min(trades, 8_500.0)), CHANGE_SHARE, 0.0
        return trades, max(wanted / trades, 0.08), 0.0
    coarse = 100.0 if start >= 10_000 else 1.0
    unit = (wanted / (CHANGE_SHARE * trades)) ** 0.5 * coarse / start
    return trades, CHANGE_SHARE, unit


@njit(cache=True, nogil=True)
def _reopen(tape, n, begin, walk, plan, state):
    """End a halt: a gap, and one re-opening print. Returns the new count."""
    jumped = walk[0] * (1.0 + plan[P_JUMP])
    walk[0] = max(int(jumped / 100.0 + next_uniform(state)) * 100, PRICE_FLOOR)
    walk[2] = 0
    at = begin + 30_000_000 + int(next_uniform(state) * 2e9)
    return _auction(tape, n, at, walk, plan, 0.01, c.REOPENING, state)


@njit(cache=True, nogil=True)
def simulate_day(plan, hours, seed, previous_close, tape):
    """Print one ticker-session into `tape`; returns (number of rows, last price of the day).

    hours: premarket open, open, close, postmarket close. previous_close in 1e-4 dollars.
    """
    state = np.array([seed], dtype=np.uint64)
    regular = int((hours[2] - hours[1]) // MINUTE)
    post = int((hours[3] - hours[2]) // MINUTE)
    base = previous_close * plan[P_PRICE_FACTOR] - plan[P_DIVIDEND] * 10_000.0
    start = max(base * (1.0 + plan[P_GAP]), PRICE_FLOOR * 1.0)
    walk = np.empty(3, dtype=np.int64)
    walk[0] = int(start + 0.5) if start < 10_000 else int(start / 50.0 + 0.5) * 50
    walk[1] = 1 if next_uniform(state) < 0.5 else -1
    walk[2] = 0

    trades, change_share, relative_unit = _pace(plan, start)
    usual_run = (1.0 / change_share - LONG_RUN_SHARE * LONG_RUN) / (1.0 - LONG_RUN_SHARE)
    usual_change = min(1.0, 1.0 / usual_run)

    capacity = tape.shape[1] - 16
    total = min(trades, capacity / (1.0 + plan[P_PREMARKET] + plan[P_POSTMARKET]) - 2.0)
    counts = np.empty(330 + regular + post, dtype=np.int64)
    agitation = np.empty(330 + regular + post)
    minute_counts(plan, regular, post, total, state, counts, agitation)
    times = np.empty(counts.max() + 2, dtype=np.int64)
    pull = PULL if plan[P_SHAPE] != 0.0 else 0.0
    halt = int(plan[P_HALT])
    has_crosses = plan[P_TRADES] >= CROSS_FROM_TRADES
    reference = float(walk[0])
    goal = reference
    change = usual_change
    n = 0
    for m in range(330 + regular + post):
        minute = m - 330
        is_regular = 0 <= minute < regular
        begin = hours[0] + m * MINUTE if minute < 0 else hours[1] + minute * MINUTE
        end = begin + MINUTE
        if minute == 0 and has_crosses:
            at = begin + 80_000_000 + int(next_uniform(state) * 1.4e9)
            n = _auction(tape, n, at, walk, plan, 0.02, c.OPENING, state)
            begin = at + 2_000_000
        elif minute == regular and has_crosses:
            at = begin + 1_500_000_000 + int(next_uniform(state) * 5e9)
            n = _auction(tape, n, at, walk, plan, 0.04, c.CLOSING, state)
            begin = at + 50_000_000
        elif halt >= 0 and minute == halt + HALT_MINUTES:
            n = _reopen(tape, n, begin, walk, plan, state)
            begin = tape[SIP, n - 1] + 2_000_000
        if pull > 0.0 and minute >= 0:
            goal = _target(plan, min(minute, regular), regular, reference)
        count = counts[m]
        _times(count, begin, end, state, times)
        for j in range(count):
            if next_uniform(state) < change:
                _move(walk, relative_unit, agitation[m], goal, pull, state)
                is_long = next_uniform(state) < LONG_RUN_SHARE
                change = 1.0 / LONG_RUN if is_long else usual_change
            n = _print_trade(tape, n, times[j], walk, plan, is_regular, state)
    return n, walk[0]
