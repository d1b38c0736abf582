"""Kernels: compiled and interpreted runs agree, bars against brute force, the random numbers."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.sandbox.randomness import mix, mix_array, uniforms
from smallcaps_assets.sandbox.simulation import bars as b
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets_tests.another_process import printed

HOURS = np.array([8 * 3600, 13.5 * 3600, 20 * 3600, 24 * 3600], dtype=np.int64) * 10**9


def _plan(trades: float, sigma: float = 0.3, **columns: float) -> np.ndarray:
    plan = np.zeros(t.PLAN)
    plan[[t.P_TRADES, t.P_SIGMA, t.P_PREMARKET, t.P_POSTMARKET]] = trades, sigma, 0.1, 0.05
    plan[[t.P_PRICE_FACTOR, t.P_SIZE_FACTOR, t.P_PRIMARY, t.P_HALT]] = 1, 1, 12, -1
    for name, value in columns.items():
        plan[getattr(t, name)] = value
    return plan


def _print(plan: np.ndarray, seed: int, price: int = 40_000) -> np.ndarray:
    room = np.zeros((t.ROWS, 20_000), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # interpreted uint64 wraps with a warning
        count, _ = t.simulate_day(plan, HOURS, np.uint64(seed), price, room)
    return room[:, :count]


def digest() -> str:
    plan = _plan(150, P_SHAPE=2, P_TARGET=0.5, P_FINAL=0.1, P_RAMP_END=90, P_HALT=30, P_JUMP=0.1)
    tape = _print(plan, 5)
    bar = np.zeros(b.BAR, dtype=np.int64)
    vwap = b.day_bar(tape, tape.shape[1], bar)
    return hashlib.sha256(tape.tobytes() + bar.tobytes()).hexdigest() + f" {vwap:.6f}"


_SCRIPT = (
    "import sys; from smallcaps_assets_tests.sandbox.simulation.test_tape import digest;"
    "sys.stdout.write(digest())"
)


def test_interpreted_kernels_print_the_same_bytes() -> None:
    assert printed(_SCRIPT, NUMBA_DISABLE_JIT="1") == digest()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**63), price=st.integers(4_000, 900_000), halt=st.booleans())
def test_minute_bars_equal_a_group_by(seed: int, price: int, halt: bool) -> None:
    tape = _print(_plan(900, P_HALT=60 if halt else -1), seed, price)
    bars, vwaps = b.empty_bars(961), np.zeros(961)
    bars = bars[: b.minute_bars(tape, tape.shape[1], HOURS, bars, vwaps)]
    minute = tape[t.SIP] // t.MINUTE * t.MINUTE
    is_regular = (minute >= HOURS[1]) & (minute < HOURS[2])
    code = tape[t.CODE]
    flags = np.where(is_regular, c.REGULAR_FLAGS[code], c.EXTENDED_FLAGS[code])
    rows = pl.DataFrame(
        {"start": minute, "price": tape[t.PRICE], "size": tape[t.SIZE], "flags": flags}
    ).filter(pl.Series(tape[t.CORRECTION] <= 1))
    sets_close, sets_high = (pl.col("flags") & bit != 0 for bit in (c.OPEN_CLOSE, c.HIGH_LOW))
    counts = pl.col("flags") & c.VOLUME != 0
    expected = (
        rows.group_by("start", maintain_order=True)
        .agg(
            pl.col("price").filter(sets_close).first().alias("open"),
            pl.col("price").filter(sets_high).max().alias("high"),
            pl.col("price").filter(sets_high).min().alias("low"),
            pl.col("price").filter(sets_close).last().alias("close"),
            pl.col("size").filter(counts).sum().alias("volume"),
            counts.sum().cast(pl.Int64).alias("count"),
        )
        .drop_nulls("open")
    )
    assert (expected.to_numpy() == bars).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**63), trades=st.integers(0, 2_000))
def test_tape_is_ordered_whatever_the_seed(seed: int, trades: int) -> None:
    tape = _print(_plan(trades), seed)
    assert (np.diff(tape[t.SIP]) >= 0).all() and (np.diff(tape[t.SEQUENCE]) > 0).all()
    assert (tape[t.PRICE] > 0).all()
    assert tape.shape[1] == pytest.approx(trades * 1.15, abs=12)


def test_prices_move_back_by_one_or_on_by_a_mean_that_makes_up_for_it() -> None:
    steps = np.concatenate([_changes(seed) for seed in range(8)])
    back = steps < 0
    assert back.mean() == pytest.approx(t.REVERSAL, abs=0.01)
    assert abs(steps.mean()) < 4 * steps.std() / np.sqrt(len(steps))


def _changes(seed: int) -> np.ndarray:
    """Changes of price in the direction of the change before; jitter of sub-pennies removed."""
    plan = _plan(12_000, 0.6)
    tape = _print(plan, seed)
    ordinary = tape[:, (tape[t.CODE] < c.AVERAGE)]
    lattice = np.round(ordinary[t.PRICE] / 50.0) * 50
    changes = np.diff(lattice)
    changes = changes[changes != 0]
    return changes[1:] * np.sign(changes[:-1])


def test_quiet_sessions_have_no_crosses_and_may_be_empty() -> None:
    codes = [_print(_plan(6), seed)[t.CODE] for seed in range(10)]
    assert not np.isin(np.concatenate(codes), [c.OPENING, c.CLOSING]).any()
    assert _print(_plan(0), 1).shape[1] <= 1


def test_random_numbers_are_pinned() -> None:
    assert mix(7, 1, 2) == int(mix_array(mix(7, 1), np.array([2]))[0])
    assert mix(1) == 0x910A2DEC89025CC1
    draws = uniforms(mix(3), np.arange(20_000))
    assert draws.mean() == pytest.approx(0.5, abs=0.01) and 0 <= draws.min() < draws.max() < 1
