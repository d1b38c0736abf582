"""Trades of one ticker-session made into the ticks that bars and labels use.

Which trades count, for flow, for price or not at all; the tick rule; segments, blocks between
halts, and an audit of everything left out. What a condition id means is in `conditions.csv`, halts
are found in `halts.py`, bars are made in `bars.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import (
    floats,
    frame_of,
    holds_only,
    in_one_piece,
    integers,
    kept,
)
from smallcaps_assets.domain.guards import read_only
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.ticks.conditions import (
    AUCTION,
    ODD_LOTS_SINCE,
    ConditionTable,
    Flag,
    condition_table,
)
from smallcaps_assets.domain.ticks.halts import blocks_of, find_halts, session_end_of
from smallcaps_assets.kernels import ticks as kernel
from smallcaps_assets.kernels.checks import LOWEST, first_outside
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import TickSettings

OFF_EXCHANGE = 4
EXCLUSIONS = {
    kernel.NOTHING_TRADED: "no price or size",
    kernel.CORRECTION: "correction",
    kernel.UNKNOWN_CONDITION: "unknown condition",
    kernel.FORM_T_IN_HOURS: "form T in regular hours",
    kernel.BEFORE_SESSION: "before the session",
    kernel.AFTER_SESSION: "after the session",
}
SEGMENT = pl.Enum(["premarket", "regular", "postmarket"])
TICK_COLUMNS = {
    "sip_timestamp": INSTANT,
    "price": pl.Float64(),
    "size": pl.Float64(),
    "is_price_forming": pl.Boolean(),
    "is_auction": pl.Boolean(),
    "is_off_exchange": pl.Boolean(),
    "segment": SEGMENT,
    "block": pl.Int32(),
    "sign": pl.Int8(),
    "in_label_path": pl.Boolean(),
}
AUDIT_COLUMNS = {"reason": pl.String(), "trades": pl.Int64(), "volume": pl.Float64()}
_COUNTED = ("sip_timestamp", "price", "size", "exchange")
_TRADE = ("exchange", "trf_id", "id")
_IDENTITY = ("sip_timestamp", "sequence_number", *_TRADE)
# Codes of the tapes' participants: 7 and 8 mark a print as an error and as cancelled, 11 and 10 are
# the records of that; 1 marks one that has been corrected, 12 is the record of that.
WITHDRAWALS = (7, 8, 10, 11)
CORRECTION_RECORD = 12


class TickError(ValueError):
    """Trades that can't be made into ticks."""


@dataclass(frozen=True)
class TickTape:
    """The ticks of one ticker-session.

    `ticks` has TICK_COLUMNS, one row per trade that counts, in order of publication. `sign` is the
    tick rule and 0 at auctions, which have no aggressor. `audit` counts the trades left out, by
    reason; its volume and that of the ticks add up to the volume of all distinct trades. `halts`
    has halt_start, halt_end, known_at and halt_source. `session_end` is the scheduled close in UTC
    nanoseconds, or the end of the extended hours where they are included.
    """

    ticker: str
    date: date
    ticks: pl.DataFrame
    audit: pl.DataFrame
    halts: pl.DataFrame
    hours: SessionHours
    session_end: int

    @property
    def odd_lots_reported(self) -> bool:
        """Whether odd lots were on the tape then; before, flow lacks them."""
        return self.date >= ODD_LOTS_SINCE

    @property
    def times(self) -> np.ndarray:
        """Tick times, int64 UTC nanoseconds, ascending."""
        return integers(self.ticks["sip_timestamp"])


def prepare_ticks(
    trades: pl.DataFrame,
    hours: SessionHours,
    settings: TickSettings,
    halts: pl.DataFrame | None = None,
    ticker: str = "",
) -> TickTape:
    """Ticks of one ticker-session from its rows of the trades table, in any order.

    `halts` is the halts feed of the day (halt_start, halt_end), or None where there is none.
    `ticker` is needed only when there are no trades. Raises TickError on more than one ticker,
    another day's rows, missing numbers, or too much volume under unknown conditions.
    """
    ticker = _one_ticker(trades, ticker, hours.date)
    ordered = _distinct(in_one_piece(trades))
    session_end = session_end_of(hours, settings)
    flags, decisive = _flags(ordered, condition_table(hours.date))
    codes = _exclusions(ordered, flags, decisive, session_end, hours, settings)
    _limit_unknown(ordered, codes, settings, f"{ticker} {hours.date}")
    audit = _audit(ordered, codes, hours.date)
    counted = kept(ordered.select(*_COUNTED, pl.Series("flags", flags)), codes == kernel.KEPT)
    times, flags = integers(counted["sip_timestamp"]), counted["flags"].to_numpy()
    is_reopening = (flags & Flag.REOPENING) > 0
    found = find_halts(times, is_reopening, session_end, hours, settings, halts)
    ticks = _ticks(counted, flags, blocks_of(times, found), session_end, hours)
    return TickTape(ticker, hours.date, ticks, audit, found, hours, session_end)


