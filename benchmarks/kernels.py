"""Speed of the tick chain: nanoseconds per tick, label or draw of every kernel, best of several.

Run it anywhere: `python benchmarks/kernels.py [ticks]`. The ticks are synthetic, always
the same; compilation is not in the figures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain import weights
from smallcaps_assets.domain.bar_arrays import BarKind, bars_from_arrays, tick_rule
from smallcaps_assets.domain.bars import build_bars
from smallcaps_assets.domain.calendar import session_hours
from smallcaps_assets.domain.labels import triple_barrier_arrays, triple_barrier_labels
from smallcaps_assets.domain.ticks import prepare_ticks
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

DAY = date(2021, 2, 5)
REPEATS = 5
CHAIN_TICKS = 100_000
WINDOW_TICKS = 250_000


def best(call: Callable[[], Any]) -> float:
    """Seconds of the fastest call; the first one, which may compile, is not counted."""
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def report(name: str, seconds: float, units: int, unit: str) -> None:
    print(f"{name:<46}{seconds / units * 1e9:>12,.1f} ns per {unit}")


def synthetic_ticks(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (ns), prices and sizes of a session with mostly unchanged prices."""
    rng = np.random.default_rng(7)
    hours = session_hours(DAY)
    times = np.sort(rng.integers(hours.open, hours.close, count))
    steps = rng.choice([-1, 0, 1], count, p=[0.21, 0.58, 0.21])
    prices = np.round(5.0 + 0.01 * np.abs(steps.cumsum() % 400 - 200) / 2, 2)
    return times, prices, rng.choice([1.0, 20.0, 100.0, 100.0, 500.0], count)


def bench_arrays(count: int) -> None:
    """Wrappers on plain arrays, checks of the arrays included."""
    times, prices, sizes = synthetic_ticks(count)
    report("tick rule", best(lambda: tick_rule(prices)), count, "tick")
    for kind, target in zip(BarKind, (500_000, 100_000, 50_000, 10_000), strict=True):
        seconds = best(lambda k=kind, t=target: bars_from_arrays(times, prices, sizes, k, t))
        report(f"{kind}, tick rule included", seconds, count, "tick")
    events = np.arange(0, count, 20)
    end, timeout = session_hours(DAY).close, 900 * 10**9
    seconds = best(lambda: triple_barrier_arrays(times, prices, events, end, 0.15, 0.10, timeout))
    report("triple barrier on ticks", seconds, events.size, "label")
    bench_window()


def bench_window() -> None:
    """Labels that have to look through a whole window of 250,000 ticks without a touch."""
    count = 2 * WINDOW_TICKS
    times, prices = np.arange(count), np.full(count, 5.0)
    events = np.arange(0, WINDOW_TICKS, 50)
    seconds = best(
        lambda: triple_barrier_arrays(times, prices, events, count, 0.15, 0.10, WINDOW_TICKS)
    )
    report("triple barrier, 250,000 ticks in the window", seconds, events.size, "label")


def bench_weights(labels: int = 1_000_000, draws: int = 20_000) -> None:
    """Weights of labels that span up to 30 bars."""
    rng = np.random.default_rng(3)
    starts = np.sort(rng.integers(0, labels, labels))
    ends = starts + rng.integers(1, 31, labels)
    bars = labels + 31
    closes = 5 * np.exp(0.001 * rng.standard_normal(bars).cumsum())
    unique = weights.average_uniqueness(bars, starts, ends)
    for name, call in {
        "average uniqueness": lambda: weights.average_uniqueness(bars, starts, ends),
        "return attribution": lambda: weights.return_attribution(closes, starts, ends),
        "time decay": lambda: weights.time_decay(unique, 0.5),
    }.items():
        report(name, best(call), labels, "label")
    few = slice(0, draws)
    spans = draws + 31, np.sort(starts[few] % draws), np.sort(starts[few] % draws) + 15
    seconds = best(lambda: weights.sequential_bootstrap(*spans, np.random.default_rng(1)))
    report("sequential bootstrap", seconds, draws, "draw")


def trades_frame(count: int) -> pl.DataFrame:
    """The synthetic ticks as rows of the trades table, with conditions."""
    times, prices, sizes = synthetic_ticks(count)
    codes = pl.Series([[], [14, 41], [37], [14, 37, 41]], dtype=pl.List(pl.Int16))
    frame = pl.DataFrame({"sip_timestamp": times, "price": prices, "size": sizes})
    frame = frame.with_columns(
        conditions=codes.gather(np.random.default_rng(2).integers(0, 4, count)),
        ticker=pl.lit("SYNT"),
        date=pl.lit(DAY),
        sequence_number=pl.int_range(pl.len()),
        id=pl.int_range(pl.len()).cast(pl.String),
        exchange=12,
        trf_id=0,
        participant_timestamp=pl.lit(None),
        trf_timestamp=pl.lit(None),
        correction=0,
        tape=3,
    )
    return TABLES["trades"].conform(frame)


def bench_chain() -> None:
    """One session of 100,000 trades through the whole chain, as the assets run it."""
    settings, hours, trades = Settings(), session_hours(DAY), trades_frame(CHAIN_TICKS)
    tape = prepare_ticks(trades, hours, settings.ticks)
    bars = build_bars(tape, BarKind.DOLLAR_IMBALANCE, settings.bars)
    labels = triple_barrier_labels(tape, bars, settings.labels)
    steps = {
        "trades into ticks": lambda: prepare_ticks(trades, hours, settings.ticks),
        "four kinds of bars": lambda: [build_bars(tape, k, settings.bars) for k in BarKind],
        "labels": lambda: triple_barrier_labels(tape, bars, settings.labels),
        "weights": lambda: weights.sample_weights(labels, bars, hours.open),
    }
    total = 0.0
    for name, call in steps.items():
        seconds = best(call)
        total += seconds
        print(f"{name:<46}{seconds * 1e3:>12,.1f} ms per 100,000 trades")
    print(f"{'whole chain':<46}{total * 1e3:>12,.1f} ms per 100,000 trades")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    bench_arrays(count)
    bench_weights()
    bench_chain()


if __name__ == "__main__":
    main()
