"""What a Celery worker runs: `celery --app smallcaps_assets.orchestration.celery_worker worker`.

`smallcaps worker` starts it in the right environment. The process that takes tasks imports as
little as possible, because each run is a fork of it.
"""

from __future__ import annotations

import os
from typing import Any

import dagster as dg
from celery import Celery, Task
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from smallcaps_assets.orchestration.celery_launcher import APP
from smallcaps_assets.orchestration.fleet import CODE_TAG, WORKER_TAG, difference, digest_here
from smallcaps_assets.orchestration.heartbeats import process_tag
from smallcaps_assets.settings import BROKER_VARIABLE


class RunTask(Task):
    """A run; one that was ended meanwhile, or is for other code or settings, is not begun."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Execute the run."""
        run_id, worker = str(self.request.id), str(self.request.hostname)
        with dg.DagsterInstance.get() as instance:
            run = instance.get_run_by_id(run_id)
            if run is None or run.status is not dg.DagsterRunStatus.STARTING:
                return None
            own = digest_here()
            told = difference(run.tags.get(CODE_TAG, own), own)
            if told:
                reason = f"refused by worker {worker}, which is of others: the run is for {told}"
                instance.report_run_failed(run, reason)
                self.app.control.shutdown(destination=[worker])
                return None
            instance.add_run_tags(run_id, {WORKER_TAG: worker, **process_tag()})
        return super().__call__(*arguments, **options)


def worker_app(broker: str) -> Celery:
    """The application of the workers at a broker."""
    made = make_app({"broker": broker, "backend": "disabled://"})
    made.conf.update(APP)
    create_execute_job_task(made, base=RunTask)  # type: ignore[arg-type] - of the task decorator
    return made


app = worker_app(os.environ.get(BROKER_VARIABLE, ""))
