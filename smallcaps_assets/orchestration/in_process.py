"""A command's own runs: in its process, but under the code location that the web server loads.

`JobDefinition.execute_in_process` makes runs of no code location, from a changed copy of the job:
the web server leaves them out of its overview, and warns before it runs one again. Here a run is
created as the web server creates its own, and executed where it is. Of Dagster's private modules
(1.13.27) that takes the run's origin, and `execute_run` for a job that no other process loads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from smallcaps_assets.orchestration.instance import LOCATION, MODULE
from smallcaps_assets.orchestration.storage.private import (
    InMemoryJob,
    ModuleCodePointer,
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    RepositoryPythonOrigin,
    execute_run,
)


def run_assets(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    tables: Iterable[str],
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dg.JobExecutionResult:
    """Materialize some tables in this process; a failed step is in the result and not raised."""
    run = create_run(definitions, instance, tables, run_config, tags)
    job = definitions.get_repository_def().get_implicit_global_asset_job_def()
    return execute_run(InMemoryJob(job), run, instance)


def create_run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    tables: Iterable[str],
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dg.DagsterRun:
    """A run of some tables that has not begun; a worker finds its job in the installed package."""
    repository = definitions.get_repository_def()
    job = repository.get_implicit_global_asset_job_def()
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), repository.name)
    code = RepositoryPythonOrigin(sys.executable, ModuleCodePointer(MODULE, "defs"))
    return instance.create_run_for_job(
        job,
        run_config=run_config,
        tags=tags,
        asset_selection={dg.AssetKey(table) for table in tables},
        remote_job_origin=RemoteJobOrigin(origin, job.name),
        job_code_origin=code.get_job_origin(job.name),
    )
