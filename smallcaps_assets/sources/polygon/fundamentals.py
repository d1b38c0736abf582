"""Polygon's fundamentals: statements of companies, ratios, and free float.

Statements come in flat tables, or nested in the older endpoint, which becomes one row per item.
`period_end` is when a period was over, `filing_date` when its figures became known: a feature may
use the second only. Share counts of ticker details are in `reference.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any

import msgspec
import polars as pl

from smallcaps_assets.schemas.feed_columns import AMOUNTS
from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets.sources.http.decode import Number
from smallcaps_assets.sources.http.transport import Answer, Request, Transport
from smallcaps_assets.sources.polygon.lists import (
    ListEndpoint,
    collect_in_order,
    refuse_others,
    refuse_outside,
)

LEGACY_PATH, LEGACY_LIMIT = "/vX/reference/financials", 100

_FILED: dict[str, Any] = {
    "filing_date": pl.Date,
    "cik": pl.String,
    "period_end": pl.Date,
    "timeframe": pl.String,
    "tickers": pl.List(pl.String),
    "fiscal_year": pl.Int64,
    "fiscal_quarter": pl.Int64,
}


def _amounts(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), pl.Float64)


_RATIOS: dict[str, Any] = {"ticker": pl.String, "date": pl.Date, "cik": pl.String} | _amounts(
    "price average_volume market_cap earnings_per_share price_to_earnings price_to_book "
    "price_to_sales price_to_cash_flow price_to_free_cash_flow dividend_yield return_on_assets "
    "return_on_equity debt_to_equity current quick cash ev_to_sales ev_to_ebitda "
    "enterprise_value free_cash_flow"
)
_FLOAT: dict[str, Any] = {
    "ticker": pl.String,
    "effective_date": pl.Date,
    "free_float": pl.Float64,
    "free_float_percent": pl.Float64,
}
FINANCIALS: dict[str, Any] = {
    "filing_date": pl.Date,
    "cik": pl.String,
    "end_date": pl.Date,
    "timeframe": pl.String,
    "statement": pl.String,
    "item": pl.String,
    "value": pl.Float64,
    "unit": pl.String,
    "label": pl.String,
    "order": pl.Int64,
    "source": pl.String,
    "tickers": pl.List(pl.String),
    "company_name": pl.String,
    "start_date": pl.Date,
    "accepted": pl.Datetime("ns", "UTC"),
    "fiscal_year": pl.Int64,
    "fiscal_period": pl.String,
    "source_filing_url": pl.String,
}


def _statement(table: str) -> ListEndpoint:
    """The statements of a table, in the company's currency."""
    key = ("filing_date", "cik", "period_end", "timeframe")
    path = f"/stocks/financials/v1/{table.replace('_', '-')}"
    columns = _FILED | _amounts(AMOUNTS[table])
    return ListEndpoint(path, columns, key, "filing_date", 50_000, subject="tickers")


BALANCE_SHEETS = _statement("balance_sheets")
INCOME_STATEMENTS = _statement("income_statements")
CASH_FLOW_STATEMENTS = _statement("cash_flow_statements")
RATIOS = ListEndpoint("/stocks/financials/v1/ratios", _RATIOS, ("ticker", "date"), "ticker", 50_000)
FLOAT = ListEndpoint("/stocks/vX/float", _FLOAT, ("ticker",), "ticker", 5_000)


FiscalYear = (
    Annotated[int, msgspec.Meta(ge=0, lt=10_000)] | Annotated[str, msgspec.Meta(pattern=r"^\d{4}$")]
)


class ItemRow(msgspec.Struct, gc=False):
    """One figure of a nested statement; texts carry no value."""

    value: Number | str | None = None
    unit: str | None = None
    label: str | None = None
    order: Annotated[float, msgspec.Meta(ge=0, lt=1e9)] | None = None
    source: str | dict[str, Any] | None = None


class FilingRow(msgspec.Struct):
    """A row of /vX/reference/financials."""

    filing_date: date
    end_date: date
    cik: str
    financials: dict[str, dict[str, ItemRow]] = {}
    start_date: date | None = None
    acceptance_datetime: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    tickers: list[str] | None = None
    company_name: str | None = None
    timeframe: str | None = None
    fiscal_year: FiscalYear | None = None
    fiscal_period: str | None = None
    source_filing_url: str | None = None


def financials(transport: Transport, ticker: str, start: date, end: date) -> pl.DataFrame:
    """FINANCIALS of one ticker filed from `start` to `end`, one row per item of a statement.

    Raises BadAnswer when filings stay of another ticker, outside the dates or out of order.
    """
    params = {
        "ticker": ticker,
        "filing_date.gte": str(start),
        "filing_date.lte": str(end),
        "sort": "filing_date",
        "order": "asc",
        "limit": str(LEGACY_LIMIT),
    }

    def check(answer: Answer, rows: list[FilingRow]) -> None:
        refuse_others(answer, ticker, (row.tickers for row in rows if row.tickers))
        refuse_outside(answer, "filing_date", [r.filing_date for r in rows], start, end)
        if len({row.cik for row in rows}) > 1 and not all(row.tickers for row in rows):
            raise answer.problem(BadAnswer, f"filings of several companies came for {ticker!r}")

    request = Request(LEGACY_PATH, params, scope=f"{LEGACY_PATH} {start} {end}")
    rows = collect_in_order(transport, request, FilingRow, "filing_date", check)
    items = [item for row in rows for item in _items(row)]
    found = pl.DataFrame(items, schema=FINANCIALS, orient="row", strict=False)
    return found.unique(maintain_order=True).sort(
        "filing_date", "end_date", "timeframe", "statement", "order", "item"
    )


def _items(row: FilingRow) -> Iterator[tuple[Any, ...]]:
    """A filing's figures in the order of FINANCIALS."""
    head = (row.filing_date, row.cik, row.end_date, row.timeframe)
    tail = (
        row.tickers,
        row.company_name,
        row.start_date,
        row.acceptance_datetime,
        None if row.fiscal_year is None else int(row.fiscal_year),
        row.fiscal_period,
        row.source_filing_url,
    )
    for statement, items in row.financials.items():
        for name, item in items.items():
            value = item.value if isinstance(item.value, (int, float)) else None
            source = item.source if isinstance(item.source, str) else None
            figures = (value, item.unit, item.label, item.order, source)
            yield (*head, statement, name, *figures, *tail)
