"""Kernels that print the trades of one simulated ticker-session.

Numba kernels only: arrays in, arrays out. plan.py decides what kind of day it is, process.py where
the price drifts, luld.py when trading pauses; bars.py turns rows into bars, frames.py into frames.

Prices lie on a lattice of half cents (0.0001 dollars below a dollar). A price change reverses the
last one by one unit with probability 0.72, or continues it by 2 or 3 units (mean 0.72 / 0.28) with
0.28, so the expected change is zero whatever came before, although signs alternate; the minute's
drift shifts that probability. Direction never affects how long a price stands, how large a unit is
or how many trades a minute has. Pauses are fair too: no jump of the price can be predicted.
"""

from __future__ import annotations

import math

import numpy as np

from smallcaps_assets.kernels.compiled import compiled, inlined
from smallcaps_assets.sandbox import randomness as rand
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import luld
from smallcaps_assets.sandbox.simulation import process as law

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
T_CHANGES, T_IS_HALTED = range(law.STATE, law.STATE + 2)
TRACE = law.STATE + 2

# Columns of an event (int64), and its kinds. Prices in 1e-4 dollars: the last one before it, the
# one at which trading resumes, and what a share is worth from its start (in a news halt once
# NEWS_OUT of it has passed; 0 where nobody can know).
E_KIND, E_BEGIN, E_END, E_BEFORE, E_AFTER, E_VALUE = range(6)
EVENT = 6
PAUSE, NEWS_HALT, LONG_HALT, SHOCK, OFFERING, LIMIT, LIMIT_END = range(7)
MAXIMUM_EVENTS = 512

# A ticker-session while it is being printed, with the state of process.py; prices in 1e-4 dollars.
DAY = rand.record(
    [
        ("random", np.uint64),
        *((name, np.float64) for name in law.STATE_FIELDS),
        ("rows", np.int64),  # printed so far
        ("price", np.int64),  # on the lattice, its last direction, its jitter between cents
        ("direction", np.int64),
        ("jitter", np.int64),
        ("limit", np.int64),  # end of a limit state, of a halt; the price that was proposed
        ("until", np.int64),
        ("pending", np.int64),
        ("earliest", np.int64),  # time that a late report may name
        ("noted", np.int64),  # events
        ("owed", np.float64),  # prints
        ("change", np.float64),  # probability of a change at the next print, usually
        ("usual_change", np.float64),
        ("step", np.float64),  # factor on a change, and its mean in units
        ("lean", np.float64),
        ("trades", np.float64),  # pace: trades, share of them that change the price
        ("share", np.float64),
        ("scale", np.float64),  # deviations of the logs of activity and of the unit
        ("unit_scale", np.float64),
        ("above", np.float64),  # unit relative to the price above and below a dollar
        ("below", np.float64),
        ("prior", np.float64),  # regular close before
        *((name, np.float64) for name in ("edge", "size_factor", "fractional", "early_bands")),
        *((name, np.float64) for name in ("premarket", "postmarket")),  # shares of the trades
        *((name, np.int64) for name in ("regular", "post")),  # minutes
        *((name, np.int64) for name in ("open", "close", "last")),  # UTC ns
        *luld.FIELDS,
    ]
)


