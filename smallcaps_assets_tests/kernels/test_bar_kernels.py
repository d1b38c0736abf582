"""Tick rule and bars against their brute-force twins, and passes resumed in chunks."""

from __future__ import annotations

from itertools import pairwise

import brute_force
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.bar_arrays import BarKind, bars_from_arrays, tick_rule
from smallcaps_assets.kernels.ticks import combine_flags

KINDS = st.sampled_from(list(BarKind))
TARGETS = st.sampled_from((0.4, 50.0, 330.0, 1000.0, 1e7))
PARAMETERS = st.tuples(
    st.sampled_from((0.15, 0.2, 1.0)),
    st.sampled_from((0.0, 0.125, 0.5, 1.0)),
    st.sampled_from((1.0, 2.0, 4.0)),
)


def cut(ticks, kind, target, parameters, state=None, final=True, **overrides):
    alpha, gamma, kappa = parameters
    columns = {
        "block": np.array(ticks["blocks"], np.int64),
        "session": np.array(ticks["sessions"], np.int64),
        "price_forming": np.array(ticks["forming"], bool),
        "auction": np.array(ticks["auction"], bool),
    }
    return bars_from_arrays(
        np.array(ticks["times"], np.int64),
        ticks["prices"],
        ticks["sizes"],
        kind,
        target,
        alpha=alpha,
        gamma=gamma,
        kappa=kappa,
        state=state,
        final=final,
        **(columns | overrides),
    )


def part(ticks, start, stop):
    return {name: values[start:stop] for name, values in ticks.items()}


@given(brute_force.tick_lists())
def test_tick_rule_given_any_ticks_equals_twin(ticks):
    found = tick_rule(ticks["prices"], np.array(ticks["sessions"], np.int64))
    assert found.tolist() == brute_force.tick_rule(ticks["prices"], ticks["sessions"])


@given(brute_force.tick_lists(), KINDS, TARGETS, PARAMETERS, st.booleans())
def test_bars_given_any_ticks_equal_twin(ticks, kind, target, parameters, final):
    frame, _ = cut(ticks, kind, target, parameters, final=final)
    expected = brute_force.bars(ticks, kind, target, *parameters, final=final)
    for row, wanted in zip(frame.to_dicts(), expected, strict=True):
        names = [name for name in wanted if name in row]
        assert {n: row[n] for n in names} == {n: wanted[n] for n in names}
        assert row["vwap"] == wanted["dollar_volume"] / wanted["volume"]
        parts = row["buy_volume"] + row["sell_volume"] + row["unsigned_volume"]
        assert parts == pytest.approx(row["volume"])


@given(
    brute_force.tick_lists(),
    KINDS,
    TARGETS,
    PARAMETERS,
    st.lists(st.integers(0, 40), max_size=4),
)
def test_bars_given_chunks_are_bit_identical_to_one_pass(ticks, kind, target, parameters, cuts):
    whole, whole_state = cut(ticks, kind, target, parameters)
    edges = [0, *sorted(min(c, len(ticks["times"])) for c in cuts), len(ticks["times"])]
    frames, state = [], None
    for start, stop in pairwise(edges):
        is_last = stop == edges[-1] and start == edges[-2]
        frame, state = cut(part(ticks, start, stop), kind, target, parameters, state, is_last)
        frames.append(frame)
    assert pl.concat(frames).equals(whole)
    np.testing.assert_array_equal(state.floats, whole_state.floats)


def test_bars_given_polars_arrays_equal_those_of_numpy_arrays():
    rng = np.random.default_rng(5)
    prices = np.round(5 + 0.01 * rng.integers(-2, 3, 500).cumsum(), 2)
    sizes = rng.choice([1.0, 100.0, 500.0], 500)
    frame = pl.DataFrame({"time": np.arange(500), "price": prices, "size": sizes})
    given_polars = [frame[name].to_numpy() for name in ("time", "price", "size")]
    assert not given_polars[1].flags.writeable
    first, _ = bars_from_arrays(*given_polars, BarKind.DOLLAR_IMBALANCE, 5_000)
    second, _ = bars_from_arrays(np.arange(500), prices, sizes, BarKind.DOLLAR_IMBALANCE, 5_000)
    assert first.height > 3
    assert first.equals(second)


def test_bars_given_state_does_not_change_it():
    ticks = {"timestamps": [1, 2], "prices": [10.0, 11.0], "sizes": [10.0, 1.0]}
    _, state = bars_from_arrays(*ticks.values(), BarKind.DOLLAR, 1e6, final=False)
    before = state.floats.copy()
    later = {"timestamps": [3], "prices": [10.0], "sizes": [5.0]}
    bars_from_arrays(*later.values(), BarKind.DOLLAR, 1e6, state=state)
    np.testing.assert_array_equal(state.floats, before)


@given(st.lists(st.lists(st.integers(-2, 9), max_size=4), max_size=12), st.data())
def test_combine_flags_given_any_conditions_equals_twin(conditions, data):
    table = np.array([[1, 2, 4, 8, 16], [2, 4, 1, 0, 4], [0] * 5, [4] * 5], np.uint16)
    tapes = [data.draw(st.integers(0, 3)) for _ in conditions]
    offsets = np.cumsum([0, *(len(c) for c in conditions)])
    ids = np.array([i for c in conditions for i in c], np.int64)
    flags, decisive = combine_flags(
        ids, offsets, np.array(tapes, np.int64), table, np.uint16(64), np.uint16(64 | 4)
    )
    for row, (trade, tape) in enumerate(zip(conditions, tapes, strict=True)):
        bits = [int(table[tape, i]) if 0 <= i < 5 else 64 for i in trade]
        union = 0
        for b in bits:
            union |= b
        excluding = [i for i, b in zip(trade, bits, strict=True) if b & (64 | 4)]
        assert flags[row] == union
        assert decisive[row] == (excluding[0] if excluding else -1)
