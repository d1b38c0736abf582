"""Labels of events: triple barrier on ticks.

An event is a bar that its threshold closed; its label says what the price did next. Forward returns
are in `forward_returns.py`, the fallback on bars in `minute_fallback.py`; which labels overlap, and
what that makes them worth, in `weights.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.forward_returns import forward_columns
from smallcaps_assets.domain.guards import read_only
from smallcaps_assets.domain.label_paths import (
    SECOND,
    LabelError,
    Path,
    decisions,
    path_of,
    where_known,
)
from smallcaps_assets.domain.ticks import TickTape
from smallcaps_assets.kernels import barriers as kernel
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import LabelSettings

VOLATILITY_SPAN = 20
MAX_STOP = 0.99
TABLE = "triple_barrier_labels"


@dataclass(frozen=True)
class Events:
    """Decisions: last tick of the bar, its time, its price, barriers as fractions, vertical."""

    last_ticks: np.ndarray
    times: np.ndarray
    prices: np.ndarray
    take_profit: np.ndarray
    stop_loss: np.ndarray
    verticals: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What happened to each event: path slice, touching path index (-1 none), label, return, t1."""

    starts: np.ndarray
    ends: np.ndarray
    touches: np.ndarray
    labels: np.ndarray
    returns: np.ndarray
    known: np.ndarray


def judge(path: Path, events: Events) -> Outcome:
    """First touch within (last tick, vertical barrier], inclusive (AFML 3.4).

    The return is that of the deciding print: the touch, else the last print in time, else NaN.
    """
    starts = np.searchsorted(path.ticks, events.last_ticks, "right")
    ends = np.maximum(np.searchsorted(path.times, events.verticals, "right"), starts)
    touches, labels = kernel.touch_barriers(
        read_only(path.prices),
        read_only(starts),
        read_only(ends),
        read_only(events.prices),
        read_only(events.take_profit),
        read_only(events.stop_loss),
    )
    has_touch = touches >= 0
    deciding = np.where(has_touch, touches, ends - 1)
    has_price = has_touch | (ends > starts)
    returns = np.full(starts.size, np.nan)
    returns[has_price] = path.prices[deciding[has_price]] / events.prices[has_price] - 1.0
    known = events.verticals.copy()
    known[has_touch] = path.times[touches[has_touch]]
    return Outcome(starts, ends, touches, labels, returns, known)


def triple_barrier_arrays(
    timestamps: ArrayLike,
    prices: ArrayLike,
    events: ArrayLike,
    session_end: ArrayLike,
    take_profit: float,
    stop_loss: float,
    timeout: int,
    price_forming: ArrayLike | None = None,
) -> pl.DataFrame:
    """Triple-barrier labels on plain arrays.

    `events` are tick indices whose price is the base, `session_end` one instant or one per event,
    `timeout` in the unit of `timestamps`. Columns: label, t1, label_return (null without a path),
    touch_tick (null on timeout), path_ticks. Raises ArrayError.
    """
    path, chosen, times, values = decisions(timestamps, prices, events, price_forming)
    verticals = np.minimum(times + timeout, np.asarray(session_end, np.int64))
    take, stop = np.full(chosen.size, take_profit), np.full(chosen.size, stop_loss)
    outcome = judge(path, Events(chosen, times, values, take, stop, verticals))
    return pl.DataFrame(
        {"label": outcome.labels, "t1": outcome.known, **_outcome_columns(path, outcome)}
    ).drop("has_path")


def _outcome_columns(path: Path, outcome: Outcome) -> dict[str, Any]:
    has_touch = outcome.touches >= 0
    if path.ticks.size:
        touch_ticks = path.ticks[np.maximum(outcome.touches, 0)]
    else:
        touch_ticks = np.full(has_touch.size, -1)
    looked = np.where(has_touch, outcome.touches + 1, outcome.ends) - outcome.starts
    return {
        "label_return": pl.Series(outcome.returns).fill_nan(None),
        "touch_tick": where_known(has_touch, touch_ticks, pl.Int64()),
        "path_ticks": looked,
        "has_path": ~np.isnan(outcome.returns),
    }


def triple_barrier_labels(
    tape: TickTape, bars: pl.DataFrame, settings: LabelSettings
) -> pl.DataFrame:
    """Labels of a session's imbalance bars, every column of the labels' table.

    Bars closed by their threshold before the session's end make one each. Raises LabelError when
    the bars are of another ticker-session.
    """
    _check_bars(bars, tape.ticker, tape.date)
    ticks = tape.ticks
    path = path_of(tape.times, ticks["price"].to_numpy(), ticks["in_label_path"].to_numpy())
    rows, take, stop = deciding_bars(bars, tape.session_end, settings)
    times = rows["close_timestamp"].to_physical().to_numpy()
    verticals = np.minimum(times + int(settings.timeout_seconds * SECOND), tape.session_end)
    prices = rows["close"].to_numpy()
    events = Events(rows["last_tick"].to_numpy(), times, prices, take, stop, verticals)
    outcome, is_halt_cut = _after_halts(path, events, judge(path, events), tape.halts)
    confirmed = _confirmed(path, events, outcome, settings)
    return label_frame(
        rows,
        events,
        tape.session_end,
        {
            "label": outcome.labels,
            "t1": outcome.known,
            "is_touch_confirmed": where_known(outcome.touches >= 0, confirmed, pl.Boolean()),
            "is_halt_cut": is_halt_cut,
            "is_ambiguous": np.zeros(times.size, bool),
            **_outcome_columns(path, outcome),
            **_entries(path, events, outcome.starts, settings),
            **forward_columns(path, times, prices, tape.session_end, settings),
        },
    )