PAUSE_NS = 300_000_000_000
RESUMED = 0.03  # deviation of the price after a halt around what was proposed
TO_CLOSING_NS = 600_000_000_000  # pauses in force so long before the close end in its auction
EXTENDED = 0.12  # share of pauses that go on by five minutes
RESOLVED = 0.30  # share of limit states that end without a pause
NEWS_OUT = 0.4  # share of a halt for news after which the news is out
RUN_UP = 0.25
MARGIN = 0.003  # prices stay so far inside a band, relative to its reference
CROSS_FROM_TRADES = 25.0  # quieter sessions have no auctions, and at times no trade at all
CHANGE_SHARE = 0.415
LONG_RUN_SHARE = 0.0205
LONG_RUN = 30.0
REVERSAL = 0.72
STEP_DEVIATION_BELOW = 2.2
STEP_DEVIATION = 185.0  # root mean square change in 1e-4 dollars when the unit is one cent
STEPS_SQUARED = 2.64  # mean square of the units of a change: 0.72 + 0.12 x 4 + 0.16 x 9
HALVES = 0.457  # share of the changes above a dollar that go by half cents
MOST_LEAN = 0.7  # largest mean of a change in units: 0.2 off the probability of going back
FANO = 60.0
UNIT_SPREAD = 0.72
MINUTE = 60_000_000_000
PREMARKET_MINUTES = 330
PRICE_FLOOR = 300
EXPONENTIAL = rand.exponential_table()
TINY_GAPS = rand.log_uniform_table(2_000, 900_000)
SHORT_DELAYS = rand.log_uniform_table(600_000, 400_000_000)
LONG_DELAYS = rand.log_uniform_table(400_000_000, 10_000_000_000)
BLOCK_SIZES = rand.pareto_table(190.0, 1.40, 21_000.0)
VENUES = np.array([12, 12, 12, 11, 11, 8, 8, 19, 19, 7, 18, 15, 21, 20, 2, 10], dtype=np.int64)


@compiled
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
        probe = rand.portable_exp(log_variance)
    scale = math.sqrt(log_variance)
    return scale, max(0.05, UNIT_SPREAD - 0.55 * scale)


@compiled
def fill_pace(d, plan, hours, start):
    """Set how fast a day that begins at the price `start` trades, and what else the plan says.

    The day's return gets about the wanted deviation: by fewer price changes on ordinary days,
    fewer trades on wild ones, or units of more than a cent.
    """
    trades = max(plan[P_TRADES], 1e-3)
    cents = (plan[P_SIGMA] * start / STEP_DEVIATION) ** 2
    share = CHANGE_SHARE
    if start >= 10_000 and cents < CHANGE_SHARE * trades:
        if plan[P_WILD] > 0.0:
            trades = max(cents / CHANGE_SHARE, min(trades, 8_500.0))
        else:
            share = max(cents / trades, 0.08)
    usual_run = (1.0 / share - LONG_RUN_SHARE * LONG_RUN) / (1.0 - LONG_RUN_SHARE)
    unit = plan[P_SIGMA] / math.sqrt(share * trades)
    d.open, d.close, d.last = hours[1], hours[2], hours[3]
    d.regular, d.post = (d.close - d.open) // MINUTE, (d.last - d.close) // MINUTE
    d.trades, d.share, d.usual_change = trades, share, min(1.0, 1.0 / usual_run)
    d.scale, d.unit_scale = burst_scales(trades / d.regular)
    d.above, d.below = unit * 100.0 / STEP_DEVIATION, unit / STEP_DEVIATION_BELOW
    d.edge, d.size_factor, d.fractional = plan[P_EDGE], plan[P_SIZE_FACTOR], plan[P_FRACTIONAL]
    d.premarket, d.postmarket = plan[P_PREMARKET], plan[P_POSTMARKET]
    d.early_bands = plan[P_EARLY_BANDS]


@inlined
def expected_prints(d, minute):
    """Expected prints of a minute that begins in the state `d`, given the time of day."""
    if minute < 0:
        x = (minute + PREMARKET_MINUTES) / PREMARKET_MINUTES
        usual = d.premarket * d.trades / PREMARKET_MINUTES * (0.2 + x * x) / 0.533
    elif minute < d.regular:
        x = minute / d.regular - 0.58
        usual = d.trades / d.regular * (0.8 + 2.0 * x * x) / 0.979
    else:
        x = 1.0 - (minute - d.regular) / d.post
        usual = d.postmarket * d.trades / d.post * (0.1 + x * x) / 0.433
    return usual * law.activity(d, d.scale)


