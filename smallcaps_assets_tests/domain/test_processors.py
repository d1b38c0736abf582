"""The same bytes on every processor: what is stored, without the newer instructions of this one.

Each library chooses code by the processor it runs on, and can be told to leave some of it out. That
is tried here in processes of their own. polars is compiled once for all and can't be told.
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.features import bar_features, session_context
from smallcaps_assets.domain.elementary import exp_of, log_of
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_labels
from smallcaps_assets.domain.labels.weights import sample_weights
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.metrics import daily_metrics
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.another_process import printed
from smallcaps_assets_tests.domain.market_frames import (
    DAY,
    SESSIONS,
    back,
    factors,
    summaries,
    summary,
)
from smallcaps_assets_tests.domain.tick_frames import SECOND, at, tape_of, trade

SETTINGS = Settings()
WITHOUT = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3",
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable",
}
"""For numpy, numba and the system's libm."""


def chain() -> dict[str, pl.DataFrame]:
    """Every table made from ticks, of a random tape."""
    random, hours = np.random.default_rng(5), session_hours(DAY)
    count = 3000
    times = at("10:00:00") + np.sort(random.integers(0, 18_000, count)) * SECOND
    prices = np.round(4 * (1 + 0.001 * random.integers(-3, 4, count).cumsum()), 4)
    sizes = random.integers(1, 5000, count)
    rows = zip(times, prices, sizes, strict=True)
    tape = tape_of([trade(int(when), float(price), float(size)) for when, price, size in rows])
    kinds = ("dollar_bars", "volume_bars", "dollar_imbalance_bars", "volume_imbalance_bars")
    found = {kind: build_bars(tape, kind, SETTINGS.bars) for kind in kinds}
    bars = found["dollar_imbalance_bars"]
    day = {"previous_close": 3.7, "mean_volume30": 1e6}
    context = session_context("AAME", DAY, day)
    labels = triple_barrier_labels(tape, bars, SETTINGS.labels)
    return found | {
        "bar_features": bar_features(tape.ticks, bars, context, hours, tape.halts),
        "triple_barrier_labels": labels,
        "sample_weights": sample_weights(labels, bars, at("10:30:00")),
    }


def metrics() -> pl.DataFrame:
    """Daily metrics of random companies."""
    random = np.random.default_rng(6)
    rows = [
        summary(f"T{n}", back(k), float(random.integers(50, 3000)) / 100, random.integers(1e6))
        for n in range(40)
        for k in range(40)
    ]
    return daily_metrics(summaries(*rows), factors(), None, SESSIONS, DAY, SETTINGS.metrics)


def functions() -> pl.DataFrame:
    """The logarithm and exponential of many numbers."""
    random = np.random.default_rng(7)
    ratio = pl.DataFrame({"ratio": 1 + 0.05 * random.standard_normal(20_000)})
    return ratio.select(log=log_of(pl.col("ratio")), exp=exp_of(pl.col("ratio") - 1))


def digests() -> dict[str, str]:
    """Of each table."""
    found = chain() | {"daily_metrics": metrics(), "functions": functions()}
    return {
        name: hashlib.sha256(repr(frame.to_dict(as_series=False)).encode()).hexdigest()
        for name, frame in found.items()
    }


def test_bytes_are_the_same_without_newer_instructions():
    script = "from smallcaps_assets_tests.domain import test_processors as t; print(t.digests())"
    assert printed(script, **WITHOUT).strip() == str(digests())


def test_chain_makes_rows_of_every_table():
    assert all(frame.height > 20 for frame in chain().values())
