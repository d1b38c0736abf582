"""What a stage works with: the lake, the clients, the settings and the scope of the run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl
from polars.exceptions import PanicException

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.domain.quality.changes import changes
from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.lake import (
    DamagedFileError,
    Empties,
    Failure,
    Failures,
    Lake,
    Scope,
    Stamp,
    UnknownContractError,
    Written,
)
from smallcaps_assets.lake.empties import today_in_new_york
from smallcaps_assets.lake.meta import is_described, write_meta
from smallcaps_assets.lake.paths import PartitionKeyError, is_key
from smallcaps_assets.pipeline.clients import Regulators
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.schemas import TABLES, Partitioning
from smallcaps_assets.settings import Settings
from smallcaps_assets.sources.errors import MissingTickers, NotOffered, SourceError
from smallcaps_assets.sources.http.page_cache import Spool
from smallcaps_assets.sources.polygon.client import PolygonClient
from smallcaps_assets.sources.polygon.router import Router
from smallcaps_assets.sources.regulators.finra import FinraClient

FETCHED_TABLES = (
    "tickers",
    "ticker_details",
    "splits",
    "dividends",
    "daily_bars",
    "minute_bars",
    "trades",
)
OFFERED_TABLES = (
    *("polygon_short_volume", "short_interest", "news", "ticker_events", "free_float"),
    *("balance_sheets", "income_statements", "cash_flow_statements"),
)
"""Facts beside prices, which a vendor or a plan may do without."""
FLAT_FILE_TABLES = ("minute_bars", "trades")
PACE = ("requests so far", "refused so far (429)", "requests per second")
CHANGES = "changes since the last reading"


@dataclass(frozen=True)
class Built:
    """A partition's rows before they are stored, and what to tell of them.

    `asked` is what the source was asked for, the run's scope if none; `missing` has the tickers
    that it could not give, of `expected` in a whole partition; `doubted` is what it gave nothing of
    although there should be something, by default all of a frame without rows that should have
    some; `source` names the flat file and ETag that the rows came from; `forget` is called when the
    rows are stored; `meta` is what the meta.json beside them says.
    """

    frame: pl.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)
    asked: Scope | None = None
    expected: int = 0
    missing: Mapping[str, SourceError] = field(default_factory=dict)
    doubted: Scope | None = None
    source: str = ""
    forget: Callable[[], None] = lambda: None
    meta: dict[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one partition of one table: stored, found complete, or failed.

    Stored and failed at once when single tickers are missing from it; `is_unchanged` when an empty
    answer was read again, is as empty as before, and nothing was made.
    """

    table: str
    key: str | None
    seconds: float = 0.0
    written: Written | None = None
    preview: pl.DataFrame | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    is_reused: bool = False
    is_unchanged: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def is_failed(self) -> bool:
        """Whether it went wrong; what a vendor does not offer has not."""
        return self.error is not None and not isinstance(self.error, NotOffered)


Observer = Callable[[Outcome], None]
Outcomes = Generator[Outcome, None, None]
Stage = Callable[["Workspace", list[str], list[str]], Outcomes]
"""Outcomes of some tables of an op, in its order, over some partition keys; none where uncut."""
Digests = Callable[["Workspace", str, str | None], Iterable[str]]
Findings = Callable[["Workspace", str, str | None, pl.DataFrame], Iterable[Finding]]