@inlined
def unit_moments(d, price, factor):
    """(mean, mean square) of what `_lattice_unit` gives at a price, in 1e-4 dollars."""
    wanted = price * (d.below if price < 10_000.0 else d.above / 100.0)
    wanted = max(max(wanted, 1.0) * factor, 1.0)
    rest = wanted - math.floor(wanted)
    square = wanted * wanted + rest * (1.0 - rest)
    if price < 10_000.0:
        return wanted, square
    whole = 1.0 - HALVES
    return 50.0 * HALVES + 100.0 * whole * wanted, 2_500.0 * HALVES + 10_000.0 * whole * square


@inlined
def outlook(d, price, minute, prints):
    """What to expect of the price changes in a minute that begins in the state `d`.

    Returns (factor on a change, its mean in units, its mean and its mean square in 1e-4 dollars).
    """
    regime = int(d.regime)
    factor = law.REGIME_STEP[regime]
    if d.level > 0.0:
        factor *= rand.portable_exp(d.unit_scale * d.level)
    unit, square = unit_moments(d, price, factor)
    square *= STEPS_SQUARED
    lean = 0.0
    if d.edge > 0.0:
        drift = d.edge * law.public_drift(d, minute, d.regular) * law.REGIME_DRIFT[regime]
        lean = drift * math.sqrt(square / max(prints * d.share, 1.0)) / unit
        lean = min(MOST_LEAN, max(-MOST_LEAN, lean))
    return factor, lean, lean * unit, square


@inlined
def _lattice_unit(d, position, factor):
    """Size of one step: cents above a dollar (half cents at times), 0.0001 below."""
    if position < 10_000:
        wanted = max(1.0, position * d.below)
        return max(1, int(wanted * factor + rand.next_uniform(d)))
    cents = max(1.0, position * d.above / 100.0) * factor
    unit = max(1, int(cents + rand.next_uniform(d))) * 100
    to_half = 0.77 if position % 100 != 0 else 0.325
    if rand.next_uniform(d) < to_half:
        return 50
    return unit


@inlined
def _proposal(d):
    """The next price."""
    position = d.price
    if position >= 10_000 and position % 50 != 0:
        # Coming from below a dollar: on to the coarser lattice, up or down without bias.
        rest = position % 50
        position += 50 - rest if rand.next_uniform(d) * 50.0 < rest else -rest
    unit = _lattice_unit(d, position, d.step)
    # One step back or 18/7 on: a mean of lean takes 7/25 of it off the probability of going back.
    direction = d.direction
    if rand.next_uniform(d) < REVERSAL - 0.28 * d.lean * direction:
        direction = -direction
        steps = 1
    else:
        steps = 2 if rand.next_uniform(d) < 3.0 / 7.0 else 3
    if position + direction * steps * unit < PRICE_FLOOR:
        direction = 1
    return position + direction * steps * unit


@inlined
def _set_price(d, position):
    """Set the price to `position`, with the jitter of prices between cents."""
    d.direction = 1 if position > d.price else -1
    d.price = position
    d.jitter = 0
    if position >= 10_000 and position % 100 != 0:
        d.jitter = int(rand.next_uniform(d) * 9.0) - 4


@compiled
def _on_lattice(d, price):
    """A price on the lattice of whole cents (0.0001 below a dollar), right on average."""
    unit = 100 if price >= 10_000.0 else 1
    return max(int(price / unit + rand.next_uniform(d)) * unit, PRICE_FLOOR)


@inlined
def _size(d, odd_share):
    """Shares in millionths, odd lots included."""
    u = rand.next_uniform(d)
    v = rand.next_uniform(d)
    if u < odd_share:
        whole = 1 + int(98.0 * v * v)
        if d.fractional > 0.0 and u < 0.3 * odd_share:
            return whole * 1_000_000 + int(v * 999_999.0)
        return whole * 1_000_000
    if u < odd_share + (1.0 - odd_share) * 0.50:
        return 100 * 1_000_000
    raw = BLOCK_SIZES[int(v * 4096.0)] * d.size_factor
    # Most blocks are round lots.
    if (u * 1000.0) % 1.0 < 0.72:
        return (int(raw / 100.0) + 1) * 100_000_000
    return max(101, int(raw)) * 1_000_000


