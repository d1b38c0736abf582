"""`smallcaps worker`: checks, and then this process is a Celery worker on a lake."""

from __future__ import annotations

import os
import re
import socket
import sys

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


def run_worker(options: LakeOptions, name: str | None) -> int:
    """Check the request and become the worker; returns only when something is wrong."""
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
    ready_lake(settings)

    from smallcaps_assets.orchestration.fleet import check_worker, digest_of
    from smallcaps_assets.orchestration.instance import choose_launcher, open_instance

    choose_launcher(settings.lake.local, settings.run)
    with open_instance(settings.lake.local) as instance:
        check_worker(instance, digest_of(settings))
        home = instance.root_directory
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
