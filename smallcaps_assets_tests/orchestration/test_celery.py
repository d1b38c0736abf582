"""Runs with Celery workers: a real Redis, real workers, and runs that lose theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from smallcaps_assets.orchestration.fleet import CODE_TAG, WORKER_TAG
from smallcaps_assets.orchestration.instance import choose_launcher, open_instance
from smallcaps_assets.orchestration.maintenance import end_lost
from smallcaps_assets.orchestration.storage.private import (
    LaunchRunContext,
    ModuleCodePointer,
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    RepositoryPythonOrigin,
    WorkerStatus,
)
from smallcaps_assets.settings import BROKER_VARIABLE, RunSettings
from smallcaps_assets_tests.orchestration import slow_job
from smallcaps_assets_tests.redis import PASSWORD, RedisServer, redis_server

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
MODULE = "smallcaps_assets_tests.orchestration.slow_job"
APP = "smallcaps_assets.orchestration.celery_worker"
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def broker() -> Iterator[RedisServer]:
    pytest.importorskip("dagster_celery", reason="install smallcaps-assets[celery]")
    with redis_server() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv(BROKER_VARIABLE, running.url)
        yield running


@pytest.fixture(scope="module")
def instance(
    broker: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dg.DagsterInstance]:
    """An instance whose runs go to Celery workers."""
    lake = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        choose_launcher(lake, RunSettings(launcher="celery"))
        open_instance(lake).dispose()
        patch.setenv("DAGSTER_HOME", str(lake / "dagster"))
        patch.setattr("smallcaps_assets.orchestration.celery_launcher.STILL_SECONDS", 0.5)
        patch.setattr("smallcaps_assets.orchestration.celery_launcher.ANSWER_SECONDS", 1.0)
        with dg.DagsterInstance.get() as found:
            yield found


@pytest.fixture(scope="module", autouse=True)
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all workers print."""
    return tmp_path_factory.mktemp("logs") / "workers.log"


@contextmanager
def worker(name: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, ready for runs."""
    command = ["-m", "celery", "--app", APP, "worker", "--queues", "dagster", "--hostname", name]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *command, "--without-gossip", "--without-mingle"],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},  # for the job, which is not installed
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def launched(instance: dg.DagsterInstance, folder: Path) -> str:
    """A run of the slow asset, as the daemon hands it to the launcher."""
    repository = slow_job.defs.get_repository_def()
    job = repository.get_implicit_global_asset_job_def()
    code = RepositoryPythonOrigin(sys.executable, ModuleCodePointer(MODULE, "defs"))
    place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("test"), repository.name)
    run = instance.create_run_for_job(
        job,
        run_config={"ops": {"slow": {"config": {"folder": str(folder)}}}},
        status=dg.DagsterRunStatus.STARTING,
        remote_job_origin=RemoteJobOrigin(place, job.name),
        job_code_origin=code.get_job_origin(job.name),
    )
    instance.run_launcher.launch_run(LaunchRunContext(run, None))
    return run.run_id


def found(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def wait_for(condition: Callable[[], Any], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def health(instance: dg.DagsterInstance, run_id: str) -> WorkerStatus:
    return instance.run_launcher.check_run_worker_health(found(instance, run_id)).status


def test_run_lives_as_long_as_its_worker_works_on_it(
    instance: dg.DagsterInstance, tmp_path: Path, log: Path
) -> None:
    with worker("first@here", log) as process:
        made = launched(instance, tmp_path)
        wait_for((tmp_path / "begun").exists)
        assert found(instance, made).tags[WORKER_TAG] == "first@here"
        assert health(instance, made) is WorkerStatus.RUNNING
        (tmp_path / "go").touch()
        wait_for(lambda: found(instance, made).is_success)
        # The worker is done with it, some time after the run is.
        wait_for(lambda: health(instance, made) is WorkerStatus.FAILED)

        folder = tmp_path / "with its worker"
        folder.mkdir()
        lost = launched(instance, folder)
        wait_for((folder / "begun").exists)
        os.killpg(process.pid, signal.SIGKILL)
        wait_for(lambda: health(instance, lost) is WorkerStatus.FAILED)
        assert found(instance, lost).status is STARTED


def test_run_that_waits_is_lost_only_where_the_broker_has_lost_it(
    instance: dg.DagsterInstance,
    broker: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = launched(instance, tmp_path)
    assert instance.run_launcher.lost_runs(lambda _: None) == []  # type: ignore[attr-defined]
    broker.restart()
    assert instance.run_launcher.lost_runs(lambda _: None) == []  # type: ignore[attr-defined]
    broker.restart(keeps=False)
    launcher: Any = instance.run_launcher
    wait_for(lambda: [run.run_id for run in launcher.lost_runs(lambda _: None)] == [waiting])
    instance.add_run_tags(waiting, {WORKER_TAG: "nobody@here"})
    broker.stop()
    assert health(instance, waiting) is WorkerStatus.RUNNING  # nobody can say that it is gone
    assert instance.run_launcher.lost_runs(lambda _: None) == []  # type: ignore[attr-defined]
    broker.start()
    monkeypatch.setattr(launcher, "lost_runs", partial(launcher.lost_runs, lambda _: None))
    wait_for(lambda: end_lost(instance) == 1)
    assert found(instance, waiting).status is FAILURE
    assert found(instance, waiting).tags["dagster/will_retry"] == "true"


def test_run_of_other_code_is_refused_and_its_worker_ends(
    instance: dg.DagsterInstance, tmp_path: Path, log: Path
) -> None:
    other = launched(instance, tmp_path)
    own = found(instance, other).tags[CODE_TAG]
    instance.add_run_tags(other, {CODE_TAG: f"elsewhere.{own.partition('.')[2]}"})
    with worker("old@here", log) as process:
        wait_for(lambda: found(instance, other).status is FAILURE)
        process.wait(30)
    assert not (tmp_path / "begun").exists()
    told = [event.message for event in instance.all_logs(other)]
    assert any("refused by worker old@here" in text and "code elsewhere" in text for text in told)
    assert found(instance, other).tags["dagster/will_retry"] == "true"


def test_password_of_the_broker_is_in_no_log(instance: dg.DagsterInstance, log: Path) -> None:
    told = [str(event) for run in instance.get_runs() for event in instance.all_logs(run.run_id)]
    told += [log.read_text(), (Path(instance.root_directory) / "dagster.yaml").read_text()]
    assert told and not any(PASSWORD in text for text in told)
