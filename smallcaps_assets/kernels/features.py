"""Features of a tape at the close of each bar: a step per print, and one per close.

All that a step knows is a record of STATE, one of the minutes, the tape up to its print, the bars
up to its close and the shares traded in each cent so far; `follow` is a loop over the steps, may
stop after any print and go on to the same bits. Prices count only where they form a price, volume
always. Frames, names and the context of a session belong to `domain.bars.features`.

    cents      500 501   -   499 ...   a table by hash: the cent of each slot, and its shares
    ranked     slots in use, in the order of their shares at the last close
"""

from __future__ import annotations

import math

import numpy as np

from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.kernels.elementary import exp, log
from smallcaps_assets.kernels.minutes import MINUTE, add_price, end_minute, recent_slope

LONG_BARS, SHORT_BARS, SPAN = 20, 5, 20
LEAST_PRINTS, DEVIATIONS = 50.0, 3.0
EXHAUSTION_WINDOW = MINUTE
BURST_MINUTES = 20
TOLERANCE = 1e-9
EMPTY = -1
_CORWIN_SCHULTZ = 1.0 / (3.0 - 2.0 * math.sqrt(2.0))
_BETA_FACTOR = (math.sqrt(2.0) - 1.0) * _CORWIN_SCHULTZ

BAR_COLUMNS = (
    *("close", "high", "low", "volume", "buy_volume", "sell_volume", "theta", "threshold"),
    "ticks",
)
CLOSE, HIGH, LOW, VOLUME, BUY, SELL, THETA, THRESHOLD, TICKS = range(9)
COLUMNS = (
    *("bar_return", "return_5", "return_1m", "return_5m", "volatility"),
    *("imbalance_ratio", "imbalance_ratio_5", "theta_ratio", "duration_seconds"),
    *("ticks_per_second", "mean_trade_size", "odd_lot_share", "off_exchange_share"),
    *("range_expansion", "spread_high_low", "spread_roll"),
    *("distance_to_vwap", "distance_to_premarket_high", "running_return", "return_from_open"),
    *("gap", "day_range_position", "is_high_of_day_break", "relative_volume", "dollars_so_far"),
    *("minutes_from_open", "is_premarket", "is_ssr"),
    *("parabolic_slope", "parabolic_slope_t", "volume_concentration", "volume_burst"),
    *("large_print_share", "is_exhaustion", "relative_volume_at_time"),
)

SETTINGS = np.dtype(
    [
        *((name, "i8") for name in ("premarket_open", "open", "is_ssr_carried")),
        *((name, "f8") for name in ("previous_close", "mean_volume", "ssr_price", "round_lot")),
    ]
)
STATE = np.dtype(
    [
        *((name, "i8") for name in ("ticks", "bars", "cents", "closed_at")),
        # The session so far; a high of 0 and a low of infinity: no price yet.
        *((name, "f8") for name in ("volume", "dollars", "premarket_high", "day_high", "day_low")),
        *((name, "f8") for name in ("regular_low", "first_regular")),
        # The open bar.
        *((name, "f8") for name in ("high_before", "odd_lots", "off_exchange", "large")),
        ("is_exhausted", "i8"),
        # Sizes so far: their number, sum and sum of squares; the last large one at the high.
        *((name, "f8") for name in ("prints", "sizes", "squares", "large_price")),
        ("large_until", "i8"),
        # The first print younger than 1 and 5 minutes, and the last price older; than 1 and 21.
        ("young", "i8", (2,)),
        ("old_price", "f8", (2,)),
        ("burst", "i8", (2,)),
        # Bars before, in rings of which `place` is the oldest.
        ("place", "i8"),
        *((name, "f8", (LONG_BARS,)) for name in ("closes", "ranges", "volumes", "signed")),
        *((name, "f8") for name in ("last_high", "last_low", "last_log_range")),
        # Returns of bars, exponentially weighted.
        *((name, "f8") for name in ("mean", "variance", "weight", "squared_weight")),
    ]
)


# Prints ------------------------------------------------------------------------------------------
@compiled
def cent_of(price):
    """A price in cents, rounded to the nearest."""
    return np.int64(np.rint(price * 100.0))