@inlined
def _write(d, tape, sip, price, size, code, exchange):
    """Append one row; returns its number."""
    n = d.rows
    bits = rand.next_bits(d)
    r = (bits >> rand.R11) * (1.0 / 9007199254740992.0)
    trf_time = 0
    if exchange == 4:
        if r < 0.93:
            delay = SHORT_DELAYS[int(r / 0.93 * 1024.0)]
        else:
            delay = LONG_DELAYS[int((r - 0.93) / 0.07 * 1024.0)]
        trf_time = sip - 20_000 - int(bits & np.uint64(0x3FFFF))
    else:
        delay = 120_000 + int(bits & np.uint64(0x7FFFF))
    tape[c.SIP, n] = sip
    tape[c.PARTICIPANT, n] = sip - delay
    tape[c.PRICE, n] = price
    tape[c.SIZE, n] = size
    tape[c.CODE, n] = code
    tape[c.EXCHANGE, n] = exchange
    tape[c.CORRECTION, n] = 0
    previous = tape[c.SEQUENCE, n - 1] if n > 0 else 1000
    tape[c.SEQUENCE, n] = previous + 1 + int(bits & np.uint64(0x1F))
    tape[c.TRF_TIME, n] = trf_time
    d.rows = n + 1
    return n


@inlined
def _print_trade(d, tape, sip, is_regular):
    """Append an ordinary print at the present price."""
    price = d.price + d.jitter
    odd_share = 0.255 if is_regular else 0.39
    size = _size(d, odd_share)
    code = c.ODD_BIT if size < 100_000_000 else 0
    if not is_regular:
        code += c.EXTENDED_BIT
    u = rand.next_uniform(d)
    sub_penny = price >= 10_000 and price % 100 != 0
    if sub_penny or u < 0.22:
        exchange = 4
    else:
        exchange = VENUES[int(rand.next_uniform(d) * 16.0)]
        if (u * 97.0) % 1.0 < 0.4:
            code += c.SWEEP_BIT
    n = _write(d, tape, sip, price, size, code, exchange)
    if u > 0.9945:
        if u > 0.9985:
            tape[c.PRICE, n] = price + int(price * 0.004 * (rand.next_uniform(d) - 0.5))
            tape[c.CODE, n] = c.AVERAGE if is_regular else c.AVERAGE_EXTENDED
            tape[c.EXCHANGE, n] = 4
        elif is_regular and u > 0.9970:
            tape[c.CODE, n] = c.DERIVATIVE if u > 0.9978 else c.OUT_OF_SEQUENCE
        elif is_regular and u > 0.9966:
            tape[c.CODE, n] = code | c.EXTENDED_BIT
        elif u > 0.9963:
            tape[c.CORRECTION, n] = 8 if u > 0.99645 else 1
        if tape[c.EXCHANGE, n] == 4 and tape[c.TRF_TIME, n] == 0:
            tape[c.TRF_TIME, n] = sip - 20_000
    if tape[c.PARTICIPANT, n] < d.earliest:
        tape[c.PARTICIPANT, n] = min(d.earliest, sip - 1)


@compiled
def _auction(d, tape, plan, sip, share, code):
    """Append a cross at the primary exchange: one big round-lot print on the penny."""
    lots = int(plan[P_TRADES] * share * (0.5 + rand.next_uniform(d)) * 3.0) + 2
    exchange = int(plan[P_PRIMARY])
    price = d.price
    _write(d, tape, sip, price, lots * 100_000_000, code, exchange)
    if code != c.REOPENING:
        message = c.OFFICIAL_OPEN if code == c.OPENING else c.OFFICIAL_CLOSE
        size = lots * 100_000_000 if code == c.OPENING else 0
        _write(d, tape, sip + 900_000, price, size, message, exchange)


