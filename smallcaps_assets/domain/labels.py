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

from smallcaps_assets.domain.columns import (
    floats,
    frame_of,
    holds_only,
    integers,
    kept,
    where_known,
)
from smallcaps_assets.domain.forward_returns import forward_columns
from smallcaps_assets.domain.guards import fractions_per_event, read_only, times_per_event
from smallcaps_assets.domain.halts import NEVER
from smallcaps_assets.domain.label_paths import (
    SECOND,
    LabelError,
    Path,
    decisions,
    path_of,
)
from smallcaps_assets.domain.ticks import TickTape
from smallcaps_assets.kernels import barriers as kernel
from smallcaps_assets.schemas import TABLES
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
    take_profit: ArrayLike,
    stop_loss: ArrayLike,
    timeout: ArrayLike,
    price_forming: ArrayLike | None = None,
) -> pl.DataFrame:
    """Triple-barrier labels on plain arrays.

    `events` are tick indices whose price is the base. `session_end`, the barriers (fractions above
    0) and `timeout`, in the unit of `timestamps`, are one for all or one per event. Columns: label,
    t1, label_return (null without a path), touch_tick (null on timeout), path_ticks. Raises
    ArrayError.
    """
    path, chosen, times, values = decisions(timestamps, prices, events, price_forming)
    limit = times + times_per_event("timeout", timeout, chosen.size)
    verticals = np.minimum(limit, times_per_event("session_end", session_end, chosen.size))
    take = fractions_per_event("take_profit", take_profit, chosen.size)
    stop = fractions_per_event("stop_loss", stop_loss, chosen.size)
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
        "label_return": pl.Series(outcome.returns, nan_to_null=True),
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
    check_bars(bars, tape.ticker, tape.date)
    ticks = tape.ticks
    path = path_of(tape.times, ticks["price"].to_numpy(), ticks["in_label_path"].to_numpy())
    rows, take, stop = deciding_bars(bars, tape.session_end, settings)
    times = integers(rows["close_timestamp"])
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


def check_bars(bars: pl.DataFrame, ticker: str, day: Any) -> None:
    """Raise LabelError unless these are all bars of this ticker-session, in order."""
    if bars.is_empty():
        return
    if not (holds_only(bars["ticker"], ticker) and holds_only(bars["date"], day)):
        found = bars.select("ticker", "date").unique(maintain_order=True).rows()
        raise LabelError(f"bars are of {found[:2]}, expected {(ticker, day)}; filter them first")
    if not np.array_equal(integers(bars["bar_id"], -1), np.arange(bars.height)):
        raise LabelError("bars are not one whole session in order of bar_id; pass them all, sorted")


def deciding_bars(
    bars: pl.DataFrame, session_end: int, settings: LabelSettings
) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Deciding bars, and their barriers as fractions; bars without a volatility make none."""
    is_threshold = (bars["reason"] == "threshold").to_numpy()
    is_event = is_threshold & (integers(bars["close_timestamp"]) < session_end)
    if settings.volatility_multiple:
        take = settings.volatility_multiple * _volatility(bars["close"])
        stop = np.minimum(take, MAX_STOP)
        is_event &= take > 0
    else:
        take = np.full(bars.height, settings.take_profit)
        stop = np.full(bars.height, settings.stop_loss)
    return kept(bars, is_event), take[is_event], stop[is_event]


def _volatility(closes: pl.Series) -> np.ndarray:
    """Exponentially weighted deviation of the returns from bar to bar, NaN before the second."""
    returns = closes / closes.shift(1) - 1
    return floats(returns.ewm_std(span=VOLATILITY_SPAN, min_samples=2, ignore_nulls=True))


def _after_halts(
    path: Path, events: Events, outcome: Outcome, halts: pl.DataFrame
) -> tuple[Outcome, np.ndarray]:
    """Timeouts that fall into a halt are settled at the first print after it."""
    is_cut = np.zeros(events.times.size, bool)
    starts, ends = integers(halts["halt_start"]), integers(halts["halt_end"], NEVER)
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
    return frame_of(
        {
            "ticker": rows["ticker"],
            "date": rows["date"],
            "bar_id": rows["bar_id"],
            "t0": rows["close_timestamp"],
            "price_at_t0": rows["close"],
            "take_profit": events.take_profit,
            "stop_loss": events.stop_loss,
            "vertical_barrier": events.verticals,
            "is_session_cut": events.verticals >= session_end,
            **columns,
        },
        TABLES[TABLE].columns,
    )
