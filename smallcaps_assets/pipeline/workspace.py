"""What a stage works with: the lake, the clients, the settings and the scope of the run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl
from polars.exceptions import PanicException

from smallcaps_assets.domain.quality.changes import changes
from smallcaps_assets.lake import (
    ConflictError,
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
from smallcaps_assets.pipeline.clients import Clients
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.findings import find
from smallcaps_assets.pipeline.inputs import input_digests
from smallcaps_assets.pipeline.market import BESIDE_PRICES
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.schemas import TABLES, VENDOR, ContractError
from smallcaps_assets.sources.errors import MissingTickers, NotOffered

FETCHED_TABLES = (
    "tickers",
    "ticker_details",
    "splits",
    "dividends",
    "daily_bars",
    "minute_bars",
    "trades",
    "quotes",
)
OFFERED_TABLES = (
    *(n for n, t in TABLES.items() if t.group in BESIDE_PRICES and t.pool == VENDOR),
    "quotes",
)
"""What comes under the vendor's key, and a vendor or a plan may do without."""
FLAT_FILE_TABLES = ("minute_bars", "trades", "quotes")
PACE = ("requests so far", "refused so far (429)", "requests per second")
_MOST_CONFLICTS = 20
CHANGES = "changes since the last reading"


Stage = Callable[["Workspace", list[str], list[str]], Outcomes]
"""Outcomes of some tables of an op, in its order, over some partition keys; none where uncut."""


@dataclass
class Workspace(LakeContext):
    """A lake to work on in one run: what is asked for, the sources, and how partitions are stored.

    `clients` are those of the settings unless others are given; `done` is what the run has
    finished, `made_before` what earlier attempts at it have made, with the seals of the files.
    """

    clients: Clients = None  # type: ignore[assignment]
    skip_complete: bool = False
    today: Callable[[], date] = today_in_new_york
    done: set[tuple[str, str | None]] = field(default_factory=set)
    made_before: Mapping[tuple[str, str | None], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clients = self.clients or Clients(self.settings)

    @cached_property
    def empties(self) -> Empties:
        """What of the lake came out empty and should not have, and when it was read."""
        return Empties(self.lake, self.today)

    def stamp(self, table: str, key: str | None) -> Stamp:
        """The stamp of a file that this run would make of its inputs as they are now."""
        declared = TABLES[table]
        config = self.settings.digest(declared.settings)
        inputs = "\n".join(input_digests(self, table, key))
        digest = hashlib.sha256(inputs.encode()).hexdigest()[:16] if inputs else ""
        return Stamp(table, declared.version, config, str(self.scope(table)), digest)

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
        stored_at = self.lake.modified(table, key)
        return not self.clients.router.is_replaced(day, found.source, stored_at)

    def make(self, table: str, key: str | None, build: Callable[[], BuildResult]) -> Outcome:
        """Build and store one partition, or find it complete when the run may skip those.

        Another attempt at the run leaves what the ones before have finished. A key that is none,
        which somebody has added by hand, fails alone.
        """
        if key is not None and not is_key(TABLES[table], key):
            return Outcome(table, key, error=malformed(table, key))
        if self.is_done(table, key) or self.is_skipped(table, key):
            return self.reuse(table, key)
        return self.store(table, key, build)

    def is_done(self, table: str, key: str | None) -> bool:
        """Whether an attempt at the run has finished a partition, and its file is still that."""
        seal = self.made_before.get((table, key))
        is_left = bool(seal) and seal == self.lake.seal(table, key)
        return is_left or (table, key) in self.done

    def is_skipped(self, table: str, key: str | None) -> bool:
        """Whether the run leaves a partition as it is."""
        return self.skip_complete and self.is_current(table, key)

    def store(self, table: str, key: str | None, build: Callable[[], BuildResult]) -> Outcome:
        """Build, validate and store one partition; an error becomes part of the outcome."""
        start = time.perf_counter()
        try:
            outcome = self._built_and_stored(table, key, build)
        except (Exception, PanicException) as error:  # noqa: BLE001 - named, the others go on
            outcome = Outcome(table, key, error=error)
        self._remember(outcome)
        return replace(outcome, seconds=time.perf_counter() - start)

    def _built_and_stored(
        self, table: str, key: str | None, build: Callable[[], BuildResult]
    ) -> Outcome:
        """What was built, stored; built again if another process has meanwhile replaced the stored
        rows that it was made from, merged again if those that it is merged with."""
        for is_last in [*[False] * _MOST_CONFLICTS, True]:
            stamp, built = self.stamp(table, key), build()
            try:
                return self._merged_and_stored(table, key, built, stamp)
            except ConflictError:
                if built.over is None or is_last:
                    raise
            except ContractError:
                built.forget_pages()  # of what can't be stored; the next attempt asks again
                raise
        raise AssertionError("the last attempt returns or raises")

    def _merged_and_stored(
        self, table: str, key: str | None, built: BuildResult, stamp: Stamp
    ) -> Outcome:
        for _ in range(_MOST_CONFLICTS):
            try:
                return self._store(table, key, built, stamp)
            except ConflictError:
                if built.over is not None:
                    raise
        return self._store(table, key, built, stamp)

    def describe(self, table: str, key: str | None, meta: Callable[[], dict[str, Any]]) -> None:
        """Write the meta.json of a complete partition that lacks it; its rows stay as they are."""
        seal = self.lake.seal(table, key)
        if self.is_complete(table, key) and not is_described(self.lake, table, key):
            write_meta(self.lake, table, key, meta(), seal)

    def _store(self, table: str, key: str | None, built: BuildResult, stamp: Stamp) -> Outcome:
        error = self._missing(built)
        made = (built.asked or self.scope(table)).without(built.missing)
        is_kept = made != Scope() or TABLES[table].layer == "raw"
        # Rows first: a file that is replaced between the two is noticed when this one is written.
        before, over = self._before(table, key, made) if is_kept else (None, None)
        was_due, held = self.empties.due(table, key), self.held(table, key)
        self.empties.note(table, key, made, _doubted(table, built))
        frame, scope = TABLES[table].conform(built.frame), made
        metadata = {**built.metadata, **self._pace(table)}
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
            stored = self.lake.write(
                table, key, frame, final, over if built.over is None else built.over
            )
        built.forget_pages()
        if built.meta is not None:
            write_meta(self.lake, table, key, built.meta, stored.seal)
        found = tuple(find(self, table, key, frame))
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

    def _before(
        self, table: str, key: str | None, made: Scope
    ) -> tuple[pl.DataFrame | None, str | None]:
        """The stored rows, and the seal of the file that may be replaced; any where all is made.

        No rows when they are absent or damaged, the new ones take their place. Rows of another
        contract can only be replaced whole.
        """
        try:
            rows, seal = self.lake.read_sealed(table, key)
        except FileNotFoundError:
            rows, seal = None, ""
        except DamagedFileError:
            return None, None
        except UnknownContractError:
            if made != Scope():
                raise
            return None, None
        return rows, None if made == Scope() else seal

    def _missing(self, built: BuildResult) -> MissingTickers | None:
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
        sent = self.clients.polygon.counters()
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
        findings = tuple(find(self, table, key, frame))
        return Outcome(table, key, 0.0, stored, frame.head(5), is_reused=True, findings=findings)


def stored_rows(work: Workspace, table: str) -> tuple[pl.DataFrame, str]:
    """The rows of a table that is stored whole, and their seal; none, and empty, when it is not."""
    try:
        return work.lake.read_sealed(table)
    except FileNotFoundError:
        return TABLES[table].empty(), ""


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


def _doubted(table: str, built: BuildResult) -> Scope:
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
