"""Symbols: which are exchange tests, and how vendors spell the same one.

Tickers are case-sensitive everywhere; nothing here changes case. Which company a ticker stands for
is not decided here.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import polars as pl


@lru_cache(maxsize=1)
def exchange_test_tickers() -> frozenset[str]:
    """Symbols on which exchanges print test trades.

    An exact list, as seen in Polygon's grouped bars and flat files of 2026-10; a pattern would
    take out real companies (ZTS, ZBRA, CBOE).
    """
    text = (
        resources.files("smallcaps_assets.sources").joinpath("test_tickers.txt").read_text("ascii")
    )
    return frozenset(text.split())


def without_test_tickers(frame: pl.DataFrame, column: str = "ticker") -> pl.DataFrame:
    """The rows whose ticker is not an exchange test."""
    return frame.filter(~pl.col(column).is_in(sorted(exchange_test_tickers())))


def from_finra(column: str = "symbol") -> pl.Expr:
    """FINRA's spelling (`BRK/B`, `AACT/WS`, `ABRpD`) as Polygon's (`BRK.B`, `AACT.WS`, `ABRpD`)."""
    return pl.col(column).str.replace_all("/", ".", literal=True)
