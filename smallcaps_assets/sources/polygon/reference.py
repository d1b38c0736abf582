"""Polygon's reference data: ticker lists, company details, splits and dividends.

Frames come in the columns of the raw tables. What a company is, and which tickers are small caps,
is decided in the domain.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import msgspec
import polars as pl

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer, NotEntitled, NotFound, SourceError
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.decode import (
    DetailsRow,
    DividendRow,
    SplitRow,
    TickerRow,
    decoder,
)
from smallcaps_assets.sources.http.page_cache import Pages
from smallcaps_assets.sources.http.transport import Answer, Request, Transport
from smallcaps_assets.sources.http.workers import gather
from smallcaps_assets.sources.polygon import pages
from smallcaps_assets.sources.symbols import without_test_tickers

LOG = logging.getLogger(__name__)
DETAILS_LAG_DAYS = 90
DETAILS = "details"
TICKERS_PATH = "/v3/reference/tickers"

_TICKER_TYPES: dict[str, Any] = {
    "ticker": pl.String,
    "name": pl.String,
    "type": pl.String,
    "primary_exchange": pl.String,
    "active": pl.Boolean,
    "cik": pl.String,
    "composite_figi": pl.String,
    "share_class_figi": pl.String,
    "delisted_utc": pl.String,
    "last_updated_utc": pl.String,
}
_SPLIT_TYPES: dict[str, Any] = {
    "ticker": pl.String,
    "execution_date": pl.String,
    "split_from": pl.Float64,
    "split_to": pl.Float64,
}
_DIVIDEND_TYPES: dict[str, Any] = {
    "id": pl.String,
    "ticker": pl.String,
    "ex_dividend_date": pl.String,
    "cash_amount": pl.Float64,
    "currency": pl.String,
    "declaration_date": pl.String,
    "record_date": pl.String,
    "pay_date": pl.String,
    "frequency": pl.Int64,
    "distribution_type": pl.String,
    "dividend_type": pl.String,
}


class Reference:
    """The reference endpoints over one transport."""

    def __init__(self, transport: Transport, workers: int) -> None:
        self._transport, self._workers = transport, workers

    def tickers(self, day: date) -> pl.DataFrame:
        """Everything listed on `day`, later-delisted companies among it, test tickers not.

        The vendor lists some tickers twice (seen: PG, CASY, THC, under two CIKs); the row with
        identifiers, then the one updated last, is kept. Blank texts become null.
        """
        found = self._list({"date": day.isoformat(), "active": "true"}, expects_rows=True)
        return TABLES["tickers"].conform(
            without_test_tickers(_one_per_ticker(found)).with_columns(
                pl.lit(day).alias("date"),
                pl.coalesce("composite_figi", "cik", "ticker").alias("identity"),
            )
        )

    def find_ticker(self, ticker: str) -> pl.DataFrame:
        """The vendor's rows for one exact ticker, now listed ones first; empty if unknown."""
        flags = ("true", "false")
        found = [self._list({"ticker": ticker, "active": f}, expects_rows=False) for f in flags]
        return pl.concat(found).filter(pl.col("ticker") == ticker)

    def delisted_dates(self) -> pl.DataFrame:
        """Ticker, composite_figi, cik and delisted_date of all that are no longer listed."""
        found = without_test_tickers(self._list({"active": "false"}, expects_rows=True))
        dated = found.with_columns(decode.parse_day("delisted_utc").alias("delisted_date"))
        columns = ["ticker", "composite_figi", "cik", "delisted_date"]
        return dated.select(columns).unique().sort(columns)

    def _list(self, query: dict[str, str], expects_rows: bool) -> pl.DataFrame:
        fixed = {"market": "stocks", "sort": "ticker", "order": "asc", "limit": "1000"}
        request = Request(TICKERS_PATH, query | fixed, expects_rows=expects_rows)
        found = decode.frame(pages.collect(self._transport, request, TickerRow), _TICKER_TYPES)
        return _blank_to_null(found)

    def details(self, ticker: str, as_of: date) -> pl.DataFrame | None:
        """One row of TickerDetails as the vendor tells it for `as_of`; None if not listed then.

        Share counts compare `as_of` with a filing's period, not with the day it was filed: ask
        for a day well before the day you judge (API notes, 2026-11).
        """
        row = self._details(ticker, as_of)
        if row is None:
            return None
        return _details_frame([(row, as_of, False)], as_of.replace(day=1))

    def details_of_month(
        self, month: date, tickers: Sequence[str], kept: Pages | None = None
    ) -> tuple[pl.DataFrame, dict[str, SourceError]]:
        """TickerDetails that serve a month, as of 90 days before its first day; and who failed.

        A company not listed then is asked for at the first day of the month; its share count was
        not knowable and is left null, `is_lagged` is false. A company unknown at both is left out.
        Answers are put into `kept` as they come, and what is there already is not asked for again.
        """
        held = kept or Pages()
        start = month.replace(day=1)
        lagged = start - timedelta(days=DETAILS_LAG_DAYS)

        def ask(ticker: str) -> None:
            row, as_of = self._details(ticker, lagged), lagged
            if row is None:
                row, as_of = self._details(ticker, start), start
                if row is not None:
                    row.share_class_shares_outstanding = None
            found = [] if row is None else [msgspec.json.encode(row).decode()]
            held.add(ticker, {DETAILS: pl.DataFrame({"row": found, "as_of": [as_of] * len(found)})})

        there = {part for part, _ in held.names()}
        _, failed = gather(ask, sorted(set(tickers) - there), self._workers)
        answers = held.frames(DETAILS)
        asked = (answers[ticker] for ticker in sorted(set(tickers)) if ticker in answers)
        rows = [answer.row(0) for answer in asked if answer.height]
        decoded = [
            (decoder(DetailsRow).decode(text), as_of, as_of == lagged) for text, as_of in rows
        ]
        return _details_frame(decoded, start), failed

    def _details(self, ticker: str, as_of: date) -> DetailsRow | None:
        def read(answer: Answer) -> DetailsRow:
            row = decode.single(answer, DetailsRow)
            if row.ticker != ticker:
                raise answer.problem(BadAnswer, f"details of {row.ticker!r} came for {ticker!r}")
            return row

        request = Request(f"{TICKERS_PATH}/{ticker}", {"date": as_of.isoformat()})
        try:
            return self._transport.fetch(request, read)
        except NotFound:
            return None

    def splits(self, year: int) -> pl.DataFrame:
        """Splits executed in a year. Zero, missing or endless ratios are dropped and logged."""
        rows = self._events("splits", "execution_date", year, SplitRow)
        found = decode.frame(rows, _SPLIT_TYPES).with_columns(decode.parse_day("execution_date"))
        sound = _drop(
            found, _is_positive("split_from") & _is_positive("split_to"), "splits: no valid ratio"
        )
        dated = _of_year(sound, "execution_date", year)
        return TABLES["splits"].conform(dated.unique(maintain_order=True))

    def dividends(self, year: int) -> pl.DataFrame:
        """Cash dividends going ex in a year. Rows without a valid amount are dropped and logged."""
        rows = self._events("dividends", "ex_dividend_date", year, DividendRow)
        days = ("ex_dividend_date", "declaration_date", "record_date", "pay_date")
        found = decode.frame(rows, _DIVIDEND_TYPES).with_columns(map(decode.parse_day, days))
        amount = pl.col("cash_amount")
        sound = _drop(found, amount.is_finite() & (amount >= 0), "dividends: no valid amount")
        dated = _of_year(sound, "ex_dividend_date", year).with_columns(
            pl.coalesce("distribution_type", "dividend_type").alias("distribution_type")
        )
        return TABLES["dividends"].conform(_numbered(_distinct_events(dated)))

    def _events(self, kind: str, column: str, year: int, row_type: type[Any]) -> list[Any]:
        """All events of a year from the endpoint of 2026-02, else from its predecessor."""
        span = {f"{column}.gte": f"{year}-01-01", f"{column}.lte": f"{year}-12-31"}
        new = Request(
            f"/stocks/v1/{kind}",
            span | {"sort": f"{column}.asc", "limit": "5000"},
            scope=f"/stocks/v1/{kind}",
            expects_rows=True,
        )
        old = Request(
            f"/v3/reference/{kind}",
            span | {"sort": column, "order": "asc", "limit": "1000"},
            expects_rows=True,
        )
        try:
            return pages.collect(self._transport, new, row_type)
        except (NotFound, NotEntitled):
            return pages.collect(self._transport, old, row_type)


