"""Endpoints of facts beside prices: short data, float, figures of companies, news.

The newer tables share one shape: filters on columns, `sort` as a list of column.direction, pages
with a cursor. The older ones, news and nested financials, each have their own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import date, datetime

import msgspec

from smallcaps_assets.sandbox.market import Filing, Market, Row
from smallcaps_assets.sandbox.server import pages
from smallcaps_assets.sandbox.server.answers import (
    VENDOR_BASE,
    Answer,
    ApiError,
    json_answer,
    request_id,
    rows_answer,
)
from smallcaps_assets.sandbox.server.pages import Params

NEWS_PATH, FINANCIALS_PATH = "/v2/reference/news", "/vX/reference/financials"
_FILED = ("cik", "tickers", "period_end", "filing_date", "fiscal_year", "fiscal_quarter",
          "timeframe")  # fmt: skip
_INTEREST = ("ticker", "settlement_date", "short_interest", "avg_daily_volume", "days_to_cover")
_SHORT_VOLUME = ("ticker", "date", "short_volume", "short_volume_ratio", "total_volume")
_LABELS = {  # name in the nested tables: (statement, name in the flat ones, unit)
    "assets": ("balance_sheet", "total_assets", "USD"),
    "current_assets": ("balance_sheet", "total_current_assets", "USD"),
    "liabilities": ("balance_sheet", "total_liabilities", "USD"),
    "equity": ("balance_sheet", "total_equity", "USD"),
    "liabilities_and_equity": ("balance_sheet", "total_liabilities_and_equity", "USD"),
    "revenues": ("income_statement", "revenue", "USD"),
    "gross_profit": ("income_statement", "gross_profit", "USD"),
    "operating_income_loss": ("income_statement", "operating_income", "USD"),
    "net_income_loss": ("income_statement", "consolidated_net_income_loss", "USD"),
    "basic_earnings_per_share": (
        "income_statement", "basic_earnings_per_share", "USD / shares"),
    "basic_average_shares": ("income_statement", "basic_shares_outstanding", "shares"),
    "net_cash_flow": ("cash_flow_statement", "change_in_cash_and_equivalents", "USD"),
}  # fmt: skip


def _table(
    rows: Sequence[Row],
    params: Params,
    path: str,
    columns: Sequence[str],
    limits: tuple[int, int],
    default_sort: str = "ticker.asc",
    marker: str = "ticker",
) -> Answer:
    """One page of a newer table; `columns` can be filtered and sorted by."""
    params = pages.resolve(params)
    limit = pages.limit_of(params, *limits)
    found = pages.filtered(rows, params, columns)
    found = pages.sorted_by(found, params.get("sort") or default_sort, columns)
    chosen, next_url = pages.page(found, params, limit, path, marker)
    return rows_answer(chosen, next_url)


def short_interest(market: Market, params: Params) -> Answer:
    rows, path = market.facts.short_interest, "/stocks/v1/short-interest"
    return _table(rows, params, path, _INTEREST, (10, 50_000))


def short_volume(market: Market, params: Params) -> Answer:
    # Only the days asked for are made.
    asked, path = pages.resolve(params), "/stocks/v1/short-volume"
    days = pages.filtered([{"date": str(x)} for x in market.sessions], asked, ("date",))
    of_day = market.facts.short_volume
    rows = [row for day in days for row in of_day(date.fromisoformat(day["date"]))]
    return _table(rows, params, path, _SHORT_VOLUME, (10, 50_000))


def free_float(market: Market, params: Params) -> Answer:
    columns = ("ticker", "free_float", "free_float_percent", "effective_date")
    return _table(market.facts.free_float, params, "/stocks/vX/float", columns, (100, 5_000))


def ratios(market: Market, params: Params) -> Answer:
    columns = ("ticker", "date", "cik", "price", "average_volume", "market_cap")
    path = "/stocks/financials/v1/ratios"
    return _table(market.facts.ratios, params, path, columns, (100, 50_000))


def statements(market: Market, params: Params, name: str) -> Answer:
    """`name` is the last part of the path, such as balance-sheets."""
    parts = {
        "balance-sheets": lambda filing: filing.balance,
        "income-statements": lambda filing: filing.income,
        "cash-flow-statements": lambda filing: filing.cash_flow,
    }
    if name not in parts:
        raise ApiError(404, "The requested resource was not found.", "NOT_FOUND", "message")
    rows = [filing.head | parts[name](filing) for filing in market.facts.filings]
    path = f"/stocks/financials/v1/{name}"
    return _table(rows, params, path, _FILED, (100, 50_000), "period_end.asc", "cik")


def financials(market: Market, params: Params) -> Answer:
    """The older, nested statements; newest period first by default, limit 10, at most 100."""
    params = pages.resolve(params)
    limit = pages.limit_of(params, 10, 100)
    rows = [_nested(filing) for filing in market.facts.filings]
    wanted = {k.replace("period_of_report_date", "end_date"): v for k, v in params.items()}
    if wanted.get("ticker"):
        wanted["tickers"] = wanted.pop("ticker")
    columns = ("tickers", "cik", "company_name", "filing_date", "end_date", "timeframe")
    found = pages.filtered(rows, wanted, columns)
    key = (params.get("sort") or "end_date").replace("period_of_report_date", "end_date")
    if key not in columns:
        raise ApiError(400, f"'{key}' is not a column to sort by.")
    is_descending = (params.get("order") or "desc") == "desc"
    found.sort(key=lambda row: (row[key], row["cik"], row["end_date"]), reverse=is_descending)
    chosen, next_url = pages.page(found, params, limit, FINANCIALS_PATH, "cik")
    return rows_answer(chosen, next_url, count=len(chosen))


def _nested(filing: Filing) -> Row:
    figures = {**filing.balance, **filing.income, **filing.cash_flow}
    nested: dict[str, Row] = {}
    for order, (name, (statement, flat, unit)) in enumerate(_LABELS.items(), start=1):
        label = name.replace("_", " ").title()
        item = {"value": figures[flat], "unit": unit, "label": label, "order": 100 * order}
        nested.setdefault(statement, {})[name] = item
    head = filing.head
    return {
        "cik": head["cik"],
        "company_name": filing.name,
        "tickers": head["tickers"],
        "start_date": filing.start.isoformat(),
        "end_date": head["period_end"],
        "filing_date": head["filing_date"],
        "acceptance_datetime": f"{head['filing_date']}T21:05:00Z",
        "timeframe": head["timeframe"],
        "fiscal_period": f"Q{head['fiscal_quarter']}",
        "fiscal_year": str(head["fiscal_year"]),
        "financials": nested,
    }


def news(market: Market, params: Params) -> Answer:
    """Newest first by default; limit 10, at most 1000."""
    cursor = _news_cursor(params)
    params = {k: v for k, v in {**params, **cursor}.items() if k not in ("apiKey", "cursor")}
    limit = pages.limit_of(params, 10, 1000)
    is_descending = (params.get("order") or "desc") == "desc"
    wanted = {("tickers" if k == "ticker" else k): v for k, v in params.items()}
    rows = pages.filtered(market.facts.news, wanted, ("tickers", "published_utc"))
    ordered = rows[::-1] if is_descending else rows
    after = params.get("search_after")
    rest = list(_after(ordered, int(after), is_descending)) if after else ordered
    chosen = rest[:limit]
    head: Row = {"results": chosen, "status": "OK", "request_id": request_id()}
    if len(rest) > limit:
        head["next_url"] = _news_url(params, limit, chosen[-1])
    return json_answer(head | {"count": len(chosen)})


def _milliseconds(row: Row) -> int:
    return int(datetime.fromisoformat(row["published_utc"]).timestamp()) * 1000


def _after(rows: Sequence[Row], stamp: int, is_descending: bool) -> Iterator[Row]:
    for row in rows:
        own = _milliseconds(row)
        if own < stamp if is_descending else own > stamp:
            yield row


def _news_cursor(params: Params) -> dict[str, str]:
    """The cursor's content: base64 of JSON here, unlike elsewhere."""
    text = params.get("cursor")
    if text is None:
        return {}
    try:
        content = msgspec.json.decode(base64.b64decode(text, validate=True), type=dict)
        stamp, _ = content.pop("search_after")
        return {**{k: str(v) for k, v in content.items()}, "search_after": str(stamp)}
    except (ValueError, KeyError, msgspec.MsgspecError) as error:
        raise ApiError(400, "The cursor could not be decoded.") from error


def _news_url(params: Params, limit: int, last: Row) -> str:
    """With the port in the host, as the vendor has it."""
    kept = {k: v for k, v in params.items() if k not in ("search_after", "limit")}
    content = {**kept, "limit": limit, "search_after": [_milliseconds(last), None]}
    cursor = base64.b64encode(msgspec.json.encode(content)).decode()
    return f"{VENDOR_BASE}:443{NEWS_PATH}?cursor={cursor.replace('+', '%2B')}"
