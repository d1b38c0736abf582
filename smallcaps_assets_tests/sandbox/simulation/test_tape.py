"""Kernels: compiled and interpreted runs agree, bars against brute force, the random numbers."""

from __future__ import annotations

import hashlib
import warnings
from collections import deque
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.sandbox.randomness import mix, mix_array, uniforms
from smallcaps_assets.sandbox.simulation import bars as b
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.quotes import quote_rows
from smallcaps_assets_tests.another_process import printed

HOURS = np.array([8 * 3600, 13.5 * 3600, 20 * 3600, 24 * 3600], dtype=np.int64) * 10**9


def _plan(trades: float, sigma: float = 0.3, **columns: float) -> np.ndarray:
    plan = np.zeros(t.PLAN)
    plan[[t.P_TRADES, t.P_SIGMA, t.P_PREMARKET, t.P_POSTMARKET]] = trades, sigma, 0.1, 0.05
    plan[[t.P_PRICE_FACTOR, t.P_SIZE_FACTOR, t.P_PRIMARY]] = 1, 1, 12
    plan[[t.P_HALT, t.P_SHOCK_MINUTE]] = -1
    for name, value in columns.items():
        plan[getattr(t, name)] = value
    return plan


def _print(plan: np.ndarray, seed: int, price: int = 40_000) -> np.ndarray:
    return _printed(plan, seed, price)[0]


