"""Names under which Dagster keeps states, cursors and events, and which users' scripts know.

python -m smallcaps_assets_tests.golden.names     # writes the golden file anew
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.settings import Settings

NAMES_FILE = Path(__file__).with_name("names.json")


def names() -> dict[str, Any]:
    """Ops with their pools, jobs, schedules, sensors, checks; keys of tags and metadata."""
    definitions = build_definitions(Settings())
    repository = definitions.get_repository_def()
    ops = {assets.op.name: assets.op.pool for assets in _assets(repository)}
    checks = definitions.resolve_asset_graph().asset_check_keys
    specs = list(definitions.resolve_all_asset_specs())
    return {
        "ops": dict(sorted(ops.items())),
        "jobs": sorted(job.name for job in repository.get_all_jobs()),
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
        "checks": sorted(f"{key.asset_key.to_user_string()} {key.name}" for key in checks),
        "tags": sorted({tag for spec in specs for tag in spec.tags}),
        "metadata": sorted({name for spec in specs for name in spec.metadata}),
    }


def _assets(repository: dg.RepositoryDefinition) -> list[dg.AssetsDefinition]:
    return list(repository.assets_defs_by_key.values())


if __name__ == "__main__":
    NAMES_FILE.write_text(json.dumps(names(), indent=1) + "\n", encoding="utf-8")
