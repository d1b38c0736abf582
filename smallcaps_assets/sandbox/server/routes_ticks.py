"""The trades and quotes endpoints: windows of SIP time, order, pages.

A cursor holds the last sequence number (`ap`) and the last timestamp as an inclusive bound, beside
the bound on the other side, as recorded from the vendor; it needs no state on the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.sandbox.market import QUOTE_SCHEMA, TRADE_SCHEMA, Market
from smallcaps_assets.sandbox.server import pages
from smallcaps_assets.sandbox.server.answers import (
    VENDOR_BASE,
    Answer,
    ApiError,
    csv_answer,
    envelope,
    frame_json,
    json_answer,
    request_id,
)
from smallcaps_assets.sandbox.server.pages import Params

SECOND = 1_000_000_000
DECIMAL_SIZE_FROM = date(2026, 2, 23)
_FIRST, _LAST = 0, 2**63 - 1
Read = Callable[[date], pl.DataFrame]


@dataclass(frozen=True)
class _Window:
    """SIP timestamps `low` to `high`, both inclusive, in ns."""

    low: int
    high: int
    is_descending: bool
    limit: int
    after: int | None


@dataclass(frozen=True)
class _Page:
    """What is served: its path, its rows of a day, their wire shape, and its columns."""

    path: str
    read: Read
    wire: Callable[[pl.DataFrame], pl.DataFrame]
    columns: Iterable[str]


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * SECOND


def parse_instant(text: str) -> tuple[int, int]:
    """First and last nanosecond that a date, a number of ns or an RFC 3339 time stands for."""
    if text.isdecimal() and len(text) > 8:
        return int(text), int(text)
    if len(text) == 10:
        day = pages.date_of(text)
        return _midnight(day), _midnight(day + timedelta(1)) - 1
    main, _, fraction = text.removesuffix("Z").partition(".")
    try:
        seconds = int(datetime.fromisoformat(main).replace(tzinfo=UTC).timestamp())
        exact = seconds * SECOND + int(fraction.ljust(9, "0")[:9] or "0")
    except ValueError as error:
        raise ApiError(400, "Could not parse the timestamp.") from error
    return exact, exact


def _format_instant(ns: int) -> str:
    main = datetime.fromtimestamp(ns // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{ns % SECOND:09d}".rstrip("0")
    return f"{main}.{fraction}Z" if fraction else f"{main}Z"


def _window(params: Params) -> _Window:
    low, high = _FIRST, _LAST
    for key, text in params.items():
        if not key.startswith("timestamp") or not text:
            continue
        first, last = parse_instant(text)
        operator = key.partition(".")[2]
        if operator not in ("lt", "lte"):
            low = max(low, last + 1 if operator == "gt" else first)
        if operator not in ("gt", "gte"):
            high = min(high, first - 1 if operator == "lt" else last)
    after = params.get("ap")
    return _Window(
        low,
        high,
        (params.get("order") or "desc") == "desc",
        pages.limit_of(params, 1000, 50_000),
        int(after) if after else None,
    )


def _days(market: Market, window: _Window) -> Iterator[date]:
    days = market.sessions
    for day in reversed(days) if window.is_descending else days:
        if _midnight(day) <= window.high and _midnight(day + timedelta(1)) > window.low:
            yield day


def _inside(rows: pl.DataFrame, window: _Window) -> pl.DataFrame:
    """The rows of a window; those of a day ascend, so they are a slice."""
    times = rows["sip_timestamp"]
    first = times.search_sorted(window.low, "left")
    return rows.slice(first, max(times.search_sorted(window.high, "right") - first, 0))


def _after_cursor(rows: pl.DataFrame, window: _Window) -> pl.DataFrame:
    """Without the rows of the bound's timestamp that were served already."""
    if window.after is None:
        return rows
    stamp, sequence = pl.col("sip_timestamp"), pl.col("sequence_number")
    if window.is_descending:
        return rows.filter((stamp < window.high) | (sequence < window.after))
    return rows.filter((stamp > window.low) | (sequence > window.after))


