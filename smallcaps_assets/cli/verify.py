"""`smallcaps verify`: every stored file checked, and Dagster's view of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.setup import known_tables, settings_of, stored_lake
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.meta import meta_path
from smallcaps_assets.lake.verify import BAD, Finding, check_partition, set_aside
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

_SHOWN = 50


@dataclass
class Verified:
    """What was checked, and the findings."""

    files: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def bad(self) -> list[tuple[str, str]]:
        """Tables and keys of the bad files."""
        return list(dict.fromkeys((f.table, f.key) for f in self.findings if f.table in TABLES))


def verify_files(
    lake: Lake,
    tables: Sequence[str],
    threads: int,
    is_deep: bool = False,
    progress: Callable[[str, int], None] = lambda table, size: None,
) -> Verified:
    """Check the stored files of some tables; `progress` is called with each table and size."""
    done, asked = Verified(), ((table, key) for table in tables for key in lake.keys(table))
    with ThreadPoolExecutor(threads) as pool:

        def check(place: tuple[str, str]) -> tuple[str, list[Finding], int]:
            return (place[0], *check_partition(lake, *place, is_deep))

        for table, findings, size in pool.map(check, asked):
            done.files, done.bytes = done.files + 1, done.bytes + size
            done.findings += findings
            progress(table, size)
    return done


def run_verify(
    options: LakeOptions, tables: tuple[str, ...], is_deep: bool, is_repaired: bool
) -> int:
    """The command; status 1 when something is wrong."""
    settings = settings_of(options)
    store, named = stored_lake(settings), known_tables(tables) or tuple(TABLES)
    console, began = wide_console(), time.perf_counter()
    with _progress(console) as progress:
        count = sum(len(store.keys(name)) for name in named)
        files = progress.add_task("files", total=count)
        size = progress.add_task("bytes", total=None)

        def tell(table: str, bytes_: int) -> None:
            progress.update(files, advance=1, description=table)
            progress.update(size, advance=bytes_)

        done = verify_files(store, named, settings.run.threads, is_deep, tell)
    seconds = time.perf_counter() - began
    rate = done.bytes / 1e6 / seconds
    console.print(f"{done.files} files, {done.bytes / 1e6:,.1f} MB, {rate:,.0f} MB/s")
    return _conclude(console, settings, store, named, done, is_repaired)


def _conclude(
    console: Console,
    settings: Settings,
    lake: Lake,
    tables: Sequence[str],
    done: Verified,
    is_repaired: bool,
) -> int:
    from smallcaps_assets.orchestration.instance import instance_to_read, open_instance
    from smallcaps_assets.orchestration.partitions import Partitions

    partitions = Partitions.of_market(settings)
    opened = open_instance if is_repaired else instance_to_read
    with opened(settings.lake.local) as instance:
        done.findings = _unmarked(partitions, instance, done.findings)
        done.findings += _of_dagster(partitions, instance, lake, tables)
        if not done.findings:
            console.print("nothing is wrong")
            return 0
        for finding in done.findings[:_SHOWN]:
            console.print(f"  {finding}", soft_wrap=True, markup=False)
        console.print(f"{len(done.findings)} findings in {len(done.bad)} partitions")
        if not is_repaired:
            console.print("`smallcaps verify --repair` marks the bad ones for rebuilding")
            return 1
        _repair(console, instance, lake, done)
    return 1


def _unmarked(partitions: Any, instance: Any, found: Sequence[Finding]) -> list[Finding]:
    """Findings without those of a meta.json that was marked for writing, as a lost file is."""
    from smallcaps_assets.defs.expected import failed_keys

    return [
        one
        for one in found
        if not (one.is_of_meta and failed_keys(instance, partitions, one.table, [one.key]))
    ]


def _of_dagster(
    partitions: Any, instance: Any, lake: Lake, tables: Sequence[str]
) -> Iterator[Finding]:
    """Where Dagster and the disk disagree, except for partitions already marked as failed."""
    from smallcaps_assets.defs.expected import failed_keys
    from smallcaps_assets.orchestration.reconcile import lost_keys, malformed_keys, unreported_keys

    for table in _first_of_each_definition(tables):
        for key in malformed_keys(instance, table):
            yield Finding(
                "partition key", repr(key), f"is not a valid {TABLES[table].partitioning}"
            )
    for table in tables:
        lost = lost_keys(instance, lake, table)
        marked = failed_keys(instance, partitions, table, lost)
        for key in sorted(set(lost) - set(marked)):
            yield Finding(table, key, "is materialized in Dagster but not stored")
        for key in unreported_keys(instance, lake, table):
            yield Finding(table, key, "is not the file of Dagster's newest event")


def _first_of_each_definition(tables: Sequence[str]) -> list[str]:
    """One table for each way in which tables are partitioned."""
    found: dict[str, str] = {}
    for table in tables:
        found.setdefault(TABLES[table].partitioning, table)
    return list(found.values())


def _repair(console: Console, instance: Any, lake: Lake, done: Verified) -> None:
    """Set bad files aside, and report good ones that Dagster doesn't know.

    Invalid dynamic partition keys are removed.
    """
    from smallcaps_assets.orchestration.instance import report_stored
    from smallcaps_assets.orchestration.reconcile import remove_malformed, report_lost
    from smallcaps_assets.pipeline.outcome import Outcome
    from smallcaps_assets.pipeline.workspace import written

    removed = [key for table in TABLES for key in remove_malformed(instance, table)]
    if removed:
        keys = ", ".join(map(repr, removed))
        console.print(f"  partition keys removed: {keys}", soft_wrap=True, markup=False)
    lost = []
    for table, key in done.bad:
        findings, size = check_partition(lake, table, key)
        if findings:
            path = _bad_file(lake, findings, size)
            if path is not None:
                set_aside(lake, path)
            lost.append((table, key))
            continue
        rows = lake.read(table, key or None)
        stored = written(lake, table, key or None, rows.height)
        report_stored(instance, Outcome(table, key or None, 0.0, stored, rows.head(5)))
        console.print(f"  {table} {key} was reported to Dagster")
    if lost:
        report_lost(instance, lost, f"{len(lost)} files were lost or damaged")
        console.print(
            f"{len(lost)} partitions are marked, their files set aside in {BAD};"
            " `smallcaps run` makes them again"
        )


def _bad_file(lake: Lake, findings: Sequence[Finding], size: int) -> Any:
    """The file of a bad partition to set aside: that of its rows, else its meta.json, or none."""
    table, key = findings[0].table, findings[0].key or None
    if not all(finding.is_of_meta for finding in findings):
        return lake.path(table, key) if size else None
    path = meta_path(lake, table, key)
    return path if path.exists() else None


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
