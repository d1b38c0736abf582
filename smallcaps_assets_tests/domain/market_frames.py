"""Small frames of the market tables for the tests: defaults filled in, columns by contract.

Rows are given as dicts with the columns that matter to a test. No test belongs here.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.market.calendar import sessions, shift_session
from smallcaps_assets.schemas.tables import TABLES

NEW_YORK = ZoneInfo("America/New_York")
DAY = date(2024, 5, 3)
SESSIONS = sessions(date(2023, 5, 1), date(2024, 6, 28))


def back(count: int, day: date = DAY) -> date:
    """The session `count` sessions before."""
    return shift_session(day, -count)


def frame(table: str, rows: list[dict[str, Any]], **defaults: Any) -> pl.DataFrame:
    """A frame of a table; columns given nowhere are null."""
    columns = TABLES[table].columns
    data = [{**dict.fromkeys(columns), **defaults, **row} for row in rows]
    return pl.DataFrame(data, schema=columns)


def tickers(rows: list[dict[str, Any]]) -> pl.DataFrame:
    filled = [{"identity": f"FIGI-{row['ticker']}", **row} for row in rows]
    return frame("tickers", filled, date=DAY, type="CS", primary_exchange="XNAS")


def members(*symbols: str, day: date = DAY, **values: Any) -> pl.DataFrame:
    """Universe rows."""
    rows = [{"ticker": s, "identity": f"FIGI-{s}", **values} for s in symbols]
    return frame(
        "universe",
        rows,
        date=day,
        type="CS",
        primary_exchange="XNAS",
        is_market_cap_known=False,
        splits_count=0,
        dividends_count=0,
    )


def splits(*rows: tuple[str, date, float, float]) -> pl.DataFrame:
    """(ticker, execution date, from, to)."""
    names = ("ticker", "execution_date", "split_from", "split_to")
    return frame("splits", [{**dict(zip(names, r, strict=True)), "year": r[1].year} for r in rows])


def dividends(*rows: tuple[str, date, float], **values: Any) -> pl.DataFrame:
    """(ticker, ex-date, amount)."""
    names = ("ticker", "ex_dividend_date", "cash_amount")
    data = [
        {**dict(zip(names, r, strict=True)), "year": r[1].year, "sequence": n}
        for n, r in enumerate(rows)
    ]
    return frame("dividends", data, **{"currency": "USD", **values})


def factors(*rows: dict[str, Any]) -> pl.DataFrame:
    """Adjustment factors; identity follows the ticker."""
    filled = [{"identity": f"FIGI-{row['ticker']}", **row} for row in rows]
    return frame(
        "adjustment_factors", filled, split_factor=1.0, dividend_factor=1.0, cash_amount=0.0
    )


def daily(rows: list[dict[str, Any]], **values: Any) -> pl.DataFrame:
    """Daily bars with all four prices at `close` unless given."""
    filled = []
    for row in rows:
        close = row.get("close", 10.0)
        prices = dict.fromkeys(("open", "high", "low", "close", "vwap"), close)
        filled.append({**prices, **row})
    return frame("daily_bars", filled, **{"date": DAY, "volume": 1000.0, **values})


def minute(ticker: str, clock: str, close: float, volume: float, **values: Any) -> dict[str, Any]:
    """One minute row; `clock` is New York time such as 09:30, on `date` (default DAY)."""
    day = values.pop("date", DAY)
    hour, mins = map(int, clock.split(":"))
    start = datetime(day.year, day.month, day.day, hour, mins, tzinfo=NEW_YORK)
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    return {
        "date": day,
        "ticker": ticker,
        "window_start": start,
        "volume": float(volume),
        **prices,
        **values,
    }


def minutes(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame("minute_bars", list(rows))


def summary(ticker: str, day: date, close: float, volume: float, **values: Any) -> dict[str, Any]:
    """One session summary row."""
    return {
        "date": day,
        "ticker": ticker,
        "identity": f"FIGI-{ticker}",
        **dict.fromkeys(("first_price", "open", "high", "low", "close", "vwap"), close),
        "volume": float(volume),
        "close_source": "daily",
        "volume_source": "daily",
        "dollar_volume": close * volume,
        "dollar_volume_source": "daily_vwap",
        **values,
    }


def summaries(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame("session_summary", list(rows))


def quiet_history(
    ticker: str, count: int, close: float = 10.0, volume: float = 1000.0, **values: Any
) -> list[dict[str, Any]]:
    """`count` equal sessions right before DAY, oldest first."""
    return [summary(ticker, back(n), close, volume, **values) for n in range(count, 0, -1)]


def instant(clock: str, day: date = DAY) -> datetime:
    """A New York wall-clock time as an aware datetime."""
    hour, mins = map(int, clock.split(":"))
    return datetime(day.year, day.month, day.day, hour, mins, tzinfo=NEW_YORK)


def days_before(count: int, day: date = DAY) -> date:
    return day - timedelta(days=count)
