"""The lake's own Dagster instance: runs, events and logs below `<lake>/dagster`."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import yaml

from smallcaps_assets.orchestration.workspace import Outcome, Workspace
from smallcaps_assets.schemas import TABLES

_CONFIG = {
    "storage": {
        "custom": {
            "module": "smallcaps_assets.orchestration.sqlite",
            "class": "SqliteStorage",
            "config": {"base_dir": {"env": "DAGSTER_HOME"}},
        }
    },
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "run_coordinator": {
        "module": "dagster._core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"max_concurrent_runs": 2},
    },
    "retention": {
        "schedule": {"purge_after_days": 90},
        "sensor": {"purge_after_days": {"skipped": 7, "success": 90, "failure": 90}},
    },
}
# The location's name is the one of the root's workspace.yaml: schedules, sensors and saved launches
# belong to it, and must be the same whichever way the lake is opened.
_WORKSPACE = {
    "load_from": [
        {
            "python_module": {
                "module_name": "smallcaps_assets.definitions",
                "location_name": "smallcaps_assets",
            }
        }
    ]
}


def instance_home(root: str | Path) -> Path:
    """The instance's folder, with its dagster.yaml, made if need be. The lake must be local."""
    home = Path(root).resolve() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    if not file.exists():
        file.write_text(yaml.safe_dump(_CONFIG, sort_keys=True), encoding="utf-8")
    return home


def workspace_file(home: Path) -> Path:
    """The workspace.yaml beside an instance's dagster.yaml, for `dagster dev` from any folder."""
    file = home / "workspace.yaml"
    file.write_text(yaml.safe_dump(_WORKSPACE, sort_keys=True), encoding="utf-8")
    return file


def open_instance(root: str | Path) -> dg.DagsterInstance:
    """The instance of a lake. Sets DAGSTER_HOME, which child processes of Dagster read."""
    home = instance_home(root)
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


def known_keys(instance: dg.DagsterInstance, table: str) -> set[str]:
    """Partition keys that Dagster holds for materialized; `{''}` for a whole table."""
    key = dg.AssetKey(table)
    if TABLES[table].partitioning == "none":
        return {""} if instance.get_latest_materialization_event(key) else set()
    return set(instance.get_materialized_partitions(key))


def report_unknown(instance: dg.DagsterInstance, work: Workspace) -> list[Outcome]:
    """Tell Dagster of complete partitions on disk that it doesn't know, and return them.

    They come from a process killed between the write and the event; they are not made again.
    """
    from smallcaps_assets.orchestration.describe import event_metadata

    found = [
        work.reuse(table, key or None)
        for table in TABLES
        for key in sorted(set(work.lake.keys(table)) - known_keys(instance, table))
        if work.is_complete(table, key or None)
    ]
    for outcome in found:
        event = dg.AssetMaterialization(
            asset_key=outcome.table, partition=outcome.key, metadata=event_metadata(outcome)
        )
        instance.report_runless_asset_event(event)
    return found
