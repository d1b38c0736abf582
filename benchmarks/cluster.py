"""The main job on several machines: is the lake the same, whatever breaks meanwhile?

    python benchmarks/cluster.py                     # three workers, all the trouble
    python benchmarks/cluster.py --no-trouble        # three workers, none
    python benchmarks/cluster.py --workers 1 --no-trouble --until watchlist
    python benchmarks/cluster.py --launcher kubernetes    # pods in place of workers

PostgreSQL, Redis and an S3 API (moto's) run here, each a server of its own; the web server with its
daemon and each worker has its own home folder and, for root, its own host name. `run --queue` hands
out the blocks. Meanwhile the worker that has just made its fifth partition is killed with all its
processes, Redis is restarted without what was in it, and the store answers nothing for 20 seconds.
Then the lake is compared with that of a single machine, and every file is verified.

With Kubernetes' launcher an API of the tests takes the place of a cluster: its pods are processes.
In place of Redis' restart it answers nothing for ten seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import dagster as dg
import yaml
from sqlalchemy import create_engine, text

from smallcaps_assets.orchestration.fleet import WORKER_TAG
from smallcaps_assets.orchestration.instance import POD_OBJECTS, open_instance
from smallcaps_assets.settings import CONFIG_FILE, RunSettings
from smallcaps_assets_tests.end_to_end.command import PROGRAM, SMALL_MARKET, environment, settings
from smallcaps_assets_tests.kubernetes_api import Cluster, Image, served
from smallcaps_assets_tests.object_store import BUCKET, ObjectStore, object_store
from smallcaps_assets_tests.postgres import postgres_server
from smallcaps_assets_tests.redis import RedisServer, redis_server

LAKE = f"s3://{BUCKET}/lake"
PARTITIONS, OUT_SECONDS, MOST_SECONDS = 5, 20.0, 60.0
ROOT = Path(__file__).parents[1]
UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]


_NAMED = ["unshare", "--uts", "sh", "-c", 'hostname "$HOSTNAME"; exec "$@"', "sh"]
HOST = _NAMED if os.geteuid() == 0 and shutil.which("unshare") else []
"""What gives a command the host name of its environment, where that is allowed."""


@dataclass
class Fleet:
    """What runs here, and the environment in which a command reaches it."""

    folder: Path
    options: list[str]
    variables: Mapping[str, str]
    store: ObjectStore

    def command(self, home: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A command with its own home folder and, where that is allowed, its own host name."""
        place = self.folder / home
        place.mkdir(exist_ok=True)
        with (self.folder / f"{home}.log").open("ab") as log:
            return subprocess.Popen(
                [*HOST, *PROGRAM, *arguments, *self.options],
                env=environment(**self.variables) | {"HOME": str(place), "HOSTNAME": home},
                cwd=place,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finished(self, home: str, *arguments: str) -> tuple[int, str, float]:
        """Status and output of a command, and how long it took."""
        began = time.perf_counter()
        log = self.folder / f"{home}.log"
        before = log.stat().st_size if log.exists() else 0
        status = self.command(home, *arguments).wait()
        return status, log.read_bytes()[before:].decode(), time.perf_counter() - began


class Carrier(Protocol):
    """Who carries the runs to where they are worked on."""

    variables: dict[str, str]

    def start(self, made: Fleet, workers: int) -> list[subprocess.Popen[bytes]]:
        """Start what takes runs."""
        ...

    def kill(self, run: str, host: str) -> None:
        """SIGKILL to all processes of the worker that has a run."""
        ...

    def disturb(self) -> None:
        """Take the carrier itself away for a while, and say so."""
        ...


class Workers:
    """Celery's, by Redis."""

    def __init__(self, redis: RedisServer) -> None:
        self.redis, self.variables = redis, {"CELERY_BROKER_URL": redis.url}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, made: Fleet, workers: int) -> list[subprocess.Popen[bytes]]:
        """One for each number, named by it."""
        self.processes = [made.command(f"worker{n}", "worker") for n in range(1, workers + 1)]
        return self.processes

    def kill(self, run: str, host: str) -> None:
        """By the number in its name."""
        number = int(host.removeprefix("smallcaps@worker").partition("-")[0])
        os.killpg(self.processes[number - 1].pid, signal.SIGKILL)

    def disturb(self) -> None:
        """Redis loses what it holds."""
        self.redis.restart(keeps=False)
        print("redis was restarted, empty", flush=True)
        time.sleep(5)


