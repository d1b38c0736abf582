"""A job per op, for runs that schedules and sensors request and for lists of keys in the launchpad.

Assets of one job must be partitioned alike. `keys` in a job's configuration take precedence over
the partition it is launched for, so that a run can make scattered partitions.
"""

from __future__ import annotations

import dagster as dg

from smallcaps_assets.defs.checks import TABLE_CHECKS
from smallcaps_assets.orchestration.launchers import job_name
from smallcaps_assets.schemas import OPS

REGISTRY = "registry"
DERIVED = ("ticker_sessions", "adjustment_factors")
_TABLES = {op.name: op.tables for op in OPS.values() if op.name not in DERIVED} | {
    REGISTRY: DERIVED
}
JOBS = {
    op: dg.define_asset_job(
        job_name(op),
        selection=dg.AssetSelection.assets(*tables),
        description=f"{', '.join(tables)}: partitions of a run, or `keys` in its configuration.",
    )
    for op, tables in _TABLES.items()
}
CHECKS_JOB = dg.define_asset_job(
    job_name("table_checks"),
    selection=dg.AssetSelection.checks(
        *(
            dg.AssetCheckKey(dg.AssetKey(table), name)
            for name, tables in TABLE_CHECKS.items()
            for table in tables
        )
    ),
    description="The checks of whole tables: coverage, freshness, and what is out of date.",
)
