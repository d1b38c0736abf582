"""Compilation of every kernel at once, for a notebook or a worker that must not wait later.

Each kernel is compiled at its first call for the arrays that the domain hands it, and kept on disk
beside its module (or below NUMBA_CACHE_DIR); another process then loads it in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.arrays import BarKind, bars_from_arrays
from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.convolutions import convolved, fitted_biases, fixed_kernels
from smallcaps_assets.domain.bars.features import SessionContext, bar_features
from smallcaps_assets.domain.bars.quote_features import no_quotes, quote_features
from smallcaps_assets.domain.bars.series import cusum_events
from smallcaps_assets.domain.bars.sweep import BarSetting, sweep_arrays
from smallcaps_assets.domain.execution.candidates import candidate_rows, fills_tape
from smallcaps_assets.domain.execution.fills import marketable_fill, passive_fill, stop_exit
from smallcaps_assets.domain.execution.strategies import executions
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_labels
from smallcaps_assets.domain.labels.weights import (
    average_uniqueness,
    return_attribution,
    sample_weights,
    sequential_bootstrap,
    sequential_bootstrap_probabilities,
    time_decay,
)
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.minute_fallback import triple_barrier_on_bars
from smallcaps_assets.domain.patterns.events import pattern_events
from smallcaps_assets.domain.patterns.labels import pattern_labels
from smallcaps_assets.domain.ticks.halts import NEVER
from smallcaps_assets.domain.ticks.tape import TickTape, prepare_ticks
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import (
    BacktestSettings,
    LabelSettings,
    PatternSettings,
    Settings,
    TickSettings,
)

_DAY = date(2021, 2, 5)
_CONTEXT = SessionContext("A", _DAY)
PARTS = ("bars", "fills", "patterns")


def compile_kernels(parts: Sequence[str] = PARTS) -> None:
    """Compile every kernel, or load it from disk, by calling it on next to nothing.

    The parts share few kernels, so that processes may take one each.
    """
    made = {"bars": _bars, "fills": _fills, "patterns": _patterns}
    hours = session_hours(_DAY)
    tape = prepare_ticks(_trades(hours.open), hours, TickSettings())
    for part in parts:
        made[part](tape)


def _arrays() -> None:
    ticks, prices, sizes = np.arange(3), np.array([5.0, 5.1, 5.0]), np.ones(3)
    bars_from_arrays(ticks, prices, sizes, BarKind.DOLLAR_IMBALANCE, 5.0)
    swept = sweep_arrays(ticks, prices, sizes, BarKind.DOLLAR_IMBALANCE)
    swept.closing_ticks(BarSetting(5.0))
    spans = 3, [0], [2]
    average_uniqueness(*spans)
    return_attribution(prices, *spans[1:])
    time_decay([1.0], 0.5)
    sequential_bootstrap(*spans, np.random.default_rng(1))
    sequential_bootstrap_probabilities(*spans, [0])
    cusum_events([0.1], 1.0)
    series, kernels = np.zeros((1, 9, 1)), fixed_kernels(1, 9)
    convolved(series, kernels, fitted_biases(series, kernels))


def _bars(tape: TickTape) -> None:
    """The bars of a ticker-session of three trades, and what is made from them."""
    _arrays()
    settings = Settings()
    bars = build_bars(tape, BarKind.DOLLAR_IMBALANCE, settings.bars, target=1.0)
    labels = triple_barrier_labels(tape, bars, settings.labels)
    triple_barrier_on_bars(bars, tape.session_end, settings.labels)
    sample_weights(labels, bars, None)
    bar_features(tape.ticks, bars, _CONTEXT, session_hours(_DAY), tape.halts)
    quote_features(tape, bars, no_quotes())


def _patterns(tape: TickTape) -> None:
    events = pattern_events(tape, _CONTEXT, PatternSettings())
    pattern_labels(tape, events, LabelSettings())


def _fills(tape: TickTape) -> None:
    """The fills of an event of the tape, and of single orders."""
    settings = BacktestSettings()
    no_bars = pl.DataFrame(schema=dict(TABLES["dollar_imbalance_bars"].columns))
    keys = pl.DataFrame({"ticker": "A", "date": _DAY, "event_id": 0, "sample": "bars"})
    events = keys.with_columns(t0=tape.ticks["sip_timestamp"][:1])
    (usual,) = executions(settings, settings.every)
    execution = replace(usual, sides=(1,))
    candidate_rows(tape, no_quotes(), no_bars, _CONTEXT, events, execution, settings)
    recorded, _ = fills_tape(tape, no_quotes(), no_bars, _CONTEXT, settings, NEVER)
    marketable_fill(recorded, 1, 1, 0)
    passive_fill(recorded, 1, 1, 1.0, 0)
    stop_exit(recorded, 1, 1, 1.0, 0, 0)


def _trades(start: int) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "sip_timestamp": [start, start + 1, start + 2],
            "sequence_number": [1, 2, 3],
            "price": [5.0, 5.1, 5.0],
            "conditions": [[], [14], None],
        }
    )
    constant = {"ticker": "A", "date": _DAY, "size": 1.0, "exchange": 1, "trf_id": 0, "tape": 3}
    columns = [pl.lit(value).alias(name) for name, value in constant.items()]
    missing = [n for n in TABLES["trades"].columns if n not in (*rows.columns, *constant)]
    empty = [pl.lit(None).alias(name) for name in missing]
    return TABLES["trades"].conform(rows.with_columns(*columns, *empty))