def _one_ticker(trades: pl.DataFrame, ticker: str, day: date) -> str:
    for name, expected in (("ticker", ticker or None), ("date", day)):
        if name in trades.columns and trades.height:
            found = trades[name]
            value = found[0] if expected is None else expected
            if not holds_only(found, value):
                values = found.unique().sort().to_list()
                raise TickError(
                    f"trades hold {name} {values[:3]}, expected one ticker-session "
                    f"({ticker or 'one ticker'}, {day}); filter the rows first"
                )
    return trades["ticker"][0] if trades.height else ticker


def _distinct(trades: pl.DataFrame) -> pl.DataFrame:
    """Trades in order of publication, every one once. Raises TickError on missing numbers."""
    for name in ("price", "size", "sip_timestamp", "sequence_number"):
        place = _first_missing(trades[name])
        if place >= 0:
            row = trades.row(place, named=True)
            raise TickError(
                f"{row.get('ticker')} trade {row.get('id')} at {row['sip_timestamp']} has {name} "
                f"{row[name]}, expected a number; download this ticker-session again"
            )
    order = [read_only(integers(trades[n])) for n in ("sip_timestamp", "sequence_number")]
    if kernel.is_in_order(*order):
        return trades
    ordered = trades.sort("sip_timestamp", "sequence_number", maintain_order=True)
    keys = ordered.select("sip_timestamp", "sequence_number")
    ties = (keys == keys.shift(1)).select(pl.all_horizontal(pl.all().fill_null(False)))
    if not ties.to_series().any():
        return ordered
    # The same ticks whatever the order given; of two versions of a trade the corrected one holds.
    versions = [*_IDENTITY, _authority(pl.col("correction"))]
    ordered = ordered.sort(*versions, descending=[*[False] * len(_IDENTITY), True])
    return ordered.unique(_IDENTITY, keep="first", maintain_order=True)


def _authority(correction: pl.Expr) -> pl.Expr:
    """What holds of several versions of a trade: the highest code.

    Only the record of a correction gives way to the trade that it corrected, whose data are new.
    """
    return pl.when(correction == CORRECTION_RECORD).then(0.5).otherwise(correction.fill_null(0))


def _first_missing(values: pl.Series) -> int:
    """The first row without a finite number, or -1."""
    if values.null_count():
        return int(values.is_null().arg_max() or 0)
    return first_outside(read_only(values.to_numpy()), LOWEST) if values.dtype.is_float() else -1


def _flags(trades: pl.DataFrame, table: ConditionTable) -> tuple[np.ndarray, np.ndarray]:
    """Flags of each trade, and the condition id that excludes it or -1."""
    ids, offsets = _lists(trades["conditions"])
    return kernel.combine_flags(
        read_only(ids),
        read_only(offsets),
        read_only(integers(trades["tape"], dtype=pl.Int16)),
        table.flags,
        np.uint16(Flag.UNKNOWN),
        np.uint16(Flag.UNKNOWN | Flag.EXCLUDED),
    )


