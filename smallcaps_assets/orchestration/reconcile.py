"""Dagster's record of the stored files compared with the disk, and corrected.

Dagster has no way of taking back a partition's materialization. One whose file is gone is shown as
failed: a failed run had planned it, and it is materialized again by the next run.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.paths import is_key
from smallcaps_assets.orchestration.heartbeats import beat, process_tag
from smallcaps_assets.orchestration.instance import known_keys
from smallcaps_assets.orchestration.launchers import REASON_TAG
from smallcaps_assets.orchestration.partitions import DYNAMIC
from smallcaps_assets.orchestration.storage.private import (
    AssetMaterializationPlannedData,
    make_new_run_id,
)
from smallcaps_assets.schemas import TABLES

JOB = "smallcaps_verify"
_PAGE = 1000


def lost_keys(instance: dg.DagsterInstance, lake: Lake, table: str) -> list[str]:
    """Partitions that Dagster has as materialized and that are not stored."""
    return sorted(known_keys(instance, table) - set(lake.keys(table)))


def unreported_keys(instance: dg.DagsterInstance, lake: Lake, table: str) -> list[str]:
    """Stored partitions whose newest event in Dagster has another seal, or none."""
    told = _seals(instance, table)
    return [key for key in lake.keys(table) if told.get(key) != lake.seal(table, key or None)]


def malformed_keys(instance: dg.DagsterInstance, table: str) -> list[str]:
    """Invalid dynamic partition keys of a table's definition, which somebody added."""
    definition = DYNAMIC.get(TABLES[table].partitioning)
    if definition is None or definition.name is None:
        return []
    keys = instance.get_dynamic_partitions(definition.name)
    return [key for key in keys if not is_key(TABLES[table], key)]


def remove_malformed(instance: dg.DagsterInstance, table: str) -> list[str]:
    """Remove those keys from their definition; returns them."""
    found = malformed_keys(instance, table)
    for key in found:
        instance.delete_dynamic_partition(DYNAMIC[TABLES[table].partitioning].name or "", key)
    return found


def report_lost(instance: dg.DagsterInstance, keys: Iterable[tuple[str, str]], reason: str) -> None:
    """Show partitions as failed until they are made again."""
    run = dg.DagsterRun(
        job_name=JOB,
        run_id=make_new_run_id(),
        status=dg.DagsterRunStatus.STARTED,
        tags={REASON_TAG: "smallcaps verify", **process_tag()},
    )
    beat(instance)
    instance.add_run(run)
    for table, key in keys:
        planned = AssetMaterializationPlannedData(dg.AssetKey(table), key or None)
        event = dg.DagsterEvent.build_asset_materialization_planned_event(JOB, table, planned)
        instance.report_dagster_event(event, run.run_id)
    instance.report_run_failed(run, reason)


def _seals(instance: dg.DagsterInstance, table: str) -> dict[str, str]:
    """The seals in the newest events of a table's partitions."""
    found: dict[str, str] = {}
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_materializations(dg.AssetKey(table), limit=_PAGE, cursor=cursor)
        for record in page.records:
            made = record.asset_materialization
            if made is not None and (made.partition or "") not in found:
                value = made.metadata.get("seal")
                found[made.partition or ""] = str(value.value) if value is not None else ""
        cursor, has_more = page.cursor, page.has_more
    return found
