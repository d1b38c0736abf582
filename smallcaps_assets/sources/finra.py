"""FINRA's daily short-sale volume files (consolidated, CNMS).

Off-exchange trades of regular hours only. The files changed over the years: LF or CRLF, whole
shares until 2026-02-02 and six decimals by 2026-03-02; the layout of columns did not. The last
line counts the records and is held against them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, time

import polars as pl

from smallcaps_assets.domain.calendar import new_york_ns
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
from smallcaps_assets.sources.symbols import from_finra
from smallcaps_assets.sources.throttle import Throttle
from smallcaps_assets.sources.transport import Answer, Request, Transport, error_of

FIRST_DAY = date(2018, 8, 1)
REQUESTS_PER_SECOND = 4.0
KNOWN_AT = time(18)
_COLUMNS = {
    "date": "day",
    "symbol": "symbol",
    "shortvolume": "short_volume",
    "shortexemptvolume": "short_exempt_volume",
    "totalvolume": "total_volume",
    "market": "venues",
}
_VOLUMES = ("short_volume", "short_exempt_volume", "total_volume")


@dataclass(frozen=True)
class ShortVolumeFile:
    """A day's file: the ShortVolume frame, and the SHA-256 of its bytes (files get corrected)."""

    frame: pl.DataFrame
    sha256: str


class FinraClient:
    """The files of one host. Safe to use from many threads."""

    def __init__(
        self,
        settings: FinraSettings | None = None,
        url: str = "",
        throttle: Throttle | None = None,
        *,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        retry_budget: float = 120,
    ) -> None:
        self._transport = Transport(
            url or (settings or FinraSettings.model_validate({})).url,
            "",
            throttle or Throttle(REQUESTS_PER_SECOND),
            workers=2,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retry_budget=retry_budget,
            classify=_finra_error,
        )

    def __enter__(self) -> FinraClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def short_volume(self, day: date) -> ShortVolumeFile:
        """The file of one session.

        Raises NotFound when there is none (a holiday, not yet 18:00 New York, or before
        2018-08-01), Blocked when the host turns the client away, WrongContent when the file is of
        another day.
        """
        request = Request(f"/equity/regsho/daily/CNMSshvol{day:%Y%m%d}.txt", accept="text/plain")

        def read(answer: Answer) -> ShortVolumeFile:
            frame = parse_short_volume(answer.body, day, answer.request.path)
            return ShortVolumeFile(frame, hashlib.sha256(answer.body).hexdigest())

        return self._transport.fetch(request, read)

    def counters(self) -> dict[str, int]:
        """Requests, 429s, retries and bytes received since construction."""
        sent = self._transport.throttle.counters()
        return {
            "requests": sent.requests,
            "rate_limited": sent.rate_limited,
            "retries": self._transport.retries,
            "bytes_received": self._transport.bytes_received,
        }


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
    return error_of(answer)


def parse_short_volume(body: bytes, day: date, path: str = "") -> pl.DataFrame:
    """The bytes of a file as ShortVolume; a file without records gives an empty frame.

    Raises TruncatedAnswer when the record count is missing or differs, BadAnswer when the layout
    is another, WrongContent when a record is of another day or a symbol comes twice.
    """
    lines = [line for line in _text(body).splitlines() if line.strip()]
    if not lines:
        raise TruncatedAnswer("an empty file; even one without records has two lines", path=path)
    columns, separator = _layout(lines[0], path)
    records = lines[1:-1]
    announced = lines[-1].strip().strip(separator)
    if not announced.isdecimal() or len(lines) < 2:
        raise TruncatedAnswer("the line that counts the records is missing", path=path)
    if int(announced) != len(records):
        raise TruncatedAnswer(f"{len(records)} records came, {announced} counted", path=path)
    raw = _records(records, columns, separator, path)
    _check(raw, day, path)
    return TABLES["short_volume"].conform(
        raw.with_columns(
            pl.lit(day).alias("date"),
            from_finra("symbol").alias("ticker"),
            pl.lit(new_york_ns(day, KNOWN_AT)).cast(pl.Datetime("ns", "UTC")).alias("known_at"),
        )
    )


def _text(body: bytes) -> str:
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1")


def _layout(header: str, path: str) -> tuple[list[str], str]:
    """Column names, ours, and the separator; names may have blanks and any case."""
    separator = max("|,\t;", key=header.count)
    names = [re.sub(r"[^a-z]", "", name.lower()) for name in header.split(separator)]
    missing = sorted(set(_COLUMNS) - set(names))
    if missing:
        raise BadAnswer(f"no column {missing[0]!r} in the header {header[:80]!r}", path=path)
    return [_COLUMNS.get(name, f"_{position}") for position, name in enumerate(names)], separator


def _records(records: list[str], columns: list[str], separator: str, path: str) -> pl.DataFrame:
    # Venues are a comma list themselves: only the last column may hold further separators.
    cells = [line.strip().split(separator, len(columns) - 1) for line in records]
    short = [number for number, row in enumerate(cells, 2) if len(row) != len(columns)]
    if short:
        raise BadAnswer(f"line {short[0]} has {len(cells[short[0] - 2])} cells", path=path)
    raw = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String), orient="row")
    typed = raw.with_columns(pl.col(_VOLUMES).str.strip_chars().cast(pl.Float64, strict=False))
    for name in _VOLUMES:
        if typed[name].null_count() or not typed[name].is_finite().all():
            raise BadAnswer(f"{name} is no number somewhere", path=path)
    return typed


def _check(raw: pl.DataFrame, day: date, path: str) -> None:
    others = raw.filter(pl.col("day") != f"{day:%Y%m%d}")["day"].unique().sort().head(3)
    if len(others):
        raise WrongContent(f"records of {others.to_list()} in the file of {day}", path=path)
    twice = raw.filter(pl.col("symbol").is_duplicated())["symbol"].unique().sort().head(3)
    if len(twice):
        raise WrongContent(f"symbols {twice.to_list()} come twice", path=path)