def _blank_to_null(found: pl.DataFrame) -> pl.DataFrame:
    text = pl.col(pl.String).str.strip_chars()
    return found.with_columns(pl.when(text != "").then(text))


def _one_per_ticker(found: pl.DataFrame) -> pl.DataFrame:
    known = [pl.col("composite_figi").is_null(), pl.col("cik").is_null()]
    latest = pl.col("last_updated_utc").fill_null("")
    descending = [False, False, True, False]
    ordered = found.with_row_index("_row").sort(*known, latest, "_row", descending=descending)
    return ordered.unique("ticker", keep="first", maintain_order=True).drop("_row")


def _details_frame(found: Sequence[tuple[DetailsRow, date, bool]], month: date) -> pl.DataFrame:
    columns = (
        "ticker",
        "name",
        "description",
        "cik",
        "composite_figi",
        "sic_code",
        "sic_description",
        "list_date",
        "delisted_utc",
    )
    types: dict[str, Any] = dict.fromkeys(columns, pl.String)
    numbers = {"total_employees": pl.Float64, "share_class_shares_outstanding": pl.Float64}
    raw = _blank_to_null(decode.frame([row for row, _, _ in found], types | numbers))
    return TABLES["ticker_details"].conform(
        raw.with_columns(
            pl.lit(month).alias("month"),
            pl.Series("as_of", [as_of for _, as_of, _ in found], pl.Date),
            pl.Series("is_lagged", [lagged for _, _, lagged in found], pl.Boolean),
            decode.parse_day("list_date"),
            decode.parse_day("delisted_utc").alias("delisted_date"),
            pl.col("share_class_shares_outstanding").alias("shares_outstanding"),
        )
    )