@dataclass
class Workspace:
    """Everything that the stages of one run share."""

    settings: Settings
    lake: Lake
    span: MarketSpan
    get_polygon: Callable[[], PolygonClient]
    get_router: Callable[[], Router]
    get_finra: Callable[[], FinraClient]
    get_regulators: Callable[[], Regulators]
    get_spool: Callable[[], Spool]
    digests: Digests
    findings: Findings
    tickers: tuple[str, ...] = ()
    skip_complete: bool = False
    today: Callable[[], date] = today_in_new_york
    notes: dict[Any, Any] = field(default_factory=dict)
    done: set[tuple[str, str | None]] = field(default_factory=set)

    @cached_property
    def polygon(self) -> PolygonClient:
        """The vendor's client; nothing is contacted before it is asked for."""
        return self.get_polygon()

    @cached_property
    def router(self) -> Router:
        """The choice between flat files and REST."""
        return self.get_router()

    @cached_property
    def spool(self) -> Spool:
        """Answers on disk until the partitions made from them are stored."""
        return self.get_spool()

    @cached_property
    def regulators(self) -> Regulators:
        """The clients of the SEC and of the halt feed."""
        return self.get_regulators()

    @cached_property
    def empties(self) -> Empties:
        """What of the lake came out empty and should not have, and when it was read."""
        return Empties(self.lake, self.today)

    @cached_property
    def finra(self) -> FinraClient:
        """FINRA's client."""
        return self.get_finra()

    def stamp(self, table: str, key: str | None) -> Stamp:
        """The stamp of a file that this run would make of its inputs as they are now."""
        declared = TABLES[table]
        config = self.settings.digest(declared.settings)
        inputs = "\n".join(self.digests(self, table, key))
        digest = hashlib.sha256(inputs.encode()).hexdigest()[:16] if inputs else ""
        return Stamp(table, declared.version, config, str(self.scope(table)), digest)

    def scope(self, table: str) -> Scope:
        """The tickers that this run makes of a table; only market-wide tables can be limited."""
        declared = TABLES[table]
        is_limited = declared.partitioning is Partitioning.SESSION and "ticker" in declared.key
        return Scope.only(self.tickers) if is_limited else Scope()

    def held(self, table: str, key: str | None) -> Scope:
        """The tickers of a stored partition that need not be asked for again; none if outdated.

        What came out empty and is due to be read again is not among them.
        """
        found = self.lake.stamp(table, key)
        if found is not None and _must_be_migrated(found):
            self.lake.check_contract(table, key)
        if found is None or not _is_alike(found, self.stamp(table, key)):
            return Scope.nothing()
        due = self.empties.due(table, key)
        return Scope.nothing() if due.is_all else Scope.parse(found.scope).without(due.tickers)

    def is_complete(self, table: str, key: str | None) -> bool:
        """Whether a stored partition is what this run would make."""
        return self.held(table, key).covers(self.scope(table))

    def is_not_offered(self, table: str, key: str | None) -> bool:
        """Whether the vendor was found not to offer what a partition is made from."""
        failure = Failures(self.lake).find(table, key) if table in OFFERED_TABLES else None
        return failure is not None and failure.kind == NotOffered.__name__

    def is_current(self, table: str, key: str | None) -> bool:
        """Whether a partition is complete, described where its table wants it, and the vendor's
        file that it came from still the same.

        Looks at the listing of the flat files for tables that came from one.
        """
        is_whole = self.is_complete(table, key) and is_described(self.lake, table, key)
        return is_whole and self.is_file_current(table, key)

    def is_file_current(self, table: str, key: str | None) -> bool:
        """Whether the flat file that a stored partition came from, if any, is still the same."""
        found = self.lake.stamp(table, key) if table in FLAT_FILE_TABLES and key else None
        if found is None or not found.source:
            return True
        day = date.fromisoformat(str(key).rpartition("_")[2])
        return not self.router.is_replaced(day, found.source, self.lake.modified(table, key))

    def make(self, table: str, key: str | None, build: Callable[[], Built]) -> Outcome:
        """Build and store one partition, or find it complete when the run may skip those.

        A retry of the run's op leaves what its first attempt has finished. A key that is none,
        which somebody has added by hand, fails alone.
        """
        if key is not None and not is_key(TABLES[table], key):
            return Outcome(table, key, error=malformed(table, key))
        if (table, key) in self.done or self.is_skipped(table, key):
            return self.reuse(table, key)
        return self.store(table, key, build)

    def is_skipped(self, table: str, key: str | None) -> bool:
        """Whether the run leaves a partition as it is."""
        return self.skip_complete and self.is_current(table, key)

    def store(self, table: str, key: str | None, build: Callable[[], Built]) -> Outcome:
        """Build, validate and store one partition; an error becomes part of the outcome."""
        start = time.perf_counter()
        try:
            stamp = self.stamp(table, key)
            outcome = self._store(table, key, build(), stamp)
        except (Exception, PanicException) as error:  # noqa: BLE001 - named, the others go on
            outcome = Outcome(table, key, error=error)
        self._remember(outcome)
        return replace(outcome, seconds=time.perf_counter() - start)

    def _store(self, table: str, key: str | None, built: Built, stamp: Stamp) -> Outcome:
        error = self._missing(built)
        made = (built.asked or self.scope(table)).without(built.missing)
        was_due, held = self.empties.due(table, key), self.held(table, key)
        self.empties.note(table, key, made, _doubted(table, built))
        frame, scope = TABLES[table].conform(built.frame), made
        metadata = {**built.metadata, **self._pace(table)}
        is_kept = made != Scope() or TABLES[table].layer == "raw"
        before = self._before(table, key, made) if is_kept else None
        if before is not None:
            frame = _merged(frame, before, made)
            scope = made.union(held)
            metadata[CHANGES] = str(changes(before, frame, TABLES[table].key))
        elif made != Scope():
            frame = frame.filter(made.selects("ticker"))
        final = replace(stamp, scope=str(scope), source=built.source)
        is_same = was_due != Scope.nothing() and self._is_same(table, key, before, frame, final)
        if is_same:
            stored = written(self.lake, table, key, len(frame))
        else:
            stored = self.lake.write(table, key, frame, final)
        built.forget()
        if built.meta is not None:
            write_meta(self.lake, table, key, built.meta, stored.seal)
        found = tuple(self.findings(self, table, key, frame))
        return Outcome(
            *(table, key, 0.0, stored, frame.head(5), metadata, error),
            is_unchanged=is_same,
            findings=found,
        )

    def _is_same(
        self,
        table: str,
        key: str | None,
        before: pl.DataFrame | None,
        frame: pl.DataFrame,
        stamp: Stamp,
    ) -> bool:
        """Whether what was read again is what is stored: there is nothing to write."""
        found = self.lake.stamp(table, key)
        is_alike = found is not None and _is_alike(found, stamp) and found.scope == stamp.scope
        return is_alike and before is not None and frame.equals(before)

    def _before(self, table: str, key: str | None, made: Scope) -> pl.DataFrame | None:
        """The stored rows; none when they are absent or damaged, the new ones take their place.

        Rows of another contract can only be replaced whole.
        """
        try:
            return self.lake.read(table, key)
        except (FileNotFoundError, DamagedFileError):
            return None
        except UnknownContractError:
            if made != Scope():
                raise
            return None

    def _missing(self, built: Built) -> MissingTickers | None:
        """The error that names the missing tickers; raised when they are too many to go on."""
        if not built.missing:
            return None
        error = MissingTickers(built.missing, built.expected)
        if len(built.missing) > self.settings.run.max_missing * built.expected:
            raise error
        return error

    def _pace(self, table: str) -> dict[str, Any]:
        """How the vendor's client has fared so far in this process."""
        if table not in FETCHED_TABLES:
            return {}
        sent = self.polygon.counters()
        return dict(zip(PACE, (sent["requests"], sent["rate_limited"], sent["rate"]), strict=True))

    def _remember(self, outcome: Outcome) -> None:
        """Keep why a vendor's partition failed, for the coverage; or that it is whole."""
        if TABLES[outcome.table].layer != "raw":
            return
        failures, error = Failures(self.lake), outcome.error
        with suppress(OSError):
            if error is None:
                failures.clear(outcome.table, outcome.key)
                return
            tickers = error.reasons if isinstance(error, MissingTickers) else {}
            failure = Failure(type(error).__name__, str(error), tickers)
            failures.record(outcome.table, outcome.key, failure)

    def reuse(self, table: str, key: str | None) -> Outcome:
        """The outcome of a partition that is complete already."""
        frame = self.lake.read(table, key)
        stored = written(self.lake, table, key, len(frame))
        findings = tuple(self.findings(self, table, key, frame))
        return Outcome(table, key, 0.0, stored, frame.head(5), is_reused=True, findings=findings)

    def sessions_before(self, day: date, count: int) -> list[str]:
        """Keys of the market's last `count` sessions before a day, in order."""
        days = sessions(self.span.start, day)
        return [d.isoformat() for d in days if d < day][-count:]

    def only_wanted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of the run's tickers; all rows when the run has no such limit."""
        return frame.filter(pl.col("ticker").is_in(self.tickers)) if self.tickers else frame


