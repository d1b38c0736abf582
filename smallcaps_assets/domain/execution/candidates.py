"""The table `backtest_candidates`: how the events of one ticker-session could have been traded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.bars.quote_features import Quotes
from smallcaps_assets.domain.columns import floats, integers, where_known
from smallcaps_assets.domain.execution.fills import (
    KINDS,
    OUTCOMES,
    REASONS,
    CandidateFills,
    FillTape,
    candidate_fills,
    fill_tape,
)
from smallcaps_assets.domain.execution.modelled import Flow, average_ranges, modelled_quotes
from smallcaps_assets.domain.execution.rules import TIER_1, TIER_2, band_arrays, restricted_from
from smallcaps_assets.domain.execution.strategies import Execution
from smallcaps_assets.domain.patterns.events import halt_arrays
from smallcaps_assets.domain.ticks.tape import TickTape
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import BacktestSettings

_LISTS = {
    "entry": ("entry_times", "entry_shares", "entry_prices", "entry_mids"),
    "exit": ("exit_times", "exit_shares", "exit_prices", "exit_mids", "exit_reasons"),
    "range": ("sizes", "take_profits", "stops", "exit_counts", "lows", "highs", "are_halted"),
}


def candidate_rows(
    tape: TickTape,
    quotes: Quotes,
    bars: pl.DataFrame,
    context: SessionContext,
    events: pl.DataFrame,
    execution: Execution,
    settings: BacktestSettings,
) -> pl.DataFrame:
    """The rows of some events of a ticker-session: by each latency, on each side.

    `bars` are its dollar imbalance bars, `events` have ticker, date, event_id, t0 and sample.
    Without quotes fills are on modelled ones. Months and late exits are not filled in.
    """
    chosen = events.filter(pl.col("sample").is_in(list(execution.samples))).sort("t0", "event_id")
    table, restricted = TABLES["backtest_candidates"], _restricted(tape, context)
    recorded, source = fills_tape(tape, quotes, bars, context, settings, restricted)
    times = np.repeat(integers(chosen["t0"]), len(execution.sides))
    sides = np.tile(np.array(execution.sides, np.int64), chosen.height)
    frames = [table.empty()]
    for latency in execution.latencies_ms if chosen.height else ():
        found = candidate_fills(
            recorded, times, sides, execution.rules, tape.hours.close, settings.capacity,
            settings.most_value, latency, restricted,
        )  # fmt: skip
        index = np.repeat(np.arange(chosen.height), len(execution.sides))
        told = chosen.drop("t0")[index].with_columns(
            month=pl.lit(""),
            execution=pl.lit(execution.name),
            latency_ms=pl.lit(latency),
            fill_source=pl.lit(source),
            atr=_known(average_ranges(*_forming(tape), times)),
            late_exit=pl.lit(None, INSTANT),
            late_date=pl.lit(None, pl.Date),
            late_price=pl.lit(None, pl.Float64),
        )
        frames.append(table.conform(told.with_columns(_columns(found, recorded))))
    return pl.concat(frames)


def fills_tape(
    tape: TickTape,
    quotes: Quotes,
    bars: pl.DataFrame,
    context: SessionContext,
    settings: BacktestSettings,
    restricted: int,
) -> tuple[FillTape, str]:
    """What orders meet in a session, and whether that are recorded quotes or modelled ones."""
    ticks, forming = tape.ticks, _forming(tape)
    halts = halt_arrays(tape.halts)
    reopenings = _reopenings(forming[0], halts[1])
    tier = TIER_1 if tape.ticker in settings.tier_1 else TIER_2
    bands = band_arrays(*forming, reopenings, tape.hours, context.previous_close, tier)
    prints = (tape.times, floats(ticks["price"]), floats(ticks["size"]), kinds_of(ticks))
    if quotes.times.size:
        return fill_tape(quotes.arrays, prints, halts, bands), "quotes"
    flow = _flow(bars)
    given = modelled_quotes(*forming, flow, settings.spread_model, restricted)
    return fill_tape(given, prints, halts, bands), "modelled"


def kinds_of(ticks: pl.DataFrame) -> np.ndarray:
    """The kind of each tick, as `KINDS` names them: int8."""
    is_forming = ticks["is_price_forming"].to_numpy()
    is_auction = ticks["is_auction"].to_numpy()
    kinds = np.where(is_auction, KINDS["auction"], KINDS["price"])
    return np.where(is_forming, kinds, KINDS["flow"]).astype(np.int8)


def _forming(tape: TickTape) -> tuple[np.ndarray, np.ndarray]:
    """Times and prices of the ticks that form prices."""
    mask = tape.ticks["is_price_forming"].to_numpy()
    return tape.times[mask], floats(tape.ticks["price"])[mask]


def _reopenings(times: np.ndarray, ends: np.ndarray) -> np.ndarray:
    found = np.searchsorted(times, ends, "left")
    return times[found[found < times.size]]


def _restricted(tape: TickTape, context: SessionContext) -> int:
    if context.is_ssr_carried:
        return 0
    hours = (tape.hours.open, tape.hours.close)
    return restricted_from(*_forming(tape), hours, context.previous_close)


def _flow(bars: pl.DataFrame) -> Flow:
    """Imbalances of the bars that their threshold closed."""
    closed = bars.filter(pl.col("reason") == "threshold")
    buys, sells = floats(closed["buy_volume"]), floats(closed["sell_volume"])
    signed = np.where(buys + sells > 0, buys + sells, np.nan)
    return Flow(integers(closed["close_timestamp"]), (buys - sells) / signed)


def _columns(found: CandidateFills, tape: FillTape) -> list[pl.Series]:
    """What the kernel found as columns, lists of each candidate's rows among them."""
    rows = found.candidates
    is_trapped, halted = rows["is_trapped"] > 0, tape.closing_halt
    trapped = np.where(is_trapped, tape.end if halted is None else halted, 0)
    values: Mapping[str, Any] = {
        "t0": _instants(rows["t0"]),
        "side": _whole(rows["side"]),
        "live": _instants(rows["live"]),
        "refusal": pl.Series(OUTCOMES, dtype=pl.String).gather(rows["outcome"]),
        "price": _known(rows["price"]),
        "mid": _known(rows["mid"]),
        "trailing_volume": pl.Series(np.maximum(rows["volume"], 0.0)),
        "most_shares": _whole(rows["most_shares"]),
        "trapped_from": where_known(is_trapped, trapped, INSTANT),
        "marks_from": where_known(rows["marks"] > 0, _packed(rows["marks_from"]), INSTANT),
        "marks": _lists(_known(found.marks), rows["marks"]),
    }
    columns = [series.alias(name) for name, series in values.items()]
    entries, exits, ranges = found.entries, found.exits, found.ranges
    of_entry = (_instants(entries["time"]), *_fill_columns(entries))
    reasons = pl.Series(REASONS, dtype=pl.String).gather(exits["reason"])
    of_exit = (_instants(exits["time"]), *_fill_columns(exits), reasons)
    of_range = (
        _whole(ranges["size"]), _known(ranges["take_profit"]), _known(ranges["stop"]),
        _whole(ranges["fills"]), _known(ranges["low"]), _known(ranges["high"]),
        pl.Series(ranges["is_halted"] > 0),
    )  # fmt: skip
    parts = (
        ("entry", of_entry, "entries"),
        ("exit", of_exit, "exits"),
        ("range", of_range, "ranges"),
    )
    for kind, series, counts in parts:
        for name, values_of in zip(_LISTS[kind], series, strict=True):
            columns.append(_lists(values_of, rows[counts]).alias(name))
    return columns


