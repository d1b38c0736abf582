"""Labels of events: triple barrier on ticks.

An event is a bar that its threshold closed; its label says what the price did next. Forward returns
are in `forward_returns.py`, the fallback on bars in `minute_fallback.py`; which labels overlap, and
what that makes them worth, in `weights.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from smallcaps_assets.domain.guards import fractions_per_event, read_only, times_per_event
from smallcaps_assets.domain.labels.forward_returns import forward_columns
from smallcaps_assets.domain.labels.paths import (
    SECOND,
    LabelError,
    Path,
    decisions,
    path_of,
)
from smallcaps_assets.domain.ticks.halts import NEVER
from smallcaps_assets.domain.ticks.tape import TickTape
from smallcaps_assets.kernels import barriers as kernel
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import LabelSettings

VOLATILITY_SPAN = 20
MAX_STOP = 0.99
TABLE = "triple_barrier_labels"


@dataclass(frozen=True)
class Events:
    """Decisions: their time, the path index they look from, base price, barriers, vertical.

    Barriers are fractions; an event without an entry to look from has a base of NaN and no path.
    """

    times: np.ndarray
    starts: np.ndarray
    bases: np.ndarray
    take_profit: np.ndarray
    stop_loss: np.ndarray
    verticals: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What happened to each event: path slice, touching and deciding path index, label, t1.

    The indices are -1 where nothing touched a barrier, and where there is no path.
    """

    starts: np.ndarray
    ends: np.ndarray
    touches: np.ndarray
    labels: np.ndarray
    deciding: np.ndarray
    known: np.ndarray


def events_of(
    path: Path,
    times: np.ndarray,
    closes: np.ndarray,
    starts: np.ndarray,
    entries: np.ndarray | None,
    barriers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Events:
    """Events from the closes of their bars, or from the path index of their entries if given.

    `starts` is the path index after each bar, `barriers` take profit, stop loss and vertical.
    """
    if entries is None:
        return Events(times, starts, closes, *barriers)
    bases = np.append(path.prices, np.nan)[entries]
    return Events(times, np.minimum(entries + 1, path.prices.size), bases, *barriers)


def judge(path: Path, events: Events) -> Outcome:
    """First touch from the start up to the vertical barrier, inclusive (AFML 3.4).

    The deciding print is the touch, else the last in time.
    """
    starts = events.starts
    ends = np.maximum(np.searchsorted(path.times, events.verticals, "right"), starts)
    touches, labels = kernel.touch_barriers(
        read_only(path.prices),
        read_only(starts),
        read_only(ends),
        read_only(events.bases),
        read_only(events.take_profit),
        read_only(events.stop_loss),
    )
    has_touch = touches >= 0
    deciding = np.where(has_touch, touches, np.where(ends > starts, ends - 1, -1))
    known = events.verticals.copy()
    known[has_touch] = path.times[touches[has_touch]]
    return Outcome(starts, ends, touches, labels, deciding, known)


def returns_from(path: Path, deciding: np.ndarray, bases: np.ndarray) -> np.ndarray:
    """Return from each base to the deciding print; NaN where that is -1."""
    found = deciding >= 0
    returns = np.full(deciding.size, np.nan)
    returns[found] = path.prices[deciding[found]] / bases[found] - 1.0
    return returns


def triple_barrier_arrays(
    timestamps: ArrayLike,
    prices: ArrayLike,
    events: ArrayLike,
    session_end: ArrayLike,
    take_profit: ArrayLike,
    stop_loss: ArrayLike,
    timeout: ArrayLike,
    price_forming: ArrayLike | None = None,
    entry_delay: ArrayLike | None = None,
) -> pl.DataFrame:
    """Triple-barrier labels on plain arrays.

    `events` are tick indices whose price is the base. `session_end`, the barriers (fractions above
    0) and `timeout`, in the unit of `timestamps`, are one for all or one per event. Columns: label,
    t1, label_return (null without a path), touch_tick (null on timeout), path_ticks. With an
    `entry_delay` the base is the first price-forming tick at least that long after the event, the
    path begins after it, and there is a column entry_tick (null: none by the session's end, and no
    path). Raises ArrayError.
    """
    path, chosen, times, values = decisions(timestamps, prices, events, price_forming)
    ends = times_per_event("session_end", session_end, chosen.size)
    verticals = np.minimum(times + times_per_event("timeout", timeout, chosen.size), ends)
    take = fractions_per_event("take_profit", take_profit, chosen.size)
    stop = fractions_per_event("stop_loss", stop_loss, chosen.size)
    starts = np.searchsorted(path.ticks, chosen, "right")
    entries = None
    if entry_delay is not None:
        delays = times_per_event("entry_delay", entry_delay, chosen.size)
        entries = entries_of(path, times, starts, delays)
    decided = events_of(path, times, values, starts, entries, (take, stop, verticals))
    outcome = judge(path, decided)
    frame = pl.DataFrame(
        {"label": outcome.labels, "t1": outcome.known, **outcome_columns(path, decided, outcome)}
    ).drop("has_path")
    if entries is None:
        return frame
    in_session = np.append(path.times, NEVER)[entries] <= ends
    ticks = np.append(path.ticks, -1)[entries]
    return frame.with_columns(where_known(in_session, ticks, pl.Int64()).alias("entry_tick"))


def outcome_columns(path: Path, events: Events, outcome: Outcome) -> dict[str, Any]:
    has_touch = outcome.touches >= 0
    if path.ticks.size:
        touch_ticks = path.ticks[np.maximum(outcome.touches, 0)]
    else:
        touch_ticks = np.full(has_touch.size, -1)
    looked = np.where(has_touch, outcome.touches + 1, outcome.ends) - outcome.starts
    return {
        "label_return": pl.Series(
            returns_from(path, outcome.deciding, events.bases), nan_to_null=True
        ),
        "touch_tick": where_known(has_touch, touch_ticks, pl.Int64()),
        "path_ticks": looked,
        "has_path": outcome.deciding >= 0,
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
    closes = rows["close"].to_numpy()
    starts = np.searchsorted(path.ticks, rows["last_tick"].to_numpy(), "right")
    entries = entries_of(path, times, starts, int(settings.entry_delay_seconds * SECOND))
    basis = entries if settings.is_from_entry else None
    events = events_of(path, times, closes, starts, basis, (take, stop, verticals))
    outcome, is_halt_cut = after_halts(path, events, judge(path, events), tape.halts)
    confirmed = confirmed_touches(path, events, outcome, settings)
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
            **outcome_columns(path, events, outcome),
            **entry_columns(path, entries, outcome.deciding),
            **forward_columns(path, times, closes, tape.session_end, settings),
        },
    )


