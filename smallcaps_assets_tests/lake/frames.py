"""Small daily bars for the tests of the lake."""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.lake import Stamp

KEY = "2024-05-03"
STAMP = Stamp("daily_bars", 1, "abc")


def bars(*tickers: str, close: float = 2.0) -> pl.DataFrame:
    """Daily bars of some tickers."""
    return pl.DataFrame(
        {
            "date": [date(2024, 5, 3)] * len(tickers),
            "ticker": list(tickers),
            "open": 1.5,
            "high": 3.0,
            "low": 1.0,
            "close": close,
            "volume": 100.0,
            "vwap": None,
            "transactions": 3,
        }
    )
