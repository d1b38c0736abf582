"""Bars and labels where there are no trades: each minute bar stands for one tick.

Coarser than the tape, and marked so in the rows; the real thing is in `bars.py` and `labels.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.arrays import BarKind, bars_from_arrays, tick_rule
from smallcaps_assets.domain.bars.build import conform_bars, default_target
from smallcaps_assets.domain.columns import integers, where_known
from smallcaps_assets.domain.guards import price_array, read_only
from smallcaps_assets.domain.labels.paths import SECOND, Path
from smallcaps_assets.domain.labels.triple_barrier import (
    check_bars,
    deciding_bars,
    entries_of,
    entry_columns,
    events_of,
    label_frame,
)
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.market.metrics import typical_price
from smallcaps_assets.domain.ticks.tape import TICK_COLUMNS, TickTape, prepare_ticks
from smallcaps_assets.kernels.barriers import bar_barriers
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import BarSettings, LabelSettings, TickSettings

MINUTE = 60 * SECOND


def bars_from_minutes(
    minutes: pl.DataFrame,
    hours: SessionHours,
    kind: BarKind | str,
    settings: BarSettings,
    target: float | None = None,
) -> pl.DataFrame:
    """The same bars where there are no trades: each minute bar is one tick.

    `minutes` are the rows of minute_bars of one ticker-session, in any order; those from 04:00 to
    the scheduled close count. A minute is known at its end, its amount is volume x typical price,
    its sign that of close against the previous close. `source` is minutes.
    """
    kind = BarKind(kind)
    rows = _counted(minutes, hours)
    prices = rows.select(typical_price()).to_series()
    starts = integers(rows["window_start"].cast(INSTANT))
    signs = tick_rule(price_array("close", rows["close"].to_numpy()))
    frame, _ = bars_from_arrays(
        starts + MINUTE,
        prices.to_numpy(),
        rows["volume"].to_numpy(),
        kind,
        default_target(kind, settings) if target is None else target,
        signs=signs,
        alpha=settings.alpha,
        gamma=settings.gamma,
        kappa=settings.kappa,
    )
    frame = _minute_prices(frame, rows, starts)
    is_early = frame["close_timestamp"].to_numpy() <= hours.open
    segment = pl.Series(np.where(is_early, "premarket", "regular"), dtype=pl.String)
    known = np.where(
        frame["reason"].to_numpy() == "session", hours.close, frame["close_timestamp"].to_numpy()
    )
    ticker = minutes["ticker"][0] if minutes.height else ""
    return conform_bars(frame, kind, ticker, hours.date, "minutes", known, segment)


def minute_tape(
    minutes: pl.DataFrame, hours: SessionHours, settings: TickSettings, ticker: str
) -> TickTape:
    """The tape whose ticks are the minutes of `bars_from_minutes`, in the same order.

    Every minute forms prices and none is an auction; halts are not inferred from minutes.
    """
    rows = _counted(minutes, hours)
    known = (pl.col("window_start").cast(INSTANT) + pl.duration(minutes=1)).cast(INSTANT)
    signs = tick_rule(price_array("close", rows["close"].to_numpy()))
    ticks = rows.select(
        known.alias("sip_timestamp"),
        typical_price().alias("price"),
        pl.col("volume").alias("size"),
        is_price_forming=pl.lit(True),
        is_auction=pl.lit(False),
        is_off_exchange=pl.lit(False),
        segment=pl.when(known.to_physical() <= hours.open)
        .then(pl.lit("premarket"))
        .otherwise(pl.lit("regular")),
        block=pl.lit(0, pl.Int32),
        sign=pl.Series("sign", signs, dtype=pl.Int8),
        in_label_path=pl.lit(True),
    )
    empty = prepare_ticks(TABLES["trades"].empty(), hours, settings, ticker=ticker)
    return replace(empty, ticks=ticks.select(pl.col(n).cast(t) for n, t in TICK_COLUMNS.items()))


def _counted(minutes: pl.DataFrame, hours: SessionHours) -> pl.DataFrame:
    """Minutes with volume from 04:00 to the scheduled close, in order."""
    start = pl.col("window_start").cast(INSTANT).to_physical()
    inside = (start >= hours.premarket_open) & (start < hours.close) & (pl.col("volume") > 0)
    return minutes.filter(inside).sort("window_start")


def _minute_prices(frame: pl.DataFrame, rows: pl.DataFrame, starts: np.ndarray) -> pl.DataFrame:
    """Prices of the bars from those of their minutes; they open when the first minute starts."""
    if frame.is_empty():
        return frame
    first, last = frame["first_tick"].to_numpy(), frame["last_tick"].to_numpy()
    return frame.with_columns(
        open_timestamp=starts[first],
        open=rows["open"].to_numpy()[first],
        high=np.maximum.reduceat(rows["high"].to_numpy(), first),
        low=np.minimum.reduceat(rows["low"].to_numpy(), first),
        close=rows["close"].to_numpy()[last],
    )


def minute_path(minutes: pl.DataFrame, hours: SessionHours) -> pl.DataFrame:
    """A session's minute bars as a path for `triple_barrier_on_bars`, each known at its end."""
    start = pl.col("window_start").cast(INSTANT)
    inside = (start.to_physical() >= hours.premarket_open) & (start.to_physical() < hours.close)
    known = (start + pl.duration(minutes=1)).cast(INSTANT)
    path = minutes.filter(inside).select("open", "high", "low", "close", close_timestamp=known)
    return path.sort("close_timestamp")