@compiled
def _times(d, count, start, end, times):
    """`count` instants in [start, end): bursts with tiny gaps, exponential gaps between them."""
    wide = 0.0
    tiny = 0
    for j in range(count + 1):
        u = rand.next_uniform(d)
        if j > 0 and j < count and u < 0.46:
            times[j] = -TINY_GAPS[int(rand.next_uniform(d) * 1024.0)]
            tiny -= times[j]
        else:
            gap = EXPONENTIAL[int(rand.next_uniform(d) * 4096.0)] + 1e-6
            times[j] = int(gap * 1e9)
            wide += gap * 1e9
    room = max(float(end - start - tiny), 0.0)
    stretch = room / wide
    now = start
    for j in range(count):
        gap = times[j]
        now += -gap if gap < 0 else int(gap * stretch)
        times[j] = now if now < end else end - 1


@compiled
def _note(d, events, kind, begin, end, after, value):
    """Append an event."""
    row = d.noted
    if row < MAXIMUM_EVENTS:
        event = events[row]
        event[E_KIND], event[E_BEGIN], event[E_END] = kind, begin, end
        event[E_BEFORE], event[E_AFTER], event[E_VALUE] = d.price, after, value
        d.noted = row + 1


@compiled
def _begin_limit(d, events, now, price):
    """A price beyond a band was proposed: nothing is printed for a while."""
    d.limit = now + luld.LIMIT
    d.pending = price
    _note(d, events, LIMIT, now, now + luld.LIMIT, 0, price)


@compiled
def _end_limit(d, events):
    """A limit state is over: the price comes back, or a pause begins. Both are fair together."""
    begin = d.limit
    pending, price = float(d.pending), d.price
    d.limit = 0
    inside = price * (0.985 if pending > price else 1.015)
    if rand.next_uniform(d) < RESOLVED:
        back = _on_lattice(d, inside)
        _note(d, events, LIMIT_END, begin, begin, back, back)
        _set_price(d, back)
        return
    rest = (pending - RESOLVED * inside) / (1.0 - RESOLVED)
    d.pending = int(rest + rand.next_uniform(d))
    until = begin + PAUSE_NS
    while rand.next_uniform(d) < EXTENDED:
        until += PAUSE_NS
    if until > d.close - TO_CLOSING_NS:
        until = d.close
    d.until = until
    _note(d, events, PAUSE, begin, until, 0, d.pending)


@compiled
def _resume(d, events):
    """The price after a halt: what was proposed, and a fair change of a few percent."""
    change = RESUMED * rand.next_normal(d)
    price = _on_lattice(d, max(d.pending * (1.0 + change), 1.0))
    d.push = 1.0 if price > d.price else -1.0
    _set_price(d, price)
    d.jitter = d.until = 0
    events[d.noted - 1, E_AFTER] = price


@compiled
def _reopen(d, tape, plan, events, minute):
    """End a halt with an auction, from which the bands start again."""
    at = d.until + 30_000_000 + int(rand.next_uniform(d) * 9e8)
    _resume(d, events)
    d.earliest = at
    _auction(d, tape, plan, at, 0.01, c.REOPENING)
    luld.restart(d, at)
    d.reference = d.price
    _set_bands(d, minute)


@inlined
def _is_beyond(d, price):
    """Whether a price is not well inside the bands in force."""
    if d.high == 0.0:
        return False
    margin = MARGIN * d.reference
    return not d.low + margin <= price <= d.high - margin


@inlined
def _propose(d, events, price, now):
    """Set the price to `price`, or begin a limit state if a band is in the way."""
    if _is_beyond(d, price):
        _begin_limit(d, events, now, price)
    else:
        _set_price(d, price)


@inlined
def _set_bands(d, minute):
    """Bands in force around the reference price."""
    d.high = 0.0
    if d.reference > 0.0 and 0 <= minute < d.regular:
        is_early = d.early_bands > 0.0
        d.low, d.high = luld.bounds(d.reference, d.prior, minute, d.regular, is_early)


