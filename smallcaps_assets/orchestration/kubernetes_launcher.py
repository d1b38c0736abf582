"""Runs as Kubernetes Jobs, one pod each, whose heartbeats count where the cluster knows nothing.

Dagster's own launcher takes a run for dead when the API server does not answer, and for alive while
the cluster has not noticed that a node is gone. Here the run's heartbeat decides both. The pod is
given the run's id alone: its settings are a ConfigMap's and its secrets a Secret's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster_k8s.job import get_job_name_from_run_id
from dagster_k8s.launcher import K8sRunLauncher
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from smallcaps_assets.orchestration.fleet import CODE_TAG, WORKER_TAG, digest_here, seen_twice
from smallcaps_assets.orchestration.heartbeats import BEAT, Silence
from smallcaps_assets.orchestration.storage.private import (
    CheckRunHealthResult,
    LaunchRunContext,
    WorkerStatus,
)

ANSWER_SECONDS = 5.0
STILL_SECONDS = 3 * BEAT
"""So long without a heartbeat where the cluster knows of no pod or does not answer: it is gone."""
LOST_NODE_SECONDS = 10 * BEAT
"""The same where the cluster takes the pod for alive, as that of a lost node for some minutes."""


class PodLauncher(K8sRunLauncher):
    """Dagster's Kubernetes launcher; a run's Job has a name with the run's id."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._silence = Silence()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Create a run's Job, with the code and settings that it is for noted in the run."""
        run = context.dagster_run
        name = get_job_name_from_run_id(run.run_id)
        self._instance.add_run_tags(run.run_id, {CODE_TAG: digest_here(), WORKER_TAG: name})
        self._launch_k8s_job_with_args(name, ["worker", "--run", run.run_id], run)

    @property
    def supports_resume_run(self) -> bool:
        """A run is retried from what it has stored, and not resumed."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the pod of a started run still works on it."""
        if WORKER_TAG not in run.tags:  # of a command in its own process, which has a heartbeat
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        found = self._state(run)
        if found.status is WorkerStatus.FAILED:
            self._silence.forget(run)
            return found
        is_running = found.status is WorkerStatus.RUNNING
        seconds = LOST_NODE_SECONDS if is_running else STILL_SECONDS
        if not self._silence.lasts(self._instance, run, seconds):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        self._silence.forget(run)
        reason = f"{found.msg or 'its node is lost'}, and its heartbeat stands still"
        return CheckRunHealthResult(WorkerStatus.FAILED, reason)

    def lost_runs(self, pause: Callable[[float], object] = time.sleep) -> list[dg.DagsterRun]:
        """Runs that have not begun and whose Job is gone, or has ended without beginning them."""
        return seen_twice(self._without_pod, pause)

    def _without_pod(self) -> list[dg.DagsterRun]:
        waiting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])
        runs = [run for run in self._instance.get_runs(waiting) if WORKER_TAG in run.tags]
        gone = (WorkerStatus.NOT_FOUND, WorkerStatus.FAILED)
        return [run for run in runs if self._state(run).status in gone]

    def _state(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """What the cluster says of a run's Job, once."""
        name = get_job_name_from_run_id(run.run_id)
        jobs: Any = self._api_client.batch_api
        try:
            status = jobs.read_namespaced_job_status(
                name, self.job_namespace, _request_timeout=ANSWER_SECONDS
            ).status
        except ApiException as error:
            if error.status == 404:
                return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"Job {name} is gone")
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, f"the cluster says {error.reason}")
        except (HTTPError, OSError):
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "the cluster does not answer")
        if not status.active and (status.failed or status.succeeded):
            return CheckRunHealthResult(WorkerStatus.FAILED, f"the pod of Job {name} has ended")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