def _printed(
    plan: np.ndarray, seed: int, price: int = 40_000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tape, trace and events of a day after one that closed at `price`."""
    room = np.zeros((c.ROWS, 60_000), dtype=np.int64)
    trace, events = np.zeros((960, t.TRACE)), np.zeros((t.MAXIMUM_EVENTS, t.EVENT), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # interpreted uint64 wraps with a warning
        count, _, noted = t.simulate_day(
            *(np.zeros(1, t.DAY), plan, HOURS, np.uint64(seed), price, float(price)),
            *(room, trace, events, np.empty(room.shape[1], dtype=np.int64)),
        )
    return room[:, :count], trace, events[:noted]


def digest() -> str:
    plan = _plan(150, 0.5, P_SHOCK_MINUTE=200, P_SHOCK=0.5, P_HALT=30, P_HALT_MINUTES=25, P_EDGE=1)
    tape, trace, events = _printed(plan, 5)
    bar = np.zeros(b.BAR, dtype=np.int64)
    vwap = b.day_bar(tape, tape.shape[1], bar)
    quotes = quote_rows(7, 1, date(2024, 11, 1), tape, trace[:930], events, HOURS)
    parts = (tape, bar, trace, events, quotes)
    return hashlib.sha256(b"".join(x.tobytes() for x in parts)).hexdigest() + f" {vwap:.6f}"


_SCRIPT = (
    "import sys; from smallcaps_assets_tests.sandbox.simulation.test_tape import digest;"
    "sys.stdout.write(digest())"
)


def test_interpreted_kernels_print_the_same_bytes() -> None:
    assert printed(_SCRIPT, NUMBA_DISABLE_JIT="1") == digest()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**63), price=st.integers(4_000, 900_000), halt=st.booleans())
def test_minute_bars_equal_a_group_by(seed: int, price: int, halt: bool) -> None:
    tape = _print(_plan(900, P_HALT=60 if halt else -1, P_HALT_MINUTES=30), seed, price)
    bars, vwaps = b.empty_bars(961), np.zeros(961)
    bars = bars[: b.minute_bars(tape, tape.shape[1], HOURS, bars, vwaps)]
    minute = tape[c.SIP] // t.MINUTE * t.MINUTE
    is_regular = (minute >= HOURS[1]) & (minute < HOURS[2])
    code = tape[c.CODE]
    flags = np.where(is_regular, c.REGULAR_FLAGS[code], c.EXTENDED_FLAGS[code])
    rows = pl.DataFrame(
        {"start": minute, "price": tape[c.PRICE], "size": tape[c.SIZE], "flags": flags}
    ).filter(pl.Series(tape[c.CORRECTION] <= 1))
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
    assert (np.diff(tape[c.SIP]) >= 0).all() and (np.diff(tape[c.SEQUENCE]) > 0).all()
    assert (tape[c.PRICE] > 0).all()
    assert tape.shape[1] < 4 * trades + 20


def test_prints_of_a_day_are_on_average_those_of_its_plan() -> None:
    """A day's number is drawn, since its activity comes in bursts."""
    plan = _plan(6_000)
    counts = np.array([_print(plan, seed).shape[1] for seed in range(80)])
    wanted = plan[t.P_TRADES] * (1 + plan[t.P_PREMARKET] + plan[t.P_POSTMARKET])
    assert counts.std() / np.sqrt(len(counts)) < 0.05 * wanted
    assert counts.mean() == pytest.approx(wanted, rel=0.1)


def test_prices_move_back_by_one_or_on_by_a_mean_that_makes_up_for_it() -> None:
    steps = np.concatenate([_changes(seed) for seed in range(8)])
    back = steps < 0
    assert back.mean() == pytest.approx(t.REVERSAL, abs=0.01)
    assert abs(steps.mean()) < 4 * steps.std() / np.sqrt(len(steps))


def _changes(seed: int) -> np.ndarray:
    """Changes of price in the direction of the change before; jitter of sub-pennies removed."""
    plan = _plan(12_000, 0.6)
    tape = _print(plan, seed)
    ordinary = tape[:, (tape[c.CODE] < c.AVERAGE)]
    lattice = np.round(ordinary[c.PRICE] / 50.0) * 50
    changes = np.diff(lattice)
    changes = changes[changes != 0]
    return changes[1:] * np.sign(changes[:-1])


def _martingale(column: str, value: float) -> tuple[float, float]:
    """Mean and standard error of the day's return over many days."""
    plan = _plan(3_000, 0.35, P_WILD=1, **{column: value})
    changes = np.array([_print(plan, seed)[c.PRICE][-1] / 40_000 - 1 for seed in range(600)])
    return float(changes.mean()), float(changes.std() / np.sqrt(len(changes)))


def test_price_is_a_martingale_through_pauses_and_halts() -> None:
    mean, error = _martingale("P_HALT", 100)
    assert abs(mean) < 3.5 * error


def _bands(reference: float, previous: float, minute: float) -> tuple[float, float]:
    width = 0.1 if previous > 3 else 0.2
    is_doubled = minute >= 365 and previous <= 3
    width *= 2 if is_doubled else 1
    return reference * (1 - width), reference * (1 + width)


@pytest.mark.parametrize("price", [60_000, 25_000])
def test_no_print_is_beyond_the_band_in_force(price: int) -> None:
    """A plain reading of the rule on the tape itself; pauses happen on both sides."""
    sides: list[bool] = []
    for seed in range(20):
        plan = _plan(9_000, 0.45 if price > 30_000 else 0.7, P_WILD=1, P_EDGE=1)
        tape, _, events = _printed(plan, seed, price)
        pauses = events[events[:, t.E_KIND] == t.PAUSE]
        sides += list(pauses[:, t.E_AFTER] > pauses[:, t.E_BEFORE])
        _check_bands(tape, price / 1e4)
    assert len(sides) > 5 and 0.1 < np.mean(sides) < 0.9


def _check_bands(tape: np.ndarray, previous: float) -> None:
    second, total = 10**9, 0.0
    inside = (tape[c.SIP] >= HOURS[1]) & (tape[c.SIP] < HOURS[2])
    window: deque[tuple[int, float]] = deque()
    reference, moved = 0.0, 0
    names = (c.SIP, c.PRICE, c.CODE, c.CORRECTION, c.PARTICIPANT)
    for sip, price, code, correction, named in zip(
        *(tape[row][inside].tolist() for row in names), strict=True
    ):
        dollars = price / 1e4
        while window and window[0][0] <= sip - 300 * second:
            total -= window.popleft()[1]
        if code == c.REOPENING:
            reference, moved, total = dollars, sip, 0.0
            window.clear()
        elif window and sip >= moved + 30 * second:
            mean = total / len(window)
            if abs(mean - reference) >= 0.01 * reference:
                reference, moved = mean, sip
        if code in (0, 2) and correction == 0:
            low, high = _bands(reference, previous, (named - HOURS[1]) / t.MINUTE)
            assert reference == 0.0 or low <= dollars <= high
        if code in (0, 2, c.OPENING, c.REOPENING) and correction == 0:
            window.append((sip, dollars))
            total += dollars
            if reference == 0.0:
                reference, moved = dollars, sip


def test_quiet_sessions_have_no_crosses_and_may_be_empty() -> None:
    codes = [_print(_plan(6), seed)[c.CODE] for seed in range(10)]
    assert not np.isin(np.concatenate(codes), [c.OPENING, c.CLOSING]).any()
    assert _print(_plan(0), 1).shape[1] <= 1


def test_random_numbers_are_pinned() -> None:
    assert mix(7, 1, 2) == int(mix_array(mix(7, 1), np.array([2]))[0])
    assert mix(1) == 0x910A2DEC89025CC1
    draws = uniforms(mix(3), np.arange(20_000))
    assert draws.mean() == pytest.approx(0.5, abs=0.01) and 0 <= draws.min() < draws.max() < 1
