"""Kernels that look for values a kernel can't take; each returns the first bad index, or -1.

A chunk is counted without a branch per value, which compiles to vector instructions; only a chunk
that holds a bad value is looked through. What to say about it belongs to `domain.guards`.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled

CHUNK = 1024
HIGHEST = np.finfo(np.float64).max
LOWEST, SMALLEST = -HIGHEST, np.nextafter(0.0, 1.0)


@compiled
def first_outside(values, low):
    """The first value that is NaN, infinite or below `low`."""
    for start in range(0, values.size, CHUNK):
        part = values[start : start + CHUNK]
        good = 0
        for i in range(part.size):
            good += np.int64(part[i] >= low) & np.int64(part[i] < np.inf)
        if good < part.size:
            for i in range(part.size):
                if not (part[i] >= low and part[i] < np.inf):
                    return start + i
    return -1


@compiled
def first_descent(values):
    """The first value that is smaller than the one before it."""
    before, after = values[:-1], values[1:]
    for start in range(0, after.size, CHUNK):
        earlier, later = before[start : start + CHUNK], after[start : start + CHUNK]
        descents = 0
        for i in range(later.size):
            descents += np.int64(later[i] < earlier[i])
        if descents > 0:
            for i in range(later.size):
                if later[i] < earlier[i]:
                    return start + i + 1
    return -1


@compiled
def first_bad_span(bars, starts, ends):
    """The first span (start, end] without 0 <= start < end < bars."""
    for start in range(0, starts.size, CHUNK):
        first, last = starts[start : start + CHUNK], ends[start : start + CHUNK]
        good = 0
        for k in range(first.size):
            good += (
                np.int64(first[k] >= 0) & np.int64(first[k] < last[k]) & np.int64(last[k] < bars)
            )
        if good < first.size:
            for k in range(first.size):
                if not (0 <= first[k] < last[k] < bars):
                    return start + k
    return -1
