"""Tick rule and bars against their brute-force twins, and passes resumed in chunks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.arrays import BarKind, bars_from_arrays, tick_rule
from smallcaps_assets.domain.guards import ArrayError
from smallcaps_assets.kernels.bars import MOST_ROWS
from smallcaps_assets.kernels.ticks import CHUNK
from smallcaps_assets_tests.kernels import brute_force

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


def assert_signs_equal_twin(prices):
    assert tick_rule(prices).tolist() == brute_force.tick_rule(prices, [0] * len(prices))


@pytest.mark.parametrize("unchanged", [62, 63, 64, 126, 127, 128, 129, CHUNK, 2 * CHUNK])
def test_tick_rule_given_a_long_unchanged_price_carries_the_sign(unchanged):
    for first in (1, CHUNK - 1, CHUNK):
        start = [10.0 + 0.01 * (n % 3) for n in range(first)]
        assert_signs_equal_twin([*start, 9.0, *[9.0] * unchanged, 9.5, *[9.5] * unchanged, 9.4])


def test_tick_rule_given_equal_prices_only_has_no_sign():
    assert tick_rule([5.0] * 3000).any() == False  # noqa: E712  (numpy's, not Python's)


@given(brute_force.tick_lists(), st.integers(0, 40))
def test_tick_rule_resumed_anywhere_equals_one_pass(ticks, cut):
    prices, sessions = ticks["prices"], np.array(ticks["sessions"], np.int64)
    whole = tick_rule(prices, sessions)
    cut = min(cut, len(prices))
    first = tick_rule(prices[:cut], sessions[:cut])
    state = (first[-1], prices[cut - 1], sessions[cut - 1]) if cut else (0, float("nan"), 0)
    second = tick_rule(prices[cut:], sessions[cut:], *state)
    assert [*first, *second] == whole.tolist()


EDGE_TAPES = {
    "no ticks": [],
    "one tick": [(5, 10.0, 3.0)],
    "one block trade": [(5, 10.0, 1e7)],
    "equal instants": [(5, 10.0 + n % 2, 7.0) for n in range(9)],
    "equal prices": [(n, 10.0, 7.0) for n in range(9)],
    "a gap of a year": [(0, 10.0, 7.0), (31_536_000 * 10**9, 11.0, 7.0)],
    "block trades above the target": [(n, 10.0 + n % 3, 1e6) for n in range(7)],
    "sizes of nothing": [(n, 10.0 + n % 2, 0.0) for n in range(4)],
    "the smallest sizes": [(n, 10.0 + n % 3, 1e-6) for n in range(9)],
}


@pytest.mark.parametrize("kind", list(BarKind))
@pytest.mark.parametrize("name", list(EDGE_TAPES))
def test_bars_given_an_extreme_tape_equal_twin(name, kind):
    rows, count = EDGE_TAPES[name], len(EDGE_TAPES[name])
    ticks = {"times": [r[0] for r in rows], "prices": [r[1] for r in rows]}
    ticks |= {"sizes": [r[2] for r in rows], "forming": [True] * count, "auction": [False] * count}
    ticks |= {"blocks": [0] * count, "sessions": [0] * count}
    frame, _ = cut(ticks, kind, 100.0, (0.2, 0.125, 2.0))
    expected = brute_force.bars(ticks, kind, 100.0, 0.2, 0.125, 2.0)
    for row, wanted in zip(frame.to_dicts(), expected, strict=True):
        assert {n: row[n] for n in wanted if n in row} == {n: wanted[n] for n in wanted if n in row}


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_ticks_without_a_price_are_refused_by_every_function_on_arrays(bad):
    prices = [5.0, bad, 5.1]
    with pytest.raises(ArrayError, match=r"prices\[1\]"):
        bars_from_arrays([1, 2, 3], prices, [1.0] * 3, BarKind.DOLLAR, 10.0)
    if not np.isfinite(bad):
        with pytest.raises(ArrayError, match=r"prices\[1\]"):
            tick_rule(prices)


def open_volume(*chunks):
    """Volume of the bar left open after chunks of sizes, bought at rising prices."""
    state = None
    for sizes in chunks:
        ticks = np.arange(len(sizes)), np.arange(1.0, len(sizes) + 1), sizes
        start = 0 if state is None else int(state.integers[2]) + 1
        _, state = bars_from_arrays(
            ticks[0] + start, *ticks[1:], BarKind.VOLUME, 1e300, state=state, final=False
        )
    return state.floats[4]


def test_whole_sizes_after_fractional_ones_add_up_in_order():
    sizes = [0.134364, 517.0, 2090.0, 966.0, 4059.0, 3683.0, 3869.0, 3110.0, 1720.0]
    assert sum(sizes[1:]) + sizes[0] != brute_force.in_order(sizes)
    assert open_volume(sizes[:1], sizes[1:]) == brute_force.in_order(sizes)


def test_whole_sizes_after_fractional_ones_of_every_sign_add_up_in_order():
    sizes = [
        0.377805,
        0.586375,
        0.550851,
        2287.0,
        4141.0,
        1933.0,
        296.0,
        2537.0,
        60.0,
        631.0,
        886.0,
    ]
    signs = [1, -1, 0, 1, 1, 1, -1, -1, 0, 0, 1]
    state = None
    for part in (slice(0, 3), slice(3, 11)):
        ticks = np.arange(11)[part], np.full(11, 5.0)[part], sizes[part]
        _, state = bars_from_arrays(
            *ticks, BarKind.VOLUME, 1e9, signs=signs[part], state=state, final=False
        )
    assert sum(sizes[3:]) + brute_force.in_order(sizes[:3]) != brute_force.in_order(sizes)
    assert state.floats[4] == brute_force.in_order(sizes)


def test_sizes_too_large_to_add_up_exactly_add_up_in_order():
    sizes = [2.0**53, 1.0, 1.0, 1.0]
    assert open_volume(sizes[:1], sizes[1:]) == brute_force.in_order(sizes) == 2.0**53


def test_remainder_of_a_bar_whose_threshold_sits_at_the_lower_limit_is_clamped():
    ticks = [1, 2, 3, 4], [10.0, 10.1, 9.9, 9.9], [50.0, 100.0, 100.0, 1.0]
    frame, _ = bars_from_arrays(*ticks, BarKind.VOLUME_IMBALANCE, 100, gamma=1.0, kappa=1.0)
    assert frame.select("reason", "threshold", "is_clamped").rows() == [
        ("threshold", 100.0, False),
        ("threshold", 100.0, True),
        ("session", 100.0, True),
    ]
    frame, _ = bars_from_arrays(
        [1, 2, 3], [10.0] * 3, [100.0, 100.0, 1.0], BarKind.VOLUME_IMBALANCE, 100,
        signs=[1, -1, 1], gamma=1.0, kappa=2.0, alpha=0.5,
    )  # fmt: skip
    assert frame["threshold"].to_list() == [100.0, 100.0, 50.0]
    assert frame["is_clamped"].to_list() == [False, False, True]


@pytest.mark.parametrize("kind", list(BarKind))
@pytest.mark.parametrize("rows", [MOST_ROWS, MOST_ROWS + 3])
def test_bars_given_a_short_buffer_are_the_same(monkeypatch, kind, rows):
    rng = np.random.default_rng(rows)
    count = 5 * CHUNK + 5
    ticks = np.arange(count), rng.integers(1, 9, count) / 4, rng.integers(1, 9, count) * 50.0
    runs = {"block": np.arange(count) // 7, "session": np.arange(count) // 90}
    whole, state = bars_from_arrays(*ticks, kind, 500, **runs)
    monkeypatch.setattr("smallcaps_assets.domain.bars.arrays.ROWS", rows)
    short, same_state = bars_from_arrays(*ticks, kind, 500, **runs)
    assert whole.height >= count // 7
    assert short.equals(whole)
    assert same_state.floats.tobytes() == state.floats.tobytes()
    assert same_state.integers.tolist() == state.integers.tolist()


@pytest.mark.parametrize("place", [0, CHUNK - 1, CHUNK, 2 * CHUNK + 4])
@pytest.mark.parametrize(
    ("name", "bad"), [("timestamps", -1), ("prices", np.nan), ("prices", 0.0), ("sizes", np.inf)]
)
def test_bad_value_of_any_chunk_is_named(name, bad, place):
    count = 2 * CHUNK + 5
    ticks = {"timestamps": np.arange(count), "prices": np.full(count, 5.0), "sizes": np.ones(count)}
    ticks[name][place] = bad
    if name == "timestamps" and place == 0:
        assert bars_from_arrays(*ticks.values(), BarKind.VOLUME, 1e9)[0].height == 1
        return
    with pytest.raises(ArrayError, match=rf"{name}\[{place}\] "):
        bars_from_arrays(*ticks.values(), BarKind.VOLUME, 1e9)


@pytest.mark.parametrize("first", [CHUNK - 1, CHUNK, CHUNK + 1])
def test_session_and_auction_at_the_border_of_a_chunk_are_those_of_the_tick_rule(first):
    count = 2 * CHUNK
    prices, sessions = 5.0 + 0.01 * (np.arange(count) % 3), (np.arange(count) >= first).astype(int)
    auction = np.arange(count) == first
    given = np.arange(count), prices, np.full(count, 7.0), BarKind.VOLUME_IMBALANCE, 60.0
    signs = tick_rule(prices, sessions) * ~auction
    found, state = bars_from_arrays(*given, session=sessions, auction=auction)
    expected, _ = bars_from_arrays(*given, session=sessions, signs=signs)
    assert found.equals(expected)
    assert (state.sign, state.previous_price) == (signs[-1], prices[-1])


def test_sign_and_auction_of_a_single_tick_are_those_given():
    one = [1], [10.0], [3.0], BarKind.VOLUME_IMBALANCE, 100.0
    thetas = [
        bars_from_arrays(*one, **given)[0]["theta"].item()
        for given in ({}, {"signs": [-1]}, {"signs": [1], "auction": [True]})
    ]
    assert thetas == [0.0, -3.0, 0.0]


@pytest.mark.parametrize("place", [0, 1, CHUNK, CHUNK + 1])
def test_tick_rule_names_the_price_that_is_none(place):
    prices = np.full(CHUNK + 2, 5.0)
    prices[place] = np.nan
    with pytest.raises(ArrayError, match=rf"prices\[{place}\] is nan"):
        tick_rule(prices)


@pytest.mark.parametrize("price", [5e-324, np.finfo(np.float64).max])
def test_tick_rule_takes_every_finite_price(price):
    assert tick_rule([price, 1.0, price, price]).tolist() in ([0, 1, -1, -1], [0, -1, 1, 1])
