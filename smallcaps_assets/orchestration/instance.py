"""The lake's own Dagster instance: runs, events and logs below `<lake>/dagster`."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import dagster as dg
import yaml
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from smallcaps_assets.lake import UnknownContractError, files
from smallcaps_assets.orchestration.storage.private import InstanceRef
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.outdated import at_once, keys_where
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import (
    BROKER_VARIABLE,
    CONFIG_FILE,
    POSTGRES_VARIABLE,
    RunSettings,
    SettingsError,
)

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
_DRIVER = "postgresql+psycopg2://"
_COMPUTE_LOGS = {
    "module": "smallcaps_assets.orchestration.storage.compute_logs",
    "class": "ComputeLogs",
    "config": {"base_dir": {"env": "DAGSTER_HOME"}},
}
_CONFIG = {
    "compute_logs": _COMPUTE_LOGS,
    "python_logs": {"python_log_level": "INFO"},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    # Of a pool that `pools.py` does not name; by run, so that a killed run holds no slot for ever.
    "concurrency": {
        "runs": {"max_concurrent_runs": 4},
        "pools": {"default_limit": 1, "granularity": "run"},
    },
    "run_monitoring": {"enabled": True},
    "retention": {
        "schedule": {"purge_after_days": 90},
        "sensor": {"purge_after_days": {"skipped": 7, "success": 90, "failure": 90}},
    },
}
_OF_COMMANDS = {"compute_logs": {**_COMPUTE_LOGS, "class": "Uncaptured"}}
_SQLITE = {
    "custom": {
        "module": "smallcaps_assets.orchestration.storage.sqlite",
        "class": "SqliteStorage",
        "config": {"base_dir": {"env": "DAGSTER_HOME"}},
    }
}
_POSTGRES = {
    "custom": {
        "module": "smallcaps_assets.orchestration.storage.postgres",
        "class": "PostgresStorage",
        "config": {"postgres_url": {"env": POSTGRES_VARIABLE}},
    }
}
# Only what ended with its worker; what failed by itself is retried within its run.
_RETRIES = {"enabled": True, "max_retries": 3, "retry_on_asset_or_op_failure": False}
_MONITORING = {"enabled": True, "cancel_timeout_seconds": 60}
_SECTIONS = ("run_launcher", "run_retries", "run_monitoring")
_OURS = ("PingingLauncher", "PodLauncher")
POD_OBJECTS = "smallcaps"
"""Name of the ConfigMap and of the Secret that a run's pod reads (deploy/kubernetes)."""
POD_SETTINGS = f"/srv/smallcaps/{CONFIG_FILE}"
"""Where a pod has its settings: in the working folder of the image (deploy/common/Dockerfile)."""
MODULE = "smallcaps_assets.definitions"
LOCATION = "smallcaps_assets"
"""The code location's name, as in the root's workspace.yaml: runs, schedules, sensors and saved
launches belong to it, so it must be the same whichever way the lake is opened."""
_WORKSPACE = {
    "load_from": [
        {
            "python_module": {
                "module_name": MODULE,
                "location_name": LOCATION,
            }
        }
    ]
}


def instance_home(root: str | Path) -> Path:
    """The instance's folder, with its dagster.yaml, made if need be. The lake must be local.

    Its storage is chosen then: PostgreSQL where DAGSTER_POSTGRES_URL is set, else SQLite. A file
    made by an earlier version gets the sections that it lacks.
    Raises SettingsError when the variable is missing for a lake made with it, or is no good.
    """
    home = Path(root).resolve() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    file, address = home / "dagster.yaml", os.environ.get(POSTGRES_VARIABLE, "")
    stored = _stored_config(file)
    config = {"storage": _POSTGRES if address else _SQLITE, **_CONFIG, **stored}
    if config != stored:
        files.publish(file, yaml.safe_dump(config, sort_keys=True).encode())
    if POSTGRES_VARIABLE in file.read_text(encoding="utf-8"):
        _check_postgres(address, root)
    return home


