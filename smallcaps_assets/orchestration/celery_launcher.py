"""Runs as tasks of Celery workers, which are asked whether they still work on them.

Dagster's own launcher goes by the results that workers store: one that is killed stores none, and
its runs hold their pool for ever. Here the worker is asked. Where it gives no answer, the run's
heartbeat decides, so that neither a broker that is away nor a network that is cut ends a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import redis
from celery.exceptions import OperationalError
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import ChannelError

from smallcaps_assets.orchestration.fleet import CODE_TAG, WORKER_TAG, digest_here, seen_twice
from smallcaps_assets.orchestration.heartbeats import BEAT, Silence
from smallcaps_assets.orchestration.storage.private import (
    CheckRunHealthResult,
    LaunchRunContext,
    WorkerStatus,
)

ANSWER_SECONDS = 2.0
STILL_SECONDS = 3 * BEAT
"""So long without an answer or a heartbeat, and a run's worker is gone."""
_AWAY = (OperationalError, OSError, redis.RedisError)
APP = {
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {"health_check_interval": 10, "socket_keepalive": True},
    "task_acks_late": False,  # a task that is done again by itself would be made twice
    "task_ignore_result": True,
    # For a minute, the time that a broker takes to be started again.
    "task_publish_retry_policy": {"max_retries": 30, "interval_start": 1, "interval_max": 2},
    "worker_disable_prefetch": True,  # a task that a dead worker held back would wait for ever
    "worker_concurrency": 1,
    "worker_max_tasks_per_child": 1,  # a process for each run, as Dagster's own launcher has
    "worker_send_task_events": False,
}


class PingingLauncher(CeleryRunLauncher):
    """Dagster's Celery launcher; a run's task has the run's id."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.celery.conf.update(APP)
        self._silence = Silence()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand a run to the broker, with the code and settings that it is for."""
        self._instance.add_run_tags(context.dagster_run.run_id, {CODE_TAG: digest_here()})
        self.celery.tasks.pop(TASK_EXECUTE_JOB_NAME, None)  # it is declared anew for each run
        super().launch_run(context)

    def _launch_celery_task_run(
        self, run: dg.DagsterRun, task_signature: Any, routing_key: str
    ) -> None:
        self._instance.add_run_tags(run.run_id, {DAGSTER_CELERY_TASK_ID_TAG: run.run_id})
        named = task_signature.set(task_id=run.run_id)
        super()._launch_celery_task_run(run, named, routing_key)

    def terminate(self, run_id: str) -> bool:
        """Ask a run's worker to stop it."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        self.celery.control.revoke(run_id, terminate=True)
        return True

    @property
    def supports_resume_run(self) -> bool:
        """A run is retried from what it has stored, and not resumed."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the worker of a started run still works on it."""
        lives = CheckRunHealthResult(WorkerStatus.RUNNING)
        worker = run.tags.get(WORKER_TAG)
        if worker is None:
            return lives  # started by a command in its own process, which has a heartbeat
        try:
            answers = self._ask([run.run_id], [worker])
        except _AWAY:
            return lives  # the broker is away
        if worker in answers and run.run_id not in answers[worker]:
            return self._gone(run, f"worker {worker} does not work on it any more")
        if worker not in answers and self._silence.lasts(self._instance, run, STILL_SECONDS):
            return self._gone(run, f"worker {worker} gives no answer and no heartbeat")
        if worker in answers:
            self._silence.forget(run)
        return lives

    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """Which worker had a run."""
        return f"worker: {run.tags.get(WORKER_TAG, 'none yet')}"

    def lost_runs(self, pause: Callable[[float], object] = time.sleep) -> list[dg.DagsterRun]:
        """Runs that wait for a worker, and whose task is neither in the broker nor with a worker.

        A broker that is started again may have lost what was in it.
        """
        return seen_twice(self._without_task, pause)

    def _without_task(self) -> list[dg.DagsterRun]:
        waiting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])
        runs = [
            run
            for run in self._instance.get_runs(waiting)
            if DAGSTER_CELERY_TASK_ID_TAG in run.tags
        ]
        try:
            if not runs or self._queued():
                return []
            answers = self._ask([run.run_id for run in runs])
        except _AWAY:
            return []
        taken = {task for tasks in answers.values() for task in tasks}
        return [run for run in runs if run.run_id not in taken]

    def _ask(self, tasks: list[str], workers: list[str] | None = None) -> dict[str, Any]:
        """What workers know of some tasks, by worker; those that are asked for, or all."""
        asked = self.celery.control.inspect(destination=workers, timeout=ANSWER_SECONDS)
        return asked.query_task(*tasks) or {}

    def _queued(self) -> int:
        """How many tasks wait in the broker."""
        with self.celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=ANSWER_SECONDS)
            channel = connection.default_channel
            try:
                found = channel.queue_declare(self.default_queue, passive=True)
            except ChannelError:
                return 0  # Redis has no empty lists
            return found.message_count

    def _gone(self, run: dg.DagsterRun, reason: str) -> CheckRunHealthResult:
        self._silence.forget(run)
        return CheckRunHealthResult(WorkerStatus.FAILED, reason)
