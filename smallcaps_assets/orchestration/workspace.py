"""What a stage works with: the lake, the clients, the settings and the scope of the run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from smallcaps_assets.domain.calendar import sessions
from smallcaps_assets.domain.checks import Finding
from smallcaps_assets.lake import Lake, Stamp, Written
from smallcaps_assets.lake.store import WHOLE
from smallcaps_assets.orchestration.partitions import Cuts
from smallcaps_assets.schemas import TABLES, Partitioning
from smallcaps_assets.settings import Settings
from smallcaps_assets.sources.finra import FinraClient
from smallcaps_assets.sources.polygon import PolygonClient
from smallcaps_assets.sources.router import Router


@dataclass(frozen=True)
class Built:
    """A partition's rows before they are stored, and what to tell of them."""

    frame: pl.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of one partition of one table: stored, found complete, or failed."""

    table: str
    key: str | None
    seconds: float = 0.0
    written: Written | None = None
    preview: pl.DataFrame | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    is_reused: bool = False
    findings: tuple[Finding, ...] = ()


Observer = Callable[[Outcome], None]
Digests = Callable[["Workspace", str, str | None], Iterable[str]]
Findings = Callable[["Workspace", str, str | None, pl.DataFrame], Iterable[Finding]]


@dataclass
class Workspace:
    """Everything that the stages of one run share."""

    settings: Settings
    lake: Lake
    cuts: Cuts
    get_polygon: Callable[[], PolygonClient]
    get_router: Callable[[], Router]
    get_finra: Callable[[], FinraClient]
    digests: Digests
    findings: Findings
    tickers: tuple[str, ...] = ()
    notes: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def polygon(self) -> PolygonClient:
        """The vendor's client; nothing is contacted before it is asked for."""
        return self.get_polygon()

    @cached_property
    def router(self) -> Router:
        """The choice between flat files and REST."""
        return self.get_router()

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
        return Stamp(table, declared.version, config, self.scope(table), digest)

    def scope(self, table: str) -> str:
        """The tickers that this run makes of a table; only market-wide tables can be limited."""
        declared = TABLES[table]
        is_limited = declared.partitioning is Partitioning.SESSION and "ticker" in declared.key
        return ",".join(sorted(self.tickers)) or WHOLE if is_limited else WHOLE

    def is_complete(self, table: str, key: str | None) -> bool:
        """Whether a stored partition is what this run would make."""
        found = self.lake.stamp(table, key)
        if found is None:
            return False
        wanted = self.stamp(table, key)
        if replace(found, scope=wanted.scope) != wanted:
            return False
        return found.scope == WHOLE or _parts(wanted.scope) <= _parts(found.scope)

    def store(self, table: str, key: str | None, build: Callable[[], Built]) -> Outcome:
        """Build, validate and store one partition; an error becomes part of the outcome."""
        start = time.perf_counter()
        try:
            stamp = self.stamp(table, key)
            built = build()
            frame, scope = self._merged(table, key, built.frame)
            stamp = replace(stamp, scope=scope)
            written = self.lake.write(table, key, frame, stamp)
            findings = tuple(self.findings(self, table, key, frame))
        except Exception as error:  # noqa: BLE001 - named in the outcome, the other keys go on
            return Outcome(table, key, time.perf_counter() - start, error=error)
        return Outcome(
            table,
            key,
            time.perf_counter() - start,
            written,
            frame.head(5),
            built.metadata,
            findings=findings,
        )

    def reuse(self, table: str, key: str | None) -> Outcome:
        """The outcome of a partition that is complete already."""
        frame = self.lake.read(table, key)
        path = str(self.lake.path(table, key).relative_to(self.lake.root))
        written = Written(table, key, len(frame), self.lake.size(table, key), path)
        findings = tuple(self.findings(self, table, key, frame))
        return Outcome(table, key, 0.0, written, frame.head(5), is_reused=True, findings=findings)

    def sessions_before(self, day: date, count: int) -> list[str]:
        """Keys of the market's last `count` sessions before a day, in order."""
        days = sessions(self.cuts.start, day)
        return [d.isoformat() for d in days if d < day][-count:]

    def only_wanted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of the run's tickers; all rows when the run has no such limit."""
        return frame.filter(pl.col("ticker").is_in(self.tickers)) if self.tickers else frame

    def _merged(self, table: str, key: str | None, frame: pl.DataFrame) -> tuple[pl.DataFrame, str]:
        """A partial run replaces its own tickers' rows and leaves every other row as it was."""
        if self.scope(table) == WHOLE:
            return frame, WHOLE
        found = self.lake.stamp(table, key)
        mine = self.only_wanted(frame)
        if found is None:
            return mine, self.scope(table)
        others = self.lake.read(table, key).filter(~pl.col("ticker").is_in(self.tickers))
        known = _parts(found.scope)
        scope = WHOLE if WHOLE in known else ",".join(sorted(known | set(self.tickers)))
        return pl.concat([TABLES[table].conform(mine), others]), scope


def _parts(scope: str) -> set[str]:
    return set(scope.split(","))