def triple_barrier_on_bars(
    bars: pl.DataFrame,
    session_end: int,
    settings: LabelSettings,
    path: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Labels where there are no ticks, every column of the labels' table.

    `path` has open, high, low, close and close_timestamp, ascending; without it the bars
    themselves. An open beyond a barrier comes first; both barriers within one bar give the stop,
    flagged ambiguous; a touch inside a bar returns the barrier, known at the bar's close. An entry
    is a close, the first after the entry delay, and the path from it begins with the next bar.
    `path_ticks` counts path bars. Raises LabelError unless the bars are one whole session.
    """
    if bars.height:
        check_bars(bars, bars["ticker"][0], bars["date"][0])
    rows, take, stop = deciding_bars(bars, session_end, settings)
    times = integers(rows["close_timestamp"])
    verticals = np.minimum(times + int(settings.timeout_seconds * SECOND), session_end)
    steps = bars if path is None else path
    closes = integers(steps["close_timestamp"].cast(INSTANT))
    if path is None:
        starts = rows["bar_id"].to_numpy().astype(np.int64) + 1
    else:
        starts = np.searchsorted(closes, times, "right")
    prices = {name: steps[name].to_numpy() for name in ("open", "high", "low", "close")}
    last = Path(closes, prices["close"], np.arange(closes.size))
    entries = entries_of(last, times, starts, int(settings.entry_delay_seconds * SECOND))
    basis = entries if settings.is_from_entry else None
    barriers = take, stop, verticals
    events = events_of(last, times, rows["close"].to_numpy(), starts, basis, barriers)
    found = bar_outcomes(prices, closes, events.starts, events.bases, verticals, take, stop)
    columns = entry_columns(last, entries, np.full(times.size, -1))
    deciding = events.starts + found["path_ticks"] - 1
    returns = pl.Series(found["exit_price"]).fill_nan(None) / columns["entry_price"] - 1.0
    is_later = found["has_path"] & (deciding > entries)
    columns["return_from_entry"] = where_known(is_later, returns.to_numpy(), pl.Float64())
    no_halts = {"is_halt_cut": np.zeros(times.size, bool)}
    return label_frame(rows, events, session_end, found | columns | no_halts)


def bar_outcomes(
    prices: dict[str, np.ndarray],
    closes: np.ndarray,
    starts: np.ndarray,
    bases: np.ndarray,
    verticals: np.ndarray,
    take_profit: np.ndarray,
    stop_loss: np.ndarray,
) -> dict[str, Any]:
    """Outcome of events on bars.

    It has label, t1, exit_price (NaN without a path), label_return, path_ticks, has_path and
    is_ambiguous.

    `prices` holds open, high, low and close of the path, `closes` its times; event k starts at
    path bar starts[k] with the base price bases[k].
    """
    ends = np.maximum(np.searchsorted(closes, verticals, "right"), starts)
    touches, labels, exits, ambiguous = bar_barriers(
        read_only(prices["open"]),
        read_only(prices["high"]),
        read_only(prices["low"]),
        read_only(starts),
        read_only(ends),
        read_only(bases),
        read_only(take_profit),
        read_only(stop_loss),
    )
    has_touch, has_path = touches >= 0, ends > starts
    known = verticals.copy()
    known[has_touch] = closes[touches[has_touch]]
    is_timeout = has_path & ~has_touch
    exits[is_timeout] = prices["close"][ends[is_timeout] - 1]
    return {
        "label": labels,
        "t1": known,
        "exit_price": exits,
        "label_return": pl.Series(exits / bases - 1.0).fill_nan(None),
        "path_ticks": np.where(has_touch, touches + 1, ends) - starts,
        "has_path": has_path,
        "is_ambiguous": ambiguous,
    }
