"""Tests of sequences of bars and their fixed convolutions, against loops over every place."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.convolutions import convolved, fitted_biases, fixed_kernels
from smallcaps_assets.domain.bars.sequences import bar_sequences


def test_a_sequence_ends_with_its_own_bar_and_begins_with_the_session() -> None:
    rows = pl.DataFrame(
        {
            "ticker": ["B", "A", "A", "A", "A"],
            "date": [date(2024, 1, 3)] + [date(2024, 1, 2)] * 3 + [date(2024, 1, 3)],
            "bar_id": [7, 9, 2, 4, 0],  # in no order, with gaps
            "bar_return": [0.5, 0.3, 0.1, None, 0.9],
            "gap": [1, 2, 3, 4, 5],
        }
    )
    found = bar_sequences(rows, ["bar_return", "gap"], 3)
    assert (found.shape, found.dtype) == ((5, 3, 2), np.float32)
    none = [np.nan, np.nan]
    wanted = [
        [none, none, [0.5, 1]],
        [[0.1, 3], [np.nan, 4], [0.3, 2]],
        [none, none, [0.1, 3]],
        [none, [0.1, 3], [np.nan, 4]],
        [none, none, [0.9, 5]],
    ]
    assert np.array_equal(found, np.array(wanted, np.float32), equal_nan=True)


def by_hand(one: np.ndarray, kernel: np.ndarray, bias: float) -> float:
    """Share of responses above the bias, from the weights of the nine taps."""
    dilation, *taps = kernel[:4].tolist()
    weights = [2.0 if tap in taps else -1.0 for tap in range(9)]
    channel = one[:, kernel[4]] + (one[:, kernel[5]] if kernel[5] >= 0 else 0.0)
    found = [
        sum(w * channel[t + dilation * tap] for tap, w in enumerate(weights))
        for t in range(len(one) - 8 * dilation)
    ]
    return float(np.mean([value > bias for value in found]))


@given(st.integers(1, 5), st.integers(9, 40), st.integers(0, 999))
def test_convolutions_are_those_by_hand(channels: int, length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    series = random.integers(-8, 9, (3, length, channels)).astype(np.float64)
    kernels = fixed_kernels(channels, length)
    biases = np.floor(fitted_biases(series, kernels)) + 0.5  # no response equals one
    found = convolved(series, kernels, biases)
    for k in random.integers(0, len(kernels), 5):
        assert found[:, k].tolist() == [by_hand(one, kernels[k], biases[k]) for one in series]
    assert convolved(series[1:2], kernels, biases).tobytes() == found[1:2].tobytes()


def test_every_channel_is_seen_and_biases_lie_among_the_responses() -> None:
    kernels = fixed_kernels(8)
    assert kernels.shape == (84 * 4, 6)
    assert set(kernels[:, 4]) == set(range(8))
    series = np.random.default_rng(1).standard_normal((50, 64, 8))
    shares = convolved(series, kernels, fitted_biases(series, kernels))
    assert abs(shares.mean() - 0.5) < 0.02  # quantiles from 0 to 1
    assert len(np.unique(shares.round(6), axis=1).T) > 300
