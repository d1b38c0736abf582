"""Maintenance when an instance is opened for work: dead runs, old logs, pool limits.

Runs are never deleted: a deleted run takes its partitions' materializations with it. Ticks of
schedules and sensors are purged by Dagster itself, see the retention in dagster.yaml.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from smallcaps_assets.orchestration.heartbeats import dead_runs
from smallcaps_assets.orchestration.pools import apply_pools
from smallcaps_assets.settings import RunSettings

LOG_DAYS = 30


def maintain(instance: dg.DagsterInstance, settings: RunSettings) -> tuple[int, int]:
    """Pools, dead runs and old captured output. Returns how many runs ended and folders went."""
    apply_pools(instance, settings)
    return end_orphans(instance), purge_compute_logs(Path(instance.root_directory))


def end_orphans(instance: dg.DagsterInstance, pause: Callable[[float], object] = time.sleep) -> int:
    """Report runs whose process is gone as failed, wherever it was. Returns their number.

    Dagster would show them running for ever, and count them against the limits. A run that is only
    starting has no process yet: its tag is that of a run of which it is the repetition.
    """
    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    orphans = dead_runs(instance, instance.get_runs(begun), pause)
    for run in orphans:
        instance.report_run_failed(run, "the process that ran it is gone")
    return len(orphans)


def end_lost(instance: dg.DagsterInstance) -> int:
    """Report runs as failed whose launcher says that what was to begin them is lost.

    Dagster itself gives a run some time to begin, however many wait for a worker.
    """
    lost = getattr(instance.run_launcher, "lost_runs", list)()
    for run in lost:
        instance.report_run_failed(run, "it was lost on its way to a worker")
    return len(lost)


def purge_compute_logs(home: Path, now: float | None = None) -> int:
    """Remove captured output older than a month; events and runs stay. Returns the folders gone."""
    limit = (time.time() if now is None else now) - LOG_DAYS * 86_400
    old = [
        folder
        for folder in (home / "storage").glob("*/compute_logs")
        if folder.stat().st_mtime < limit
    ]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)