@compiled
def add_cent(s, cent, cents, shares, ranked):
    """Put a cent that is not in the table into it. Returns its slot."""
    mask = cents.size - 1
    slot = cent & mask
    while cents[slot] != EMPTY:
        slot = (slot + 1) & mask
    cents[slot], shares[slot] = cent, 0.0
    ranked[s["cents"]] = slot
    s["cents"] += 1
    return slot


@compiled
def is_large(s, size):
    """Whether a size is above mean + 3 standard deviations of the 50 or more before it.

    Both sides are multiplied out, so that whole sizes are compared without rounding.
    """
    count = s["prints"]
    distance = count * size - s["sizes"]
    if count < LEAST_PRINTS or distance <= TOLERANCE * count * size:
        return False
    spread = max(count * s["squares"] - s["sizes"] * s["sizes"], 0.0)
    bound = DEVIATIONS * DEVIATIONS * count * spread
    return distance * distance * (count - 1.0) > bound * (1.0 + TOLERANCE)


@compiled
def form_price(p, s, m, time, price, size, is_regular, i):
    """A print that forms a price."""
    add_price(m, price, i)
    s["day_high"], s["day_low"] = max(s["day_high"], price), min(s["day_low"], price)
    if time < p["open"]:
        s["premarket_high"] = max(s["premarket_high"], price)
    if is_regular:
        s["regular_low"] = min(s["regular_low"], price)
        if s["first_regular"] == 0.0:
            s["first_regular"] = price
    if price < s["large_price"] and time <= s["large_until"]:
        s["is_exhausted"], s["large_price"] = 1, 0.0
    if is_large(s, size):
        s["large"] += size
        if price == s["day_high"]:
            s["large_price"], s["large_until"] = price, time + EXHAUSTION_WINDOW
    s["prints"] += 1.0
    s["sizes"] += size
    s["squares"] += size * size


@compiled
def print_step(p, s, m, time, price, size, is_forming, is_regular, is_off_exchange, i):
    """A print of the open bar."""
    end_minute(m, time)
    s["ticks"] += 1
    s["volume"] += size
    s["dollars"] += price * size
    s["odd_lots"] += size < p["round_lot"]
    s["off_exchange"] += size * is_off_exchange
    if is_forming:
        form_price(p, s, m, time, price, size, is_regular, i)


# Closes ------------------------------------------------------------------------------------------
@compiled
def bar_before(s, count):
    """The place in the rings of the bar so many before the next one."""
    return (s["place"] + LONG_BARS - count) % LONG_BARS


@compiled
def forget(s, times, prices, is_forming, now):
    """Move on to what is old at `now`: prices of 1 and 5 minutes, volumes of 1 and 21."""
    for k in range(2):
        i, limit = s["young"][k], now - (1 + 4 * k) * MINUTE
        while times[i] <= limit:
            if is_forming[i]:
                s["old_price"][k] = prices[i]
            i += 1
        s["young"][k] = i
        i, limit = s["burst"][k], now - (1 + BURST_MINUTES * k) * MINUTE
        while times[i] <= limit:
            i += 1
        s["burst"][k] = i


@compiled
def volume_burst(p, s, volumes, now):
    """Volume of the last minute over the mean of the 20 minutes before; NaN before there are."""
    recent, old = s["burst"][0], s["burst"][1]
    until, since = volumes[recent - 1] if recent else 0.0, volumes[old - 1] if old else 0.0
    if recent == old or now - p["premarket_open"] < (BURST_MINUTES + 1) * MINUTE:
        return np.nan
    return (s["volume"] - until) / ((until - since) / BURST_MINUTES)


@compiled
def concentration(s, shares, ranked):
    """Gini coefficient of the shares over the cents traded so far."""
    count, weighted, total = s["cents"], 0.0, 0.0
    for k in range(count):
        slot, place = ranked[k], k
        while place > 0 and shares[ranked[place - 1]] > shares[slot]:
            ranked[place] = ranked[place - 1]
            place -= 1
        ranked[place] = slot
    for k in range(count):
        value = shares[ranked[k]]
        weighted += (2.0 * (k + 1) - count - 1.0) * value
        total += value
    return weighted / (count * total) if total > 0.0 else np.nan


