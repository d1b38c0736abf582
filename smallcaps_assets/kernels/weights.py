"""Kernels of the sample weights (AFML chapter 4).

A label spans the bar returns (i0, i1], half open:

    bars      0   1   2   3   4        label (0, 2] owns the returns into bars 1 and 2,
    returns     1   2   3   4          label (2, 4] those into 3 and 4: no overlap

Large outputs are arguments: numpy asks for huge pages, which halves the time of a fresh array.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.checks import CHUNK, first_bad_span
from smallcaps_assets.kernels.compiled import compiled

# Concurrencies whose reciprocals are looked up, which is faster than a division; of none it is 0.
USUAL = 1024
RECIPROCALS = np.append(0.0, 1.0 / np.arange(1, USUAL))


@compiled
def count_changes(bars, starts, ends, changes):
    """How the number of labels that span a bar's return differs from that of the bar before.

    `changes`, zeros and one longer than the bars, is filled. Returns the first span that is none of
    0 <= start < end < bars, else -1; a chunk is looked through before it is counted.
    """
    for begin in range(0, starts.size, CHUNK):
        first, last = starts[begin : begin + CHUNK], ends[begin : begin + CHUNK]
        place = first_bad_span(bars, first, last)
        if place >= 0:
            return begin + place
        for k in range(first.size):
            changes[first[k] + 1] += 1
            changes[last[k] + 1] -= 1
    return -1


@compiled
def label_spans(close_times, starts, end_times):
    """For each label the first later bar that closes at or after its end, else the last bar."""
    ends = np.empty(starts.size, np.int64)
    last = close_times.size - 1
    for k in range(starts.size):
        low, high = starts[k] + 1, close_times.size
        while low < high:
            middle = (low + high) // 2
            if close_times[middle] < end_times[k]:
                low = middle + 1
            else:
                high = middle
        ends[k] = min(low, last)
    return ends


@compiled
def prefix_of_shares(changes, is_unit, prefix):
    """Running sums, from 0, of each bar's return over its concurrency; nothing where that is 0.

    `prefix`, one longer than the bars, holds the logarithms of the closes behind its first place,
    or with `is_unit` anything for a return of 1 each, and the sums afterwards. Into the first bar
    there is no return. A chunk stays in the cache while it is gone through again and again. Returns
    the last sum; it is finite only if all logarithms are.
    """
    sums, shares, count, total = prefix[1:], np.empty(CHUNK), 0, 0.0
    before, prefix[0] = sums[0] if sums.size else 0.0, 0.0
    for begin in range(0, sums.size, CHUNK):
        part = sums[begin : begin + CHUNK]
        for t in range(part.size):
            count += changes[begin + t]
            shares[t] = RECIPROCALS[np.uint64(count)] if count < USUAL else 1.0 / count
        if not is_unit:
            shares[0] *= part[0] - before
            before = part[-1]
            for t in range(1, part.size):
                shares[t] *= part[t] - part[t - 1]
        total = running_sums(shares, total, part)
    return total


@compiled
def running_sums(values, total, sums):
    """Sums of `total` and the values up to each, into `sums`, which may be shorter.

    Four at a time, for an addition waits for the one before. Returns the last sum.
    """
    whole = sums.size // 4 * 4
    for t in range(0, whole, 4):
        first = values[t] + values[t + 1]
        second = values[t + 2] + values[t + 3]
        sums[t] = total + values[t]
        sums[t + 1] = total + first
        sums[t + 2] = total + (first + values[t + 2])
        total += first + second
        sums[t + 3] = total
    for t in range(whole, sums.size):
        total += values[t]
        sums[t] = total
    return total


@compiled
def average_uniqueness(prefix, starts, ends, means):
    """Mean of the shares over each span, from their prefix sums, into `means`."""
    for k in range(starts.size):
        total = prefix[ends[k] + 1] - prefix[starts[k] + 1]
        means[k] = min(total / (ends[k] - starts[k]), 1.0)


@compiled
def return_attribution(prefix, starts, ends, sums):
    """|sum of the shares| over each span, into `sums`; the entry bar is outside."""
    for k in range(starts.size):
        sums[k] = abs(prefix[ends[k] + 1] - prefix[starts[k] + 1])


@compiled
def time_decay(uniqueness, oldest):
    """Piecewise-linear factor on cumulative uniqueness; the newest is 1 (AFML snippet 4.11)."""
    total = 0.0
    for k in range(uniqueness.size):
        total += uniqueness[k]
    factors = np.ones(uniqueness.size)
    if total <= 0.0:
        return factors
    slope = (1.0 - oldest) / total if oldest >= 0.0 else 1.0 / ((oldest + 1.0) * total)
    running = 0.0
    for k in range(uniqueness.size):
        running += uniqueness[k]
        factors[k] = max(1.0 - slope * (total - running), 0.0)
    # Rounding of the sum must not move the newest factor off 1.
    factors[uniqueness.size - 1] = 1.0
    return factors


@compiled
def bootstrap_means(counts, starts, ends):
    """Mean of 1 / (1 + draws so far) over each span; proportional to the next draw's chances."""
    prefix = np.zeros(counts.size + 1)
    for t in range(counts.size):
        prefix[t + 1] = prefix[t] + 1.0 / (1.0 + counts[t])
    means = np.empty(starts.size)
    for k in range(starts.size):
        means[k] = (prefix[ends[k] + 1] - prefix[starts[k] + 1]) / (ends[k] - starts[k])
    return means


