"""A command's runs on Dagster's queue, from which a daemon hands them to the run launcher.

A run is created as a command's own runs are, and queued. Then the command follows its events, so
that it can show what has been made, wherever that was. Which runs go side by side is the queue's
business: its pools, and how many runs may be in progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from smallcaps_assets.lake import Written
from smallcaps_assets.orchestration.automation import is_daemon_alive
from smallcaps_assets.pipeline.outcome import Observer, Outcome
from smallcaps_assets.settings import SettingsError

LOOK_SECONDS = 0.5
PATIENCE = 120.0
"""Seconds without a daemon, or until a promised repetition comes."""
_PAGE = 500
_WILL_RETRY, _PARENT = "dagster/will_retry", "dagster/parent_run_id"


@dataclass
class Queued:
    """A run on the queue, as far as its events have been read, and what it has made.

    What Dagster launches in its place takes its place here.
    """

    run: dg.DagsterRun
    made: dict[tuple[str, str | None], Outcome] = field(default_factory=dict)
    failure: str = ""
    cursor: str | None = None
    finished_at: float | None = None


def check_daemon(instance: dg.DagsterInstance) -> None:
    """Raises SettingsError when no daemon takes runs from the queue."""
    if not is_daemon_alive(instance):
        raise SettingsError(
            "no daemon takes runs from the queue of this lake; start `smallcaps ui` on it, or leave"
            " --queue out"
        )


def enqueue(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Put a run that was created on the queue."""
    instance.report_dagster_event(dg.DagsterEvent.job_enqueue(run), run_id=run.run_id)


def follow(
    instance: dg.DagsterInstance,
    run_ids: Iterable[str],
    observe: Observer,
    pause: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[Queued]:
    """Wait until some runs, and what Dagster launches in their place, have ended; in their order.

    `observe` is told of each partition as its event is read. Raises SettingsError when runs are
    left in the queue without a daemon.
    """
    followed = [Queued(_run(instance, run_id)) for run_id in run_ids]
    waiting, heard = [*followed], clock()
    while waiting:
        for queued in [*waiting]:
            _read(instance, queued, observe)
            if queued.run.is_finished and _is_over(instance, queued, clock()):
                waiting.remove(queued)
        if is_daemon_alive(instance) or not any(map(_is_in_queue, waiting)):
            heard = clock()
        elif clock() - heard > PATIENCE:
            check_daemon(instance)
        if waiting:
            pause(LOOK_SECONDS)
    return followed


def withdraw(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> int:
    """Take runs that have not begun off the queue; returns how many others go on."""
    going_on = 0
    for run in (_run(instance, run_id) for run_id in run_ids):
        if run.status is dg.DagsterRunStatus.QUEUED:
            instance.report_run_canceled(run, "the command that asked for it was ended")
        else:
            going_on += not run.is_finished
    return going_on


def _read(instance: dg.DagsterInstance, queued: Queued, observe: Observer) -> None:
    """What has happened since the last look. The state first: no event comes after the last."""
    queued.run = _run(instance, queued.run.run_id)
    kinds = {
        dg.DagsterEventType.ASSET_MATERIALIZATION,
        dg.DagsterEventType.STEP_FAILURE,
        dg.DagsterEventType.RUN_FAILURE,
    }
    has_more = True
    while has_more:
        page = instance.get_records_for_run(queued.run.run_id, queued.cursor, kinds, _PAGE)
        for record in page.records:
            told = record.asset_materialization
            if told is not None:
                outcome = _outcome(told)
                queued.made[outcome.table, outcome.key] = outcome
                observe(outcome)
            else:
                queued.failure = queued.failure or _reason(record.event_log_entry)
        queued.cursor, has_more = page.cursor, page.has_more


def _outcome(made: dg.AssetMaterialization) -> Outcome:
    """What a materialization tells of a partition."""
    told: dict[str, Any] = {name: value.value for name, value in made.metadata.items()}
    table, key = made.asset_key.to_user_string(), made.partition
    rows, size = (int(told.get(name, 0)) for name in ("dagster/row_count", "bytes"))
    written = Written(table, key, rows, size, str(told.get("path")), str(told.get("seal")))
    return Outcome(table, key, float(told.get("seconds", 0.0)), written)


def _reason(entry: dg.EventLogEntry) -> str:
    """Why a step, or a run, failed; the innermost error."""
    event = entry.dagster_event
    error = getattr(event and event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message if error is not None else (event and event.message) or entry.user_message
    return " ".join(text.split())


def _is_over(instance: dg.DagsterInstance, queued: Queued, now: float) -> bool:
    """Whether nothing follows a finished run; what does takes its place.

    Whether a failed run is repeated is noted some time after it is noted as failed.
    """
    is_decided = _WILL_RETRY in queued.run.tags or not instance.run_retries_enabled
    is_failed = queued.run.status is dg.DagsterRunStatus.FAILURE
    if not is_failed or (is_decided and queued.run.tags.get(_WILL_RETRY) != "true"):
        return True
    queued.finished_at = queued.finished_at or now
    repeated = instance.get_runs(dg.RunsFilter(tags={_PARENT: queued.run.run_id}), limit=1)
    if not repeated:
        return now - queued.finished_at > PATIENCE
    queued.run, queued.cursor, queued.failure, queued.finished_at = repeated[0], None, "", None
    return False


def _is_in_queue(queued: Queued) -> bool:
    return queued.run.status is dg.DagsterRunStatus.QUEUED


def _run(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    if run is None:
        raise SettingsError(f"run {run_id} was deleted while it was followed; run again")
    return run