@compiled
def deviate(s, value):
    """Exponentially weighted standard deviation with a return added; NaN before the second."""
    old = s["weight"] * (1.0 - 2.0 / (SPAN + 1.0))
    weight, mean = old + 1.0, s["mean"]
    s["mean"] = (old * mean + value) / weight
    moved, error = mean - s["mean"], value - s["mean"]
    s["variance"] = (old * (s["variance"] + moved * moved) + error * error) / weight
    s["squared_weight"] = s["squared_weight"] * (1.0 - 2.0 / (SPAN + 1.0)) ** 2 + 1.0
    s["weight"] = weight
    if old == 0.0:
        return np.nan
    free = weight * weight - s["squared_weight"]
    return math.sqrt(s["variance"] * weight * weight / free)


@compiled
def roll_spread(s, close):
    """Roll (1984): 2 sqrt(-cov of successive changes) over 20 closes / close; 0 if cov > 0.

    Changes from the oldest on; their products are summed in the eight lanes of numpy's sum, which
    keeps what cancels to nothing the same nothing.
    """
    changes, pairs = np.empty(LONG_BARS - 1), LONG_BARS - 2
    older = s["closes"][bar_before(s, LONG_BARS - 1)]
    for k in range(LONG_BARS - 1):
        newer = s["closes"][bar_before(s, pairs - k)] if k < pairs else close
        changes[k], older = newer - older, newer
    now = before = 0.0
    for k in range(pairs):
        now += changes[k + 1]
        before += changes[k]
    products = np.empty(pairs)
    for k in range(pairs):
        products[k] = (changes[k + 1] - now / pairs) * (changes[k] - before / pairs)
    lanes = products[:8] + products[8:16]
    total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + (
        (lanes[4] + lanes[5]) + (lanes[6] + lanes[7])
    )
    for k in range(16, pairs):
        total += products[k]
    return 2.0 * math.sqrt(max(-total / (pairs - 1), 0.0)) / close


@compiled
def high_low_spread(s, high, low, log_range):
    """Corwin and Schultz (2012), of this bar and the one before; a negative estimate is 0."""
    joint = log(max(high, s["last_high"]) / min(low, s["last_low"]))
    beta, gamma = log_range + s["last_log_range"], joint * joint
    alpha = math.sqrt(beta) * _BETA_FACTOR - math.sqrt(gamma * _CORWIN_SCHULTZ)
    power = exp(alpha)
    return max(2.0 * (power - 1.0) / (1.0 + power), 0.0)


@compiled
def against_bars_before(s, bar, row):
    """Features of a bar and of those before it; it then joins them."""
    count, close = s["bars"], bar[CLOSE]
    log_range = log(bar[HIGH] / bar[LOW])
    log_range *= log_range
    if count >= 1:
        row[0] = log(close / s["closes"][bar_before(s, 1)])
        row[4] = deviate(s, row[0])
        row[14] = high_low_spread(s, bar[HIGH], bar[LOW], log_range)
    if count >= SHORT_BARS:
        row[1] = log(close / s["closes"][bar_before(s, SHORT_BARS)])
    signed, volume = bar[BUY] - bar[SELL], bar[VOLUME]
    row[5] = signed / volume
    if count >= SHORT_BARS - 1:
        signed_sum, volume_sum = signed, volume
        for k in range(1, SHORT_BARS):
            signed_sum += s["signed"][bar_before(s, k)]
            volume_sum += s["volumes"][bar_before(s, k)]
        row[6] = signed_sum / volume_sum
    if count >= LONG_BARS:
        total = 0.0
        for k in range(1, LONG_BARS + 1):
            total += s["ranges"][bar_before(s, k)]
        if total > 0.0:
            row[13] = (bar[HIGH] - bar[LOW]) / (total / LONG_BARS)
    if count >= LONG_BARS - 1:
        row[15] = roll_spread(s, close)
    place = s["place"]
    s["closes"][place], s["ranges"][place] = close, bar[HIGH] - bar[LOW]
    s["volumes"][place], s["signed"][place] = volume, signed
    s["place"] = (place + 1) % LONG_BARS
    s["last_high"], s["last_low"], s["last_log_range"] = bar[HIGH], bar[LOW], log_range


