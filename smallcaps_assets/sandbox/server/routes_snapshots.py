"""Snapshot endpoints: the state of tickers at the end of the market's last session.

The older shapes (/v2, one-letter keys) and the unified one (/v3). A market without live facts has
cleared snapshots: none at all.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.sandbox.market import Market, Row
from smallcaps_assets.sandbox.server import pages
from smallcaps_assets.sandbox.server.answers import (
    Answer,
    ApiError,
    json_answer,
    not_found,
    request_id,
    rows_answer,
)
from smallcaps_assets.sandbox.server.pages import Params

PATH = "/v2/snapshot/locale/us/markets/stocks"
UNIFIED_PATH = "/v3/snapshot"
MOVERS, LEAST_VOLUME = 20, 10_000
_BAR = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap"}


def _bar(row: Row) -> Row:
    return {short: row[name] for short, name in _BAR.items()}


def _snapshot(market: Market, day: date, bar: Row) -> Row:
    """One ticker's state; `bar` is its bar of the day."""
    ticker = bar["ticker"]
    minute = market.minute_bars_of(ticker, day, day).row(-1, named=True)
    trade = market.trades(ticker, day).row(-1, named=True)
    before = [x for x in market.sessions if x < day][-1:]
    previous = market.daily_bars_of(ticker, before[0], before[0]) if before else pl.DataFrame()
    row: Row = {"ticker": ticker, "day": _bar(bar), "updated": trade["sip_timestamp"]}
    row["min"] = _bar(minute) | {
        "t": minute["window_start"] // 1_000_000,
        "n": minute["transactions"],
        "av": bar["volume"],
    }
    row["lastTrade"] = _trade(trade)
    quotes = market.facts.quotes(ticker, day)
    if quotes.height:
        row["lastQuote"] = _quote(quotes.row(-1, named=True))
    if previous.height:
        last = previous.row(0, named=True)
        change = bar["close"] - last["close"]
        row |= {"prevDay": _bar(last), "todaysChange": round(change, 4)}
        row["todaysChangePerc"] = round(100 * change / last["close"], 4)
    return row


def _trade(trade: Row) -> Row:
    conditions = trade["conditions"]
    return {
        "c": [int(x) for x in conditions.split(",")] if conditions else None,
        "i": trade["id"],
        "p": trade["price"],
        "s": trade["size"],
        "t": trade["sip_timestamp"],
        "x": trade["exchange"],
    }


def _quote(quote: Row) -> Row:
    names = {"P": "ask_price", "S": "ask_size", "p": "bid_price", "s": "bid_size"}
    kept = {short: quote[name] for short, name in names.items() if quote[name] is not None}
    return kept | {"t": quote["sip_timestamp"]}


def _all(market: Market, tickers: set[str] | None = None) -> list[Row]:
    """The snapshots of some tickers, or all, by ticker."""
    day = market.facts.snapshot_day
    bars = [] if day is None else market.daily_bars(day).to_dicts()
    chosen = [bar for bar in bars if tickers is None or bar["ticker"] in tickers]
    return [] if day is None else [_snapshot(market, day, bar) for bar in chosen]


def _answer(rows: list[Row]) -> Answer:
    head = {"count": len(rows), "status": "OK", "request_id": request_id()}
    return json_answer(head | {"tickers": rows})


def tickers(market: Market, params: Params) -> Answer:
    wanted = params.get("tickers")
    return _answer(_all(market, set(wanted.split(",")) if wanted else None))


def ticker(market: Market, params: Params, ticker: str) -> Answer:
    rows = _all(market, {ticker})
    if not rows:
        raise not_found("Ticker not found.")
    return json_answer({"status": "OK", "request_id": request_id(), "ticker": rows[0]})


def movers(market: Market, params: Params, direction: str) -> Answer:
    """The twenty greatest changes among tickers of some volume."""
    if direction not in ("gainers", "losers"):
        raise ApiError(404, "The requested resource was not found.", "NOT_FOUND", "message")
    sign = -1 if direction == "gainers" else 1
    rows = [
        row
        for row in _all(market)
        if row["day"]["v"] >= LEAST_VOLUME and row.get("todaysChangePerc", 0) * sign < 0
    ]
    rows.sort(key=lambda row: sign * row["todaysChangePerc"])
    return _answer(rows[:MOVERS])


def unified(market: Market, params: Params) -> Answer:
    """By ticker; limit 10, at most 250; a row with an error for each unknown ticker."""
    params = pages.resolve(params)
    limit = pages.limit_of(params, 10, 250)
    wanted = params.get("ticker.any_of") or params.get("ticker")
    asked = set(wanted.split(",")) if wanted else None
    rows = [_unified(market, row) for row in _all(market, asked)]
    known = {row["ticker"] for row in rows}
    rows += [
        {"error": "NOT_FOUND", "message": "Ticker not found.", "ticker": name}
        for name in sorted((asked or set()) - known)
    ]
    ranges = {
        k: v for k, v in params.items() if k.startswith("ticker.g") or k.startswith("ticker.l")
    }
    found = pages.filtered(rows, ranges, ("ticker",))
    found.sort(key=lambda row: row["ticker"], reverse=params.get("order") == "desc")
    chosen, next_url = pages.page(found, params, limit, UNIFIED_PATH, "ticker")
    return rows_answer(chosen, next_url)


def _unified(market: Market, row: Row) -> Row:
    details = market.ticker_details(row["ticker"], market.facts.snapshot_day)
    day, minute, trade = row["day"], row["min"], row["lastTrade"]
    long = {name: short for short, name in _BAR.items() if name != "vwap"}
    session = {name: day[short] for name, short in long.items()} | {"price": trade["p"]}
    if "prevDay" in row:
        session["previous_close"] = row["prevDay"]["c"]
        session["change"] = row["todaysChange"]
        session["change_percent"] = row["todaysChangePerc"]
    found: Row = {
        "ticker": row["ticker"],
        "type": "stocks",
        "market_status": "closed",
        "session": session,
        "last_minute": {name: minute[short] for name, short in long.items()}
        | {"vwap": minute["vw"], "transactions": minute["n"]}
        | {"last_updated": minute["t"] * 1_000_000},
        "last_trade": {
            "id": trade["i"],
            "price": trade["p"],
            "size": trade["s"],
            "exchange": trade["x"],
            "last_updated": trade["t"],
            "timeframe": "REAL-TIME",
        }
        | ({"conditions": trade["c"]} if trade["c"] else {}),
    }
    if details is not None:
        found["name"] = details["name"]
    if "lastQuote" in row:
        names = {"ask": "P", "ask_size": "S", "bid": "p", "bid_size": "s", "last_updated": "t"}
        quote = {long: row["lastQuote"].get(short) for long, short in names.items()}
        found["last_quote"] = {k: v for k, v in quote.items() if v is not None}
        found["last_quote"]["timeframe"] = "REAL-TIME"
    return found
