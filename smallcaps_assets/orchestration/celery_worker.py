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
from smallcaps_assets.orchestration.fleet import take_run
from smallcaps_assets.settings import BROKER_VARIABLE, SettingsError


class RunTask(Task):
    """A run; one that was ended meanwhile, or is for other code or settings, is not begun."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Execute the run."""
        run_id, worker = str(self.request.id), str(self.request.hostname)
        with dg.DagsterInstance.get() as instance:
            try:
                if not take_run(instance, run_id, worker):
                    return None
            except SettingsError:
                self.app.control.shutdown(destination=[worker])
                return None
        return super().__call__(*arguments, **options)


def worker_app(broker: str) -> Celery:
    """The application of the workers at a broker."""
    made = make_app({"broker": broker, "backend": "disabled://"})
    made.conf.update(APP)
    create_execute_job_task(made, base=RunTask)  # type: ignore[arg-type] - of the task decorator
    return made


app = worker_app(os.environ.get(BROKER_VARIABLE, ""))