@compiled
def against_the_session(p, s, close, row):
    """Features of a close among the session's prints so far, and against the day before."""
    row[16] = close / (s["dollars"] / s["volume"]) - 1.0
    if s["premarket_high"] > 0.0:
        row[17] = close / s["premarket_high"] - 1.0
    row[18] = close / p["previous_close"] - 1.0
    if s["first_regular"] > 0.0:
        row[19] = close / s["first_regular"] - 1.0
        row[20] = s["first_regular"] / p["previous_close"] - 1.0
    if s["day_high"] > s["day_low"]:
        row[21] = (close - s["day_low"]) / (s["day_high"] - s["day_low"])
    row[22] = s["day_high"] > s["high_before"] > 0.0
    row[23] = s["volume"] / p["mean_volume"]
    row[24] = s["dollars"]
    row[27] = p["is_ssr_carried"] > 0 or s["regular_low"] <= p["ssr_price"]


@compiled
def close_step(p, s, m, time, bar, curve, volumes, shares, ranked, row):
    """A bar closes at its last print: COLUMNS into `row`, NaN where there is nothing to tell."""
    for k in range(row.size):
        row[k] = np.nan
    against_bars_before(s, bar, row)
    against_the_session(p, s, bar[CLOSE], row)
    for k in range(2):
        if s["old_price"][k] > 0.0:
            row[2 + k] = log(bar[CLOSE] / s["old_price"][k])
    seconds = (time - s["closed_at"]) / 1e9
    row[7] = bar[THETA] / bar[THRESHOLD]
    row[8] = seconds
    if seconds > 0.0:
        row[9] = bar[TICKS] / seconds
    row[10] = bar[VOLUME] / bar[TICKS]
    row[11] = s["odd_lots"] / bar[TICKS]
    row[12] = min(s["off_exchange"] / bar[VOLUME], 1.0)
    row[25] = (time - p["open"]) / MINUTE
    row[26] = time < p["open"]
    row[28], row[29] = recent_slope(m)
    row[30] = concentration(s, shares, ranked)
    row[31] = volume_burst(p, s, volumes, time)
    row[32] = s["large"] / bar[VOLUME]
    row[33] = s["is_exhausted"]
    minute = (time - p["premarket_open"]) // MINUTE
    if 0 <= minute < curve.size and curve[minute] > 0.0:
        row[34] = s["volume"] / curve[minute]
    s["closed_at"], s["high_before"] = time, s["day_high"]
    s["odd_lots"] = s["off_exchange"] = s["large"] = 0.0
    s["is_exhausted"] = 0
    s["bars"] += 1


@compiled
def follow(
    times, prices, sizes, is_forming, is_regular, is_off_exchange, lasts, bars, curve,
    settings, state, minutes, volumes, cents, shares, ranked, out,
):  # fmt: skip
    """Take prints from the state's next one on, and fill a row of `out` at the last of each bar.

    `lasts` are the last ticks of the bars, ascending, and `bars` their BAR_COLUMNS; `curve` is the
    usual volume by the end of each minute since premarket opened. `volumes` is filled beside the
    tape. Returns the next print: not the end, when the table of cents is half full.
    """
    p, s, m, mask = settings[0], state[0], minutes[0], cents.size - 1
    for i in range(s["ticks"], times.size):
        if 2 * s["cents"] >= cents.size:
            return i
        time, price, size = times[i], prices[i], sizes[i]
        if i == 0:
            s["closed_at"] = time
        print_step(p, s, m, time, price, size, is_forming[i], is_regular[i], is_off_exchange[i], i)
        volumes[i] = s["volume"]
        cent = cent_of(price)
        slot = cent & mask
        while cents[slot] != cent and cents[slot] != EMPTY:
            slot = (slot + 1) & mask
        if cents[slot] == EMPTY:
            slot = add_cent(s, cent, cents, shares, ranked)
        shares[slot] += size
        bar = s["bars"]
        if bar < lasts.size and lasts[bar] == i:
            forget(s, times, prices, is_forming, time)
            close_step(p, s, m, time, bars[bar], curve, volumes, shares, ranked, out[bar])
    return times.size


@compiled
def move_cents(state, old_cents, old_shares, old_ranked, cents, shares, ranked):
    """Put the shares of each cent into another, empty table."""
    s = state[0]
    count = s["cents"]
    s["cents"] = 0
    for k in range(count):
        slot = old_ranked[k]
        shares[add_cent(s, old_cents[slot], cents, shares, ranked)] = old_shares[slot]
