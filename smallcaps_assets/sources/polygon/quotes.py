"""Polygon's quotes over REST: the best bid and offer of all exchanges, every change of it.

Sizes become shares: the vendor gives round lots of 100 in older data and shares in newer; which of
them a day's are is decided in `domain/ticks/quotes.py`. How a day's pages follow each other is in
`keyset.py`, quotes from flat files in `flatfiles.py`.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import polars as pl

from smallcaps_assets.domain.ticks.quotes import size_unit
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import WrongContent
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.decode import Number
from smallcaps_assets.sources.http.page_cache import Pages
from smallcaps_assets.sources.http.transport import Transport
from smallcaps_assets.sources.polygon.keyset import Feed, KeysetPages
from smallcaps_assets.sources.polygon.trades import instant_or_null, with_condition_lists


class QuoteRow(msgspec.Struct, gc=False):
    """A quote; instants in nanoseconds. A side without an offer is missing or zero."""

    sip_timestamp: int
    sequence_number: int
    bid_price: Number | None = None
    bid_size: Number | None = None
    bid_exchange: int | None = None
    ask_price: Number | None = None
    ask_size: Number | None = None
    ask_exchange: int | None = None
    participant_timestamp: int | None = None
    conditions: list[int] | str | None = None
    indicators: list[int] | str | None = None
    tape: int | None = None
    trf_timestamp: int | None = None


TYPES: dict[str, Any] = {
    "sip_timestamp": pl.Int64,
    "sequence_number": pl.Int64,
    "bid_price": pl.Float64,
    "bid_size": pl.Float64,
    "bid_exchange": pl.Int16,
    "ask_price": pl.Float64,
    "ask_size": pl.Float64,
    "ask_exchange": pl.Int16,
    "participant_timestamp": pl.Int64,
    "conditions": pl.String,
    "indicators": pl.String,
    "tape": pl.Int8,
    "trf_timestamp": pl.Int64,
}
KEY = ("sip_timestamp", "sequence_number", "bid_exchange", "ask_exchange")
LISTS = ("conditions", "indicators")
REQUIRED = ("sip_timestamp", "sequence_number")
FEED = Feed("quotes", QuoteRow, TYPES, REQUIRED, KEY, lists=LISTS)
SIZES = ("bid_size", "ask_size")
PRICES = ("bid_price", "ask_price")


class QuotePages:
    """The quotes endpoint over one transport; sizes are shares from the day `shares_since` on."""

    def __init__(self, transport: Transport, shares_since: date) -> None:
        self._pages, self._shares_since = KeysetPages(transport, FEED), shares_since

    def quotes(
        self, ticker: str, day: date, kept: Pages | None = None, is_traded: bool = False
    ) -> pl.DataFrame:
        """Quotes of one ticker on one New York day, going on from the pages that are `kept`.

        `is_traded` says that there should be some. Raises BadAnswer when the pages stay out of
        order or outside the day, WrongContent when a price or size is negative.
        """
        found = self._pages.day(ticker, day, kept, is_traded)
        named = found.with_columns(pl.lit(ticker).alias("ticker"))
        return conform(named, day, day >= self._shares_since)

    def between(self, ticker: str, start: int, end: int) -> pl.DataFrame:
        """Quotes from `start` to before `end`, UTC ns, in the columns of TYPES as they come."""
        return self._pages.between(ticker, start, end, f"quotes since {start}")


def conform(found: pl.DataFrame, day: date, is_in_shares: bool) -> pl.DataFrame:
    """Rows in the columns of `TYPES`, and `ticker`, as Quotes of a day.

    A side without an offer has a null price, size 0 and exchange 0. `is_in_shares` is what the day
    says of the sizes. Raises WrongContent when a price or size is negative.
    """
    negative = found.filter(pl.any_horizontal(pl.col(*PRICES, *SIZES) < 0)).height
    if negative:
        raise WrongContent(f"{negative} quotes of {day} have a negative price or size")
    for name in LISTS:
        found = with_condition_lists(found, name)
    unit = size_unit(pl.concat([found[name] for name in SIZES]), is_in_shares)
    return TABLES["quotes"].conform(
        found.with_columns(
            *(pl.when(pl.col(name) > 0).then(name).alias(name) for name in PRICES),
            *(pl.col(name).fill_null(0) * unit for name in SIZES),
            pl.col("bid_exchange", "ask_exchange", "tape").fill_null(0),
            pl.lit(unit).alias("size_unit"),
            pl.lit(day).alias("date"),
            decode.instant_ns("sip_timestamp"),
            instant_or_null("participant_timestamp"),
            instant_or_null("trf_timestamp"),
        )
    )
