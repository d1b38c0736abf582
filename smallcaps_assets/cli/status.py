"""`smallcaps status`: what is expected, stored, missing and failed, table by table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import dagster as dg

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.coverage import empty_lines, totals
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json
from smallcaps_assets.cli.run import name_losses
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.defs.expected import expected_keys, failed_keys
from smallcaps_assets.lake import Empties, Empty, Lake
from smallcaps_assets.lake.meta import is_described
from smallcaps_assets.orchestration.instance import instance_to_read
from smallcaps_assets.orchestration.partitions import Partitions
from smallcaps_assets.orchestration.storage.check_results import check_results
from smallcaps_assets.pipeline.losses import Losses, outside_periods, qualified_keys
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.reports.terminal import StatusRow, coverage_table, status_table
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings


def show_status(options: LakeOptions, is_stale: bool, is_json: bool) -> int:
    """Print the table; contacts nothing and changes nothing."""
    settings = settings_of(options)
    store = stored_lake(settings)
    empties = Empties(store).all()
    with instance_to_read(settings.lake.local) as instance:
        rows = status_rows(settings, store, instance, empties)
    if is_stale:
        rows = [_with_outdated(settings, store, row) for row in rows]
    if is_json:
        echo_json([row._asdict() for row in rows])
        return 0
    console = wide_console()
    console.print(status_table(rows, f"lake {store.root}, market {settings.market.name}"))
    covered = totals(store.scan("coverage").sort("table").collect())
    if not covered.is_empty():
        console.print(coverage_table(covered, "coverage of the vendor's tables"))
    for line in empty_lines(empties):
        console.print(line, soft_wrap=True, markup=False)
    name_losses(console, _outside_periods(settings, store))
    return 0


def _outside_periods(settings: Settings, lake: Lake) -> Losses:
    """What lies in no period; the coverage of the trades shows which tapes are short."""
    keys = qualified_keys(lake, date.min, date.max)
    return Losses(len(keys), {}, outside_periods(lake, settings.dataset.periods, keys))


def status_rows(
    settings: Settings, lake: Lake, instance: dg.DagsterInstance, empties: Sequence[Empty]
) -> list[StatusRow]:
    """One row for each table of the graph."""
    market = market_of(settings)
    start, end = market.span
    partitions = Partitions(
        start,
        min(end, market.last_day),
        settings.dataset.periods,
        strategies=settings.backtest.names,
    )
    bad = check_results(instance).filter("is_error").select("table", "key").unique()
    defects = {table: set(keys["key"]) for (table,), keys in bad.group_by("table")}
    left_out = market.left_out
    return [
        _row(
            *(lake, instance, partitions, table),
            _expected(lake, instance, partitions, table, table in left_out),
            defects.get(table, set()),
            [empty for empty in empties if empty.table == table],
        )
        for table in TABLES
    ]


def _with_outdated(settings: Settings, lake: Lake, row: StatusRow) -> StatusRow:
    """The row with the number of stored partitions that the next run would make again."""
    from smallcaps_assets.pipeline.outdated import outdated
    from smallcaps_assets.pipeline.workspace import Workspace

    partitions = Partitions.of_market(settings)
    work = Workspace(settings, lake, partitions)
    return row._replace(outdated=len(outdated(work, row.table, lake.keys(row.table))))


def _expected(
    lake: Lake, instance: dg.DagsterInstance, partitions: Partitions, table: str, is_left_out: bool
) -> list[str]:
    """Keys of a complete lake; for a table that the main job leaves out, the stored ones."""
    stored = set(lake.keys(table)) if is_left_out else None
    if stored is not None and not stored:
        return []
    keys = expected_keys(lake, instance, partitions, table)
    return keys if stored is None else [key for key in keys if key in stored]


def _row(
    lake: Lake,
    instance: dg.DagsterInstance,
    partitions: Partitions,
    table: str,
    expected: list[str],
    defects: set[str],
    empties: Sequence[Empty],
) -> StatusRow:
    stored = {key for key in lake.keys(table) if is_described(lake, table, key or None)}
    present = [key for key in expected if key in stored]
    missing = [key for key in expected if key not in stored]
    return StatusRow(
        table=table,
        partitioning=str(TABLES[table].partitioning),
        expected=len(expected),
        present=len(present),
        missing=len(missing),
        failed=len(failed_keys(instance, partitions, table, expected)),
        defects=len(defects.intersection(present)),
        bytes=sum(lake.size(table, key or None) for key in present),
        latest=_latest(table, present),
        empty=len(empties),
        unconfirmed=sum(not empty.is_confirmed for empty in empties),
    )


def _latest(table: str, present: list[str]) -> str:
    """The newest date among the stored partitions."""
    dates = [key.rpartition("_")[2] if "_" in key else key for key in present]
    return max(dates, default="") if TABLES[table].partitioning.is_dated else ""
