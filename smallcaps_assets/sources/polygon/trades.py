"""Polygon's trades over REST: what a row is, and the frame it becomes.

How a day's pages follow each other is in `keyset.py`, trades from flat files in `flatfiles.py`;
which trades count for what is decided in the domain.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import WrongContent
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.decode import TradeRow
from smallcaps_assets.sources.http.page_cache import Pages
from smallcaps_assets.sources.http.transport import Transport
from smallcaps_assets.sources.polygon.keyset import Feed, KeysetPages

# A cancelled trade and the record of its cancel differ in nothing but `correction`.
KEY = ("sip_timestamp", "sequence_number", "exchange", "trf_id", "id", "correction")
REQUIRED = ("sip_timestamp", "sequence_number", "exchange", "price")
TYPES: dict[str, Any] = {
    "sip_timestamp": pl.Int64,
    "sequence_number": pl.Int64,
    "exchange": pl.Int16,
    "trf_id": pl.Int16,
    "id": pl.String,
    "participant_timestamp": pl.Int64,
    "price": pl.Float64,
    "size": pl.Float64,
    "decimal_size": pl.Float64,
    "conditions": pl.String,
    "correction": pl.Int16,
    "tape": pl.Int8,
    "trf_timestamp": pl.Int64,
}
FEED = Feed(
    "trades", TradeRow, TYPES, REQUIRED, KEY, lists=("conditions",), texts=("decimal_size",)
)


class TradePages:
    """The trades endpoint over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._pages = KeysetPages(transport, FEED)

    def trades(
        self, ticker: str, day: date, kept: Pages | None = None, is_traded: bool = False
    ) -> pl.DataFrame:
        """Trades of one ticker on one New York day, going on from the pages that are `kept`.

        Memory is bounded by the trades themselves, about 100 bytes each. `is_traded` says that
        there should be some. Raises BadAnswer when the pages stay out of order or outside the day.
        """
        found = self._pages.day(ticker, day, kept, is_traded)
        return conform(found.with_columns(pl.lit(ticker).alias("ticker")), day)

    def between(self, ticker: str, start: int, end: int) -> pl.DataFrame:
        """Trades from `start` to before `end`, UTC ns, in the columns of TYPES as they come."""
        return self._pages.between(ticker, start, end, f"trades since {start}")


def conform(found: pl.DataFrame, day: date) -> pl.DataFrame:
    """Rows in the columns of `TYPES`, and `ticker`, as Trades.

    `decimal_size` is the exact size since 2026-02 and wins over `size`. Flat files write zeros
    for missing instants. Raises WrongContent when a price or size is negative.
    """
    negative = found.filter((pl.col("price") < 0) | (pl.col("size") < 0)).height
    if negative:
        raise WrongContent(f"{negative} trades of {day} have a negative price or size")
    return TABLES["trades"].conform(
        with_condition_lists(found).with_columns(
            pl.lit(day).alias("date"),
            decode.instant_ns("sip_timestamp"),
            instant_or_null("participant_timestamp"),
            instant_or_null("trf_timestamp"),
            pl.coalesce("decimal_size", "size").alias("size"),
            pl.col("correction", "trf_id", "tape").fill_null(0),
            pl.col("id").fill_null(""),
        )
    )


def with_condition_lists(found: pl.DataFrame, name: str = "conditions") -> pl.DataFrame:
    """`conditions`, `12,37` or `[12,37]`, as lists of ids; empty when there are none.

    A day has some dozens of different texts: each is parsed once, six times faster than row by row.
    Raises WrongContent when one holds something else.
    """
    column = found[name].fill_null("")
    texts = column.unique()
    codes = column.cast(pl.Enum(texts)).to_physical()
    ids = texts.str.strip_chars("[] ").str.split(",")
    numbers = pl.element().str.strip_chars().replace("", None)
    try:
        ids = ids.list.eval(numbers.cast(pl.Int16).drop_nulls())
    except pl.exceptions.PolarsError:
        raise WrongContent(f"{name} are no lists of ids, such as {texts[-1]!r}") from None
    return found.with_columns(ids.gather(codes).alias(name))


def instant_or_null(column: str) -> pl.Expr:
    """An int64 column of UTC nanoseconds as instants; zero stands for a missing one."""
    return pl.when(pl.col(column) > 0).then(decode.instant_ns(column)).alias(column)
