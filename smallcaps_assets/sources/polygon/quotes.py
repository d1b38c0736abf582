"""Polygon's quotes over REST: the best bid and offer of all exchanges, every change of it.

Sizes are as the vendor gives them: round lots (100 shares for most stocks) in older data, shares
in newer, by the specification of 2026-07, which does not say since when. Look at the era and at
the ticker's `round_lot` before multiplying. How a day's pages follow each other is in `keyset.py`.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import polars as pl

from smallcaps_assets.sources.errors import WrongContent
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.decode import Number
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
FEED = Feed("quotes", QuoteRow, TYPES, ("sip_timestamp", "sequence_number"), KEY, lists=LISTS)

_INSTANT = pl.Datetime("ns", "UTC")
QUOTES: dict[str, Any] = (
    {"ticker": pl.String, "date": pl.Date}
    | TYPES
    | {
        "sip_timestamp": _INSTANT,
        "participant_timestamp": _INSTANT,
        "trf_timestamp": _INSTANT,
        "conditions": pl.List(pl.Int16),
        "indicators": pl.List(pl.Int16),
    }
)


class QuotePages:
    """The quotes endpoint over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._pages = KeysetPages(transport, FEED)

    def quotes(self, ticker: str, day: date) -> pl.DataFrame:
        """QUOTES of one ticker on one New York day, ascending, each once.

        A side without an offer has a null price, size 0 and exchange 0. Raises BadAnswer when the
        pages stay out of order or outside the day, WrongContent when a price or size is negative.
        """
        found = self._pages.day(ticker, day)
        amounts = ("bid_price", "bid_size", "ask_price", "ask_size")
        negative = found.filter(pl.any_horizontal(pl.col(name) < 0 for name in amounts)).height
        if negative:
            raise WrongContent(f"{negative} quotes of {day} have a negative price or size")
        for name in LISTS:
            found = with_condition_lists(found, name)
        prices = [pl.when(pl.col(name) > 0).then(name) for name in amounts[::2]]
        blank = pl.col("bid_size", "ask_size", "bid_exchange", "ask_exchange", "tape").fill_null(0)
        return found.with_columns(
            *prices,
            blank,
            pl.lit(ticker).alias("ticker"),
            pl.lit(day).alias("date"),
            decode.instant_ns("sip_timestamp"),
            instant_or_null("participant_timestamp"),
            instant_or_null("trf_timestamp"),
        ).select(pl.col(name).cast(dtype) for name, dtype in QUOTES.items())