class Pods:
    """Those of a cluster; each run has one, so that the settings say how many there are."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.variables = {"KUBECONFIG": str(cluster.kubeconfig())}

    def start(self, made: Fleet, workers: int) -> list[subprocess.Popen[bytes]]:
        """Nothing waits for runs; what they are given has to be there."""
        lines = "".join(
            f'{name} = "{value}"\n'
            for name, value in (part.split("=", 1) for part in made.options[1:-2:2])
        )
        named = {"name": POD_OBJECTS}
        self.cluster.objects["ConfigMap", POD_OBJECTS] = {
            "metadata": named,
            "data": {CONFIG_FILE: f'{lines}lake.root = "{LAKE}"\n'},
        }
        secret = {"metadata": named, "stringData": dict(made.variables)}
        self.cluster.objects["Secret", POD_OBJECTS] = secret
        return []

    def kill(self, run: str, host: str) -> None:
        """By the run of its Job."""
        self.cluster.pods[f"dagster-run-{run}"].signal(signal.SIGKILL)

    def disturb(self) -> None:
        """The API answers nothing."""
        self.cluster.is_out = True
        time.sleep(10)
        self.cluster.is_out = False
        print("the cluster's API was out for 10 s", flush=True)


@contextmanager
def carrier(launcher: str, folder: Path) -> Iterator[Carrier]:
    """Redis for Celery's workers, or a cluster for pods."""
    if launcher == "celery":
        with redis_server() as redis:
            yield Workers(redis)
        return
    access = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "access.yaml").read_text())
    rules = next(made for made in access if made["kind"] == "Role")["rules"]
    image = Image(RunSettings().image, [*HOST, *PROGRAM], {"PYTHONPATH": str(ROOT)})
    with served(Cluster(folder, RunSettings().namespace, image, [], rules)) as cluster:
        yield Pods(cluster)


@contextmanager
def fleet(
    folder: Path, options: list[str], launcher: str, workers: int
) -> Iterator[tuple[Fleet, Carrier]]:
    """All servers, the daemon and the workers."""
    with (
        postgres_server() as database,
        object_store() as store,
        carrier(launcher, folder) as found,
    ):
        keys = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")}
        variables = {"DAGSTER_POSTGRES_URL": database, **keys, **found.variables}
        made = Fleet(folder, [*options, "--lake", LAKE], variables, store)
        started = [made.command("served", "ui", "--port", str(_free_port()))]
        try:
            _wait_for(lambda: "serving at" in (folder / "served.log").read_text(), 600)
            started += found.start(made, workers)
            yield made, found
        finally:
            for process in reversed(started):
                _end(process)


def trouble(
    made: Fleet, carries: Carrier, job: subprocess.Popen, instance: dg.DagsterInstance
) -> None:
    """Kill a worker, then take the carrier and the store away; say what became of it."""
    victim = _worker_with_partitions(instance, job)
    if victim is None:
        raise SystemExit("the job ended before a worker had made five partitions")
    run, host = victim
    carries.kill(run, host)
    began = time.monotonic()
    print(f"killed {host} in run {run[:8]}", flush=True)
    _wait_for(lambda: _run(instance, run).is_finished, 300)
    seconds = time.monotonic() - began
    print(f"noticed after {seconds:.0f} s (at most {MOST_SECONDS:.0f})", flush=True)
    carries.disturb()
    made.store.is_out = True
    time.sleep(OUT_SECONDS)
    made.store.is_out = False
    print(f"the store was out for {OUT_SECONDS:.0f} s", flush=True)
    if seconds > MOST_SECONDS:
        raise SystemExit("the killed worker was noticed too late")


