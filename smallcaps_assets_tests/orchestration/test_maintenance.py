"""Limits of pools, runs of dead processes, old logs."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from smallcaps_assets.orchestration import heartbeats
from smallcaps_assets.orchestration.heartbeats import (
    PROCESS_TAG,
    process_tag,
    start_beating,
    stop_beating,
)
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.orchestration.maintenance import end_orphans, purge_compute_logs
from smallcaps_assets.orchestration.pools import apply_pools
from smallcaps_assets.orchestration.reconcile import report_lost
from smallcaps_assets.settings import RunSettings


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(tmp_path) as found:
        yield found


def limits(instance: dg.DagsterInstance) -> dict[str, int]:
    return {p.name: p.limit for p in instance.event_log_storage.get_pool_limits() if p.limit}


def test_apply_pools_sets_the_limits_and_sets_back_what_was_changed(instance: dg.DagsterInstance):
    apply_pools(instance, RunSettings())
    assert limits(instance) == {"vendor": 1, "ticks": 1}
    instance.event_log_storage.set_concurrency_slots("ticks", 9)
    apply_pools(instance, RunSettings(tick_runs=4))
    assert limits(instance) == {"vendor": 1, "ticks": 4}


def run_of(
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED,
) -> str:
    """A run that has begun and not ended."""

    @dg.job
    def nothing() -> None: ...

    run = instance.create_run_for_job(nothing, tags=tags, status=status)
    return run.run_id


def test_end_orphans_ends_only_runs_whose_process_is_gone(instance: dg.DagsterInstance):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    host = process_tag()[PROCESS_TAG].partition("@")[2]
    of_gone = {PROCESS_TAG: f"{gone}@{host}"}
    dead = run_of(instance, of_gone)
    # Run again from the web server, with the tags of the first time, and waiting for its process.
    starting = run_of(instance, of_gone, dg.DagsterRunStatus.STARTING)
    others = [
        run_of(instance, process_tag()),
        run_of(instance, {PROCESS_TAG: f"{gone}@elsewhere"}),
        run_of(instance, {}),
    ]
    assert end_orphans(instance) == 1
    assert end_orphans(instance) == 0
    statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses[dead] is dg.DagsterRunStatus.FAILURE
    assert all(statuses[run] is dg.DagsterRunStatus.STARTED for run in others)
    assert statuses[starting] is dg.DagsterRunStatus.STARTING


def tag_of(place: str, number: int = 1) -> dict[str, str]:
    """The tag of a process elsewhere; the first of a container has the number 1, as has ours."""
    return {PROCESS_TAG: f"{number}.77@{place}"}


def heard_of(instance: dg.DagsterInstance, tags: dict[str, str], moment: float) -> None:
    """A heartbeat of a process elsewhere, by its own clock."""
    key = f"smallcaps/heartbeat/{tags[PROCESS_TAG]}"
    instance.daemon_cursor_storage.set_cursor_values({key: repr(moment)})


def test_process_elsewhere_is_dead_once_its_heart_stands_still(instance: dg.DagsterInstance):
    now = time.time()
    moments = {"fresh": now, "ahead": now + 9_000, "behind": now - 9_000, "dead": now - 9_000}
    runs = {name: run_of(instance, tag_of(name)) for name in moments}
    for name, moment in moments.items():
        heard_of(instance, tag_of(name), moment)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        for name in ("ahead", "behind"):  # clocks that are wrong, of processes that live
            heard_of(instance, tag_of(name), moments[name] + seconds)

    assert end_orphans(instance, pause) == 1
    assert waited == [2 * heartbeats.BEAT + 1]
    found = {run.run_id: run.status for run in instance.get_runs()}
    ended = [name for name in moments if found[runs[name]] is dg.DagsterRunStatus.FAILURE]
    assert ended == ["dead"]


def test_process_with_a_living_number_that_started_at_another_time_is_dead(
    instance: dg.DagsterInstance,
):
    number, _, place = process_tag()[PROCESS_TAG].partition("@")
    pid = number.partition(".")[0]
    run_of(instance, {PROCESS_TAG: f"{pid}.77@{place}"})  # as pid 1 of a container that came back
    alive = run_of(instance, process_tag())
    assert end_orphans(instance) == 1
    assert instance.get_run_by_id(alive).status is dg.DagsterRunStatus.STARTED  # type: ignore


def test_heart_beats_until_it_is_stopped(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(heartbeats, "BEAT", 0.01)
    key = f"smallcaps/heartbeat/{process_tag()[PROCESS_TAG]}"

    def heard() -> str | None:
        return instance.daemon_cursor_storage.get_cursor_values({key}).get(key)

    others = threading.enumerate()  # of instances of other tests
    start_beating(instance)
    start_beating(instance)
    first = heard()
    end = time.monotonic() + 30
    while heard() == first and time.monotonic() < end:
        time.sleep(0.01)
    assert first is not None and heard() != first
    stop_beating(instance)
    for thread in threading.enumerate():
        if thread.name == "heartbeat" and thread not in others:
            thread.join(30)
    last = heard()
    time.sleep(0.05)
    assert heard() == last


def test_marking_of_lost_files_that_is_killed_is_ended_by_the_next_start(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    def killed() -> Iterator[tuple[str, str]]:
        yield "daily_bars", "2024-12-09"
        raise SystemExit

    def gone(number: int, signal: int) -> None:
        raise ProcessLookupError

    with pytest.raises(SystemExit):
        report_lost(instance, killed(), "one was lost")
    assert end_orphans(instance) == 0
    monkeypatch.setattr(os, "kill", gone)
    assert end_orphans(instance) == 1
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def test_purge_compute_logs_leaves_new_ones_and_everything_else(tmp_path: Path):
    for name in ("old", "new"):
        folder = tmp_path / "storage" / name / "compute_logs"
        folder.mkdir(parents=True)
        (folder.parent / "kept").write_text("kept")
    os.utime(tmp_path / "storage" / "old" / "compute_logs", (0, 0))
    assert purge_compute_logs(tmp_path) == 1
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert "storage/old/kept" in left and "storage/new/compute_logs" in left
    assert "storage/old/compute_logs" not in left