def _lists(conditions: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """All ids one after the other, and where those of each trade begin; no list copies its ids."""
    filled = conditions.fill_null([]) if conditions.null_count() else conditions
    lists: Any = filled.cast(pl.List(pl.Int16)).rechunk().to_arrow()
    first, places = lists.offsets.offset, lists.offsets.buffers()[1]  # to_numpy loads pandas
    offsets = np.frombuffer(places, np.int64)[first : first + len(lists.offsets)]
    return integers(pl.Series(lists.values), -1, pl.Int16), offsets


def _exclusions(
    trades: pl.DataFrame,
    flags: np.ndarray,
    decisive: np.ndarray,
    session_end: int,
    hours: SessionHours,
    settings: TickSettings,
) -> np.ndarray:
    """Code of why each trade is left out, 0 where it is not; the first reason that holds."""
    closing_end = hours.close + int(settings.closing_print_minutes * 60e9)
    return kernel.exclusion_codes(
        read_only(integers(trades["sip_timestamp"])),
        read_only(floats(trades["price"])),
        read_only(floats(trades["size"])),
        read_only(_corrections(trades)),
        read_only(flags),
        read_only(decisive),
        (np.uint16(Flag.UNKNOWN), np.uint16(Flag.FORM_T), np.uint16(Flag.CLOSING)),
        (hours.premarket_open, hours.open, hours.close, session_end, closing_end),
    )


def _corrections(trades: pl.DataFrame) -> np.ndarray:
    """Correction code of each trade in order of publication; null is 0.

    A print has the code of a later record of the same trade (venue, facility and id) that withdraws
    it: its cancel or error, or its correction where it isn't marked as the corrected trade.
    """
    codes = integers(trades["correction"], dtype=pl.Int16)
    if codes.size == 0 or codes.max() <= kernel.LAWFUL:
        return codes
    numbered = trades.select(*_TRADE, code=pl.Series(codes)).with_row_index("place")
    records = numbered.filter(
        pl.col("code").is_in([*WITHDRAWALS, CORRECTION_RECORD]), ~pl.col("id").is_in(["", "0"])
    )
    withdrawn = (
        numbered.filter(pl.col("code").is_between(0, kernel.LAWFUL))
        .join(records, on=_TRADE, suffix="_record")
        .filter(
            pl.col("place_record") > pl.col("place"),
            (pl.col("code") == 0) | (pl.col("code_record") != CORRECTION_RECORD),
        )
    )
    codes = codes.copy()
    codes[withdrawn["place"].to_numpy()] = withdrawn["code_record"].to_numpy()
    return codes


def _audit(trades: pl.DataFrame, codes: np.ndarray, day: date) -> pl.DataFrame:
    """Trades and volume that are left out, by reason."""
    names = condition_table(day).names
    reasons = EXCLUSIONS | {kernel.CONDITION + number: name for number, name in names.items()}
    unknown = EXCLUSIONS[kernel.UNKNOWN_CONDITION]
    places = np.flatnonzero(codes != kernel.KEPT)
    found, members = np.unique(codes[places], return_inverse=True)
    named = [reasons.get(int(code), unknown) for code in found]
    ordered = sorted(set(named))
    members = np.array([ordered.index(reason) for reason in named], np.int64)[members]
    counted = {
        "reason": pl.Series(ordered, dtype=pl.String),
        "trades": np.bincount(members, minlength=len(ordered)),
        "volume": np.bincount(members, floats(trades["size"])[places], len(ordered)),
    }
    return frame_of(counted, AUDIT_COLUMNS)


def _limit_unknown(
    trades: pl.DataFrame, codes: np.ndarray, settings: TickSettings, name: str
) -> None:
    """Raise TickError when more volume than settings allow has unknown conditions."""
    is_unknown = codes == kernel.UNKNOWN_CONDITION
    if not is_unknown.any():
        return
    unknown = pl.Series(is_unknown)
    total = float(trades.filter(pl.col("size") > 0)["size"].sum())
    volume = float(trades.filter(unknown)["size"].sum())
    if volume <= settings.max_unknown_volume * total:
        return
    known = set(condition_table(trades["date"][0]).names)
    ids = trades.filter(unknown)["conditions"].explode().unique().sort().to_list()
    raise TickError(
        f"{name}: {volume / total:.2%} of the volume has unknown condition ids "
        f"{[i for i in ids if i not in known]}, at most {settings.max_unknown_volume:.2%} is "
        "accepted; add them to conditions.csv, or raise ticks.max_unknown_volume"
    )


def _ticks(
    trades: pl.DataFrame,
    flags: np.ndarray,
    blocks: np.ndarray,
    session_end: int,
    hours: SessionHours,
) -> pl.DataFrame:
    times, prices = integers(trades["sip_timestamp"]), floats(trades["price"])
    signs, sessions = np.empty(prices.size, np.int8), read_only(np.empty(0, np.int64))
    kernel.tick_signs(read_only(prices), sessions, 0, np.nan, signs)
    is_forming, is_auction, in_path = kernel.tick_marks(
        read_only(times),
        read_only(flags),
        signs,
        np.uint16(Flag.FLOW_ONLY),
        np.uint16(AUCTION),
        session_end,
    )
    columns = {
        "sip_timestamp": trades["sip_timestamp"],
        "price": trades["price"],
        "size": trades["size"],
        "is_price_forming": is_forming,
        "is_auction": is_auction,
        "is_off_exchange": trades["exchange"] == OFF_EXCHANGE,
        "segment": _segments(times, (flags & Flag.CLOSING) > 0, hours),
        "block": blocks,
        "sign": signs,
        "in_label_path": in_path,
    }
    return frame_of(columns, TICK_COLUMNS)


def _segments(times: np.ndarray, is_closing: np.ndarray, hours: SessionHours) -> pl.Series:
    """Part of the day of each tick; closing prints are of the regular session."""
    opening = np.searchsorted(times, hours.open, "left")
    after = np.searchsorted(times, hours.close, "right")
    places = np.ones(times.size, np.uint8)
    places[:opening] = 0
    places[after:] = np.where(is_closing[after:], 1, 2)
    return pl.Series(places).cat.to(SEGMENT)