def written(lake: Lake, table: str, key: str | None, rows: int) -> Written:
    """What was written at some time and lies there now."""
    path = str(lake.path(table, key).relative_to(lake.root))
    return Written(table, key, rows, lake.size(table, key), path, lake.seal(table, key))


def malformed(table: str, key: str) -> PartitionKeyError:
    """What to tell of a key that is not of its table's form."""
    cut = TABLES[table].partitioning.replace("_", "-")
    return PartitionKeyError(
        f"{key!r} is no {cut}; `smallcaps verify --repair` removes such partition keys"
    )


def _must_be_migrated(found: Stamp) -> bool:
    """Whether a file is of a contract that this code must not pass over.

    A processed file of an older contract is made again, as one of other settings would be.
    """
    table = TABLES[found.table]
    is_older = found.version < table.version and table.layer == "raw"
    return found.version > table.version or is_older


def _doubted(table: str, built: Built) -> Scope:
    """What of a reading came out empty and should not have."""
    if built.doubted is not None:
        return built.doubted
    is_doubted = TABLES[table].expects_rows and built.frame.is_empty()
    return Scope() if is_doubted else Scope.nothing()


def _is_alike(found: Stamp, wanted: Stamp) -> bool:
    """Whether two files differ at most in their tickers and in the source of raw rows."""
    return replace(found, scope=wanted.scope, source=wanted.source) == wanted


def _merged(frame: pl.DataFrame, before: pl.DataFrame, made: Scope) -> pl.DataFrame:
    """The rows of the tickers that were made, and the stored rows of all others."""
    if made == Scope():
        return frame
    is_made = made.selects("ticker")
    return pl.concat([frame.filter(is_made), before.filter(~is_made)])