@compiled
def _open(d, tape, plan, begin):
    """The opening auction. Returns when ordinary trading begins."""
    d.first_row = d.next_row = d.rows
    if plan[P_TRADES] < CROSS_FROM_TRADES:
        return begin
    at = begin + 80_000_000 + int(rand.next_uniform(d) * 1.4e9)
    _auction(d, tape, plan, at, 0.010, c.OPENING)
    return at + 2_000_000


@compiled
def _close(d, tape, plan, events, begin):
    """The closing auction, in which pauses end. Returns when trading goes on."""
    if d.limit > 0:
        d.limit = 0
        _set_price(d, _on_lattice(d, float(d.pending)))
    if 0 < d.until <= begin:
        _resume(d, events)
    is_open = d.until == 0
    has_risen = d.price > (1.0 + RUN_UP) * d.prior
    if plan[P_TRADES] >= CROSS_FROM_TRADES and is_open:
        at = begin + 1_500_000_000 + int(rand.next_uniform(d) * 5e9)
        _auction(d, tape, plan, at, 0.018, c.CLOSING)
        begin = at + 50_000_000
        d.earliest = begin
    if plan[P_OFFERING] != 0.0 and has_risen and is_open:
        d.pending = -1  # an offering will be priced half an hour later
    return begin


@compiled
def _offer(d, plan, events, begin):
    """An offering is priced, if one was decided at the close."""
    if d.pending == -1:
        price = _on_lattice(d, d.price * (1.0 + plan[P_OFFERING]))
        _note(d, events, OFFERING, begin, begin, price, price)
        _set_price(d, price)
        d.excited += 4.0


@compiled
def _shock(d, plan, events, begin):
    """News on which trading continues."""
    price = _on_lattice(d, d.price * (1.0 + plan[P_SHOCK]))
    _note(d, events, SHOCK, begin, begin, price, price)
    d.excited += min(20.0 * abs(plan[P_SHOCK]), 5.0)
    d.push = 1.0 if price > d.price else -1.0
    _propose(d, events, price, begin)


@compiled
def _halt(d, plan, events, begin):
    """A news halt, or one that lasts until a later day."""
    is_long = plan[P_HALT_MINUTES] > 390.0
    until = begin + int(plan[P_HALT_MINUTES]) * MINUTE
    if is_long:
        until = d.last + MINUTE
    elif until > d.close - TO_CLOSING_NS:
        until = d.close
    value = d.pending if d.limit > 0 else d.price
    d.limit = 0
    d.until = until
    d.pending = int(value * (1.0 + plan[P_HALT_JUMP]))
    kind, told = (LONG_HALT, 0) if is_long else (NEWS_HALT, d.pending)
    _note(d, events, kind, begin, until, 0, told)


@inlined
def _count(d, tape, trace, minute):
    """How many prints a minute has; fills its row of the trace and the lean of its changes."""
    prints = expected_prints(d, minute)
    m = minute + PREMARKET_MINUTES
    if m < trace.shape[0]:
        law.store(d, trace[m])
        trace[m, T_CHANGES] = prints * d.share
        trace[m, T_IS_HALTED] = 1.0 if d.until > 0 else 0.0
    owed = d.owed + prints
    count = int(owed)
    d.owed = owed - count
    if count > 0:
        d.step, d.lean, _, _ = outlook(d, float(d.price), minute, prints)
    return min(count, tape.shape[1] - 16 - d.rows)


@inlined
def _is_limited(d, tape, plan, events, minute, now):
    """Whether a limit state is in force, or begins because a new band leaves the price outside."""
    if d.limit > 0:
        return True
    reference = luld.reference_at(d, tape, now)
    if reference != d.reference:
        d.reference = reference
        d.earliest = max(d.earliest, now)
        _set_bands(d, minute)
    if _is_beyond(d, d.price):
        _begin_limit(d, events, now, d.price)
        return True
    return False


