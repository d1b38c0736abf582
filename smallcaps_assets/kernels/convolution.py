"""Fixed convolutions of short series of many channels, and how often each is above its bias.

A kernel has nine taps, two at three of them and minus one at the six others, spread by a dilation;
it is laid over the sum of two channels wherever all of its taps fit:

    taps       0   1   2   3   4   5   6   7   8        value at t + dilation * tap
    weights   -1  -1   2  -1   2  -1  -1   2  -1        = 3 * (three taps) - (all nine)
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import compiled

TAPS = 9


@compiled
def respond(series, kernel, out):
    """Fill out[0 : n] with the responses of a kernel along series[length, channels]; returns n.

    kernel: dilation, three taps, and two channels, the second of them -1 for none.
    """
    dilation, one, other = kernel[0], kernel[4], kernel[5]
    count = series.shape[0] - (TAPS - 1) * dilation
    for t in range(count):
        nine = 0.0
        three = 0.0
        for tap in range(TAPS):
            place = t + dilation * tap
            value = series[place, one]
            if other >= 0:
                value += series[place, other]
            nine += value
            if tap == kernel[1] or tap == kernel[2] or tap == kernel[3]:
                three += value
        out[t] = 3.0 * three - nine
    return count


@compiled
def shares_above(series, kernels, biases, out):
    """Fill out[rows, kernels] with the share of each kernel's responses above its bias.

    series: float64[rows, length, channels]; a series without a place for the kernel has 0.
    """
    responses = np.empty(series.shape[1])
    for row in range(series.shape[0]):
        for k in range(kernels.shape[0]):
            count = respond(series[row], kernels[k], responses)
            above = 0
            for t in range(count):
                if responses[t] > biases[k]:
                    above += 1
            out[row, k] = above / count if count > 0 else 0.0
