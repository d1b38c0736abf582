"""What a round trip costs in spread: from quotes, and from prints alone."""

from __future__ import annotations

import numpy as np
import pytest

from smallcaps_assets.domain.bars.quote_features import Quotes, no_quotes
from smallcaps_assets.domain.labels.paths import SECOND, path_of
from smallcaps_assets.domain.patterns.costs import modelled_spread, quoted_spread


def test_quoted_spread_is_of_the_quote_in_force_where_it_is_clean():
    quotes = Quotes(
        np.array([10, 20, 30, 40]),
        np.array([5.0, 5.0, 5.1, np.nan]),
        np.array([1.0, 1.0, 1.0, 1.0]),
        np.array([5.02, 5.0, 5.0, 5.0]),
        np.array([1.0, 1.0, 1.0, 1.0]),
    )
    found = quoted_spread(quotes, np.array([9, 10, 25, 35, 45]))
    assert found.tolist() == pytest.approx([np.nan, 0.02 / 5.01, 0, np.nan, np.nan], nan_ok=True)
    assert np.isnan(quoted_spread(no_quotes(), np.array([9]))).all()


def spread_at(time, prices, step=SECOND):
    times = np.arange(len(prices)) * step
    path = path_of(times, np.array(prices), np.ones(len(prices), bool))
    return modelled_spread(path, np.array([time]))[0]


def test_modelled_spread_is_the_median_reversal_of_five_minutes():
    bounce = [5.0, 5.02] * 200 + [5.0, 5.04] * 50
    assert spread_at(399 * SECOND, bounce) == pytest.approx(0.02 / 5.02)
    assert spread_at(499 * SECOND, bounce) == pytest.approx(0.02 / 5.04)
    assert spread_at(499 * SECOND, [5.0, 5.02] * 200 + [5.0, 5.04] * 51, 3 * SECOND) > 0
    few = [5.0, 5.02] * 60 + [5.0] * 400
    assert spread_at(519 * SECOND, few) == pytest.approx(0.02 / 5.0)  # the session so far


def test_modelled_spread_is_a_tick_at_least_and_nothing_without_a_print():
    assert spread_at(10 * SECOND, [5.0, 5.01, 5.02]) == pytest.approx(0.01 / 5.02)
    assert spread_at(10 * SECOND, [0.5, 0.5]) == pytest.approx(0.0001 / 0.5)
    assert np.isnan(spread_at(-1, [5.0]))
