"""Runs on other machines: what they need, and whether a worker is of the same code and settings.

The clients of Celery and Kubernetes are imported only to ask whether somebody answers: a machine
that only looks at a lake need not have them.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import yaml

import smallcaps_assets
from smallcaps_assets.orchestration.heartbeats import BEAT, process_tag
from smallcaps_assets.orchestration.instance import cluster_access
from smallcaps_assets.orchestration.location import handed_over, location_settings
from smallcaps_assets.settings import (
    BROKER_VARIABLE,
    POSTGRES_VARIABLE,
    Settings,
    SettingsError,
)

CODE_TAG = "smallcaps/code_and_settings"
"""Which code and settings a run is for."""
WORKER_TAG = "smallcaps/worker"
"""Which Celery worker has taken a run, or which Kubernetes Job is its own."""
_SERVED = "smallcaps/served"
_OF_A_MACHINE = ("lake", "run", "desk")
_CLIENTS = {"celery": ("dagster_celery", "redis"), "kubernetes": ("dagster_k8s",)}
_SOURCES = {".py", ".csv", ".html", ".css", ".txt"}
_ANSWER_SECONDS = 5.0
_BAD_ACCESS = "its address or token is malformed"
_FORM = "redis://:PASSWORD@HOST:PORT/NUMBER"


def check_fleet(settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse what workers on other machines can't work with. Raises SettingsError.

    Everything is checked here, up to an answer of who carries the runs, before anything is written.
    """
    if "://" not in settings.lake.root:
        raise SettingsError(
            f"lake {settings.lake.root} is on a disk of this machine, which workers on others don't"
            " see: keep it in an object store (--lake s3://BUCKET/PREFIX), or set"
            " run.launcher=in_process"
        )
    if not environment.get(POSTGRES_VARIABLE):
        raise SettingsError(
            f"workers share Dagster's history, which takes PostgreSQL: set {POSTGRES_VARIABLE} to"
            " postgresql+psycopg2://USER:PASSWORD@HOST:PORT/DATABASE, or run.launcher=in_process"
        )
    launcher = settings.run.launcher
    if any(find_spec(name) is None for name in _CLIENTS[launcher]):
        raise SettingsError(f"run.launcher={launcher}: install smallcaps-assets[{launcher}]")
    if launcher == "celery":
        _check_broker(environment.get(BROKER_VARIABLE, ""))
    else:
        _check_cluster(settings.run.namespace, environment)


def _check_broker(address: str) -> None:
    """Ask the broker for an answer; its address, which may hold a password, is never told."""
    parts = urlsplit(address)
    try:
        is_good = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        found = "is no address of a Redis server" if address else "is not set"
        raise SettingsError(f"{BROKER_VARIABLE} {found}; write it as {_FORM}")
    import redis

    limits = {"socket_connect_timeout": _ANSWER_SECONDS, "socket_timeout": _ANSWER_SECONDS}
    try:
        with redis.Redis.from_url(address, **limits) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        reason = " ".join(str(error).replace(address, "***").split())
        raise SettingsError(
            f"no broker answers at {parts.hostname}:{parts.port or 6379}: {reason}; is Redis up,"
            f" and {BROKER_VARIABLE} its address?"
        ) from None


def _check_cluster(namespace: str, environment: Mapping[str, str]) -> None:
    """Ask the API server for the namespace's Jobs; what it is asked with is never told."""
    from dagster_k8s.utils import load_kubernetes_config
    from kubernetes import client, config
    from urllib3.exceptions import HTTPError

    quoting = (ValueError, yaml.YAMLError)  # what they refuse, which may be a token
    try:
        load_kubernetes_config(**cluster_access(environment))
    except (config.ConfigException, OSError, *quoting) as error:
        reason = _BAD_ACCESS if isinstance(error, quoting) else " ".join(str(error).split())
        raise SettingsError(
            f"no Kubernetes cluster is named: {reason}; set KUBECONFIG to a file that names one, or"
            " start this inside of one"
        ) from None
    found: Any = client.Configuration.get_default_copy()
    found.retries = 0
    try:
        with client.ApiClient(found) as opened:
            asked = client.BatchV1Api(opened)
            asked.list_namespaced_job(namespace, limit=1, _request_timeout=_ANSWER_SECONDS)
    except (client.ApiException, HTTPError, OSError, ValueError) as error:
        told = _BAD_ACCESS if isinstance(error, quoting) else getattr(error, "reason", "") or error
        reason = " ".join(str(told).split())
        raise SettingsError(
            f"the Kubernetes API at {found.host} lists no Jobs of namespace {namespace}: {reason};"
            " is the cluster up, KUBECONFIG of it, and deploy/kubernetes/access.yaml applied?"
        ) from None


def take_run(instance: dg.DagsterInstance, run_id: str, worker: str) -> bool:
    """Tag a run that waits for a worker with this one; False where it doesn't wait any more.

    Raises SettingsError for a run of other code or settings, which is reported as failed.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.status is not dg.DagsterRunStatus.STARTING:
        return False
    own = digest_here()
    if told := difference(run.tags.get(CODE_TAG, own), own):
        reason = f"refused by worker {worker}, which is of others: the run is for {told}"
        instance.report_run_failed(run, reason)
        raise SettingsError(reason)
    instance.add_run_tags(run_id, {WORKER_TAG: worker, **process_tag()})
    return True


def seen_twice(
    look: Callable[[], list[dg.DagsterRun]], pause: Callable[[float], object] = time.sleep
) -> list[dg.DagsterRun]:
    """The runs that two looks find, two heartbeats apart: what was only on its way has come."""
    first = look()
    if not first:
        return []
    pause(2 * BEAT)
    again = {run.run_id for run in look()}
    return [run for run in first if run.run_id in again]


def digest_of(settings: Settings) -> str:
    """Code and settings in one word. What a machine has of its own (`run`, `desk`) is left out."""
    sections = [name for name in type(settings).model_fields if name not in _OF_A_MACHINE]
    shared = f"{settings.digest(sections)} {settings.lake.root} {settings.run.max_missing}"
    return f"{_code()}.{hashlib.sha256(shared.encode()).hexdigest()[:12]}"


def digest_here() -> str:
    """The digest of the code location that this process belongs to."""
    return digest_of(location_settings(os.environ, *handed_over(os.environ)))


def difference(wanted: str, own: str) -> str:
    """In what two digests differ; empty when they are equal."""
    pairs = zip(("code", "settings"), wanted.split("."), own.split("."), strict=True)
    return " and ".join(f"{what} {a} and not {b}" for what, a, b in pairs if a != b)


def declare_served(instance: dg.DagsterInstance, digest: str) -> None:
    """Note the digest of what serves the lake, for workers that start."""
    instance.daemon_cursor_storage.set_cursor_values({_SERVED: digest})


def check_worker(instance: dg.DagsterInstance, digest: str) -> None:
    """Refuse a worker of other code or settings than what serves. Raises SettingsError."""
    served = instance.daemon_cursor_storage.get_cursor_values({_SERVED}).get(_SERVED, digest)
    if told := difference(served, digest):
        raise SettingsError(
            f"the lake is served with {told} of this worker; install the same version, and give the"
            " same settings, on both (`smallcaps ui` first)"
        )


@cache
def _code() -> str:
    """A digest of the installed package's modules and data."""
    root = Path(smallcaps_assets.__file__).parent
    files = sorted(path for path in root.rglob("*") if path.suffix in _SOURCES)
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return found.hexdigest()[:12]