def _is_positive(column: str) -> pl.Expr:
    return pl.col(column).is_finite() & (pl.col(column) > 0)


def _drop(found: pl.DataFrame, keep: pl.Expr, reason: str) -> pl.DataFrame:
    kept = found.filter(keep.fill_null(False))
    if kept.height < found.height:
        names = found.filter(~keep.fill_null(False))["ticker"].unique().sort().head(5).to_list()
        LOG.warning("%s: %d rows dropped, among %s", reason, found.height - kept.height, names)
    return kept


def _of_year(found: pl.DataFrame, column: str, year: int) -> pl.DataFrame:
    strange = found.filter((pl.col(column).dt.year() != year).fill_null(True))
    if not strange.is_empty():
        raise BadAnswer(f"{strange.height} rows with a {column} outside {year} were sent")
    return found.with_columns(pl.lit(year).alias("year"))


def _distinct_events(found: pl.DataFrame) -> pl.DataFrame:
    """Each event once: by id, and by content where two ids tell the same."""
    by_id = found.filter(pl.col("id").is_null() | pl.col("id").is_first_distinct())
    return by_id.drop("id").unique(maintain_order=True)


def _numbered(found: pl.DataFrame) -> pl.DataFrame:
    key = ["ticker", "ex_dividend_date", "cash_amount"]
    ordered = found.sort(key + [name for name in found.columns if name not in key])
    return ordered.with_columns(pl.int_range(pl.len()).over(key).alias("sequence"))
