"""Rows of feeds as their sources give them, as tables: keys, and the moment each was known.

What the sources' own readers type already (fails, filings, halts, FINRA's files) is not here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta

import polars as pl

from smallcaps_assets.domain.feeds.publication import filed_known_at, interest_known_at
from smallcaps_assets.domain.market.calendar import NEW_YORK, new_york_ns
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES

_FINRA_KNOWN_AT = time(18)


def polygon_short_volume(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """The vendor's short volume of a session, known when FINRA's file is."""
    known = pl.lit(new_york_ns(day, _FINRA_KNOWN_AT)).cast(INSTANT).alias("known_at")
    return TABLES["polygon_short_volume"].conform(rows.with_columns(known))


def short_interest(rows: pl.DataFrame, half: date, source: str) -> pl.DataFrame:
    """Short interest settled in a half-month, known by the rule of its publication."""
    known = by_day(rows["settlement_date"], interest_known_at)
    return TABLES["short_interest"].conform(
        rows.with_columns(
            pl.lit(half).alias("half_month"), pl.lit(source).alias("source"), known_at=known
        )
    )


def news(rows: pl.DataFrame, month: date) -> pl.DataFrame:
    """One row per article and ticker that it names, with the opinion of the article for it."""
    opinions = (
        rows.select("id", "insights")
        .explode("insights")
        .drop_nulls()
        .unnest("insights")
        .unique(["id", "ticker"], keep="first", maintain_order=True)
    )
    named = rows.drop("insights").explode("tickers").rename({"tickers": "ticker"})
    found = named.filter(pl.col("ticker").is_not_null()).unique(["id", "ticker"])
    return TABLES["news"].conform(
        found.join(opinions, on=["id", "ticker"], how="left").with_columns(
            pl.lit(month).alias("month"), pl.col("published_utc").alias("known_at")
        )
    )


def statements(rows: pl.DataFrame, table: str, year: int) -> pl.DataFrame:
    """Statements filed in a year; equal keys are numbered."""
    key = ("filing_date", "cik", "period_end", "timeframe")
    known = by_day(rows["filing_date"], filed_known_at)
    return TABLES[table].conform(
        rows.with_columns(
            pl.lit(year).alias("year"),
            pl.int_range(pl.len()).over(key).alias("sequence"),
            known_at=known,
        )
    )


def ticker_events(rows: pl.DataFrame, ticker: str) -> pl.DataFrame:
    """The changes of one listing's symbol, known as their day begins."""
    known = by_day(rows["date"], midnight)
    found = rows.rename({"ticker": "symbol"}).with_columns(
        pl.lit(ticker).alias("ticker"), known_at=known
    )
    return TABLES["ticker_events"].conform(found.unique(["date", "symbol"]))


def free_float(rows: pl.DataFrame, held: pl.DataFrame, read_on: date) -> pl.DataFrame:
    """The vendor's newest figures, and the older ones `held` before.

    A figure is known from the end of the day after its date, and not before the end of the day on
    which it was first read: the vendor may have changed it since then, and keeps no history.
    """

    def known_at(day: date) -> datetime:
        return midnight(max(day + timedelta(1), read_on) + timedelta(1))

    whole = rows.drop_nulls(["effective_date", "free_float"])
    known = by_day(whole["effective_date"], known_at)
    found = TABLES["free_float"].conform(whole.with_columns(known_at=known))
    key = ["ticker", "effective_date"]
    both = pl.concat([held, found]).unique([*key, "free_float"], keep="first", maintain_order=True)
    return both.unique(key, keep="last", maintain_order=True)


def by_day(days: pl.Series, rule: Callable[[date], datetime]) -> pl.Series:
    """A rule of publication, asked once for each day."""
    moments = {day: rule(day) for day in days.drop_nulls().unique().sort()}
    return days.replace_strict(moments, return_dtype=INSTANT, default=None)


def midnight(day: date) -> datetime:
    """When a day begins in New York."""
    return datetime.combine(day, time(0), NEW_YORK)
