"""The sensor that keeps an instance in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from smallcaps_assets.defs.common import Location
from smallcaps_assets.defs.sensors import upkeep
from smallcaps_assets.orchestration.heartbeats import PROCESS_TAG, process_tag
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.orchestration.partitions import Partitions
from smallcaps_assets.settings import Settings


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(tmp_path) as found:
        yield found


def dead_run(instance: dg.DagsterInstance) -> str:
    """A run of a process of this place that is gone."""

    @dg.job
    def nothing() -> None: ...

    place = process_tag()[PROCESS_TAG].partition("@")[2]
    tags = {PROCESS_TAG: f"{os.getpid()}.1@{place}"}  # this number, at another time
    status = dg.DagsterRunStatus.STARTED
    return instance.create_run_for_job(nothing, tags=tags, status=status).run_id


def old_output(instance: dg.DagsterInstance) -> Path:
    folder = Path(instance.root_directory) / "storage" / "gone" / "compute_logs"
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    return folder


def test_upkeep_ends_dead_runs_at_every_look_and_maintains_once_a_day(
    instance: dg.DagsterInstance,
) -> None:
    settings = Settings()
    sensor = upkeep(Location(settings, Partitions.of_market(settings)))
    assert (sensor.minimum_interval_seconds or 0) <= 15
    cursor = None
    for is_first in (True, False):
        run, output = dead_run(instance), old_output(instance)
        context = dg.build_sensor_context(instance, cursor=cursor)
        told = sensor(context)
        assert isinstance(told, dg.SkipReason)
        assert str(told.skip_message).startswith("1 dead runs ended")
        ended = instance.get_run_by_id(run)
        assert ended is not None and ended.status is dg.DagsterRunStatus.FAILURE
        assert output.exists() != is_first
        cursor = context.cursor
