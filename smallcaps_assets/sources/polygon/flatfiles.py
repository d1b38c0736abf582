"""Polygon's flat files: one gzipped CSV per dataset and day, all tickers, unadjusted.

Columns are read by name; sizes and volumes may be whole (before 2026-02) or fractional shares.
Files are read in pieces and filtered as they go, so a day of trades (1-3 GB) fits in memory. Where
files lie is in `stores.py`, when they are used is in `router.py`.
"""

from __future__ import annotations

import io
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from isal import igzip
from pydantic import SecretStr

from smallcaps_assets.domain.market import calendar
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources.errors import (
    NotEntitled,
    SourceError,
    SourceUnavailable,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.notices import waiting
from smallcaps_assets.sources.http.transport import BAD_GZIP, Patience
from smallcaps_assets.sources.polygon import quotes, trades
from smallcaps_assets.sources.polygon.bars import whole_numbers, without_gaps
from smallcaps_assets.sources.polygon.flatfile_stores import (
    HttpStore,
    LocalStore,
    S3Store,
    Store,
    StoredFile,
)
from smallcaps_assets.sources.symbols import without_test_tickers

LOG = logging.getLogger(__name__)
PIECE = 32 << 20
LONGEST_ROW = 1 << 20
SMALL, MOST_EXPANDED = 64 << 20, 100  # rows of numbers shrink to a tenth, not to a hundredth
FAILURES_IN_A_ROW, SECONDS_LEFT_ALONE = 3, 600.0
_DAY = re.compile(r"/(\d{4}-\d\d-\d\d)\.csv\.gz$")
MINUTES = "minute_aggs_v1"
_SOURCE = "flatfile "

_BAR_TYPES: dict[str, Any] = {
    "ticker": pl.String,
    "window_start": pl.Int64,
    **dict.fromkeys(("open", "high", "low", "close", "volume", "transactions"), pl.Float64),
}
# The first two are never empty.
_BAR_REQUIRED = ("ticker", "window_start", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class TickFile:
    """A dataset of ticks: its columns, those never empty, and what tells two rows apart."""

    dataset: str
    types: dict[str, Any]
    required: tuple[str, ...]
    key: tuple[str, ...]


def _tick_file(dataset: str, feed: Any) -> TickFile:
    types = {"ticker": pl.String, **feed.TYPES}
    return TickFile(dataset, types, ("ticker", *feed.REQUIRED), ("ticker", *feed.KEY))


TICKS = {
    "trades": _tick_file("trades_v1", trades),
    "quotes": _tick_file("quotes_v1", quotes),
}
"""By table."""


@dataclass(frozen=True)
class FlatFrame:
    """A frame in a raw table's columns, with the key and ETag of the file that it came from."""

    frame: pl.DataFrame
    key: str
    etag: str

    @property
    def source(self) -> str:
        """What a partition made from it names as its source."""
        return f"{_SOURCE}{self.key} {self.etag}"


def file_of(source: str) -> tuple[str, str] | None:
    """Dataset and ETag of the file that a source names; None when it names none."""
    if not source.startswith(_SOURCE):
        return None
    key, _, etag = source.removeprefix(_SOURCE).partition(" ")
    return key.split("/")[1], etag


def key_of(dataset: str, day: date) -> str:
    """The bucket's key of a dataset's file of one day."""
    return f"us_stocks_sip/{dataset}/{day:%Y/%m}/{day}.csv.gz"


class FlatFiles:
    """Flat files of one store. Safe to use from many threads."""

    def __init__(
        self,
        store: Store,
        retry_budget: float = 120,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        rng: random.Random | None = None,
        shares_since: date | None = None,
    ) -> None:
        self._shares_since = shares_since or PolygonSettings().quote_shares_since
        self._store, self._clock, self._sleep = store, clock, sleep
        self._budget = 0.0 if store.is_local else retry_budget
        self._rng = rng or random.Random()
        self._refused: dict[str, SourceError] = {}
        self._failures, self._down = 0, (float("-inf"), "")
        self._lock = threading.Lock()

    @property
    def is_local(self) -> bool:
        """Whether reading costs no download."""
        return self._store.is_local

    def why_down(self) -> str:
        """Why the host is not asked now; empty when it is."""
        until, reason = self._down
        return reason if self._clock() < until else ""

    def days(self, dataset: str, month: date) -> dict[date, StoredFile]:
        """The listed files of a month, by day."""
        prefix = f"us_stocks_sip/{dataset}/{month:%Y/%m}/"
        self._raise_if_down(prefix)
        try:
            found = self._store.list(prefix)
        except SourceError as failure:
            self._count(failure)
            raise
        self._count(None)
        dated = ((_DAY.search(file.key), file) for file in found)
        return {date.fromisoformat(day[1]): file for day, file in dated if day}

    def is_changed(self, listed: StoredFile, etag: str, since: float) -> bool:
        """Whether a listed file is another than the one with `etag`, read at `since`.

        A local file is hashed only when it was written after `since` (seconds since the epoch).
        """
        if not self.is_local:
            return listed.etag != etag
        if listed.modified < since:
            return False
        with self._store.opened(listed.key) as (_, now):
            return now != etag

    def minute_bars(
        self, day: date, tickers: Collection[str] | None = None, is_patient: bool = True
    ) -> FlatFrame:
        """MinuteBars of a session; `vwap` is null, the files have none.

        A reader with another source at hand is not patient: a host that fails is left to it soon.
        """
        return self._bars(MINUTES, "minute_bars", day, tickers, is_patient)

    def daily_bars(self, day: date, tickers: Collection[str] | None = None) -> FlatFrame:
        """DailyBars of a session; `vwap` is null, the files have none."""
        return self._bars("day_aggs_v1", "daily_bars", day, tickers)

    def ticks(
        self, table: str, day: date, tickers: Collection[str], is_patient: bool = True
    ) -> FlatFrame:
        """Trades or quotes of some tickers of a session."""
        file = TICKS[table]
        key = key_of(file.dataset, day)
        raw, etag = self._read(key, file.types, file.required, tickers, is_patient)
        _check_day(raw, "sip_timestamp", day, key)
        unique = raw.filter(pl.struct(file.key).is_first_distinct())
        if table == "trades":
            return FlatFrame(trades.conform(unique, day), key, etag)
        is_in_shares = day >= self._shares_since
        parts = [quotes.conform(part, day, is_in_shares) for part in unique.partition_by("ticker")]
        return FlatFrame(pl.concat([TABLES["quotes"].empty(), *parts]), key, etag)

    def _bars(
        self,
        dataset: str,
        table: str,
        day: date,
        tickers: Collection[str] | None,
        is_patient: bool = True,
    ) -> FlatFrame:
        key = key_of(dataset, day)
        raw, etag = self._read(key, _BAR_TYPES, _BAR_REQUIRED, tickers, is_patient)
        _check_day(raw, "window_start", day, key)
        real = without_test_tickers(raw)
        bars = real.with_columns(
            pl.lit(day).alias("date"),
            pl.lit(None, pl.Float64).alias("vwap"),
            decode.instant_ns("window_start"),
            whole_numbers(real["transactions"]),
        )
        once = without_gaps(bars, key).unique(
            ["ticker", "window_start"], keep="first", maintain_order=True
        )
        return FlatFrame(TABLES[table].conform(once), key, etag)

    def _read(
        self,
        key: str,
        types: dict[str, Any],
        required: tuple[str, ...],
        tickers: Collection[str] | None,
        is_patient: bool,
    ) -> tuple[pl.DataFrame, str]:
        """The rows of some tickers and the ETag; transient failures are repeated."""
        if key in self._refused:
            raise self._refused[key]
        self._raise_if_down(key)
        patience = Patience(self._budget, self._clock, self._rng)
        with waiting(self._store.host) as tell:
            while True:
                try:
                    with self._store.opened(key) as (file, etag):
                        found = _rows(file, key, types, required, tickers), etag
                    self._count(None)
                    return found
                except SourceError as failure:
                    error = failure
                if isinstance(error, NotEntitled):
                    with self._lock:
                        self._refused[key] = error
                delay = patience.delay(error)
                is_down = self._count(error, is_final=delay is None) and not is_patient
                if delay is None or is_down:
                    raise error
                tell(error.found)
                self._sleep(delay)

    def _raise_if_down(self, key: str) -> None:
        if reason := self.why_down():
            raise SourceUnavailable(f"not asked again yet: {reason}", path=key)

    def _count(self, error: SourceError | None, is_final: bool = False) -> bool:
        """Count a failure of the host, or a success; whether it has failed too often.

        It is left alone for a while after a few failures in a row, or one lasting failure.
        """
        is_of_host = isinstance(error, SourceUnavailable) and not self.is_local
        with self._lock:
            self._failures = self._failures + 1 if is_of_host else 0
            is_down = is_of_host and (is_final or self._failures >= FAILURES_IN_A_ROW)
            if is_down and error is not None:
                self._down = (self._clock() + SECONDS_LEFT_ALONE, error.found)
        return is_down


def _rows(
    file: BinaryIO,
    key: str,
    types: dict[str, Any],
    required: tuple[str, ...],
    tickers: Collection[str] | None,
) -> pl.DataFrame:
    def problem(kind: type[SourceError], found: str) -> SourceError:
        return kind(found, path=key)

    frames = [pl.DataFrame(schema=types)]
    for piece in _pieces(file, problem):
        frame = decode.csv_frame(piece, types, required, problem, required[:2])
        wanted = frame if tickers is None else frame.filter(pl.col("ticker").is_in(list(tickers)))
        frames.append(wanted)
    return pl.concat(frames)


def _pieces(file: BinaryIO, problem: decode.Problem) -> Iterator[bytes]:
    """The decompressed file in pieces of whole rows, the header before each."""
    header, rest = b"", b""
    for chunk in _chunks(file, problem):
        head, newline, tail = (rest + chunk).rpartition(b"\n")
        rest = tail
        if len(rest) > LONGEST_ROW or len(header) > LONGEST_ROW:
            raise problem(WrongContent, f"a row has more than {LONGEST_ROW} bytes")
        if not newline:
            continue
        whole = head + newline
        if not header:
            header, _, _ = whole.partition(b"\n")
            yield whole
        else:
            yield header + b"\n" + whole
    if rest or not header:
        raise problem(TruncatedAnswer, "the file does not end with a newline")


def _chunks(file: BinaryIO, problem: decode.Problem) -> Iterator[bytes]:
    failure, size = "", 0
    most = SMALL + MOST_EXPANDED * file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        with igzip.IGzipFile(fileobj=file, mode="rb") as plain:
            while chunk := plain.read(PIECE):
                size += len(chunk)
                if size > most:
                    raise problem(WrongContent, "the file expands beyond all reason")
                yield chunk
    except BAD_GZIP as reason:
        failure = str(reason)
    if failure:
        raise problem(TruncatedAnswer, f"the gzip stream is cut or damaged: {failure}")


def _check_day(raw: pl.DataFrame, column: str, day: date, key: str) -> None:
    start = calendar.new_york_ns(day, clock_time(0))
    end = calendar.new_york_ns(day + timedelta(days=1), clock_time(0))
    strange = raw.filter(~pl.col(column).is_between(start, end, closed="left")).height
    if strange:
        raise WrongContent(f"{strange} of {raw.height} rows are of another day", path=key)


def make_flat_files(
    settings: PolygonSettings,
    access_key: SecretStr | None = None,
    secret_key: SecretStr | None = None,
) -> FlatFiles:
    """The flat files that the settings and keys point to: a folder, S3 with keys, or plain HTTP.

    Raises MissingExtra when keys are given and boto3 is not installed.
    """
    timeouts = (settings.connect_timeout, settings.read_timeout)
    since = settings.quote_shares_since
    if settings.flatfiles_dir:
        return FlatFiles(LocalStore(Path(settings.flatfiles_dir)), shares_since=since)
    bucket = settings.flatfiles_bucket
    store: Store = HttpStore(settings.flatfiles_url, *timeouts, bucket)
    if access_key is not None and secret_key is not None:
        keys = (access_key.get_secret_value(), secret_key.get_secret_value())
        store = S3Store(settings.flatfiles_url, *keys, *timeouts, bucket)
    return FlatFiles(store, settings.retry_budget, shares_since=since)