def confirmed_touches(
    path: Path, events: Events, outcome: Outcome, settings: LabelSettings
) -> np.ndarray:
    return kernel.confirm_touches(
        read_only(path.times),
        read_only(path.prices),
        read_only(outcome.touches),
        read_only(outcome.labels),
        read_only(events.bases),
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


def after_halts(
    path: Path, events: Events, outcome: Outcome, halts: pl.DataFrame
) -> tuple[Outcome, np.ndarray]:
    """Timeouts that fall into a halt are settled at the first print after it.

    One whose path begins after that print has none.
    """
    is_cut = np.zeros(events.times.size, bool)
    starts, ends = integers(halts["halt_start"]), integers(halts["halt_end"], NEVER)
    deciding, known = outcome.deciding.copy(), outcome.known.copy()
    for start, end in zip(starts, ends, strict=True):
        covered = (events.verticals > start) & (events.verticals < end) & (outcome.touches < 0)
        is_cut |= covered
        reopening = int(np.searchsorted(path.times, end, "left"))
        if reopening < path.times.size:
            covered &= outcome.starts <= reopening
            deciding[covered] = reopening
            known[covered] = path.times[reopening]
    return replace(outcome, deciding=deciding, known=known), is_cut


def entries_of(
    path: Path, times: np.ndarray, starts: np.ndarray, delay: int | np.ndarray
) -> np.ndarray:
    """Path index of the first print that an order sent at each time could get.

    That is the first at least `delay` later, from `starts` on; the path's length if there is none.
    """
    return np.maximum(np.searchsorted(path.times, times + delay, "left"), starts)


def entry_columns(path: Path, entries: np.ndarray, deciding: np.ndarray) -> dict[str, pl.Series]:
    """When and at what price the entry was, and the return from it to a later deciding print."""
    found = entries < path.times.size
    prices = np.append(path.prices, np.nan)[entries]
    returns = returns_from(path, np.where(deciding > entries, deciding, -1), prices)
    return {
        "entry_timestamp": where_known(found, np.append(path.times, 0)[entries], pl.Int64()),
        "entry_price": pl.Series(prices, nan_to_null=True),
        "return_from_entry": pl.Series(returns, nan_to_null=True),
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
            "base_price": pl.Series(events.bases, nan_to_null=True),
            "take_profit": events.take_profit,
            "stop_loss": events.stop_loss,
            "vertical_barrier": events.verticals,
            "is_session_cut": events.verticals >= session_end,
            **columns,
        },
        TABLES[TABLE].columns,
    )