@compiled
def _print_minute(d, tape, plan, events, times, count, minute):
    """Print the trades of a minute at these times."""
    is_regular = 0 <= minute < d.regular
    end = d.open + (minute + 1) * MINUTE
    for j in range(count):
        now = times[j]
        if 0 < d.limit <= now:
            _end_limit(d, events)
        if d.until > 0:
            if now < d.until or d.until >= d.close:
                continue
            _reopen(d, tape, plan, events, minute)
        if d.rows > 0 and now < tape[c.SIP, d.rows - 1]:
            now = tape[c.SIP, d.rows - 1] + j
        if is_regular and (now >= end or _is_limited(d, tape, plan, events, minute, now)):
            continue
        if rand.next_uniform(d) < d.change:
            _propose(d, events, _proposal(d), now)
            is_long = rand.next_uniform(d) < LONG_RUN_SHARE
            d.change = 1.0 / LONG_RUN if is_long else d.usual_change
            if d.limit > 0:
                continue
        _print_trade(d, tape, now, is_regular)


@inlined
def _begin_minute(d, tape, plan, events, minute, begin):
    """What is due at the start of a minute. Returns when ordinary trading begins."""
    _set_bands(d, minute)
    if minute == 0:
        begin = _open(d, tape, plan, begin)
    elif minute == d.regular:
        begin = _close(d, tape, plan, events, begin)
    elif minute == d.regular + 30:
        _offer(d, plan, events, begin)
    is_open = d.until == 0
    if minute + PREMARKET_MINUTES == plan[P_SHOCK_MINUTE] and is_open and d.limit == 0:
        _shock(d, plan, events, begin)
    if minute == plan[P_HALT] and 0 <= minute < d.regular and is_open:
        _halt(d, plan, events, begin)
    return begin


@compiled
def _start(d, plan, hours, previous, prior_close):
    """The price, the state and the pace with which a day begins."""
    factor, dividend = plan[P_PRICE_FACTOR], plan[P_DIVIDEND] * 10_000.0
    start = max((previous * factor - dividend) * (1.0 + plan[P_GAP]), PRICE_FLOOR * 1.0)
    d.price = int(start + 0.5) if start < 10_000 else int(start / 50.0 + 0.5) * 50
    d.direction = 1 if rand.next_uniform(d) < 0.5 else -1
    fill_pace(d, plan, hours, float(d.price))
    d.change = d.usual_change
    d.owed = rand.next_uniform(d)
    d.prior = prior_close * factor - dividend
    d.jitter = d.rows = d.limit = d.until = d.pending = d.earliest = d.noted = 0
    d.reference = d.high = 0.0
    luld.restart(d, 0)
    law.start_state(d, float(d.price), plan[P_SIGMA] / math.sqrt(d.regular), plan[P_FACTS])


@compiled
def simulate_day(days, plan, hours, seed, previous, prior_close, tape, trace, events, times):
    """Print one ticker-session into `tape`; returns (number of rows, last price, events).

    days: an array of one DAY. hours: premarket open, open, close, postmarket close. previous: the
    last price of the session before, prior_close: its regular close, both in 1e-4 dollars. trace:
    float64[minutes, TRACE], or of no minute where nobody asks; events: int64[MAXIMUM_EVENTS,
    EVENT]; both are filled. times: int64, room for the prints of a minute.
    """
    d = days[0]
    d.random = seed
    _start(d, plan, hours, previous, prior_close)
    for minute in range(-PREMARKET_MINUTES, d.regular + d.post):
        begin = d.open + minute * MINUTE
        end = begin + MINUTE
        begin = _begin_minute(d, tape, plan, events, minute, begin)
        count = min(_count(d, tape, trace, minute), len(times) - 2)
        if 0 < d.until <= begin:
            _reopen(d, tape, plan, events, minute)
            begin = tape[c.SIP, d.rows - 1] + 2_000_000
        before = d.rows
        if count > 0:
            _times(d, count, begin, end, times)
            _print_minute(d, tape, plan, events, times, count, minute)
        law.next_minute(d, float(d.price), d.rows - before, 0 <= minute < d.regular)
    return d.rows, d.price, d.noted
