"""Runs as Kubernetes Jobs: a real HTTP API, real processes as pods, and runs that lose theirs."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from smallcaps_assets.orchestration.fleet import CODE_TAG, WORKER_TAG
from smallcaps_assets.orchestration.instance import choose_launcher, open_instance
from smallcaps_assets.orchestration.maintenance import end_lost
from smallcaps_assets.orchestration.storage.private import WorkerStatus
from smallcaps_assets.settings import load_settings
from smallcaps_assets_tests.end_to_end.command import PROGRAM
from smallcaps_assets_tests.object_store import BUCKET, SECRET, object_store
from smallcaps_assets_tests.orchestration.test_celery import (
    CHECKOUT,
    FAILURE,
    STARTED,
    found,
    health,
    launched,
    wait_for,
)
from smallcaps_assets_tests.orchestration.test_deployment import KUBERNETES, objects_in
from smallcaps_assets_tests.postgres import postgres_server

pytest.importorskip("dagster_k8s", reason="install smallcaps-assets[kubernetes]")

from smallcaps_assets_tests.kubernetes_api import TOKEN, Cluster, Image, served

PASSWORD = "a-secret-of-the-history"
LAUNCHER = "smallcaps_assets.orchestration.kubernetes_launcher"
SETTINGS = f"""
[lake]
root = "s3://{BUCKET}/lake"
[run]
launcher = "kubernetes"
image = "registry.example/smallcaps-assets:1"
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with what deploy/kubernetes brings into it, and this machine as its outside."""
    folder = tmp_path_factory.mktemp("cluster")
    with (
        postgres_server() as database,
        object_store() as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        address = database.replace("lake@", f"lake:{PASSWORD}@")
        secret = {"DAGSTER_POSTGRES_URL": address, "AWS_ENDPOINT_URL": store.url}
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        secret |= {name: os.environ[name] for name in names}
        named = {"name": "smallcaps"}
        objects = [
            {"kind": "Secret", "metadata": named, "stringData": secret},
            {"kind": "ConfigMap", "metadata": named, "data": {"smallcaps.toml": SETTINGS}},
        ]
        image = Image("registry.example/smallcaps-assets:1", PROGRAM, {"PYTHONPATH": str(CHECKOUT)})
        role = next(o for o in objects_in(KUBERNETES / "access.yaml") if o["kind"] == "Role")
        with served(Cluster(folder, "smallcaps", image, objects, role["rules"])) as running:
            (folder / "smallcaps.toml").write_text(SETTINGS)
            patch.chdir(folder)
            for name, value in {**secret, "KUBECONFIG": str(running.kubeconfig())}.items():
                patch.setenv(name, value)
            patch.setenv("SMALLCAPS_LAKE_HOME", str(folder / "server"))
            patch.setenv("DAGSTER_HOME", "")
            yield running


@pytest.fixture(scope="module")
def instance(cluster: Cluster) -> Iterator[dg.DagsterInstance]:
    """An instance whose runs go to the cluster."""
    settings = load_settings(config_file=Path("smallcaps.toml"))
    choose_launcher(settings.lake.local, settings.run)
    with open_instance(settings.lake.local) as made:
        yield made


@pytest.fixture(scope="module")
def runs(
    instance: dg.DagsterInstance, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, Path]]:
    """A run for each fate, with its folder; they begin together."""
    fates = {}
    for name in ("goes on", "is killed", "is ended", "is of others"):
        folder = tmp_path_factory.mktemp("run")
        fates[name] = launched(instance, folder), folder
    other = fates["is of others"][0]
    own = found(instance, other).tags[CODE_TAG].partition(".")
    instance.add_run_tags(other, {CODE_TAG: f"elsewhere.{own[2]}"})
    return fates


def pod_of(cluster: Cluster, run_id: str) -> Any:
    return cluster.pods[f"dagster-run-{run_id}"]


def begun(cluster: Cluster, run: tuple[str, Path]) -> str:
    pod = pod_of(cluster, run[0])
    wait_for(lambda: (run[1] / "begun").exists() or pod.exit_code is not None)
    assert (run[1] / "begun").exists(), pod.log()
    return run[0]


def looked_at(instance: dg.DagsterInstance, run_id: str) -> None:
    """Look after a run once, as the daemon does."""
    (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
    workspace: Any = None  # only for runs that are resumed
    monitor_started_run(instance, workspace, record, logging.getLogger("daemon"))


def test_run_lives_as_long_as_its_pod_works_on_it(
    instance: dg.DagsterInstance, cluster: Cluster, runs: dict[str, Any]
) -> None:
    made = begun(cluster, runs["goes on"])
    assert found(instance, made).tags[WORKER_TAG] == os.uname().nodename  # of its host here
    assert health(instance, made) is WorkerStatus.RUNNING
    (runs["goes on"][1] / "go").touch()
    wait_for(lambda: found(instance, made).is_success)
    wait_for(lambda: pod_of(cluster, made).exit_code == 0)
    assert health(instance, made) is WorkerStatus.FAILED  # the pod is done with it


def test_run_whose_pod_is_killed_fails_and_is_repeated(
    instance: dg.DagsterInstance,
    cluster: Cluster,
    runs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = begun(cluster, runs["is killed"])
    looked_at(instance, lost)
    assert found(instance, lost).status is STARTED
    pod_of(cluster, lost).signal(signal.SIGSTOP)  # its node is lost, which the cluster says later
    monkeypatch.setattr(f"{LAUNCHER}.LOST_NODE_SECONDS", 0.3)
    wait_for(lambda: health(instance, lost) is WorkerStatus.FAILED)
    pod_of(cluster, lost).signal(signal.SIGKILL)
    wait_for(lambda: pod_of(cluster, lost).exit_code == 137)
    looked_at(instance, lost)
    assert found(instance, lost).status is FAILURE
    assert found(instance, lost).tags["dagster/will_retry"] == "true"
    told = " ".join(event.message for event in instance.all_logs(lost))
    assert f"the pod of Job dagster-run-{lost} has ended" in told and "exit code 137" in told


def test_run_is_ended_by_deleting_its_job(
    instance: dg.DagsterInstance, cluster: Cluster, runs: dict[str, Any]
) -> None:
    ended = begun(cluster, runs["is ended"])
    assert instance.run_launcher.terminate(ended)
    wait_for(lambda: pod_of(cluster, ended).exit_code is not None, 30)
    assert not pod_of(cluster, ended).is_there("jobs")
    assert found(instance, ended).status is dg.DagsterRunStatus.CANCELED


def test_run_of_other_code_is_refused_by_its_pod(
    instance: dg.DagsterInstance, cluster: Cluster, runs: dict[str, Any]
) -> None:
    other, folder = runs["is of others"]
    wait_for(lambda: pod_of(cluster, other).exit_code == 2)
    assert found(instance, other).status is FAILURE and not (folder / "begun").exists()
    told = pod_of(cluster, other).log()
    assert told.count("\n") == 1 and "the run is for code elsewhere and not" in told
    assert found(instance, other).tags["dagster/will_retry"] == "true"


def test_run_that_has_not_begun_is_lost_only_without_its_job(
    instance: dg.DagsterInstance, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher: Any = instance.run_launcher
    monkeypatch.setattr(cluster.image, "name", "another:1")
    waiting = launched(instance, tmp_path)
    assert "ErrImagePull" in launcher.get_run_worker_debug_info(found(instance, waiting))
    assert launcher.lost_runs(lambda _: None) == []
    pod_of(cluster, waiting).is_deleted = True
    cluster.is_out = True
    assert launcher.lost_runs(lambda _: None) == []  # nobody can say that it is gone
    cluster.is_out = False
    monkeypatch.setattr(launcher, "lost_runs", lambda: type(launcher).lost_runs(launcher, int))
    assert end_lost(instance) == 1
    assert found(instance, waiting).status is FAILURE


def test_cluster_that_does_not_answer_ends_no_run_whose_heart_beats(
    instance: dg.DagsterInstance, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.image, "name", "another:1")
    run = found(instance, launched(instance, tmp_path))
    monkeypatch.setattr(f"{LAUNCHER}.STILL_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "is_out", True)
    beats = iter(["first", "second", "second"])
    monkeypatch.setattr(
        "smallcaps_assets.orchestration.heartbeats.last_beat", lambda *_: next(beats)
    )
    states = [instance.run_launcher.check_run_worker_health(run) for _ in range(3)]
    assert [s.status.name for s in states] == ["RUNNING", "RUNNING", "FAILED"]
    assert "the cluster says" in str(states[2].msg) and "heartbeat" in str(states[2].msg)


def test_job_names_its_secret_and_holds_none(
    instance: dg.DagsterInstance, cluster: Cluster, runs: dict[str, Any]
) -> None:
    jobs = [pod.job for pod in cluster.pods.values()]
    container = jobs[0]["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "smallcaps"}}]
    told = [json.dumps(jobs), *(pod.log() for pod in cluster.pods.values())]
    told += [str(event) for run in instance.get_runs() for event in instance.all_logs(run.run_id)]
    config = Path(instance.root_directory, "dagster.yaml").read_text()
    assert yaml.safe_load(config)["run_launcher"]["class"] == "PodLauncher"
    assert not any(s in text for s in (PASSWORD, SECRET, TOKEN) for text in [*told, config])