def check(made: Fleet, single: Path, instance: dg.DagsterInstance, last: list[str]) -> list[str]:
    """What is wrong with the lake and its history; nothing is expected."""
    wrong = []
    for name, arguments in {
        "verify --deep": ["verify", "--deep"],
        "a second run": ["run", "--queue", "--no-report", *last],
    }.items():
        status, told, seconds = made.finished("desk", *arguments)
        print(f"{name}: {' '.join(told.split()[-12:])} ({seconds:.0f} s)", flush=True)
        if status or (name == "a second run" and "nothing to do" not in told):
            wrong.append(name)
    plain = Fleet(made.folder, [], made.variables, made.store)
    status, told, _ = plain.finished("diff", "diff", str(single), LAKE)
    print(f"diff: {' '.join(told.split()[-12:])}", flush=True)
    wrong += ["diff"] if status else []
    unfinished = [dg.DagsterRunStatus(name) for name in UNFINISHED]
    left = instance.get_runs(dg.RunsFilter(statuses=unfinished))
    wrong += [f"{len(left)} unfinished runs"] if left else []
    return wrong


def main() -> None:
    """Make both lakes and compare them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--launcher", choices=["celery", "kubernetes"], default="celery")
    parser.add_argument("--workers", type=int, default=3, help="or pods of the tick chain")
    parser.add_argument("--no-trouble", action="store_true")
    parser.add_argument("--single", type=Path, help="the single machine's lake, made before")
    parser.add_argument("--until", help="stop after this table")
    parser.add_argument("--set", action="append", default=[], help="another setting")
    arguments = parser.parse_args()
    market = settings({**SMALL_MARKET, **dict(part.split("=", 1) for part in arguments.set)})
    shared = {"run.launcher": arguments.launcher, "run.keys_per_run": "10", "run.processes": "1"}
    options = [*market, *settings({**shared, "run.tick_runs": str(arguments.workers)})]
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    folder.chmod(0o755)
    single = arguments.single or folder / "single"
    last = ["--until", arguments.until] if arguments.until else []
    if arguments.single is None:
        job = [*PROGRAM, "run", "--no-report", *last, "--lake", str(single), *market]
        began = time.perf_counter()
        subprocess.run(job, check=True, env=environment(), stdout=subprocess.DEVNULL)
        print(f"one machine, no queue: {time.perf_counter() - began:.0f} s", flush=True)
    with fleet(folder, options, arguments.launcher, arguments.workers) as (made, carries):
        os.environ["DAGSTER_POSTGRES_URL"] = made.variables["DAGSTER_POSTGRES_URL"]
        began = time.perf_counter()
        queued = made.command("desk", "run", "--queue", "--no-report", *last)
        with open_instance(folder / "watch") as instance:
            if not arguments.no_trouble:
                trouble(made, carries, queued, instance)
            status = queued.wait()
            print(f"{arguments.workers} workers: {time.perf_counter() - began:.0f} s", flush=True)
            wrong = check(made, single, instance, last) + (["the job"] if status else [])
            _print_size(instance, made.variables["DAGSTER_POSTGRES_URL"])
    if wrong:
        raise SystemExit(f"wrong: {', '.join(wrong)}; the logs are in {folder}")
    shutil.rmtree(folder)
    print("the lakes are equal")


def _worker_with_partitions(
    instance: dg.DagsterInstance, job: subprocess.Popen
) -> tuple[str, str] | None:
    """A run that has made five partitions of a bigger block and goes on, and its worker."""
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    while job.poll() is None:
        for run in instance.get_runs(started):
            made = instance.get_records_for_run(
                run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=PARTITIONS
            ).records
            if len(made) >= PARTITIONS and WORKER_TAG in run.tags:
                return run.run_id, run.tags[WORKER_TAG]
        time.sleep(0.2)
    return None


def _print_size(instance: dg.DagsterInstance, address: str) -> None:
    """What the history takes in PostgreSQL."""
    keys = instance.all_asset_keys()
    count = sum(len(instance.get_materialized_partitions(key)) for key in keys)
    with create_engine(address).connect() as connection:
        size = connection.scalar(text("select pg_database_size(current_database())"))
    print(f"history: {size / 1e6:.0f} MB, {count:,} partitions", flush=True)


def _run(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.2)


def _end(process: subprocess.Popen) -> None:
    for number, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 20)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