def _collect(market: Market, read: Read, window: _Window) -> pl.DataFrame:
    """Up to one row more than a page, in the order asked for."""
    parts: list[pl.DataFrame] = []
    found = 0
    for day in _days(market, window):
        rows, wanted = _after_cursor(_inside(read(day), window), window), window.limit + 1 - found
        is_newest_first = window.is_descending
        parts.append(rows.tail(wanted).reverse() if is_newest_first else rows.head(wanted))
        found += parts[-1].height
        if found > window.limit:
            break
    return pl.concat(parts) if parts else pl.DataFrame()


def _trades_wire(rows: pl.DataFrame) -> pl.DataFrame:
    """The vendor's columns; no key for a missing condition, correction or reporting facility."""
    decimal = pl.col("size").cast(pl.String).alias("decimal_size")
    day = datetime.fromtimestamp(int(rows["sip_timestamp"][0]) // SECOND, UTC).date()
    correction = pl.when(pl.col("correction") != 0).then("correction")
    return rows.select(
        "exchange",
        "conditions",
        correction.alias("correction"),
        *([decimal] if day >= DECIMAL_SIZE_FROM else []),
        "id",
        "participant_timestamp",
        "price",
        "sequence_number",
        "sip_timestamp",
        _whole(rows, "size"),
        "tape",
        "trf_id",
        "trf_timestamp",
    )


def _quotes_wire(rows: pl.DataFrame) -> pl.DataFrame:
    """The vendor's columns; no key for what a one-sided quote lacks."""
    names = [name for name in QUOTE_SCHEMA if name not in ("ticker", "sip_timestamp")]
    sizes = [_whole(rows, name) for name in ("bid_size", "ask_size")]
    return rows.select("sip_timestamp", *names).with_columns(sizes)


def _whole(rows: pl.DataFrame, name: str) -> pl.Expr:
    """A column without a decimal point where no row needs one."""
    is_whole = (rows[name] % 1 == 0).all(ignore_nulls=True)
    return pl.col(name).cast(pl.Int64) if is_whole else pl.col(name)


def trades(market: Market, params: Params, is_csv: bool, ticker: str) -> Answer:
    path = f"/v3/trades/{ticker}"
    page = _Page(path, lambda day: market.trades(ticker, day), _trades_wire, TRADE_SCHEMA)
    return _ticks(market, page, params, is_csv)


def quotes(market: Market, params: Params, is_csv: bool, ticker: str) -> Answer:
    path = f"/v3/quotes/{ticker}"
    page = _Page(path, lambda day: market.facts.quotes(ticker, day), _quotes_wire, QUOTE_SCHEMA)
    return _ticks(market, page, params, is_csv)


def _ticks(market: Market, page: _Page, params: Params, is_csv: bool) -> Answer:
    params = pages.resolve(params)
    window = _window(params)
    rows = _collect(market, page.read, window)
    if rows.is_empty() and is_csv:
        return csv_answer(pl.DataFrame(schema=[x for x in page.columns if x != "ticker"]))
    if rows.is_empty():
        return json_answer({"results": [], "status": "OK", "request_id": request_id()})
    chosen = rows.head(window.limit)
    wire = page.wire(chosen)
    if is_csv:
        return csv_answer(wire)
    next_url = None
    if rows.height > window.limit:
        next_url = _next_url(page.path, params, window, chosen.row(-1, named=True))
    body = frame_json(wire, texts=("id", "decimal_size"), arrays=("conditions", "indicators"))
    return envelope(body, wire.height, {}, next_url)


def _next_url(path: str, params: Params, window: _Window, last: dict) -> str:
    moved = ("timestamp.lte", "timestamp.lt") if window.is_descending else (
        "timestamp.gte", "timestamp.gt")  # fmt: skip
    kept = {k: v for k, v in params.items() if k not in moved and k != "timestamp"}
    if params.get("timestamp"):
        first, end = parse_instant(params["timestamp"])
        other = ("timestamp.gte", first) if window.is_descending else ("timestamp.lte", end)
        kept[other[0]] = _format_instant(other[1])
    kept |= {
        "ap": str(last["sequence_number"]),
        "as": "",
        "limit": str(window.limit),
        "order": "desc" if window.is_descending else "asc",
        "sort": "timestamp",
        moved[0]: _format_instant(last["sip_timestamp"]),
    }
    return f"{VENDOR_BASE}{path}?cursor={pages.encode_cursor(kept)}"
