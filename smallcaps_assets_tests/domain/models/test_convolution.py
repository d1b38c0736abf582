"""Tests of the model of sequences: it sees the order of bars, and nothing is drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

from smallcaps_assets.domain.bars.sequences import LENGTH
from smallcaps_assets.domain.evaluation import auc
from smallcaps_assets.domain.models import algorithms
from smallcaps_assets.domain.models.algorithms import CONVOLUTION, DEFAULTS, Part, fit, load

pytest.importorskip("threadpoolctl")


def parts(rows: int = 600, seed: int = 3) -> Part:
    """Two channels of noise; where true, the first alternates for a while, its level unchanged."""
    random = np.random.default_rng(seed)
    series = random.standard_normal((rows, LENGTH, 2))
    target = random.random(rows) < 0.5
    wave = 0.8 * (-1.0) ** np.arange(24)
    for row, begin in zip(np.flatnonzero(target), random.integers(0, 40, rows), strict=False):
        series[row, begin : begin + 24, 0] += wave
    series[:, :5] = np.nan  # before the session
    return Part(series.reshape(rows, -1), target, np.ones(rows))


def test_a_shape_in_the_order_of_bars_is_found_that_levels_do_not_tell() -> None:
    train, test = parts(), parts(300, 4)
    model = fit(CONVOLUTION, train, train, DEFAULTS[CONVOLUTION])
    assert auc(model.scores(test.matrix), test.target) > 0.8
    plain = fit(algorithms.LOGISTIC, train, train, DEFAULTS[algorithms.LOGISTIC])
    assert auc(plain.scores(test.matrix), test.target) < 0.6


def test_a_loaded_model_and_a_row_alone_give_the_same_bits() -> None:
    train, test = parts(), parts(40, 4)
    model = fit(CONVOLUTION, train, train, DEFAULTS[CONVOLUTION])
    assert fit(CONVOLUTION, train, train, DEFAULTS[CONVOLUTION]).text == model.text
    scores, again = model.scores(test.matrix), load(CONVOLUTION, model.text)
    assert again.scores(test.matrix).tobytes() == scores.tobytes()
    alone = np.concatenate([again.scores(test.matrix[[n]]) for n in range(40)])
    assert alone.tobytes() == scores.tobytes()
