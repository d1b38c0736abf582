"""Logarithm, exponential and power: against exact arithmetic, and at their ends."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.kernels import elementary as kernel

POSITIVE = st.floats(5e-324, 1.7e308)
USUAL = st.floats(0.5, 2.0)
MOST = 0.6


def error(found: float, exact: Decimal) -> float:
    """Units in the last place between a result and the exact value."""
    return abs(float((Decimal(found) - exact) / Decimal(math.ulp(float(exact)))))


@given(st.one_of(POSITIVE, USUAL))
def test_log_is_within_a_unit_in_the_last_place(x):
    with localcontext(prec=60):
        assert error(kernel.log(x), Decimal(x).ln()) < MOST


@given(st.one_of(st.floats(-745.0, 709.7), st.floats(-1.0, 1.0)))
def test_exp_is_within_a_unit_in_the_last_place(x):
    with localcontext(prec=60):
        exact = Decimal(x).exp()
        least = 1.1 if exact < Decimal("2.3e-308") else MOST  # subnormal numbers are rounded twice
        assert error(kernel.exp(x), exact) < least


@given(st.floats(1e-6, 1e6), st.floats(0.0, 1.0))
def test_power_is_within_a_unit_in_the_last_place(x, y):
    with localcontext(prec=60):
        assert error(kernel.power(x, y), (Decimal(x).ln() * Decimal(y)).exp()) < MOST


@given(st.floats(1e-300, 1e300))
def test_power_of_one_and_of_nothing_are_exact(x):
    assert kernel.power(x, 1.0) == x
    assert kernel.power(x, 0.0) == 1.0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (kernel.log(1.0), 0.0),
        (kernel.log(0.0), -math.inf),
        (kernel.log(-1.0), math.nan),
        (kernel.log(math.nan), math.nan),
        (kernel.log(math.inf), math.inf),
        (kernel.exp(0.0), 1.0),
        (kernel.exp(-math.inf), 0.0),
        (kernel.exp(math.inf), math.inf),
        (kernel.exp(709.9), math.inf),
        (kernel.exp(math.nan), math.nan),
        (kernel.power(0.0, 0.125), 0.0),
        (kernel.power(0.0, 0.0), 1.0),
        (kernel.power(0.0, -1.0), math.inf),
        (kernel.power(math.inf, 0.125), math.inf),
        (kernel.power(math.inf, -1.0), 0.0),
        (kernel.power(math.nan, 0.125), math.nan),
        (kernel.power(1e300, 2.0), math.inf),
        (kernel.power(1e-300, 1e308), 0.0),
    ],
)
def test_ends_are_those_of_the_functions(found, expected):
    np.testing.assert_equal(found, expected)


def test_arrays_have_the_bits_of_single_values():
    values = np.geomspace(1e-3, 1e5, 999)
    for many, one in ((kernel.logs, kernel.log), (kernel.exps, kernel.exp)):
        found = np.empty(values.size)
        many(values, found)
        assert found.tolist() == [one(float(value)) for value in values]
