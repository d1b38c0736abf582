"""The kernel of the activity bars: dollar, volume and imbalance bars in one pass.

    ticks   0 1 2 3 4 5 6 7 8        a bar takes whole trades up to and including the one
    bars   [0 . .][1][2 . . .][3     that reaches the threshold; the rest waits in the state

State lives in two small arrays, so that a pass may stop anywhere and go on bit-identically.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Float state, and the first WRITTEN of them with the threshold are the columns of a bar.
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


@njit(cache=True, nogil=True)
def clear_bar(f, n):
    """Forget the open bar; thresholds, averages and the last price stay."""
    f[OPEN] = np.nan
    f[HIGH] = -np.inf
    f[LOW] = np.inf
    f[CLOSE] = np.nan
    for k in range(VOLUME, THETA + 1):
        f[k] = 0.0
    n[TICKS] = 0
    n[FORMING] = 0


@njit(cache=True, nogil=True)
def write_bar(f, n, reason, low_clamp, high_clamp, out_f, out_n, row):
    """Write the open bar as a row; without price-forming trades it keeps the last known price."""
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


@njit(cache=True, nogil=True)
def update_threshold(f, n, target, alpha, gamma, low_clamp, high_clamp):
    """Averages and threshold after a bar that reached its threshold (AFML 2.3.2.1, damped)."""
    ticks = float(n[TICKS])
    imbalance = f[THETA] / ticks
    if n[CLOSED] == 0:
        f[E_TICKS] = ticks
        f[E_IMBALANCE] = imbalance
    else:
        f[E_TICKS] += alpha * (ticks - f[E_TICKS])
        f[E_IMBALANCE] += alpha * (imbalance - f[E_IMBALANCE])
    raw = f[E_TICKS] * abs(f[E_IMBALANCE])
    f[THRESHOLD] = min(max(target * (raw / target) ** gamma, low_clamp), high_clamp)
    n[CLOSED] += 1


@njit(cache=True, nogil=True)
def store_bar(
    f, n, first_price, high, low, close, volume, dollars, buy, sell, unsigned, theta,
    ticks, forming, last_time, last_forming,
):  # fmt: skip
    """Put the running figures of the open bar into the state."""
    f[OPEN], f[HIGH], f[LOW], f[CLOSE] = first_price, high, low, close
    f[VOLUME], f[DOLLARS], f[BUY], f[SELL] = volume, dollars, buy, sell
    f[UNSIGNED], f[THETA], f[LAST_FORMING] = unsigned, theta, last_forming
    n[TICKS], n[FORMING], n[LAST_TIME] = ticks, forming, last_time


@njit(cache=True, nogil=True)
def cut_bars(
    times, prices, sizes, signs, forming, blocks, sessions,
    in_dollars, is_imbalance, target, alpha, gamma, kappa, f, n, out_f, out_n,
):  # fmt: skip
    """Cut ticks into bars; `f` and `n` are the state, changed in place. Returns the bar count."""
    low_clamp = target / kappa
    high_clamp = target * kappa
    rows = 0
    # Locals, because a store into the state per tick costs as much as the arithmetic.
    first, high, low, close = f[OPEN], f[HIGH], f[LOW], f[CLOSE]
    volume, dollars, theta = f[VOLUME], f[DOLLARS], f[THETA]
    buy, sell, unsigned = f[BUY], f[SELL], f[UNSIGNED]
    last_forming, threshold = f[LAST_FORMING], f[THRESHOLD]
    ticks, formed, last_time = n[TICKS], n[FORMING], n[LAST_TIME]
    block, session = n[BLOCK], n[SESSION]
    for i in range(prices.size):
        if blocks[i] != block or sessions[i] != session:
            is_new_session = sessions[i] != session
            if ticks > 0:
                store_bar(
                    f, n, first, high, low, close, volume, dollars, buy, sell, unsigned, theta,
                    ticks, formed, last_time, last_forming,
                )  # fmt: skip
                reason = BY_SESSION if is_new_session else BY_HALT
                write_bar(f, n, reason, low_clamp, high_clamp, out_f, out_n, rows)
                rows += 1
                first = close = np.nan
                volume = dollars = buy = sell = unsigned = theta = 0.0
                high, low, ticks, formed = -np.inf, np.inf, 0, 0
            if is_new_session:
                last_forming = np.nan
            block = n[BLOCK] = blocks[i]
            session = n[SESSION] = sessions[i]
        price, size, sign = prices[i], sizes[i], signs[i]
        last_time = times[i]
        if ticks == 0:
            n[FIRST] = n[SEEN] + i
            n[OPEN_TIME] = last_time
            f[FIRST_PRICE] = price
        if forming[i]:
            first = price if formed == 0 else first
            formed = 1
            close = last_forming = price
            high = max(high, price)
            low = min(low, price)
        amount = price * size
        ticks += 1
        volume += size
        dollars += amount
        # Products with booleans, because branches on the sign mispredict half of the time.
        buy += size * (sign > 0)
        sell += size * (sign < 0)
        unsigned += size * (sign == 0)
        contribution = amount if in_dollars else size
        theta += contribution * sign if is_imbalance else contribution
        if abs(theta) >= threshold:
            store_bar(
                f, n, first, high, low, close, volume, dollars, buy, sell, unsigned, theta,
                ticks, formed, last_time, last_forming,
            )  # fmt: skip
            write_bar(f, n, BY_THRESHOLD, low_clamp, high_clamp, out_f, out_n, rows)
            rows += 1
            if is_imbalance:
                update_threshold(f, n, target, alpha, gamma, low_clamp, high_clamp)
                threshold = f[THRESHOLD]
            first = close = np.nan
            volume = dollars = buy = sell = unsigned = theta = 0.0
            high, low, ticks, formed = -np.inf, np.inf, 0, 0
    store_bar(
        f, n, first, high, low, close, volume, dollars, buy, sell, unsigned, theta,
        ticks, formed, last_time, last_forming,
    )  # fmt: skip
    n[SEEN] += prices.size
    return rows


@njit(cache=True, nogil=True)
def cut_rest(reason, target, kappa, f, n, out_f, out_n, row):
    """Write the open bar, if there is one, as the remainder. Returns the number of rows written."""
    if n[TICKS] == 0:
        return 0
    write_bar(f, n, reason, target / kappa, target * kappa, out_f, out_n, row)
    clear_bar(f, n)
    return 1
