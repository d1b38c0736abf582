"""Sweeps against the bars themselves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.arrays import BarError, BarKind, bars_from_arrays
from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.sweep import BarSetting, setting_grid, sweep_arrays, sweep_tape
from smallcaps_assets.kernels import sweep as kernel
from smallcaps_assets_tests.domain.tick_frames import (
    SETTINGS,
    at,
    halts_frame,
    tape_of,
    trade,
    walk,
)
from smallcaps_assets_tests.kernels import brute_force


def dyadic(ticks):
    """Prices and sizes whose products and sums doubles hold exactly."""
    return [round(p * 8) / 8 for p in ticks["prices"]], [max(round(s), 1) for s in ticks["sizes"]]


@given(
    brute_force.tick_lists(max_size=120),
    st.sampled_from(list(BarKind)),
    st.sampled_from((0.5, 50.0, 330.0, 1000.0)),
    st.sampled_from((0.15, 1.0)),
    st.sampled_from((0.0, 0.125, 1.0)),
    st.sampled_from((1.0, 2.0)),
)
def test_sweep_given_exact_amounts_closes_the_bars_of_the_kernel(
    ticks, kind, target, alpha, gamma, kappa
):
    prices, sizes = dyadic(ticks)
    blocks = np.array(ticks["blocks"], np.int64)
    frame, _ = bars_from_arrays(
        ticks["times"], prices, sizes, kind, target,
        block=blocks, alpha=alpha, gamma=gamma, kappa=kappa,
    )  # fmt: skip
    full = frame.filter(frame["reason"] == "threshold")
    tape = sweep_arrays(
        ticks["times"], prices, sizes, kind, edges=np.flatnonzero(np.diff(blocks)) + 1
    )
    closes, clamped = tape.closing_ticks(BarSetting(target, alpha, gamma, kappa))
    assert closes.tolist() == full["last_tick"].to_list()
    if kind.is_imbalance:
        assert clamped.tolist() == full["is_clamped"].to_list()


def test_sweep_given_long_tapes_equals_exact_sums():
    rng = np.random.default_rng(2)
    prices = np.round(5 + 0.01 * rng.integers(-1, 2, 5000).cumsum(), 2)
    sizes = rng.integers(1, 900, 5000)
    signs = np.sign(rng.integers(-9, 11, 5000))
    tape = sweep_arrays(np.arange(5000), prices, sizes, BarKind.DOLLAR_IMBALANCE, signs=signs)
    found = tape.closing_ticks(BarSetting(40_000, gamma=0.0))[0].tolist()
    theta, closes = Fraction(0), []
    for i in range(5000):
        theta += Fraction(str(prices[i])) * int(sizes[i]) * int(signs[i])
        if abs(theta) >= 40_000:
            closes.append(i)
            theta = Fraction(0)
    assert found == closes
    assert len(found) > 20


@pytest.mark.parametrize("count", [0, 1, kernel.BLOCK - 1, kernel.BLOCK, 2 * kernel.BLOCK])
def test_sweep_given_any_length_covers_the_last_block(count):
    tape = sweep_arrays(np.arange(count), np.full(count, 10.0), np.ones(count), BarKind.VOLUME)
    closes, _ = tape.closing_ticks(BarSetting(max(count, 1)))
    assert closes.tolist() == ([count - 1] if count else [])


def test_sweep_of_a_tape_ends_bars_at_halts_and_skips_auctions():
    rows = walk([10.0 + n / 100 for n in range(50)])
    rows += [trade("10:06:00", 11.0, 1e6, [28]), *walk([11.0, 11.1], "10:06:01")]
    tape = tape_of(rows, halts=halts_frame(("10:01:00", "10:05:00")))
    for kind in BarKind:
        bars = build_bars(tape, kind, SETTINGS.bars, 700.0)
        full = bars.filter(bars["reason"] == "threshold")
        closes, _ = sweep_tape(tape, kind).closing_ticks(BarSetting(700.0))
        assert closes.tolist() == full["last_tick"].to_list()


def test_sweep_makes_a_row_per_setting_with_fewer_bars_for_larger_targets():
    rng = np.random.default_rng(5)
    prices = np.round(5 + 0.01 * rng.integers(-1, 2, 20_000).cumsum() % 3, 2)
    times = at("10:00:00") + np.arange(20_000) * 10**9
    tape = sweep_arrays(times, prices, rng.integers(1, 500, 20_000), "dollar_imbalance_bars")
    frame = tape.sweep(setting_grid([10_000, 40_000, 150_000], kappas=[1.0, 2.0]))
    assert frame["target"].to_list() == [10_000] * 2 + [40_000] * 2 + [150_000] * 2
    for kappa in (1.0, 2.0):
        bars = frame.filter(frame["kappa"] == kappa)["bars"].to_list()
        assert bars == sorted(bars, reverse=True)
        assert len(set(bars)) == 3
    first = frame.row(0, named=True)
    assert first["clamped_share"] == pytest.approx(1 - 1 / first["bars"])
    assert first["median_spacing_seconds"] == first["median_ticks"] > 0
    empty = tape.sweep([BarSetting(1e12)]).row(0, named=True)
    assert (empty["bars"], empty["clamped_share"], empty["median_ticks"]) == (0, None, None)


def test_sweep_given_bad_parameters_or_endless_amounts_is_refused():
    tape = sweep_arrays([1], [1.0], [1.0], BarKind.DOLLAR)
    with pytest.raises(BarError, match="target is 0"):
        tape.closing_ticks(BarSetting(0.0))
    with pytest.raises(BarError, match="cut the tape"):
        sweep_arrays([1], [1e7], [1e7], BarKind.DOLLAR)


@pytest.mark.parametrize("kind", list(BarKind))
@pytest.mark.parametrize("setting", [(2_000.0, 0.2, 0.125, 2.0), (1_500.0, 0.5, 0.5, 3.0)])
def test_sweep_given_a_long_tape_with_halts_closes_the_bars_of_the_kernel(kind, setting):
    rng = np.random.default_rng(7)
    count = 3000
    prices = 5 + rng.integers(-1, 2, count).cumsum() / 8 % 3
    sizes = rng.integers(1, 40, count).astype(float) * (2 if kind.in_dollars else 10)
    blocks = np.sort(rng.integers(0, 12, count))
    target, *rest = setting
    names = dict(zip(("alpha", "gamma", "kappa"), rest, strict=True))
    frame, _ = bars_from_arrays(
        np.arange(count), prices, sizes, kind, target, block=blocks, **names
    )  # fmt: skip
    full = frame.filter(frame["reason"] == "threshold")
    edges = np.flatnonzero(np.diff(blocks)) + 1
    tape = sweep_arrays(np.arange(count), prices, sizes, kind, edges=edges)
    assert tape.closing_ticks(BarSetting(*setting))[0].tolist() == full["last_tick"].to_list()
    assert full.height > 8
    assert (full["ticks"] > 2).any()


@pytest.mark.parametrize("target", range(1, 101))
@pytest.mark.parametrize("sign", [-1, 1])
def test_sweep_given_a_sum_that_just_reaches_the_target_closes_there(target, sign):
    ones = np.ones(100)
    tape = sweep_arrays(
        np.arange(100), ones, ones, BarKind.VOLUME_IMBALANCE, signs=np.full(100, sign)
    )
    assert tape.closing_ticks(BarSetting(target, gamma=0.0))[0][0] == target - 1


def test_sweep_given_a_target_between_two_units_wants_the_next():
    tape = sweep_arrays([1, 2], [10.0, 10.0], [10.0, 10.0], BarKind.DOLLAR)
    assert tape.closing_ticks(BarSetting(100.0))[0].tolist() == [0, 1]
    assert tape.closing_ticks(BarSetting(100.0000005))[0].tolist() == [1]
