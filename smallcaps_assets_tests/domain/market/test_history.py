"""One company's history: across renames, without the earlier owner of the symbol, adjusted."""

from __future__ import annotations

import polars as pl
import pytest

from smallcaps_assets.domain.market.history import ticker_history
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets_tests.domain.market_frames import DAY, back, factors, frame, instant, tickers


def metric(day, ticker: str, close: float, identity: str = "X", **values) -> dict:
    return {
        "date": day,
        "ticker": ticker,
        "identity": identity,
        "open": close,
        "high": close + 1,
        "low": close - 0.5,
        "close": close,
        "volume": 1000.0,
        "dollar_volume": close * 1000,
        "rvol30": 2.5,
        "split_factor": 1.0,
        "cash_dividend": 0.0,
        "volume_sessions": 0,
        "is_suspect_at_open": False,
        "is_suspect_at_close": False,
        "is_ssr_carried": False,
        **values,
    }


METRICS = frame(
    "daily_metrics",
    [
        metric(back(40), "NEW", 70.0, "OTHER"),  # the symbol's earlier owner
        metric(back(3), "OLD", 1.0),
        metric(back(2), "OLD", 2.0, pct_change=1.0),
        metric(back(1), "NEW", 20.0, pct_change=0.0),
        metric(DAY, "NEW", 18.0, pct_change=-0.1, open=None),
        metric(DAY, "ELSE", 5.0, "Z"),
    ],
)
TICKERS = tickers(
    [
        {"date": back(40), "ticker": "NEW", "identity": "OTHER"},
        {"date": back(2), "ticker": "OLD", "identity": "X"},
        {"date": DAY, "ticker": "NEW", "identity": "X"},
    ]
)
FACTORS = factors(
    {"ticker": "NEW", "identity": "X", "effective_date": back(1), "split_factor": 10.0},
    {
        "ticker": "NEW",
        "identity": "X",
        "effective_date": DAY,
        "dividend_factor": 0.9,
        "cash_amount": 2.0,
    },
    {"ticker": "NEW", "identity": "OTHER", "effective_date": DAY, "split_factor": 3.0},
)


def watched(rule: str, day, ticker: str, identity: str = "X") -> dict:
    return {
        "rule": rule,
        "date": day,
        "ticker": ticker,
        "identity": identity,
        "known_at": instant("16:00", day),
    }


WATCHLISTS = frame(
    "watchlist",
    [
        watched("intraday_trigger", back(2), "OLD"),
        watched("info_rich", back(2), "OLD"),
        watched("info_rich", DAY, "NEW", "OTHER"),
    ],
)


def history(ticker: str = "NEW", metrics: pl.DataFrame = METRICS) -> pl.DataFrame:
    return ticker_history(ticker, metrics, FACTORS, WATCHLISTS, TICKERS)


def test_ticker_history_follows_the_company_through_its_rename():
    result = history()
    assert result.select("date", "ticker", "symbol").rows() == [
        (back(3), "NEW", "OLD"),
        (back(2), "NEW", "OLD"),
        (back(1), "NEW", "NEW"),
        (DAY, "NEW", "NEW"),
    ]
    assert result["rules"].to_list() == [None, "info_rich,intraday_trigger", None, None]


def test_ticker_history_is_adjusted_as_of_the_last_session():
    result = history()
    assert result["close"].to_list() == [10.0, 20.0, 20.0, 18.0]
    assert result["high"].to_list() == [20.0, 30.0, 21.0, 19.0]
    assert result["volume"].to_list() == [100.0, 100.0, 1000.0, 1000.0]
    assert result["close_unadjusted"].to_list() == [1.0, 2.0, 20.0, 18.0]
    assert result["total_return_close"].to_list() == pytest.approx([9.0, 18.0, 18.0, 18.0])
    assert result["open"][-1] is None
    assert result["split_factor"].to_list() == [1.0, 1.0, 10.0, 1.0]
    assert result["cash_dividend"].to_list() == [0.0, 0.0, 0.0, 2.0]
    assert result["pct_change"].to_list() == [None, 1.0, 0.0, -0.1]


def test_ticker_history_under_the_old_symbol_is_the_same_company():
    assert history("OLD").drop("ticker").equals(history("NEW").drop("ticker"))


def test_ticker_history_given_rows_in_any_order_is_the_same():
    shuffled = (METRICS.reverse(), FACTORS.reverse(), WATCHLISTS.reverse(), TICKERS.reverse())
    assert ticker_history("NEW", *shuffled).equals(history())


def test_ticker_history_given_two_symbols_on_a_day_keeps_the_one_asked_for():
    twice = pl.concat([METRICS, frame("daily_metrics", [metric(DAY, "AAA", 3.0)])])
    assert history(metrics=twice).filter(pl.col("date") == DAY)["symbol"].to_list() == ["NEW"]


def test_ticker_history_given_unknown_symbol_is_empty():
    assert history("NOPE").equals(TABLES["ticker_history"].empty())
