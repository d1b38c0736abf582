"""Checks before a kernel: every bad value, wherever it stands, named with its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.guards import (
    ArrayError,
    boolean_array,
    float_array,
    price_array,
    same_length,
    sign_array,
    size_array,
    span_arrays,
    time_array,
)
from smallcaps_assets.kernels.checks import (
    CHUNK,
    first_bad_span,
    first_descent,
    first_outside,
)

PLACES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 4]
COUNT = 2 * CHUNK + 5
CHECKS = {
    "float": (float_array, [np.nan, np.inf, -np.inf]),
    "price": (price_array, [np.nan, np.inf, -np.inf, 0.0, -0.0, -5.0, -5e-324]),
    "size": (size_array, [np.nan, np.inf, -np.inf, -1.0, -5e-324]),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", list(CHECKS))
def test_bad_value_given_anywhere_is_named_with_its_place(kind, place):
    check, bad = CHECKS[kind]
    for value in bad:
        values = np.ones(COUNT)
        values[place] = value
        with pytest.raises(ArrayError, match=rf"x\[{place}\] is {value}, expected"):
            check("x", values)


@pytest.mark.parametrize(
    ("check", "values"),
    [
        (float_array, [-1.7e308, -0.0, 0.0, 1.7e308]),
        (price_array, [5e-324, 1.0, 1.7e308]),
        (size_array, [0.0, -0.0, 5e-324, 1.7e308]),
        (float_array, []),
    ],
)
def test_extreme_but_good_values_pass(check, values):
    assert check("x", values).tolist() == values


def test_first_of_several_bad_values_is_named():
    values = np.ones(COUNT)
    values[[7, 9, CHUNK + 2]] = np.nan
    with pytest.raises(ArrayError, match=r"x\[7\]"):
        float_array("x", values)


def test_smallest_good_value_before_a_bad_one_is_not_named():
    with pytest.raises(ArrayError, match=r"x\[1\] is nan"):
        size_array("x", [0.0, np.nan])


def test_kernels_find_nothing_in_good_arrays():
    assert first_outside(np.ones(3), 1.0) == -1
    assert first_descent(np.array([1, 1, 2])) == -1
    assert first_bad_span(9, np.array([0]), np.array([8])) == -1


@pytest.mark.parametrize("place", PLACES[1:])
def test_time_that_goes_back_is_named_with_its_place(place):
    times = np.arange(COUNT) // 2
    times[place:] -= 1
    times[place] -= times[place] == times[place - 1]
    assert times[place] < times[place - 1]
    with pytest.raises(ArrayError, match=rf"t\[{place}\] = .* is before t\[{place - 1}\]"):
        time_array("t", times)


@given(st.lists(st.integers(-3, 3), max_size=12))
def test_times_pass_just_when_they_are_sorted(times):
    if times == sorted(times):
        assert time_array("t", times).tolist() == times
    else:
        with pytest.raises(ArrayError, match="sort by time"):
            time_array("t", times)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("span", [(-1, 3), (4, 4), (5, 4), (3, 9), (9, 10)])
def test_span_outside_the_bars_is_named_with_its_place(place, span):
    starts, ends = np.zeros(COUNT, int), np.full(COUNT, 8)
    starts[place], ends[place] = span
    with pytest.raises(ArrayError, match=rf"span {place} is \({span[0]}, {span[1]}\]"):
        span_arrays(9, starts, ends)


def test_spans_inside_the_bars_pass():
    starts, ends = span_arrays(9, [0, 7, 3], [1, 8, 8])
    assert (starts.tolist(), ends.tolist()) == ([0, 7, 3], [1, 8, 8])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: float_array("x", [[1.0]]), "x has 2 dimensions"),
        (lambda: boolean_array("m", [1, 0], 2, True), "m is int64, expected booleans"),
        (lambda: sign_array("signs", [0, 2]), "from 0 to 2, expected -1, 0 and 1"),
        (lambda: sign_array("signs", [-2, 0]), "from -2 to 0"),
        (lambda: sign_array("signs", [np.nan]), "expected -1, 0 and 1"),
        (lambda: same_length({"a": np.ones(1), "b": np.ones(2)}), "b has 2 values, a has 1"),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(call, message):
    with pytest.raises(ArrayError, match=message):
        call()


def test_masks_left_out_are_filled():
    assert boolean_array("m", None, 2, True).tolist() == [True, True]
    assert boolean_array("m", [], 0, True).tolist() == []
