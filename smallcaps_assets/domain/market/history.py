"""One company's daily history, adjusted for splits and dividends, across its renames.

Holds the table `ticker_history`. Figures of a day come ready from `metrics`, factors from
`adjustment`; nothing is computed anew but the adjusted prices.
"""

from __future__ import annotations

import polars as pl

from smallcaps_assets.domain.market.adjustment import adjust_bars
from smallcaps_assets.schemas.tables import TABLES

_ADJUSTED = ("open", "high", "low", "close", "volume")


def ticker_history(
    ticker: str,
    metrics: pl.DataFrame,
    factors: pl.DataFrame,
    watchlists: pl.DataFrame,
    tickers: pl.DataFrame,
) -> pl.DataFrame:
    """The table `ticker_history` of one symbol.

    `metrics`, `factors` and `watchlists` hold all rows of those tables, or at least those of the
    company; `tickers` has (date, ticker, identity). The company is the one that had the symbol at
    its last listing; sessions under its other symbols belong to the history, those of an earlier
    company under the same symbol don't. Prices are on the basis of the company's last session.
    """
    identity = _identity(ticker, tickers)
    if identity is None:
        return TABLES["ticker_history"].empty()
    days = _one_row_a_session(metrics.filter(pl.col("identity") == identity), ticker)
    if days.is_empty():
        return TABLES["ticker_history"].empty()
    history = (
        _with_adjusted_prices(days, factors)
        .join(_actions(factors), on=["identity", "date"], how="left")
        .join(_rules(watchlists), on=["identity", "date"], how="left")
        .with_columns(
            pl.lit(ticker).alias("ticker"),
            pl.col("ticker").alias("symbol"),
            pl.col("split_factor").fill_null(1.0),
            pl.col("cash_dividend").fill_null(0.0),
        )
    )
    return TABLES["ticker_history"].validate(history)


def _with_adjusted_prices(days: pl.DataFrame, factors: pl.DataFrame) -> pl.DataFrame:
    """Figures of each day, its prices and volume on the basis of the last one."""
    last = days["date"][-1]
    raw = days.select("date", "identity", *_ADJUSTED)
    adjusted = adjust_bars(raw, factors, last)
    total_return = adjust_bars(raw, factors, last, dividends=True)["close"]
    return days.select(
        "date", "ticker", "identity", "dollar_volume", "pct_change", "rvol30"
    ).with_columns(
        *adjusted.select(_ADJUSTED).get_columns(),
        raw["close"].alias("close_unadjusted"),
        total_return.alias("total_return_close"),
    )


def _identity(ticker: str, tickers: pl.DataFrame) -> str | None:
    owners = tickers.filter(pl.col("ticker") == ticker).sort("date")["identity"]
    return owners[-1] if len(owners) else None


def _one_row_a_session(metrics: pl.DataFrame, ticker: str) -> pl.DataFrame:
    """Sorted by date; where two symbols of the identity traded, the one asked for stays."""
    return (
        metrics.with_columns((pl.col("ticker") != ticker).alias("_other"))
        .sort("date", "_other", "ticker")
        .unique("date", keep="first", maintain_order=True)
        .drop("_other")
    )


def _actions(factors: pl.DataFrame) -> pl.DataFrame:
    return factors.group_by("identity", pl.col("effective_date").alias("date")).agg(
        pl.col("split_factor").product(), pl.col("cash_amount").sum().alias("cash_dividend")
    )


def _rules(watchlists: pl.DataFrame) -> pl.DataFrame:
    return watchlists.group_by("identity", "date").agg(
        pl.col("rule").unique().sort().str.join(",").alias("rules")
    )
