"""Splits and dividends, in the old (/v3/reference) and the new (/stocks/v1) shapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from smallcaps_assets.sandbox.market import Market, Row
from smallcaps_assets.sandbox.server import pages
from smallcaps_assets.sandbox.server.answers import Answer, rows_answer
from smallcaps_assets.sandbox.server.pages import Params


def old_splits(market: Market, params: Params) -> Answer:
    params = pages.resolve(params)
    rows = pages.filtered(market.splits(), params, ("ticker", "execution_date"))
    if params.get("reverse_split"):
        reverse = pages.flag_of(params, "reverse_split", True)
        rows = [r for r in rows if (r["split_from"] > r["split_to"]) == reverse]
    return _old(rows, params, "execution_date", "/v3/reference/splits")


def old_dividends(market: Market, params: Params) -> Answer:
    params = pages.resolve(params)
    fields = ("ticker", "ex_dividend_date", "record_date", "declaration_date", "pay_date",
              "frequency", "cash_amount", "dividend_type")  # fmt: skip
    rows = pages.filtered(market.dividends(), params, fields)
    return _old(rows, params, "ex_dividend_date", "/v3/reference/dividends")


def _old(rows: list[Row], params: Params, default_sort: str, path: str) -> Answer:
    """Newest first by default; limit 10, at most 1000."""
    limit = pages.limit_of(params, 10, 1000)
    key = params.get("sort") or default_sort
    is_descending = (params.get("order") or "desc") == "desc"
    rows.sort(key=lambda r: (r.get(key, ""), r["ticker"], r["id"]), reverse=is_descending)
    chosen, next_url = pages.page(rows, params, limit, path, "id")
    return rows_answer(chosen, next_url)


def new_splits(market: Market, params: Params) -> Answer:
    params = pages.resolve(params)
    rows = [_new_split(row, market.splits()) for row in market.splits()]
    rows = pages.filtered(rows, params, ("ticker", "execution_date", "adjustment_type"))
    return _new(rows, params, "execution_date.desc", "/stocks/v1/splits")


def new_dividends(market: Market, params: Params) -> Answer:
    # A factor needs closes, and so the whole chain of a ticker: only for rows that are asked for.
    params = pages.resolve(params)
    asked = pages.filtered(market.dividends(), params, ("ticker", "ex_dividend_date", "frequency"))
    rows = [_new_dividend(market, row) for row in asked]
    rows = pages.filtered(rows, params, ("distribution_type",))
    return _new(rows, params, "ticker.asc", "/stocks/v1/dividends")


def _new(rows: list[Row], params: Params, default_sort: str, path: str) -> Answer:
    """`sort` is a list of column.direction; limit 100, at most 5000."""
    limit = pages.limit_of(params, 100, 5000)
    if rows:
        rows = pages.sorted_by(rows, params.get("sort") or default_sort, tuple(rows[0]))
    chosen, next_url = pages.page(rows, params, limit, path, "id")
    return rows_answer(chosen, next_url)


def _split_type(row: Row) -> str:
    return "reverse_split" if row["split_from"] > row["split_to"] else "forward_split"


def _since(rows: Sequence[Row], ticker: str, column: str, day: str) -> Iterator[Row]:
    """A ticker's rows of a day or later."""
    return (row for row in rows if row["ticker"] == ticker and row[column] >= day)


def _ratio(splits: Iterable[Row]) -> float:
    """Old shares per share after these splits."""
    return math.prod(row["split_from"] / row["split_to"] for row in splits if row["split_to"])


def _new_split(row: Row, splits: Sequence[Row]) -> Row:
    """Adds the cumulative factor: this split and all later ones of the ticker."""
    day = row["execution_date"]
    extra = {
        "adjustment_type": _split_type(row),
        "historical_adjustment_factor": round(
            _ratio(_since(splits, row["ticker"], "execution_date", day)), 6
        ),
        "id": row.get("id", f"{row['ticker']}|{day}"),
    }
    return row | extra


def _previous_close(market: Market, ticker: str, day: date) -> float | None:
    bars = market.daily_bars_of(ticker, market.sessions[0], day - timedelta(1))
    return float(bars["close"][-1]) if bars.height else None


def _dividend_factor(market: Market, row: Row) -> float:
    """Product of 1 - amount / previous close over this dividend and the later ones."""
    factor, column = 1.0, "ex_dividend_date"
    for other in _since(market.dividends(), row["ticker"], column, row[column]):
        close = _previous_close(market, row["ticker"], date.fromisoformat(other[column]))
        factor *= 1.0 - other["cash_amount"] / close if close else 1.0
    return round(factor, 6)


def _new_dividend(market: Market, row: Row) -> Row:
    kept = {k: v for k, v in row.items() if k != "dividend_type"}
    is_special = row.get("dividend_type") == "SC"
    day = date.fromisoformat(row["ex_dividend_date"]) + timedelta(1)
    ratio = _ratio(_since(market.splits(), row["ticker"], "execution_date", day.isoformat()))
    return kept | {
        "distribution_type": "special" if is_special else "recurring",
        "split_adjusted_cash_amount": round(row["cash_amount"] * ratio, 6),
        "historical_adjustment_factor": _dividend_factor(market, row),
    }
