"""Polygon's snapshots: what the vendor knows of tickers at this moment.

A snapshot is of the moment it is asked for; it has no history, and the vendor clears it at night.
The older endpoints give all tickers, one, or the day's movers; the newer one gives chosen tickers
and says which of them it does not know. The zeros of cleared prices become nulls.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
import polars as pl

from smallcaps_assets.sources.errors import BadAnswer, NotFound, TruncatedAnswer
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.decode import Number
from smallcaps_assets.sources.http.emptiness import confirmed
from smallcaps_assets.sources.http.transport import Answer, Request, Transport
from smallcaps_assets.sources.polygon import pages
from smallcaps_assets.sources.polygon.lists import collect_in_order
from smallcaps_assets.sources.symbols import without_test_tickers

PATH = "/v2/snapshot/locale/us/markets/stocks"
UNIFIED_PATH = "/v3/snapshot"
MOST_TICKERS = 250
Direction = Literal["gainers", "losers"]

_NS, _MS = pl.Datetime("ns", "UTC"), pl.Datetime("ms", "UTC")
_PRICE_NAMES = ("open", "high", "low", "close", "vwap", "price")

# Column: (where the vendor has it, the first that is filled counts; type).
_FIELDS: dict[str, tuple[str, Any]] = {
    "ticker": ("ticker", pl.String),
    "updated": ("updated", _NS),
    "change": ("todaysChange", pl.Float64),
    "change_percent": ("todaysChangePerc", pl.Float64),
    "fair_market_value": ("fmv", pl.Float64),
    "open": ("day.o", pl.Float64),
    "high": ("day.h", pl.Float64),
    "low": ("day.l", pl.Float64),
    "close": ("day.c", pl.Float64),
    "volume": ("day.dv day.v", pl.Float64),
    "vwap": ("day.vw", pl.Float64),
    "previous_open": ("prevDay.o", pl.Float64),
    "previous_high": ("prevDay.h", pl.Float64),
    "previous_low": ("prevDay.l", pl.Float64),
    "previous_close": ("prevDay.c", pl.Float64),
    "previous_volume": ("prevDay.dv prevDay.v", pl.Float64),
    "previous_vwap": ("prevDay.vw", pl.Float64),
    "minute_start": ("min.t", _MS),
    "minute_open": ("min.o", pl.Float64),
    "minute_high": ("min.h", pl.Float64),
    "minute_low": ("min.l", pl.Float64),
    "minute_close": ("min.c", pl.Float64),
    "minute_volume": ("min.dv min.v", pl.Float64),
    "minute_vwap": ("min.vw", pl.Float64),
    "minute_transactions": ("min.n", pl.Int64),
    "accumulated_volume": ("min.dav min.av", pl.Float64),
    "bid_price": ("lastQuote.p", pl.Float64),
    "bid_size": ("lastQuote.s", pl.Float64),
    "ask_price": ("lastQuote.P", pl.Float64),
    "ask_size": ("lastQuote.S", pl.Float64),
    "quote_timestamp": ("lastQuote.t", _NS),
    "trade_price": ("lastTrade.p", pl.Float64),
    "trade_size": ("lastTrade.ds lastTrade.s", pl.Float64),
    "trade_exchange": ("lastTrade.x", pl.Int64),
    "trade_id": ("lastTrade.i", pl.String),
    "trade_conditions": ("lastTrade.c", pl.List(pl.Int16)),
    "trade_timestamp": ("lastTrade.t", _NS),
}
_UNIFIED_FIELDS: dict[str, tuple[str, Any]] = {
    "ticker": ("ticker", pl.String),
    "name": ("name", pl.String),
    "type": ("type", pl.String),
    "market_status": ("market_status", pl.String),
    "error": ("error", pl.String),
    "message": ("message", pl.String),
    "fair_market_value": ("fmv", pl.Float64),
    "price": ("session.price", pl.Float64),
    "change": ("session.change", pl.Float64),
    "change_percent": ("session.change_percent", pl.Float64),
    "early_change": ("session.early_trading_change", pl.Float64),
    "regular_change": ("session.regular_trading_change", pl.Float64),
    "late_change": ("session.late_trading_change", pl.Float64),
    "open": ("session.open", pl.Float64),
    "high": ("session.high", pl.Float64),
    "low": ("session.low", pl.Float64),
    "close": ("session.close", pl.Float64),
    "volume": ("session.decimal_volume session.volume", pl.Float64),
    "previous_close": ("session.previous_close", pl.Float64),
    "minute_open": ("last_minute.open", pl.Float64),
    "minute_high": ("last_minute.high", pl.Float64),
    "minute_low": ("last_minute.low", pl.Float64),
    "minute_close": ("last_minute.close", pl.Float64),
    "minute_volume": ("last_minute.decimal_volume last_minute.volume", pl.Float64),
    "minute_vwap": ("last_minute.vwap", pl.Float64),
    "minute_transactions": ("last_minute.transactions", pl.Int64),
    "minute_updated": ("last_minute.last_updated", _NS),
    "bid_price": ("last_quote.bid", pl.Float64),
    "bid_size": ("last_quote.bid_size", pl.Float64),
    "bid_exchange": ("last_quote.bid_exchange", pl.Int64),
    "ask_price": ("last_quote.ask", pl.Float64),
    "ask_size": ("last_quote.ask_size", pl.Float64),
    "ask_exchange": ("last_quote.ask_exchange", pl.Int64),
    "quote_timestamp": ("last_quote.last_updated", _NS),
    "trade_price": ("last_trade.price", pl.Float64),
    "trade_size": ("last_trade.decimal_size last_trade.size", pl.Float64),
    "trade_exchange": ("last_trade.exchange", pl.Int64),
    "trade_id": ("last_trade.id", pl.String),
    "trade_conditions": ("last_trade.conditions", pl.List(pl.Int16)),
    "trade_timestamp": ("last_trade.sip_timestamp last_trade.last_updated", _NS),
}
SNAPSHOTS = {name: _NS if kind == _MS else kind for name, (_, kind) in _FIELDS.items()}
UNIFIED_SNAPSHOTS = {name: kind for name, (_, kind) in _UNIFIED_FIELDS.items()}

_ROW_TYPES: dict[Any, Any] = {
    pl.String: str | int,
    pl.Float64: Number | Annotated[str, msgspec.Meta(pattern=r"^-?\d+(\.\d+)?$")],  # decimals
    pl.Int64: int,
    _NS: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)],
    _MS: Annotated[int, msgspec.Meta(ge=0, lt=1 << 42)],
    pl.List(pl.Int16): list[int],
}


def _row_type(fields: Mapping[str, tuple[str, Any]]) -> type[Any]:
    """The struct of a row: one optional part for each name before a dot."""
    parts: dict[str, list[tuple[str, Any, None]]] = {"": []}
    for places, kind in fields.values():
        for place in places.split():
            part, _, name = place.rpartition(".")
            if place != "ticker":
                parts.setdefault(part, []).append((name, _ROW_TYPES[kind] | None, None))
    nested = [
        (part, msgspec.defstruct("Part", members, gc=False) | None, None)
        for part, members in parts.items()
        if part
    ]
    return msgspec.defstruct("SnapshotRow", [("ticker", str), *parts[""], *nested])


_ROW, _UNIFIED_ROW = _row_type(_FIELDS), _row_type(_UNIFIED_FIELDS)


class _List(msgspec.Struct):
    """The envelope of several snapshots."""

    status: str = ""
    tickers: list[_ROW] | None = None  # pyright: ignore[reportInvalidTypeForm]
    count: int | None = None


class _One(msgspec.Struct):
    """The envelope of one snapshot."""

    status: str = ""
    ticker: _ROW | None = None  # pyright: ignore[reportInvalidTypeForm]


class Snapshots:
    """The snapshot endpoints over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> pl.DataFrame:
        """SNAPSHOTS of all tickers but test ones, by ticker; empty after the nightly clearing."""
        request = Request(f"{PATH}/tickers", {"include_otc": "false"}, scope=PATH)
        found = self._fetch(request, pages.market_wide)
        return without_test_tickers(found).sort("ticker")

    def movers(self, direction: Direction) -> pl.DataFrame:
        """SNAPSHOTS of the session's twenty gainers or losers, the greatest change first."""
        request = Request(f"{PATH}/{direction}", {"include_otc": "false"}, scope=PATH)
        is_gain = direction == "gainers"

        def check(answer: Answer, rows: list[Any]) -> None:
            if any((row.todaysChangePerc or 0) * (1 if is_gain else -1) < 0 for row in rows):
                raise answer.problem(BadAnswer, f"among the {direction} is one that is none")

        found = self._fetch(request, check)
        return found.sort("change_percent", "ticker", descending=[is_gain, False])

    def one(self, ticker: str) -> pl.DataFrame | None:
        """One row of SNAPSHOTS; None when the vendor has none of the ticker."""

        def read(answer: Answer) -> Any:
            found = decode.parse(answer, _One)
            decode.check_status(answer, found.status)
            if found.ticker is None:
                raise answer.problem(BadAnswer, "a snapshot without content")
            if found.ticker.ticker != ticker:
                came = f"a snapshot of {found.ticker.ticker!r} came for {ticker!r}"
                raise answer.problem(BadAnswer, came)
            return found.ticker

        try:
            row = self._transport.fetch(Request(f"{PATH}/tickers/{ticker}", scope=PATH), read)
        except NotFound:
            return None
        return _frame([row], _FIELDS)

    def unified(self, tickers: Sequence[str]) -> pl.DataFrame:
        """UNIFIED_SNAPSHOTS of some tickers, by ticker; `error` says which are unknown."""
        wanted = sorted(set(tickers))
        frames = [pl.DataFrame(schema=UNIFIED_SNAPSHOTS)]
        for begin in range(0, len(wanted), MOST_TICKERS):
            frames.append(self._unified(wanted[begin : begin + MOST_TICKERS]))
        return pl.concat(frames)

    def _unified(self, tickers: Sequence[str]) -> pl.DataFrame:
        params = {"ticker.any_of": ",".join(tickers), "limit": str(MOST_TICKERS)}

        def check(answer: Answer, rows: list[Any]) -> None:
            strange = {row.ticker for row in rows} - set(tickers)
            if strange:
                raise answer.problem(BadAnswer, f"snapshots of {sorted(strange)[:3]} came unasked")

        request = Request(
            UNIFIED_PATH, params | {"sort": "ticker", "order": "asc"}, scope=UNIFIED_PATH
        )
        rows = collect_in_order(self._transport, request, _UNIFIED_ROW, "ticker", check)
        return _frame(rows, _UNIFIED_FIELDS)

    def _fetch(self, request: Request, check: Callable[[Answer, list[Any]], None]) -> pl.DataFrame:
        def read(answer: Answer) -> list[Any]:
            found = decode.parse(answer, _List)
            decode.check_status(answer, found.status)
            rows = found.tickers or []
            if found.count is not None and found.count > len(rows):
                came = f"{len(rows)} snapshots came, {found.count} were announced"
                raise answer.problem(TruncatedAnswer, came)
            check(answer, rows)
            return rows

        ask = partial(self._transport.fetch, request, read)
        return _frame(confirmed(self._transport, request, ask, operator.not_), _FIELDS)


def _frame(rows: Sequence[Any], fields: Mapping[str, tuple[str, Any]]) -> pl.DataFrame:
    """Rows in flat columns, one per ticker."""
    found = pl.DataFrame(
        [_column(name, *field, rows=rows) for name, field in fields.items()]
    ).unique("ticker", keep="first", maintain_order=True)
    prices = [name for name in found.columns if name.split("_")[-1] in _PRICE_NAMES]
    return found.with_columns(pl.when(pl.col(name) != 0).then(name) for name in prices)


def _column(name: str, places: str, kind: Any, rows: Sequence[Any]) -> pl.Series:
    values = [_value(row, places.split()) for row in rows]
    if kind == pl.String:
        return pl.Series(name, [None if x is None else str(x) for x in values], pl.String)
    if kind not in (_NS, _MS):
        return pl.Series(name, values, kind, strict=False)
    instants = pl.Series(name, [x or None for x in values], pl.Int64).cast(kind)
    return instants.cast(_NS)


def _value(row: Any, places: Sequence[str]) -> Any:
    """The first value there is; a part may be missing as a whole."""
    for place in places:
        value = row
        for name in place.split("."):
            value = None if value is None else getattr(value, name)
        if value is not None:
            return value
    return None
