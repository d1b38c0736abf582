"""The running figures of a tape: hand-worked, and from read-only arrays as polars gives them."""

from __future__ import annotations

import numpy as np
import pytest

from smallcaps_assets.kernels.features import COLUMNS, running_figures

PRICES = np.array([5.0, 7.0, 6.0, 4.0])
SIZES = np.array([10.0, 100.0, 50.0, 200.0])
FORMING = np.array([True, False, True, True])
OFF_EXCHANGE = np.array([True, False, False, True])
PREMARKET = np.array([True, True, False, False])


@pytest.mark.parametrize("is_writeable", [True, False])
def test_running_figures_given_two_bars_has_one_row_each(is_writeable):
    first, last = np.array([0, 2]), np.array([1, 3])
    arrays = [a.copy() for a in (PRICES, SIZES, FORMING, OFF_EXCHANGE, PREMARKET, ~PREMARKET)]
    for array in arrays:
        array.flags.writeable = is_writeable
    result = running_figures(*arrays, first, last, 100.0)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in result.tolist()]
    nan = pytest.approx(np.nan, nan_ok=True)
    assert rows[0] == {
        "volume": 110.0,
        "dollars": 750.0,
        "premarket_high": 5.0,
        "day_high": 5.0,
        "day_low": 5.0,
        "regular_low": nan,
        "first_regular_price": nan,
        "high_before": nan,
        "odd_lots": 1.0,
        "off_exchange_volume": 10.0,
    }
    assert rows[1] == {
        "volume": 360.0,
        "dollars": 1850.0,
        "premarket_high": 5.0,
        "day_high": 6.0,
        "day_low": 4.0,
        "regular_low": 4.0,
        "first_regular_price": 6.0,
        "high_before": 5.0,
        "odd_lots": 1.0,
        "off_exchange_volume": 200.0,
    }


def test_running_figures_given_no_bars_is_empty():
    none = np.array([], np.int64)
    arrays = (PRICES, SIZES, FORMING, OFF_EXCHANGE, PREMARKET, ~PREMARKET)
    assert running_figures(*arrays, none, none, 100.0).shape == (0, len(COLUMNS))