def _confirmed(path: Path, events: Events, outcome: Outcome, settings: LabelSettings) -> np.ndarray:
    return kernel.confirm_touches(
        read_only(path.times),
        read_only(path.prices),
        read_only(outcome.touches),
        read_only(outcome.labels),
        read_only(events.prices),
        read_only(events.take_profit),
        read_only(events.stop_loss),
        int(settings.confirm_seconds * SECOND),
    )


def _check_bars(bars: pl.DataFrame, ticker: str, day: Any) -> None:
    if bars.is_empty():
        return
    found = bars.select("ticker", "date").unique().rows()
    if found != [(ticker, day)]:
        raise LabelError(f"bars are of {found[:2]}, expected {(ticker, day)}; filter them first")
    if bars["bar_id"].to_list() != list(range(bars.height)):
        raise LabelError("bars are not one whole session in order of bar_id; pass them all, sorted")


def deciding_bars(
    bars: pl.DataFrame, session_end: int, settings: LabelSettings
) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Deciding bars, and their barriers as fractions; bars without a volatility make none."""
    widths = _widths(bars, settings)
    time = pl.col("close_timestamp").to_physical()
    is_event = (pl.col("reason") == "threshold") & (time < session_end)
    rows = bars.with_columns(widths).filter(is_event & pl.col("take_profit").is_not_null())
    return rows, rows["take_profit"].to_numpy(), rows["stop_loss"].to_numpy()


def _widths(bars: pl.DataFrame, settings: LabelSettings) -> list[pl.Expr]:
    if not settings.volatility_multiple:
        return [
            pl.lit(settings.take_profit).alias("take_profit"),
            pl.lit(settings.stop_loss).alias("stop_loss"),
        ]
    returns = pl.col("close") / pl.col("close").shift(1) - 1
    deviation = returns.ewm_std(span=VOLATILITY_SPAN, min_samples=2, ignore_nulls=True)
    width = settings.volatility_multiple * deviation
    known = pl.when(width > 0).then(width)
    return [known.alias("take_profit"), known.clip(None, MAX_STOP).alias("stop_loss")]


def _after_halts(
    path: Path, events: Events, outcome: Outcome, halts: pl.DataFrame
) -> tuple[Outcome, np.ndarray]:
    """Timeouts that fall into a halt are settled at the first print after it."""
    is_cut = np.zeros(events.times.size, bool)
    horizon = np.iinfo(np.int64).max
    starts = halts["halt_start"].to_physical().to_numpy()
    ends = halts["halt_end"].to_physical().fill_null(horizon).to_numpy()
    returns, known = outcome.returns.copy(), outcome.known.copy()
    for start, end in zip(starts, ends, strict=True):
        covered = (events.verticals > start) & (events.verticals < end) & (outcome.touches < 0)
        is_cut |= covered
        reopening = int(np.searchsorted(path.times, end, "left"))
        if reopening < path.times.size:
            returns[covered] = path.prices[reopening] / events.prices[covered] - 1.0
            known[covered] = path.times[reopening]
    settled = Outcome(outcome.starts, outcome.ends, outcome.touches, outcome.labels, returns, known)
    return settled, is_cut


def _entries(
    path: Path, events: Events, starts: np.ndarray, settings: LabelSettings
) -> dict[str, pl.Series]:
    """The first print that an order sent at t0 could get."""
    earliest = events.times + int(settings.entry_delay_seconds * SECOND)
    places = np.maximum(np.searchsorted(path.times, earliest, "left"), starts)
    found = places < path.times.size
    if not found.any():
        empty = np.full(places.size, 0)
        return {
            "entry_timestamp": where_known(found, empty, pl.Int64()),
            "entry_price": where_known(found, empty, pl.Float64()),
        }
    places = np.minimum(places, path.times.size - 1)
    return {
        "entry_timestamp": where_known(found, path.times[places], pl.Int64()),
        "entry_price": where_known(found, path.prices[places], pl.Float64()),
    }


def label_frame(
    rows: pl.DataFrame, events: Events, session_end: int, columns: dict[str, Any]
) -> pl.DataFrame:
    """The labels' table from the deciding bars and the computed columns."""
    frame = rows.select(
        "ticker", "date", "bar_id", t0="close_timestamp", price_at_t0="close",
        take_profit="take_profit", stop_loss="stop_loss",
    )  # fmt: skip
    frame = frame.with_columns(
        vertical_barrier=pl.Series(events.verticals, dtype=pl.Int64),
        is_session_cut=pl.Series(events.verticals >= session_end, dtype=pl.Boolean),
        **{name: pl.Series(values) for name, values in columns.items()},
    )
    wanted = TABLES[TABLE].columns
    missing = [name for name in wanted if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None).alias(name) for name in missing)
    instants = [name for name, dtype in wanted.items() if dtype == INSTANT]
    frame = frame.with_columns(pl.col(n).cast(pl.Int64).cast(INSTANT) for n in instants)
    return frame.select(pl.col(name).cast(dtype) for name, dtype in wanted.items())
