"""Fixed convolutions of sequences of bars, as features that need no training but their biases.

They follow MiniRocket (Dempster, Schmidt and Webb 2021): all 84 kernels of nine taps with two
weights, at some dilations, each summarised by the share of its responses above a bias. Which
channels a kernel sees is fixed, so that no random number is drawn; biases are quantiles of the
responses of the rows that a model is trained on.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from smallcaps_assets.domain.bars.sequences import LENGTH
from smallcaps_assets.kernels.convolution import TAPS, respond, shares_above

DILATIONS = (1, 2, 4, 7)
SAMPLED = 256
_GOLDEN = (5**0.5 - 1) / 2


def fixed_kernels(channels: int, length: int = LENGTH) -> np.ndarray:
    """int64[kernels, 6] as of `kernels.convolution.respond`, for series of some channels."""
    dilations = [d for d in DILATIONS if (TAPS - 1) * d < length]
    found = []
    for number, (taps, dilation) in enumerate(
        (taps, dilation) for taps in combinations(range(TAPS), 3) for dilation in dilations
    ):
        one = number % channels
        other = (one + 1 + number // channels) % channels
        found.append([dilation, *taps, one, other if other != one else -1])
    return np.array(found, np.int64).reshape(-1, 6)


def fitted_biases(series: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """float64[kernels]: a quantile of each kernel's responses to some rows of float64[rows, length,
    channels], evenly spread; the quantiles are spread over kernels by the golden section."""
    places = np.unique(np.linspace(0, len(series) - 1, SAMPLED).astype(np.int64))
    some, biases = np.ascontiguousarray(series[places]), np.empty(len(kernels))
    room = np.empty(series.shape[1])
    for k, kernel in enumerate(kernels):
        responses = [room[: respond(one, kernel, room)].copy() for one in some]
        biases[k] = np.quantile(np.concatenate(responses), (k + 1) * _GOLDEN % 1.0)
    return biases


def convolved(series: np.ndarray, kernels: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """float64[rows, kernels]: share of each kernel's responses above its bias, of float64[rows,
    length, channels]; a row has the same bits alone."""
    found = np.empty((len(series), len(kernels)))
    shares_above(np.ascontiguousarray(series), kernels, biases, found)
    return found
