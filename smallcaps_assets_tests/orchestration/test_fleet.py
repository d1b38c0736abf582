"""What workers on other machines need, and that they are of the same code and settings."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

import smallcaps_assets
from smallcaps_assets.orchestration import fleet
from smallcaps_assets.orchestration.fleet import (
    check_fleet,
    check_worker,
    declare_served,
    difference,
    digest_of,
)
from smallcaps_assets.orchestration.instance import choose_launcher, open_instance
from smallcaps_assets.settings import (
    BROKER_VARIABLE,
    POSTGRES_VARIABLE,
    RunSettings,
    Settings,
    SettingsError,
    load_settings,
)
from smallcaps_assets_tests.redis import redis_server

SETTINGS = load_settings(["lake.root=s3://desk/lake", "run.launcher=celery"])
HISTORY = {POSTGRES_VARIABLE: "postgresql+psycopg2://lake@127.0.0.1/lake"}
SECRET = "not-to-be-told"


def refusal(broker: str | None, settings: Settings = SETTINGS, **others: str) -> str:
    """The one line with which a fleet is refused."""
    pytest.importorskip("dagster_celery", reason="install smallcaps-assets[celery]")
    variables = {**HISTORY, **others} | ({} if broker is None else {BROKER_VARIABLE: broker})
    with pytest.raises(SettingsError) as caught:
        check_fleet(settings, variables)
    line = str(caught.value)
    assert SECRET not in line and "\n" not in line
    return line


@contextmanager
def other_server() -> Iterator[int]:
    """A server that speaks something else than Redis; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


def test_lake_on_a_disk_is_refused_for_workers_elsewhere(tmp_path: Path) -> None:
    local = load_settings([f"lake.root={tmp_path}", "run.launcher=celery"])
    assert f"lake {tmp_path} is on a disk of this machine" in refusal("redis://h", local)
    assert not list(tmp_path.iterdir())


def test_history_that_is_not_shared_is_refused() -> None:
    assert "which takes PostgreSQL" in refusal("redis://h", **{POSTGRES_VARIABLE: ""})


@pytest.mark.parametrize(
    "address", [f"amqp://u:{SECRET}@h/", f"redis://:{SECRET}@h:port/0", f"redis://:{SECRET}@"]
)  # fmt: skip
def test_address_that_is_none_of_a_broker_is_refused(address: str) -> None:
    assert f"{BROKER_VARIABLE} is no address of a Redis server" in refusal(address)
    assert f"{BROKER_VARIABLE} is not set" in refusal(None)


def test_broker_that_does_not_answer_is_refused_by_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert f"no broker answers at 127.0.0.1:{port}" in refusal(
        f"redis://:{SECRET}@127.0.0.1:{port}"
    )
    with other_server() as port:
        told = refusal(f"redis://:{SECRET}@127.0.0.1:{port}/0")
    assert f"no broker answers at 127.0.0.1:{port}" in told


def test_broker_with_another_password_is_refused_and_with_its_own_is_not() -> None:
    with redis_server() as running:
        assert "password" in refusal(f"redis://:{SECRET}@127.0.0.1:{running.port}/0")
        check_fleet(SETTINGS, {**HISTORY, BROKER_VARIABLE: running.url})


@pytest.mark.parametrize("launcher", ["celery", "kubernetes"])
def test_without_the_extra_it_is_named(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "find_spec", lambda name: None)
    settings = load_settings(["lake.root=s3://desk/lake", f"run.launcher={launcher}"])
    with pytest.raises(SettingsError, match=rf"install smallcaps-assets\[{launcher}\]$"):
        check_fleet(settings, {**HISTORY, BROKER_VARIABLE: "redis://h"})


def refusal_of_pods(tmp_path: Path, address: str = "", token: str = SECRET) -> str:
    """The one line with which a cluster at an address is refused."""
    pytest.importorskip("dagster_k8s", reason="install smallcaps-assets[kubernetes]")
    from smallcaps_assets_tests.kubernetes_api import kubeconfig

    settings = load_settings(["lake.root=s3://desk/lake", "run.launcher=kubernetes"])
    file = kubeconfig(tmp_path, address, token) if address else tmp_path / "none"
    with pytest.raises(SettingsError) as caught:
        check_fleet(settings, {**HISTORY, "KUBECONFIG": str(file)})
    line = str(caught.value)
    assert SECRET not in line and "\n" not in line
    return line


