"""What a market has to answer, whether it is simulated or recorded.

Pure data, no HTTP. Frames are polars, unadjusted, instants in UTC nanoseconds; the columns are
those of the vendor's flat files plus what only REST carries (vwap, decimal_size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from smallcaps_assets.domain.market.calendar import NEW_YORK

Row = dict[str, Any]


@dataclass(frozen=True)
class Filing:
    """A company's figures of one quarter, with the identifiers that all its tables share.

    Figures have the names of the vendor's flat tables.
    """

    head: Row
    name: str
    start: date
    balance: Row
    income: Row
    cash_flow: Row


@dataclass(frozen=True)
class Submission:
    """One filing; `accepted` is New York wall clock."""

    cik: str
    company: str
    form: str
    items: str
    description: str
    accepted: datetime
    accession: str
    is_utc: bool

    @property
    def accepted_raw(self) -> str:
        """The time of acceptance as EDGAR writes it."""
        there = self.accepted.replace(tzinfo=NEW_YORK)
        return f"{there.astimezone(UTC) if self.is_utc else there:%Y-%m-%dT%H:%M:%S}.000Z"

    @property
    def filed(self) -> date:
        """The date that EDGAR gives it: after 17:30 the next weekday."""
        day = self.accepted.date()
        if self.accepted.time() > time(17, 30):
            day += timedelta(1)
        return day + timedelta({5: 2, 6: 1}.get(day.weekday(), 0))


@dataclass(frozen=True)
class FeedHalt:
    """One row of the feed of halts; instants in UTC nanoseconds, end 0 while it is unknown."""

    ticker: str
    name: str
    market: str
    start: int
    end: int
    reason: str = "LUDP"


BAR_SCHEMA: dict[str, Any] = {
    "ticker": pl.String,
    "volume": pl.Float64,
    "open": pl.Float64,
    "close": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "window_start": pl.Int64,
    "transactions": pl.Int64,
    "vwap": pl.Float64,
}
TRADE_SCHEMA: dict[str, Any] = {
    "ticker": pl.String,
    "conditions": pl.String,
    "correction": pl.Int64,
    "exchange": pl.Int64,
    "id": pl.String,
    "participant_timestamp": pl.Int64,
    "price": pl.Float64,
    "sequence_number": pl.Int64,
    "sip_timestamp": pl.Int64,
    "size": pl.Float64,
    "tape": pl.Int64,
    "trf_id": pl.Int64,
    "trf_timestamp": pl.Int64,
}
QUOTE_SCHEMA: dict[str, Any] = {
    "ticker": pl.String,
    "ask_exchange": pl.Int64,
    "ask_price": pl.Float64,
    "ask_size": pl.Float64,
    "bid_exchange": pl.Int64,
    "bid_price": pl.Float64,
    "bid_size": pl.Float64,
    "conditions": pl.String,
    "indicators": pl.String,
    "participant_timestamp": pl.Int64,
    "sequence_number": pl.Int64,
    "sip_timestamp": pl.Int64,
    "tape": pl.Int64,
    "trf_timestamp": pl.Int64,
}


class MarketFacts:
    """What a market knows beside bars, trades and reference data; this one knows nothing."""

    snapshot_day: date | None = None
    """The session that snapshots show, at its end; None when they are cleared."""
    news: Sequence[Row] = ()
    """Rows of /v2/reference/news, ascending by published_utc."""
    filings: Sequence[Filing] = ()
    """Figures of companies, ascending by filing date."""
    ratios: Sequence[Row] = ()
    """Rows of /stocks/financials/v1/ratios, by ticker."""
    free_float: Sequence[Row] = ()
    """Rows of /stocks/vX/float, by ticker."""
    short_interest: Sequence[Row] = ()
    """Rows of /stocks/v1/short-interest, by settlement date and ticker."""
    fails_halves: Sequence[date] = ()
    """First days of the half-months whose fails-to-deliver are published."""
    submissions: Sequence[Submission] = ()
    """Filings with the SEC, by acceptance."""

    def quotes(self, ticker: str, day: date) -> pl.DataFrame:
        """QUOTE_SCHEMA, ascending by (sip_timestamp, sequence_number)."""
        return pl.DataFrame(schema=QUOTE_SCHEMA)

    def session_quotes(self, day: date) -> pl.DataFrame:
        """QUOTE_SCHEMA, all tickers of a session: the quotes flat file."""
        return pl.DataFrame(schema=QUOTE_SCHEMA)

    def short_volume(self, day: date) -> list[Row]:
        """Rows of /stocks/v1/short-volume of a day, by ticker."""
        return []

    def fails(self, half: date) -> str:
        """The text of such a file."""
        return ""

    def submissions_of(self, cik: str) -> list[Submission]:
        """Filings of one company, by acceptance."""
        return []

    def halts(self, day: date) -> list[FeedHalt]:
        """The halts of a session, by time."""
        return []


class Market(Protocol):
    """The source of everything the server serves; a kind of market inherits from it."""

    sessions: list[date]
    """The sessions that have data, ascending."""
    facts: MarketFacts
    """Quotes, news, figures and short interest."""

    def tickers(self, day: date | None, active: bool) -> list[Row]:
        """Rows of /v3/reference/tickers as of a day (None: today), sorted by ticker."""
        ...

    def ticker_details(self, ticker: str, day: date | None) -> Row | None:
        """The `results` of ticker details, None when not listed on the day."""
        ...

    def ticker_events(self, identifier: str) -> Row | None:
        """The `results` of ticker events by ticker or composite FIGI."""
        return None

    def splits(self) -> list[Row]:
        """Rows `id, ticker, execution_date, split_from, split_to`."""
        ...

    def dividends(self) -> list[Row]:
        """Rows of /v3/reference/dividends."""
        ...

    def daily_bars(self, day: date) -> pl.DataFrame:
        """BAR_SCHEMA, all tickers of a session, sorted by ticker; empty on other days."""
        ...

    def daily_bars_of(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        """BAR_SCHEMA, one ticker string (not one company), ascending."""
        ...

    def minute_bars(self, day: date) -> pl.DataFrame:
        """BAR_SCHEMA, all tickers of a session, sorted by ticker and time."""
        ...

    def minute_bars_of(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        """BAR_SCHEMA, one ticker string, ascending."""
        ...

    def trades(self, ticker: str, day: date) -> pl.DataFrame:
        """TRADE_SCHEMA, ascending by (sip_timestamp, sequence_number)."""
        ...

    def session_trades(self, day: date) -> pl.DataFrame:
        """TRADE_SCHEMA, all tickers of a session: the trades flat file."""
        ...

    def short_volume(self, day: date) -> pl.DataFrame | None:
        """FINRA's columns `Date Symbol ShortVolume ShortExemptVolume TotalVolume Market`."""
        return None

    def has_flat_file(self, data_set: str, day: date) -> bool:
        """Whether the bucket has this file."""
        return day in self.sessions

    def flat_file(self, data_set: str, day: date) -> Path | None:
        """A flat file that is served as it is; None when it has to be made from frames."""
        return None