@compiled
def tree_build(values):
    """A Fenwick tree (1-based) over the values."""
    tree = np.zeros(values.size + 1)
    for k in range(1, values.size + 1):
        tree[k] += values[k - 1]
        parent = k + (k & -k)
        if parent <= values.size:
            tree[parent] += tree[k]
    return tree


@compiled
def tree_add(tree, k, amount):
    """Add to the k-th value (0-based)."""
    k += 1
    while k < tree.size:
        tree[k] += amount
        k += k & -k


@compiled
def tree_total(tree):
    """Sum of all values."""
    k = tree.size - 1
    total = 0.0
    while k > 0:
        total += tree[k]
        k -= k & -k
    return total


@compiled
def tree_find(tree, amount):
    """The 0-based index at which the running sum first exceeds `amount`."""
    size = tree.size - 1
    step = 1
    while step * 2 <= size:
        step *= 2
    k = 0
    while step > 0:
        if k + step <= size and tree[k + step] <= amount:
            k += step
            amount -= tree[k]
        step //= 2
    return min(k, size - 1)


@compiled
def lower_bound(values, target):
    """The first index whose value exceeds `target`, in ascending values."""
    low, high = 0, values.size
    while low < high:
        middle = (low + high) // 2
        if values[middle] > target:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def sequential_draws(bars, starts, ends, uniforms):
    """Sequential bootstrap (AFML 4.5) of labels in ascending order of `starts`.

    Draw d takes uniforms[d] in [0, 1). A draw changes only the labels that overlap it: their means
    are corrected in a Fenwick tree, instead of recomputing all.
    """
    counts = np.zeros(bars, np.int64)
    tree = tree_build(np.ones(starts.size))
    furthest = ends.copy()
    for k in range(1, starts.size):
        furthest[k] = max(furthest[k - 1], ends[k])
    delta = np.zeros(bars + 1)
    draws = np.empty(uniforms.size, np.int64)
    for d in range(uniforms.size):
        drawn = tree_find(tree, uniforms[d] * tree_total(tree))
        draws[d] = drawn
        first, last = starts[drawn], ends[drawn]
        delta[first + 1] = 0.0
        for t in range(first + 1, last + 1):
            change = 1.0 / (2.0 + counts[t]) - 1.0 / (1.0 + counts[t])
            # delta[t + 1] holds the running change over bars first + 1 .. t.
            delta[t + 1] = delta[t] + change
            counts[t] += 1
        k = lower_bound(furthest, first)
        while k < starts.size and starts[k] < last:
            left, right = max(starts[k], first), min(ends[k], last)
            if right > left:
                tree_add(tree, k, (delta[right + 1] - delta[left + 1]) / (ends[k] - starts[k]))
            k += 1
    return draws
