"""Polygon's ticker events: the symbols that one listing has had.

The vendor calls the endpoint experimental. A ticker means whoever uses it now: of a symbol that
was used again, ask by composite FIGI.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import msgspec
import polars as pl

from smallcaps_assets.sources.errors import BadAnswer, NotFound
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.transport import Answer, Request, Transport

TICKER_EVENTS: dict[str, Any] = {
    "date": pl.Date,
    "type": pl.String,
    "ticker": pl.String,
    "composite_figi": pl.String,
    "cik": pl.String,
    "name": pl.String,
}
_FIGI = re.compile(r"BBG[0-9A-Z]{9}")
_CUSIP = re.compile(r"[0-9A-Z]{8}[0-9]")


class SymbolRow(msgspec.Struct, gc=False):
    """The symbol that an event led to."""

    ticker: str


class EventRow(msgspec.Struct, gc=False):
    """A change of symbol; `date` is the first day of the new one."""

    type: str
    date: date
    ticker_change: SymbolRow


class HistoryRow(msgspec.Struct):
    """The object of /vX/reference/tickers/{id}/events; the FIGI has had two names."""

    events: list[EventRow] = []
    name: str | None = None
    composite_figi: str | None = None
    figi: str | None = None
    cik: str | None = None


def ticker_events(transport: Transport, identifier: str) -> pl.DataFrame:
    """TICKER_EVENTS of a ticker, CUSIP or composite FIGI, newest first; empty when unknown.

    Raises BadAnswer when the events stay of another listing or out of order.
    """

    def read(answer: Answer) -> HistoryRow:
        row = decode.single(answer, HistoryRow)
        _check(answer, row, identifier)
        return row

    request = Request(
        f"/vX/reference/tickers/{identifier}/events",
        {"types": "ticker_change"},
        scope="ticker events",
    )
    try:
        return _frame(transport.fetch(request, read))
    except NotFound:
        return pl.DataFrame(schema=TICKER_EVENTS)


def _check(answer: Answer, row: HistoryRow, identifier: str) -> None:
    days = [event.date for event in row.events]
    if days != sorted(days, reverse=True):
        raise answer.problem(BadAnswer, "the events are not newest first")
    figi = row.composite_figi or row.figi
    if _FIGI.fullmatch(identifier):
        is_other = figi is not None and figi != identifier
    elif _CUSIP.fullmatch(identifier):
        is_other = False  # a CUSIP is not echoed
    else:
        is_other = identifier not in [event.ticker_change.ticker for event in row.events]
    if is_other:
        raise answer.problem(BadAnswer, f"events of {row.name or figi!r} came for {identifier!r}")


def _frame(row: HistoryRow) -> pl.DataFrame:
    figi = row.composite_figi or row.figi
    rows = [
        (event.date, event.type, event.ticker_change.ticker, figi, row.cik, row.name)
        for event in row.events
    ]
    return pl.DataFrame(rows, schema=TICKER_EVENTS, orient="row").unique(maintain_order=True)
