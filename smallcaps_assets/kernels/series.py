"""Kernels on single series: the CUSUM filter."""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled


@compiled
def cusum(returns, threshold):
    """Indices at which a one-sided cumulative sum passes the threshold; that side restarts."""
    events = np.empty(returns.size, np.int64)
    count = 0
    up = down = 0.0
    for i in range(returns.size):
        up = max(0.0, up + returns[i])
        down = min(0.0, down + returns[i])
        if up > threshold:
            up = 0.0
            events[count] = i
            count += 1
        elif down < -threshold:
            down = 0.0
            events[count] = i
            count += 1
    return events[:count]
