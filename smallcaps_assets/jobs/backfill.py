"""Backfills: any set of partitions of any tables, through the same runs as the main job.

Requested partitions are made again; `missing` and `failed` narrow them to those that are not
stored, and to those that Dagster shows as failed. A bad partition does not stop the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from smallcaps_assets.defs.expected import expected_keys, failed_keys
from smallcaps_assets.domain.feeds.publication import half_month_of
from smallcaps_assets.jobs.run import MainJob, Step
from smallcaps_assets.lake import split_ticker_session
from smallcaps_assets.lake.paths import is_key
from smallcaps_assets.orchestration.launchers import Launch
from smallcaps_assets.orchestration.partitions import DYNAMIC
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.schemas import OPS, TABLES, Partitioning


class BackfillError(ValueError):
    """A request for an unknown table, or for a partition that can't exist."""


@dataclass(frozen=True)
class Request:
    """What to backfill; every field narrows the set."""

    tables: tuple[str, ...]
    start: date | None = None
    end: date | None = None
    tickers: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    is_missing: bool = False
    is_failed: bool = False


class Backfill(MainJob):
    """The partitions of one request."""

    def __init__(self, *arguments: Any, request: Request, **options: Any) -> None:
        super().__init__(*arguments, is_forced=True, **options)
        self.request = request
        self.reason = "smallcaps backfill"

    @property
    def left_out(self) -> set[str]:
        """Only what the market has no source for; optional tables are made when they are named."""
        return {*market_of(self.work.settings).absent_tables}

    def _steps(self) -> Iterator[Step]:
        """One step per op, in the graph's order, planned when the earlier ones are done."""
        for op, tables in _by_op(self.request.tables):
            cut = TABLES[tables[0]].partitioning
            if cut is Partitioning.NONE:
                if self.wanted(op):
                    yield Step(op, op, (), (), (), whole=tables)
                continue
            for group, keys in self._groups(tables):
                yield Step(op.replace("_", " "), op, group, keys, self._order(tables[0]))

    def planned(self) -> Iterator[tuple[Step, Launch]]:
        """The runs that can be planned now; makes nothing."""
        for step in self._steps():
            yield from ((step, launch) for launch in self.blocks(step.keys, step.order))

    def _groups(self, tables: tuple[str, ...]) -> list[tuple[tuple[str, ...], list[str]]]:
        """Tables that lack the same keys go together, so that nothing else is made again."""
        found: dict[tuple[str, ...], list[str]] = {}
        wanted = {table: self.wanted(table) for table in tables}
        for table, keys in wanted.items():
            found.setdefault(tuple(keys), []).append(table)
        return [(tuple(group), list(keys)) for keys, group in found.items() if keys]

    def wanted(self, table: str) -> list[str]:
        """The requested keys of a table. Raises BackfillError for an unknown one."""
        request, lake = self.request, self.work.lake
        known = expected_keys(lake, self.instance, self.partitions, table)
        if request.is_failed and TABLES[table].partitioning in DYNAMIC:
            known = list(self._order(table))  # a failed key need not be in the registry
        if request.keys:
            _refuse_unknown(request.keys, [*known, *self._order(table)], table)
            known = list(request.keys)
        keys = [key for key in known if self._is_requested(table, key)]
        if request.is_failed:
            return failed_keys(self.instance, self.partitions, table, keys)
        if request.is_missing:
            stored = set(lake.keys(table))
            return [key for key in keys if key not in stored]
        return keys

    def _is_requested(self, table: str, key: str) -> bool:
        cut, request = TABLES[table].partitioning, self.request
        if key and not is_key(TABLES[table], key):
            return not request.tickers
        if cut in DYNAMIC and request.tickers:
            ticker = key if cut is Partitioning.TICKER else split_ticker_session(key)[0]
            if ticker not in request.tickers:
                return False
        if not cut.is_dated:
            return True
        day, start = date_of(key), request.start
        if start and cut is Partitioning.HALF_MONTH:
            start = half_month_of(start)
        first = start.isoformat()[: len(day)] if start else day
        last = request.end.isoformat()[: len(day)] if request.end else day
        return first <= day <= last

    def _order(self, table: str) -> Sequence[str]:
        """The definition's order; of sessions without asking Dagster, which is slow."""
        if TABLES[table].partitioning is Partitioning.SESSION:
            return self.partitions.session_keys(self.partitions.start, self.partitions.end)
        definition = self.partitions.of(TABLES[table])
        assert definition is not None
        return definition.get_partition_keys(dynamic_partitions_store=self.instance)


def tables_of(names: Iterable[str], left_out: Collection[str]) -> tuple[str, ...]:
    """Tables named directly or by their op, in the graph's order; without names all.

    What is `left_out` is made only where it is named itself. Raises BackfillError for a name that
    is neither.
    """
    names = list(names)
    for name in names:
        if name not in TABLES and name not in OPS:
            raise BackfillError(
                f"unknown table {name!r}; choose from {', '.join(TABLES)}, or a group:"
                f" {', '.join(sorted(OPS.keys() - TABLES.keys()))}"
            )
    of_ops = {name for name, table in TABLES.items() if not names or table.op in names}
    return tuple(name for name in TABLES if name in names or name in of_ops - {*left_out})


def _by_op(tables: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Ops in the graph's order with their requested tables."""
    found: dict[str, list[str]] = {}
    for table in tables:
        found.setdefault(TABLES[table].op, []).append(table)
    return [(op, tuple(group)) for op, group in found.items()]


def _refuse_unknown(keys: Iterable[str], known: Iterable[str], table: str) -> None:
    existing = set(known)
    unknown = [key for key in keys if key not in existing]
    if unknown:
        raise BackfillError(
            f"{table} has no partition {unknown[0]!r}; a ticker-session exists once the registry"
            " holds it, other keys are dates, months, years, tickers or periods of this market"
        )
