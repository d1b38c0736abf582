"""Kernels on single trades against plain loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.kernels.ticks import (
    CHUNK,
    combine_flags,
    exclusion_codes,
    is_in_order,
    long_silences,
    tick_marks,
)
from smallcaps_assets_tests.kernels import brute_force

CONDITIONS = st.lists(st.lists(st.integers(-2, 9), max_size=7), max_size=12)


@given(CONDITIONS, st.data())
def test_combine_flags_given_any_conditions_equals_a_plain_loop(conditions, data):
    table = np.array([[1, 2, 4, 8, 16], [2, 4, 1, 0, 4], [0] * 5, [4] * 5], np.uint16)
    tapes = [data.draw(st.integers(-2, 6)) for _ in conditions]
    offsets = np.cumsum([0, *(len(c) for c in conditions)])
    ids = np.array([i for c in conditions for i in c], np.int16)
    flags, decisive = combine_flags(
        ids, offsets, np.array(tapes, np.int16), table, np.uint16(64), np.uint16(64 | 4)
    )
    for row, (trade, tape) in enumerate(zip(conditions, tapes, strict=True)):
        known = table[tape if 0 <= tape < 4 else 0]
        bits = [int(known[i]) if 0 <= i < 5 else 64 for i in trade]
        union = 0
        for b in bits:
            union |= b
        excluding = [i for i, b in zip(trade, bits, strict=True) if b & (64 | 4)]
        assert flags[row] == union
        assert decisive[row] == (excluding[0] if excluding else -1)


def test_combine_flags_given_no_condition_at_all_has_no_flags():
    given = np.empty(0, np.int16), np.zeros(3, np.int64), np.ones(2, np.int16)
    flags, decisive = combine_flags(
        *given, np.ones((4, 5), np.uint16), np.uint16(64), np.uint16(64)
    )
    assert (flags.tolist(), decisive.tolist()) == ([0, 0], [-1, -1])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(-1, 1)), max_size=9))
def test_tick_marks_given_any_ticks_equal_a_plain_loop(ticks):
    times, flags, signs = (np.array([tick[n] for tick in ticks]) for n in range(3))
    given = times.astype(np.int64), flags.astype(np.uint16), signs.astype(np.int8)
    marks = tick_marks(*given, np.uint16(2), np.uint16(5), 6)
    assert [tuple(map(bool, row)) for row in zip(*marks, strict=True)] == [
        (not flag & 2, bool(flag & 5), not flag & 2 and time <= 6) for time, flag, _ in ticks
    ]
    assert given[2].tolist() == [0 if flag & 5 else sign for _, flag, sign in ticks]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_long_silences_given_any_gaps_equal_a_plain_loop(gaps):
    times = np.cumsum(gaps)
    wanted = [i for i, (before, after) in enumerate(pairwise(times)) if after - before >= 4]
    assert long_silences(times, 4).tolist() == [*wanted, len(gaps) - 1]


@pytest.mark.parametrize("place", [0, CHUNK - 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_long_silence_at_the_border_of_a_chunk_is_found(place):
    times = np.arange(2 * CHUNK + 2)
    times[place + 1 :] += 100
    assert long_silences(times, 50).tolist() == [place, 2 * CHUNK + 1]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
def test_is_in_order_given_any_keys_equals_a_comparison_of_pairs(keys):
    times, sequences = (np.array([key[n] for key in keys], np.int64) for n in (0, 1))
    assert is_in_order(times, sequences) == all(a < b for a, b in pairwise(keys))


@pytest.mark.parametrize(
    ("times", "sequences", "expected"),
    [
        ([0, 0], [0, 1], True),
        ([0, 0], [1, 0], False),
        ([0, 0], [1, 1], False),
        ([1, 0], [0, 1], False),
        ([0, 1], [1, 0], True),
        ([], [], True),
    ],
)
def test_is_in_order_by_time_then_sequence(times, sequences, expected):
    found = is_in_order(np.array(times, np.int64), np.array(sequences, np.int64))
    assert found == expected


PREMARKET, OPEN, CLOSE, END, CLOSING_END = 4, 9, 16, 20, 22
OF_EXCLUSIONS = {
    "time": st.integers(2, 24),
    "price": st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
    "size": st.sampled_from([0.0, 0.5, 1.0]),
    "correction": st.integers(-1, 3),
    "flags": st.integers(0, 15),
    "decisive": st.integers(-1, 2),
}


@given(st.lists(st.fixed_dictionaries(OF_EXCLUSIONS), max_size=8))
def test_exclusion_codes_given_any_trades_equal_the_first_reason_that_holds(trades):
    def column(name, dtype):
        return np.array([trade[name] for trade in trades], dtype)

    codes = exclusion_codes(
        column("time", np.int64), column("price", float), column("size", float),
        column("correction", np.int64), column("flags", np.uint16), column("decisive", np.int32),
        (np.uint16(1), np.uint16(2), np.uint16(4)), (PREMARKET, OPEN, CLOSE, END, CLOSING_END),
    )  # fmt: skip
    assert codes.tolist() == [brute_force.exclusion_code(**trade) for trade in trades]
