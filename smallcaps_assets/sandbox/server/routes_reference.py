"""Reference endpoints: tickers, details, events, types, conditions, exchanges, market status.

Splits and dividends are in routes_actions.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from smallcaps_assets.domain.market.calendar import NEW_YORK, closed_weekdays, session_hours
from smallcaps_assets.sandbox import constants
from smallcaps_assets.sandbox.market import Market
from smallcaps_assets.sandbox.server import pages
from smallcaps_assets.sandbox.server.answers import (
    Answer,
    json_answer,
    not_found,
    request_id,
    rows_answer,
)
from smallcaps_assets.sandbox.server.pages import Params

TICKERS_PATH = "/v3/reference/tickers"
_TICKER_FILTERS = ("ticker", "type", "market", "exchange", "cik", "primary_exchange")


def tickers(market: Market, params: Params) -> Answer:
    params = pages.resolve(params)
    limit = pages.limit_of(params, 100, 1000)
    day = pages.date_of(params["date"]) if params.get("date") else None
    active = pages.flag_of(params, "active", True)
    wanted = {("primary_exchange" if k == "exchange" else k): v for k, v in params.items()}
    rows = pages.filtered(market.tickers(day, active), wanted, _TICKER_FILTERS)
    search = params.get("search", "").lower()
    if search:
        rows = [r for r in rows if search in (r["ticker"] + " " + r["name"]).lower()]
    key = params.get("sort") or "ticker"
    rows.sort(key=lambda r: str(r.get(key, "")), reverse=params.get("order") == "desc")
    params = {"active": str(active).lower(), "order": "asc", "sort": "ticker"} | params
    chosen, next_url = pages.page(rows, params, limit, TICKERS_PATH, "ticker")
    return rows_answer(chosen, next_url, count=len(chosen))


def ticker_details(market: Market, params: Params, ticker: str) -> Answer:
    day = pages.date_of(params["date"]) if params.get("date") else None
    row = market.ticker_details(ticker, day)
    if row is None:
        raise not_found("Ticker not found.")
    return json_answer({"request_id": request_id(), "results": row, "status": "OK"})


def ticker_events(market: Market, params: Params, ticker: str) -> Answer:
    row = market.ticker_events(ticker)
    if row is None:
        raise not_found("Ticker not found.")
    return json_answer({"results": row, "status": "OK", "request_id": request_id()})


def ticker_types(market: Market, params: Params) -> Answer:
    rows = pages.filtered(constants.ticker_types(), params, ("asset_class", "locale"))
    return rows_answer(rows, None, count=len(rows))


def exchanges(market: Market, params: Params) -> Answer:
    rows = pages.filtered(constants.exchanges(), params, ("asset_class", "locale"))
    return rows_answer(rows, None, count=len(rows))


def conditions(market: Market, params: Params) -> Answer:
    params = pages.resolve(params)
    limit = pages.limit_of(params, 10, 1000)
    rows = pages.filtered(constants.conditions(), params, ("asset_class", "id"))
    kind, sip = params.get("data_type"), params.get("sip")
    if kind:
        rows = [r for r in rows if kind in r["data_types"]]
    if sip:
        rows = [r for r in rows if sip in r["sip_mapping"]]
    chosen, next_url = pages.page(rows, params, limit, "/v3/reference/conditions", "id")
    return rows_answer(chosen, next_url, count=len(chosen))


def market_now(market: Market, params: Params) -> Answer:
    """The status an hour after the last session's extended hours: everything is over."""
    hours = session_hours(market.sessions[-1])
    clock = datetime.fromtimestamp(hours.postmarket_close // 1_000_000_000 + 3600, NEW_YORK)
    venues = dict.fromkeys(("nyse", "nasdaq", "otc"), "closed")
    status = {"market": "closed", "earlyHours": False, "afterHours": False}
    currencies = {"fx": "open", "crypto": "open"}
    stamp = clock.isoformat(timespec="seconds")
    return json_answer(
        {**status, "serverTime": stamp, "exchanges": venues, "currencies": currencies}
    )


def market_upcoming(market: Market, params: Params) -> Answer:
    """Closures of the year after the last session, one row per exchange, no envelope."""
    first = market.sessions[-1] + timedelta(1)
    closed = closed_weekdays(first, first + timedelta(365))
    rows = [
        {"date": day.isoformat(), "exchange": venue, "name": "Market Holiday", "status": "closed"}
        for day in closed
        for venue in ("NYSE", "NASDAQ", "OTC")
    ]
    return json_answer(rows)
