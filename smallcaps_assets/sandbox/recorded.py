"""The recorded market: a folder of real flat files and reference rows, served as they are.

Layout: `us_stocks_sip/{trades_v1,minute_aggs_v1,day_aggs_v1}/YYYY/MM/YYYY-MM-DD.csv.gz` and
`reference/{tickers,splits,dividends}.json`. What the recording lacks (vwap, numbers of
transactions, companies' details) stays missing; nothing is invented.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.config import SandboxError
from smallcaps_assets.sandbox.market import BAR_SCHEMA, TRADE_SCHEMA, Market, MarketFacts, Row
from smallcaps_assets.sandbox.server.flatfiles import PRICES, FileId, parse_key
from smallcaps_assets.sandbox.simulation.actions import row_id

_AGAIN = "copy the file again"


class RecordedDataError(SandboxError):
    """A file of a recorded market that is missing or broken."""

    def __init__(self, path: Path, found: str, remedy: str) -> None:
        super().__init__(f"{path}: {found}; {remedy}")
        self.path = path


class NotRecordedError(RecordedDataError):
    """Data of a session that the recording leaves out: no answer, rather than an empty one."""


def _decompress(path: Path) -> bytes:
    """The whole text of a gzip file, which has to end properly and with a line end."""
    try:
        text = zlib.decompress(path.read_bytes(), wbits=31)
    except FileNotFoundError as error:
        raise RecordedDataError(
            path, "the file is missing", "copy it into the folder or choose other sessions"
        ) from error
    except zlib.error as error:
        raise RecordedDataError(path, f"the gzip stream is broken ({error})", _AGAIN) from error
    if not text.endswith(b"\n"):
        raise RecordedDataError(path, "the last line is cut", _AGAIN)
    return text


def _schema(data_set: str) -> dict[str, Any]:
    return TRADE_SCHEMA if data_set == "trades_v1" else BAR_SCHEMA


def _read(path: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """A flat file in the columns of `schema`; columns that it lacks become null."""
    text = _decompress(path)
    try:
        raw = pl.read_csv(text, infer_schema=False)
        columns = [
            pl.col(name).cast(kind) if name in raw.columns else pl.lit(None, kind).alias(name)
            for name, kind in schema.items()
        ]
        frame = raw.select(columns)
    except pl.exceptions.PolarsError as error:
        raise RecordedDataError(path, f"the table cannot be read ({error})", _AGAIN) from error
    if frame["ticker"].null_count():
        raise RecordedDataError(path, "rows without a ticker", _AGAIN)
    return frame


class RecordedMarket(Market):
    """A folder; its sessions are those with day bars."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.facts = MarketFacts()
        self._frames: BoundedCache[FileId, pl.DataFrame] = BoundedCache(12)
        found = (root / "us_stocks_sip" / "day_aggs_v1").glob("*/*/*.csv.gz")
        keys = (parse_key(path.relative_to(root).as_posix()) for path in found)
        self.sessions = sorted(key.day for key in keys if key is not None)
        if not self.sessions:
            raise RecordedDataError(
                root / "us_stocks_sip" / "day_aggs_v1",
                "no day bars were found",
                "set recorded_dir to the folder that holds us_stocks_sip/",
            )

    def _path(self, identity: FileId) -> Path:
        return self.root / identity.key

    def check(self, start: date, end: date, data_sets: Sequence[str] = PRICES) -> None:
        """Read the files of every exchange session from `start` to `end`.

        Raises RecordedDataError for the first one that is missing or broken.
        """
        for day in sessions(start, end):
            for data_set in data_sets:
                _read(self._path(FileId(data_set, day)), _schema(data_set))

    def _frame(self, data_set: str, day: date) -> pl.DataFrame:
        """A session's frame, empty when there is no session.

        Raises NotRecordedError when there is a session but no such file.
        """
        identity = FileId(data_set, day)
        path = self._path(identity)
        if path.exists():
            return self._frames.get(identity, lambda: _read(path, _schema(data_set)))
        if day in self.sessions:
            raise NotRecordedError(path, "this session was not recorded", "choose another session")
        return pl.DataFrame(schema=_schema(data_set))

    @cached_property
    def _all_daily(self) -> pl.DataFrame:
        parts = [_read(self._path(FileId("day_aggs_v1", d)), BAR_SCHEMA) for d in self.sessions]
        return pl.concat([pl.DataFrame(schema=BAR_SCHEMA), *parts]).sort("ticker", "window_start")

    def daily_bars(self, day: date) -> pl.DataFrame:
        return self._frame("day_aggs_v1", day)

    def daily_bars_of(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        stamp = pl.col("window_start").cast(pl.Datetime("ns", "UTC"))
        day = stamp.dt.convert_time_zone("America/New_York").dt.date()
        rows = self._all_daily.filter(pl.col("ticker") == ticker)
        return rows.filter(day.is_between(start, end))

    def minute_bars(self, day: date) -> pl.DataFrame:
        return self._frame("minute_aggs_v1", day)

    def minute_bars_of(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        days = [d for d in self.sessions if start <= d <= end]
        parts = [self.minute_bars(d).filter(pl.col("ticker") == ticker) for d in days]
        return pl.concat([pl.DataFrame(schema=BAR_SCHEMA), *parts])

    def trades(self, ticker: str, day: date) -> pl.DataFrame:
        rows = self._frame("trades_v1", day).filter(pl.col("ticker") == ticker)
        # Flat files have zeros where REST has no key.
        off_exchange = pl.col("trf_id") > 0
        return rows.with_columns(
            pl.when(off_exchange).then(c).alias(c) for c in ("trf_id", "trf_timestamp")
        )

    def session_trades(self, day: date) -> pl.DataFrame:
        return self._frame("trades_v1", day)

    def has_flat_file(self, data_set: str, day: date) -> bool:
        return self._path(FileId(data_set, day)).exists()

    def flat_file(self, data_set: str, day: date) -> Path | None:
        path = self._path(FileId(data_set, day))
        return path if path.exists() else None

    def _reference(self, name: str) -> list[Row]:
        path = self.root / "reference" / f"{name}.json"
        if not path.exists():
            return []
        try:
            rows = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise RecordedDataError(path, f"not valid JSON ({error})", _AGAIN) from error
        if not isinstance(rows, list):
            raise RecordedDataError(path, "not a JSON array", "store the rows as an array")
        return rows

    @cached_property
    def _tickers(self) -> list[Row]:
        return sorted(self._reference("tickers"), key=lambda row: row["ticker"])

    def tickers(self, day: date | None, active: bool) -> list[Row]:
        return [dict(row) for row in self._tickers if row.get("active", True) == active]

    def ticker_details(self, ticker: str, day: date | None) -> Row | None:
        return next((dict(row) for row in self._tickers if row["ticker"] == ticker), None)

    @cached_property
    def _splits(self) -> list[Row]:
        rows = self._reference("splits")
        return [{"id": row_id("split", r["ticker"], r["execution_date"])} | r for r in rows]

    @cached_property
    def _dividends(self) -> list[Row]:
        rows = self._reference("dividends")
        return [{"id": row_id("dividend", r["ticker"], r["ex_dividend_date"])} | r for r in rows]

    def splits(self) -> list[Row]:
        return self._splits

    def dividends(self) -> list[Row]:
        return self._dividends
