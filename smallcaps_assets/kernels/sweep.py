"""Kernels of parameter sweeps: where bars close, found on one prefix of whole numbers.

    ticks      0   1   2   3         prefix[j + 1] - prefix[i] is theta of the ticks i to j,
    prefix   0   1   2   3   4       whatever the setting; the same for every bar that begins at i

Whole numbers, because a prefix of doubles would lose the cents of a bar far from the first. Least
and greatest values of BLOCK ticks let a search skip what can't reach the threshold.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled
from smallcaps_assets.kernels.elementary import power

BLOCK = 32


@compiled
def signed_prefix(prices, sizes, signs, in_dollars, is_imbalance, units, prefix):
    """Running sums of signed amounts in `units` per dollar or share; fills `prefix`, one longer."""
    prefix[0] = 0
    amounts = prefix[1:]
    for i in range(prices.size):
        amount = prices[i] * sizes[i] if in_dollars else sizes[i]
        amounts[i] = np.int64(np.rint(amount * units)) * (signs[i] if is_imbalance else 1)
    for i in range(1, amounts.size):
        amounts[i] += amounts[i - 1]


@compiled
def prefix_extremes(prefix, lows, highs):
    """The least and the greatest of each BLOCK values of the prefix."""
    for b in range(lows.size):
        part = prefix[b * BLOCK : (b + 1) * BLOCK]
        low = high = part[0]
        for i in range(part.size):
            low, high = min(low, part[i]), max(high, part[i])
        lows[b], highs[b] = low, high


@compiled
def first_beyond(prefix, lows, highs, start, end, lower, upper):
    """Index of the first value in [start, end) at or beyond a bound, else -1."""
    i = start
    while i < end:
        block = i // BLOCK
        stop = min((block + 1) * BLOCK, end)
        if highs[block] >= upper or lows[block] <= lower:
            for k in range(i, stop):
                if prefix[k] >= upper or prefix[k] <= lower:
                    return k
        i = stop
    return -1


@compiled
def closing_ticks(
    prefix, lows, highs, edges, is_imbalance, units, target, alpha, gamma, kappa, closes, clamped
):
    """Fill the ticks that close a bar, and whether its threshold was clamped; returns how many.

    Bars never cross `edges`, ticks at which another block or session begins; what is open there
    is dropped. Thresholds and averages as in `bars.update_threshold`.
    """
    low_clamp, high_clamp = target / kappa, target * kappa
    threshold, expected_ticks, expected_imbalance = target, 0.0, 0.0
    bars = start = 0
    for e in range(edges.size + 1):
        stop = edges[e] if e < edges.size else prefix.size - 1
        while start < stop:
            reach = np.int64(np.ceil(threshold * units))
            base = prefix[start]
            hit = first_beyond(prefix, lows, highs, start + 1, stop + 1, base - reach, base + reach)
            if hit < 0:
                break
            closes[bars] = hit - 1
            clamped[bars] = bars > 0 and threshold in (low_clamp, high_clamp)
            if is_imbalance:
                ticks = float(hit - start)
                imbalance = (prefix[hit] - base) / units / ticks
                weight = alpha if bars > 0 else 1.0
                expected_ticks += weight * (ticks - expected_ticks)
                expected_imbalance += weight * (imbalance - expected_imbalance)
                raw = expected_ticks * abs(expected_imbalance)
                threshold = min(max(target * power(raw / target, gamma), low_clamp), high_clamp)
            bars += 1
            start = hit
        start = stop
    return bars