def choose_launcher(root: str | Path, settings: RunSettings) -> None:
    """Write who works on queued runs into an instance's dagster.yaml, before it is opened.

    The same everywhere: whoever finds that a run has failed says whether it is repeated. Another
    launcher that somebody wrote there is left as it is while `run.launcher` is in_process.
    """
    file = instance_home(root) / "dagster.yaml"
    stored = _stored_config(file)
    if settings.launcher != "in_process":
        runs = max(4, settings.vendor_runs + settings.tick_runs + 2)
        limits = {**stored["concurrency"], "runs": {"max_concurrent_runs": runs}}
        config = {**stored, **_fleet_config(settings), "concurrency": limits}
    elif stored.get("run_launcher", {}).get("class") in _OURS:
        own = {name: value for name, value in stored.items() if name not in _SECTIONS}
        config = {**own, "run_monitoring": _CONFIG["run_monitoring"]}
    else:
        return
    if config != stored:
        files.publish(file, yaml.safe_dump(config, sort_keys=True).encode())


def _fleet_config(settings: RunSettings) -> dict[str, Any]:
    """What in dagster.yaml says that others work on the runs."""
    if settings.launcher == "celery":
        launcher = {
            "module": "smallcaps_assets.orchestration.celery_launcher",
            "class": "PingingLauncher",
            "config": {"broker": {"env": BROKER_VARIABLE}, "backend": "disabled://"},
        }
        # A run may wait for a worker for as long as it takes; what the broker lost, `upkeep` ends.
        looks = {"poll_interval_seconds": 10, "start_timeout_seconds": 30 * 86_400}
    else:
        launcher = {
            "module": "smallcaps_assets.orchestration.kubernetes_launcher",
            "class": "PodLauncher",
            "config": _pod_config(settings),
        }
        # A pod may wait for a node; one whose image or secret is missing waits for ever.
        looks = {"poll_interval_seconds": 5, "start_timeout_seconds": 1_800}
    monitoring = {**_MONITORING, **looks}
    return {"run_launcher": launcher, "run_retries": _RETRIES, "run_monitoring": monitoring}


def _pod_config(settings: RunSettings) -> dict[str, Any]:
    """A run's Job: the settings come from a ConfigMap, addresses and keys from a Secret."""
    file = {"name": "settings", "mountPath": POD_SETTINGS, "subPath": CONFIG_FILE}
    resources = {"cpu": settings.pod_cpu, "memory": settings.pod_memory}
    return {
        "job_image": settings.image,
        "job_namespace": settings.namespace,
        **cluster_access(os.environ),
        "instance_config_map": POD_OBJECTS,
        "service_account_name": "default",
        "dagster_home": "",
        "env_secrets": [POD_OBJECTS],
        "volumes": [{"name": "settings", "configMap": {"name": POD_OBJECTS}}],
        "volume_mounts": [file],
        "resources": {"requests": resources, "limits": resources},
        "run_k8s_config": {"pod_spec_config": {"automount_service_account_token": False}},
    }


def cluster_access(environment: Mapping[str, str]) -> dict[str, Any]:
    """Which cluster: the one that this process runs in, else the one that KUBECONFIG names."""
    is_inside = "KUBERNETES_SERVICE_HOST" in environment
    file = None if is_inside else environment.get("KUBECONFIG")
    return {"load_incluster_config": is_inside, "kubeconfig_file": file}


def _stored_config(file: Path) -> dict[str, Any]:
    """What a dagster.yaml says; nothing while there is none. Raises SettingsError."""
    if not file.exists():
        return {}
    try:
        found = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise SettingsError(f"{file} is damaged; remove it, the next command writes it again")
    return found


def _check_postgres(address: str, root: str | Path) -> None:
    if not address.startswith(_DRIVER):
        found = "another address" if address else "nothing"
        raise SettingsError(
            f"lake {root} keeps its events in PostgreSQL and {POSTGRES_VARIABLE} holds {found};"
            f" set it to {_DRIVER}USER:PASSWORD@HOST:PORT/DATABASE"
        )
    try:
        host = make_url(address).host or ""
    except (ArgumentError, ValueError):
        host = "@"
    if "@" in host or not address.isprintable():
        raise SettingsError(
            f"{POSTGRES_VARIABLE} is not an address: write it as {_DRIVER}USER:PASSWORD@HOST:PORT/"
            "DATABASE, with other characters than letters and digits of the password as %XX"
        )
    if find_spec("dagster_postgres") is None:
        raise SettingsError(
            f"lake {root} keeps its events in PostgreSQL; install smallcaps-assets[postgres]"
        )


def workspace_file(home: Path) -> Path:
    """The workspace.yaml beside an instance's dagster.yaml, for `dagster dev` from any folder."""
    file = home / "workspace.yaml"
    files.publish(file, yaml.safe_dump(_WORKSPACE, sort_keys=True).encode())
    return file