def _fill_columns(fills: np.ndarray) -> tuple[pl.Series, ...]:
    return _whole(fills["shares"]), _known(fills["price"]), _known(fills["mid"])


def _packed(values: np.ndarray) -> np.ndarray:
    """A field of records as an array in one piece."""
    return np.ascontiguousarray(values)


def _whole(values: np.ndarray) -> pl.Series:
    return pl.Series(_packed(values), dtype=pl.Int64)


def _instants(values: np.ndarray) -> pl.Series:
    return _whole(values).cast(INSTANT)


def _known(values: np.ndarray) -> pl.Series:
    """Numbers, null for NaN."""
    return pl.Series(_packed(values), dtype=pl.Float64, nan_to_null=True)


def _lists(values: pl.Series, counts: np.ndarray) -> pl.Series:
    """Values as lists, so many in each."""
    place = pl.Series(np.repeat(np.arange(counts.size), counts), dtype=pl.Int64)
    rows = pl.DataFrame({"place": place, "values": values})
    grouped = rows.group_by("place", maintain_order=True).agg("values")
    all_rows = pl.DataFrame({"place": pl.Series(np.arange(counts.size), dtype=pl.Int64)})
    joined = all_rows.join(grouped, on="place", how="left", maintain_order="left")
    empty = pl.Series([[]], dtype=pl.List(values.dtype))
    return joined["values"].zip_with(joined["values"].is_not_null(), empty)
