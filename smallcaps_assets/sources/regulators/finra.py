"""FINRA: the daily short-volume files of off-exchange trades, and the Query API's short interest.

The consolidated file (CNMS) counts every facility; the files of single facilities are there too.
How a file is read is in `short_files.py`. Short interest is settled twice a month, published seven
business days later, and spelled without separators (`BRKB`, `ABRPRD`).
"""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import polars as pl

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import FinraSettings
from smallcaps_assets.sources.errors import (
    BadAnswer,
    Blocked,
    NotFound,
    SourceError,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.http.transport import Answer, Request, Transport, error_of
from smallcaps_assets.sources.regulators import text_tables
from smallcaps_assets.sources.regulators.short_files import (
    FINRA_KNOWN_AT,
    ShortVolumeFile,
    parse_short_volume,
    read_short_file,
    sha256,
    short_volume_file,
    with_known_at,
)

__all__ = ["FACILITIES", "FIRST_DAY", "FinraClient", "parse_short_volume"]

FIRST_DAY = date(2018, 8, 1)
FACILITIES = {
    "FNSQ": "FINRA/Nasdaq TRF Carteret",
    "FNQC": "FINRA/Nasdaq TRF Chicago",
    "FNYX": "FINRA/NYSE TRF",
    "FNRA": "FINRA ADF",
    "FORF": "FINRA ORF (OTC)",
}
QUERY_LIMIT = 5_000
_INTEREST_PATH = "/data/group/otcMarket/name/consolidatedShortInterest"
_INTEREST_FIELDS = (
    "settlementDate",
    "symbolCode",
    "currentShortPositionQuantity",
    "averageDailyVolumeQuantity",
    "daysToCoverQuantity",
)


class InterestRow(msgspec.Struct, gc=False):
    """A row of consolidatedShortInterest, of the fields asked for."""

    settlementDate: date  # noqa: N815 - FINRA's names
    symbolCode: str  # noqa: N815
    currentShortPositionQuantity: int | float  # noqa: N815
    averageDailyVolumeQuantity: int | float | None = None  # noqa: N815
    daysToCoverQuantity: int | float | None = None  # noqa: N815


class FinraClient:
    """The daily files and the Query API. Safe to use from many threads.

    `url` serves the files, `api_url` the Query API; both default to those of the settings.
    """

    def __init__(
        self,
        settings: FinraSettings | None = None,
        url: str = "",
        throttle: Throttle | None = None,
        *,
        api_url: str = "",
        connect_timeout: float = 10,
        read_timeout: float = 30,
        retry_budget: float = 120,
    ) -> None:
        settings = settings or FinraSettings.model_validate({})
        options: dict[str, Any] = {
            "workers": settings.workers,
            "connect_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "retry_budget": retry_budget,
            "classify": _finra_error,
        }
        pace = throttle or Throttle(settings.requests_per_second)
        self._files = Transport(url or settings.url, "", pace, **options)
        self._api = Transport(api_url or url or settings.api_url, "", pace, **options)

    def __enter__(self) -> FinraClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._files.close()
        self._api.close()

    def short_volume(self, day: date) -> ShortVolumeFile:
        """The consolidated file of one session.

        Raises NotFound when there is none (a holiday, not yet 18:00 New York, or before
        2018-08-01), Blocked when the host turns the client away, WrongContent when the file is of
        another day.
        """

        def read(answer: Answer) -> ShortVolumeFile:
            return short_volume_file(answer.body, day, answer.request.path)

        return self._files.fetch(_file_request("CNMS", day), read)

    def facility_short_volume(self, facility: str, day: date) -> ShortVolumeFile:
        """The file of one facility of FACILITIES, in the columns of facility_short_volume.

        Raises as `short_volume`; a facility without a file had no trades, or did not exist yet.
        """

        def read(answer: Answer) -> ShortVolumeFile:
            raw = read_short_file(answer.body, day, answer.request.path, has_trailer=True)
            found = with_known_at(raw, day, FINRA_KNOWN_AT)
            frame = found.with_columns(pl.lit(facility).alias("file"))
            table = TABLES["facility_short_volume"]
            return ShortVolumeFile(table.conform(frame), sha256(answer.body))

        return self._files.fetch(_file_request(facility, day), read)

    def short_interest(self, first: date, last: date) -> pl.DataFrame:
        """Short interest settled from `first` to `last`: settlement_date, symbol, short_interest,
        avg_daily_volume, days_to_cover; by settlement date and symbol.

        Raises BadAnswer when rows stay of other dates, WrongContent when a symbol comes twice on
        one, TruncatedAnswer when fewer rows came than FINRA counts.
        """
        rows: list[InterestRow] = []
        while True:
            page, total = self._api.fetch(_interest_request(first, last, len(rows)), _interest_page)
            rows.extend(page)
            if len(rows) >= total or not page:
                break
        if len(rows) != total:
            raise TruncatedAnswer(f"{len(rows)} rows came, {total} counted", path=_INTEREST_PATH)
        return _interest_frame(rows, first, last)

    def counters(self) -> dict[str, int]:
        """Requests, 429s, retries and bytes received since construction."""
        sent = self._files.throttle.counters()
        return {
            "requests": sent.requests,
            "rate_limited": sent.rate_limited,
            "retries": self._files.retries + self._api.retries,
            "bytes_received": self._files.bytes_received + self._api.bytes_received,
        }


def _file_request(name: str, day: date) -> Request:
    return Request(f"/equity/regsho/daily/{name}shvol{day:%Y%m%d}.txt", accept="text/plain")


def _finra_error(answer: Answer) -> SourceError | None:
    """A missing day is a 403 with the AccessDenied of S3; any other 403 is a block (2026-11)."""
    if answer.status == 403:
        if b"<Code>AccessDenied</Code>" in answer.body:
            return answer.problem(
                NotFound,
                "FINRA has no file of this day",
                "choose a session from 2018-08-01 on; files appear by 18:00 New York",
            )
        return answer.problem(Blocked, "FINRA turned the request away")
    return None if answer.status == 204 else error_of(answer)


def _interest_request(first: date, last: date, offset: int) -> Request:
    span = {"fieldName": "settlementDate", "startDate": str(first), "endDate": str(last)}
    body = {
        "fields": list(_INTEREST_FIELDS),
        "dateRangeFilters": [span],
        "sortFields": ["settlementDate", "symbolCode"],
        "limit": QUERY_LIMIT,
        "offset": offset,
    }
    return Request(_INTEREST_PATH, body=msgspec.json.encode(body))


def _interest_page(answer: Answer) -> tuple[list[InterestRow], int]:
    """The rows of a page, and the number that FINRA counts in all; 204 means none."""
    if answer.status == 204:
        return [], 0
    rows = decode.parsed(answer, list[InterestRow])
    total = text_tables.count_in(answer.headers.get("record-total", ""))
    if total is None:
        raise answer.problem(BadAnswer, "the answer does not count its rows (record-total)")
    return rows, total


def _interest_frame(rows: list[InterestRow], first: date, last: date) -> pl.DataFrame:
    found = pl.DataFrame(
        [[getattr(row, name) for name in _INTEREST_FIELDS] for row in rows],
        schema={
            "settlement_date": pl.Date,
            "symbol": pl.String,
            "short_interest": pl.Float64,
            "avg_daily_volume": pl.Float64,
            "days_to_cover": pl.Float64,
        },
        orient="row",
        strict=False,
    )
    outside = found.filter(~pl.col("settlement_date").is_between(first, last))
    if outside.height:
        day = outside["settlement_date"][0]
        raise BadAnswer(f"{day} came, {first} to {last} was asked for", path=_INTEREST_PATH)
    if found.select("settlement_date", "symbol").is_duplicated().any():
        raise WrongContent("a symbol comes twice on a settlement date", path=_INTEREST_PATH)
    return found.sort("settlement_date", "symbol")