def open_instance(root: str | Path) -> dg.DagsterInstance:
    """The instance of a lake. Sets DAGSTER_HOME, which child processes of Dagster read."""
    home = Path(root).resolve() / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    with files.alone(home / ".lock"):
        os.environ["DAGSTER_HOME"] = str(instance_home(root))
        place = InstanceRef.from_dir(os.environ["DAGSTER_HOME"], overrides=_OF_COMMANDS)
        instance = dg.DagsterInstance.from_ref(place)
        # Each makes its tables on first use. Two processes that do so at once leave
        # a database that no one can open again.
        for _ in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
            pass
    return instance


@contextmanager
def instance_to_read(root: str | Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a lake; where there is none or it may not be written one that is gone
    afterwards, a copy then.

    Dagster opens its databases for writing only.
    """
    with ExitStack() as stack:
        if not (Path(root) / "dagster").exists():
            root = stack.enter_context(TemporaryDirectory())
        try:
            instance = open_instance(root)
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            copy = Path(stack.enter_context(TemporaryDirectory()))
            _copy_history(Path(root) / "dagster", copy / "dagster")
            instance = open_instance(copy)
        yield stack.enter_context(instance)


def _copy_history(home: Path, copy: Path) -> None:
    """The settings and databases of an instance, without the single runs' events."""
    copy.mkdir()
    if (home / "dagster.yaml").exists():
        shutil.copyfile(home / "dagster.yaml", copy / "dagster.yaml")
    for name in _DATABASES:
        if (home / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_database(home / name, copy / name)


def _copy_database(source: Path, copy: Path) -> None:
    """A database as it is at one moment. One that nobody has open can't be opened read-only; then
    its files are copied, with what the write-ahead log may hold."""
    address = f"file:{quote(str(source.resolve()))}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(address, uri=True)) as old,
            closing(sqlite3.connect(copy)) as new,
        ):
            old.backup(new)
    except sqlite3.OperationalError:
        for end in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{source}{end}", f"{copy}{end}")


def known_keys(instance: dg.DagsterInstance, table: str) -> set[str]:
    """Partition keys that Dagster has as materialized; `{''}` for a whole table."""
    key = dg.AssetKey(table)
    if TABLES[table].partitioning == "none":
        return {""} if instance.get_latest_materialization_event(key) else set()
    return set(instance.get_materialized_partitions(key))


def report_stored(instance: dg.DagsterInstance, outcome: Outcome) -> None:
    """Report a stored file to Dagster that it doesn't know, with its findings."""
    from smallcaps_assets.orchestration.checks import evaluation
    from smallcaps_assets.orchestration.describe import event_metadata
    from smallcaps_assets.orchestration.storage.batches import together

    event = dg.AssetMaterialization(
        asset_key=outcome.table, partition=outcome.key, metadata=event_metadata(outcome)
    )
    with together(instance):
        instance.report_runless_asset_event(event)
        if outcome.findings:
            found = evaluation(outcome.table, outcome.key, outcome.findings)
            instance.report_runless_asset_event(found)


def _unknown(instance: dg.DagsterInstance, work: Workspace, table: str) -> list[str]:
    """Stored keys that Dagster doesn't have as materialized, oldest first."""
    known = known_keys(instance, table)
    return sorted((key for key in work.lake.keys(table) if key not in known), key=date_of)


def report_unknown(
    instance: dg.DagsterInstance, work: Workspace
) -> tuple[list[Outcome], list[tuple[str, str]]]:
    """Report complete partitions on disk to Dagster that it doesn't know; none is made again.

    They come from a process killed between the write and the event, or from a history that was
    removed. Returns what was reported, and the tables and keys that wait: something that they are
    made from is missing, has changed or is of an older contract, and has to be made first.
    """
    reported: list[Outcome] = []
    waiting: list[tuple[str, str]] = []
    still = at_once(work)
    for table in TABLES:
        unknown = _unknown(instance, still, table)
        complete = keys_where(still, lambda k, t=table: still.is_complete(t, k or None), unknown)
        waiting += [(table, key) for key in sorted({*unknown} - {*complete})]
        for key in complete:
            try:
                outcome = work.reuse(table, key or None)
            except UnknownContractError:
                waiting.append((table, key))
                continue
            report_stored(instance, outcome)
            reported.append(outcome)
    return reported, waiting
