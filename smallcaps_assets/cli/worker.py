"""`smallcaps worker`: checks, and then this process is a Celery worker on a lake.

With `--run` it works on one run that has been launched for it, as a Kubernetes pod, and ends.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys

from smallcaps_assets import interrupts
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.setup import (
    UserError,
    check_launcher,
    overrides_of,
    ready_lake,
    settings_of,
)
from smallcaps_assets.orchestration.location import hand_over

_APP = "smallcaps_assets.orchestration.celery_worker"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


def run_worker(options: LakeOptions, name: str | None, run: str | None) -> int:
    """Check the request and become the worker; returns from one run, or if something is wrong."""
    if run is not None:
        return _work_on(run, options)
    settings = settings_of(options)
    if settings.run.launcher != "celery":
        raise UserError(
            "workers take runs where run.launcher is celery; give --set run.launcher=celery here"
            " and where the lake is served"
        )
    called = name or f"{socket.gethostname()}-{os.getpid()}"
    if not _NAME.fullmatch(called):
        raise UserError(f"--name {called!r}: use letters, digits, points, - and _")
    check_launcher(settings)

    from smallcaps_assets.orchestration.fleet import check_worker, digest_of
    from smallcaps_assets.orchestration.instance import choose_launcher, open_instance

    choose_launcher(settings.lake.local, settings.run)
    with open_instance(settings.lake.local) as instance:
        check_worker(instance, digest_of(settings))
        home = instance.root_directory
    ready_lake(settings)  # which then remembers these settings
    environment = {
        **os.environ,
        "DAGSTER_HOME": home,
        **hand_over(overrides_of(options), options.config, settings.lake),
    }
    celery = ["-m", "celery", "--app", _APP, "worker", "--hostname", f"smallcaps@{called}"]
    quiet = ["--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    sys.stdout.flush()
    # A process of its own: each run is a fork of it, and here are threads and connections.
    os.execve(sys.executable, [sys.executable, *celery, *quiet, "--queues", "dagster"], environment)


def _work_on(run: str, options: LakeOptions) -> int:
    """Work on a run that waits for this process; that it failed is in the history and not told."""
    settings = settings_of(options)

    from smallcaps_assets.orchestration.fleet import take_run
    from smallcaps_assets.orchestration.heartbeats import start_beating
    from smallcaps_assets.orchestration.instance import choose_launcher, open_instance
    from smallcaps_assets.orchestration.storage.launched import (
        capture_interrupts,
        execute_launched_run,
    )

    os.environ.update(hand_over(overrides_of(options), options.config, settings.lake))
    choose_launcher(settings.lake.local, settings.run)
    with open_instance(settings.lake.local) as instance:
        if not take_run(instance, run, socket.gethostname()):
            raise UserError(
                f"run {run} does not wait for a worker in this lake's history; is it over, or are"
                " the lake and DAGSTER_POSTGRES_URL others here than where it is served?"
            )
        start_beating(instance)
        interrupts.hand_over(signal.default_int_handler)
        with capture_interrupts():
            return execute_launched_run(run, instance, lambda _: None, False)
