"""Commands that hand runs to others, where there is nobody who could take them: one line each."""

from __future__ import annotations

from importlib import import_module
from itertools import product
from pathlib import Path

import pytest

from smallcaps_assets.lake.market import open_lake
from smallcaps_assets.orchestration.fleet import declare_served, digest_of
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.orchestration.location import remembered_settings
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import load_settings
from smallcaps_assets_tests.end_to_end.command import settings, smallcaps

CELERY = settings({"run.launcher": "celery"})
HISTORY = {"DAGSTER_POSTGRES_URL": "postgresql+psycopg2://lake:a-secret@127.0.0.1:9/lake"}


@pytest.mark.parametrize("command", [["run", "--queue"], ["backfill", "trades", "--queue"]])
def test_queue_without_a_daemon_is_refused(command: list[str], tmp_path: Path) -> None:
    done = smallcaps(*command, "--lake", tmp_path / "lake", cwd=tmp_path)
    assert done.status == 2 and done.error.count("\n") == 1
    assert "no daemon takes runs from the queue of this lake; start `smallcaps ui`" in done.error


@pytest.mark.parametrize(
    ("launcher", "command"),
    [
        *product(
            ["celery", "kubernetes"],
            [["run", "--queue"], ["backfill", "trades", "--queue"], ["ui"]],
        ),
        ("celery", ["worker"]),
    ],
)
def test_lake_on_a_disk_is_refused_before_anything_is_written(
    launcher: str, command: list[str], tmp_path: Path
) -> None:
    asked = [*command, *settings({"run.launcher": launcher}), "--lake", tmp_path / "lake"]
    done = smallcaps(*asked, cwd=tmp_path, **HISTORY)
    assert done.status == 2 and done.error.count("\n") == 1
    assert "is on a disk of this machine, which workers on others don't see" in done.error
    assert list(tmp_path.iterdir()) == []


def test_worker_of_a_lake_without_workers_is_refused(tmp_path: Path) -> None:
    done = smallcaps("worker", "--lake", tmp_path / "lake", cwd=tmp_path)
    assert done.status == 2 and "workers take runs where run.launcher is celery" in done.error
    done = smallcaps("worker", *CELERY, "--name", "a b", cwd=tmp_path)
    assert done.status == 2 and "--name 'a b': use letters" in done.error


def test_run_that_waits_for_nobody_is_refused(tmp_path: Path) -> None:
    done = smallcaps("worker", "--run", "of-no-history", "--lake", tmp_path / "lake", cwd=tmp_path)
    assert done.status == 2 and done.error.count("\n") == 1
    assert "run of-no-history does not wait for a worker" in done.error


def test_worker_of_other_settings_leaves_what_the_lake_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = import_module("smallcaps_assets.cli.worker")
    monkeypatch.setattr(command, "check_launcher", lambda _: None)
    monkeypatch.setenv("DAGSTER_HOME", "")
    served = load_settings([f"lake.root={tmp_path / 'lake'}", "run.launcher=celery"])
    open_lake(served.lake.root, market_of(served).identity, remembered_settings(served))
    with open_instance(served.lake.local) as instance:
        declare_served(instance, digest_of(served))
    before = (tmp_path / "lake" / "lake.json").read_bytes()
    other = ["worker", *CELERY, "--set", "bars.alpha=0.5", "--lake", tmp_path / "lake"]
    done = smallcaps(*other, cwd=tmp_path)
    assert done.status == 2 and "the lake is served with settings" in done.error
    assert (tmp_path / "lake" / "lake.json").read_bytes() == before
