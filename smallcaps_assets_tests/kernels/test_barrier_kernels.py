"""Triple barriers on ticks and on bars against their brute-force twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.labels.forward_returns import forward_return_arrays
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_arrays
from smallcaps_assets.kernels import barriers as kernel
from smallcaps_assets_tests.kernels import brute_force

WIDTHS = st.sampled_from((0.002, 0.10, 0.15))


@given(brute_force.tick_lists(), WIDTHS, WIDTHS, st.integers(0, 40), st.integers(0, 120))
def test_triple_barrier_given_any_ticks_equals_twin(ticks, take, stop, timeout, session_end):
    events = list(range(len(ticks["times"])))
    forming = np.array(ticks["forming"], bool)
    frame = triple_barrier_arrays(
        np.array(ticks["times"], np.int64),
        ticks["prices"],
        events,
        session_end,
        take,
        stop,
        timeout,
        price_forming=forming,
    )
    names = ("label", "t1", "label_return", "touch_tick", "path_ticks")
    for event, row in zip(events, frame.select(names).rows(), strict=True):
        vertical = min(ticks["times"][event] + timeout, session_end)
        wanted = brute_force.triple_barrier(
            ticks["times"], ticks["prices"], forming, event, take, stop, vertical
        )
        assert row == wanted


@given(
    brute_force.tick_lists(),
    *(WIDTHS, WIDTHS, st.integers(0, 40), st.integers(0, 120), st.integers(0, 12)),
)
def test_triple_barrier_from_the_entry_given_any_ticks_equals_twin(
    ticks, take, stop, timeout, session_end, delay
):
    times, prices, forming = ticks["times"], ticks["prices"], np.array(ticks["forming"], bool)
    events, limits = list(range(len(times))), (session_end, take, stop, timeout)
    frame = triple_barrier_arrays(
        np.array(times, np.int64), prices, events, *limits, forming, entry_delay=delay
    )
    names = ("label", "t1", "label_return", "touch_tick", "path_ticks", "entry_tick")
    for event, row in zip(events, frame.select(names).rows(), strict=True):
        vertical = min(times[event] + timeout, session_end)
        wanted = brute_force.triple_barrier(
            times, prices, forming, event, take, stop, vertical, delay
        )
        entry = brute_force.entry(times, forming, event, delay)
        assert row == (*wanted, entry if entry and times[entry] <= session_end else None)


@given(brute_force.tick_lists(), st.integers(0, 40), st.integers(0, 120))
def test_forward_returns_given_any_ticks_equal_twin(ticks, horizon, session_end):
    times, prices, events = ticks["times"], ticks["prices"], range(len(ticks["times"]))
    forming = np.array(ticks["forming"], bool)
    frame = forward_return_arrays(
        np.array(times, np.int64), prices, list(events), session_end, horizon, 0.10, 0.10, forming
    )
    names = ("forward_return", "forward_label", "forward_staleness")
    for event, (change, label, age) in zip(events, frame.select(names).rows(), strict=True):
        wanted = brute_force.forward_return(times, prices, forming, event, horizon, session_end)
        assert (change, age) == wanted
        if change is None:
            assert label is None
        else:
            price = prices[event] * (1 + change)
            up = brute_force.reaches(price, prices[event] * 1.10)
            down = brute_force.falls_to(price, prices[event] * 0.90)
            assert label == up - down


@pytest.mark.parametrize("count", [1, kernel.BLOCK, kernel.BLOCK + 1, 4 * kernel.BLOCK - 1])
def test_first_touch_given_long_paths_equals_a_plain_scan(count):
    rng = np.random.default_rng(count)
    prices = np.round(10 + 0.01 * rng.integers(-1, 2, count).cumsum(), 2)
    lows, highs = kernel.block_extremes(prices)
    for start in (0, count // 3, count - 1):
        for width in (0.0, 0.03, 0.10, 9.0):
            bounds = prices[start] - width, prices[start] + width
            found = kernel.first_touch(prices, lows, highs, start, count, *bounds)
            assert found == kernel.scan(prices, start, count, *bounds)


@pytest.mark.parametrize("place", [0, 5, kernel.BLOCK - 1, kernel.BLOCK, 2 * kernel.BLOCK])
def test_first_touch_at_exactly_a_bound_counts(place):
    for touching, bounds in ((7.0, (3.0, 7.0)), (3.0, (3.0, 7.0))):
        prices = np.full(2 * kernel.BLOCK + 1, 5.0)
        prices[place] = touching
        lows, highs = kernel.block_extremes(prices)
        assert kernel.scan(prices, 0, prices.size, *bounds) == place
        assert kernel.first_touch(prices, lows, highs, 0, prices.size, *bounds) == place
        assert kernel.first_touch(prices, lows, highs, place + 1, prices.size, *bounds) == -1


def test_block_extremes_given_a_partial_block_cover_it():
    prices = np.arange(1.0, kernel.BLOCK + 3)
    lows, highs = kernel.block_extremes(prices)
    assert lows.tolist() == [1.0, kernel.BLOCK + 1.0]
    assert highs.tolist() == [kernel.BLOCK, kernel.BLOCK + 2.0]


@given(st.lists(st.sampled_from(brute_force.PRICES), max_size=20), st.data())
def test_confirm_touches_given_any_path_equals_twin(prices, data):
    if not prices:
        return
    gaps = data.draw(st.lists(st.integers(0, 3), min_size=len(prices), max_size=len(prices)))
    times, values = np.cumsum(gaps), np.array(prices)
    touch = data.draw(st.integers(-1, len(prices) - 1))
    label = 0 if touch < 0 else data.draw(st.sampled_from((-1, 1)))
    found = kernel.confirm_touches(
        times,
        values,
        np.array([touch]),
        np.array([label], np.int8),
        np.array([3.30]),
        np.array([0.10]),
        np.array([0.10]),
        4,
    )
    later = [
        price
        for time, price in zip(times[touch + 1 :], prices[touch + 1 :], strict=True)
        if touch >= 0 and time <= times[touch] + 4
    ]
    if label > 0:
        assert found[0] == any(brute_force.reaches(p, 3.30 * 1.1) for p in later)
    else:
        assert found[0] == (label < 0 and any(brute_force.falls_to(p, 2.97) for p in later))


@st.composite
def bar_paths(draw):
    count = draw(st.integers(0, 12))
    rows = [
        draw(st.lists(st.sampled_from(brute_force.PRICES), min_size=3, max_size=3))
        for _ in range(count)
    ]
    return {
        "open": [row[0] for row in rows],
        "high": [max(row) for row in rows],
        "low": [min(row) for row in rows],
    }


@given(bar_paths(), st.data())
def test_bar_barriers_given_any_bars_equals_twin(path, data):
    count = len(path["open"])
    start = data.draw(st.integers(0, count))
    end = data.draw(st.integers(start, count))
    base = data.draw(st.sampled_from((3.30, 3.31, 3.45)))
    arrays = [np.array(path[name], float) for name in ("open", "high", "low")]
    found = kernel.bar_barriers(
        *arrays,
        np.array([start]),
        np.array([end]),
        np.array([base]),
        np.array([0.10]),
        np.array([0.10]),
    )
    touch, label, exit_price, is_ambiguous = brute_force.bar_barrier(
        path, start, end, base, 0.10, 0.10
    )
    assert found[0][0] == (-1 if touch is None else touch)
    assert found[1][0] == label
    assert found[2][0] == pytest.approx(np.nan if exit_price is None else exit_price, nan_ok=True)
    assert found[3][0] == is_ambiguous


def test_barrier_given_a_price_that_doubles_miss_still_touches():
    assert 3.30 * 0.9 < 2.97
    frame = triple_barrier_arrays([0, 1], [3.30, 2.97], [0], 10, 0.15, 0.10, 5)
    assert frame["label"].to_list() == [-1]