def test_cluster_that_is_not_named_or_does_not_answer_is_refused(tmp_path: Path) -> None:
    assert "no Kubernetes cluster is named" in refusal_of_pods(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told = refusal_of_pods(tmp_path, f"http://127.0.0.1:{port}")
    assert f"the Kubernetes API at http://127.0.0.1:{port} lists no Jobs" in told
    with other_server() as port:
        told = refusal_of_pods(tmp_path, f"http://127.0.0.1:{port}")
    assert "lists no Jobs of namespace smallcaps: Bad Request" in told


def test_what_names_a_cluster_and_is_malformed_is_not_quoted(tmp_path: Path) -> None:
    for token in (f"{SECRET}\nsecond: line", f"{SECRET}é†"):
        told = refusal_of_pods(tmp_path, "http://127.0.0.1:9", token)
        assert "its address or token is malformed" in told
    (tmp_path / "none").write_text(f"users: [{{token: {SECRET}")
    assert "no Kubernetes cluster is named: its address or token" in refusal_of_pods(tmp_path)


def test_cluster_that_refuses_is_named_and_one_that_allows_is_not(tmp_path: Path) -> None:
    pytest.importorskip("dagster_k8s", reason="install smallcaps-assets[kubernetes]")
    from smallcaps_assets_tests.kubernetes_api import Cluster, Image, served

    rule = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]}
    cluster = Cluster(tmp_path, "smallcaps", Image("any", [], {}), [], [rule])
    settings = load_settings(["lake.root=s3://desk/lake", "run.launcher=kubernetes"])
    with served(cluster):
        assert "Jobs of namespace smallcaps: Unauthorized" in refusal_of_pods(tmp_path, cluster.url)
        variables = {**HISTORY, "KUBECONFIG": str(cluster.kubeconfig())}
        check_fleet(settings, variables)
        cluster.rules.clear()
        with pytest.raises(SettingsError, match=r"smallcaps: Forbidden; .*access\.yaml applied"):
            check_fleet(settings, variables)


def test_digest_differs_by_settings_and_not_by_what_a_machine_has_of_its_own() -> None:
    own = digest_of(SETTINGS)
    machine = ["run.threads=9", "run.processes=3", "lake.home=/tmp/of/one"]
    base = ["lake.root=s3://desk/lake", "run.launcher=celery"]
    assert digest_of(load_settings([*base, *machine])) == own
    for other in ("bars.alpha=0.5", "sandbox.seed=3", "run.max_missing=0.5"):
        told = difference(own, digest_of(load_settings([*base, other])))
        assert told.startswith("settings ") and "code" not in told, other
    assert difference(own, own) == ""


def test_digest_differs_by_code_and_data_and_not_by_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(smallcaps_assets.__file__).parent, package, ignore=skip)
    monkeypatch.setattr(smallcaps_assets, "__file__", str(package / "__init__.py"))
    code = fleet._code.__wrapped__  # type: ignore[attr-defined]
    first = code()
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "kernel.nbi").write_bytes(b"compiled")
    assert code() == first
    fees = next(package.rglob("fees.csv"))
    fees.write_text(fees.read_text() + "\n")
    assert code() != first


def test_worker_of_other_settings_than_what_serves_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(tmp_path) as instance:
        check_worker(instance, "code.settings")  # nothing was served yet
        declare_served(instance, "code.settings")
        check_worker(instance, "code.settings")
        with pytest.raises(SettingsError, match="served with settings settings and not others"):
            check_worker(instance, "code.others")


@pytest.mark.parametrize(
    ("launcher", "told"),
    [
        ("celery", ("PingingLauncher", BROKER_VARIABLE)),
        ("kubernetes", ("PodLauncher", "cpu: 1500m")),
    ],
)
def test_launcher_is_chosen_and_given_up_again(
    launcher: Literal["celery", "kubernetes"],
    told: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    open_instance(tmp_path).dispose()
    home = tmp_path / "dagster"
    before = (home / "dagster.yaml").read_text()
    choose_launcher(tmp_path, RunSettings(launcher=launcher, tick_runs=7, pod_cpu="1500m"))
    file = (home / "dagster.yaml").read_text()
    assert all(text in file for text in told)
    assert "max_concurrent_runs: 10" in file and "retry_on_asset_or_op_failure: false" in file
    with open_instance(tmp_path) as instance:
        assert instance.run_retries_enabled and instance.run_retries_max_retries == 3
    choose_launcher(tmp_path, RunSettings())
    after = (home / "dagster.yaml").read_text()
    assert after.replace("max_concurrent_runs: 10", "max_concurrent_runs: 4") == before
