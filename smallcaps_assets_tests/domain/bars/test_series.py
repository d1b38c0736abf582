"""Fractional differences, VPIN and the CUSUM filter beyond the golden cases."""

from __future__ import annotations

import numpy as np
import pytest

from smallcaps_assets.domain.bars.series import (
    SeriesError,
    cusum_events,
    fracdiff_weights,
    fractional_difference,
    vpin,
)


def test_fractional_difference_of_order_one_is_the_plain_difference():
    found = fractional_difference([1.0, 3.0, 2.0, 6.0], 1.0, 1e-6)
    assert found == pytest.approx([np.nan, 2.0, -1.0, 4.0], nan_ok=True)


def test_fractional_difference_equals_the_weighted_sum():
    values, weights = np.arange(1.0, 12.0) ** 2, fracdiff_weights(0.5, 0.03)
    found = fractional_difference(values, 0.5, 0.03)
    wanted = [
        sum(w * values[t - k] for k, w in enumerate(weights)) if t >= len(weights) - 1 else np.nan
        for t in range(values.size)
    ]
    assert found == pytest.approx(wanted, nan_ok=True)
    assert np.isnan(fractional_difference([1.0], 0.5, 0.03)).all()


def test_vpin_given_empty_volume_or_too_few_bars_is_unknown():
    assert np.isnan(vpin([0.0, 0.0], [0.0, 0.0], 2)).all()
    assert np.isnan(vpin([1.0], [2.0], 2)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cusum_events([0.1], 0.0), "expected > 0"),
        (lambda: fracdiff_weights(0.5, 0.0), "tolerance"),
        (lambda: fracdiff_weights(-0.9, 1e-9), "raise tolerance"),
        (lambda: vpin([1.0], [1.0], 0), "at least 1"),
    ],
)
def test_parameters_out_of_range_are_refused(call, message):
    with pytest.raises(SeriesError, match=message):
        call()
