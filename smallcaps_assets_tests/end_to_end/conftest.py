"""A small simulated lake, made once for all tests of a run, and copies of it to change."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.end_to_end.command import SMALL_MARKET, in_process, settings

# A whole market takes minutes without compiled kernels, and tests nothing more.
if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    collect_ignore_glob = ["test_*.py"]

# Two periods, so that the union has something to unite.
PERIODS = """
[[dataset.periods]]
name = "before_christmas"
start = 2024-12-01
end = 2024-12-26
regime = "first"

[[dataset.periods]]
name = "after_christmas"
start = 2024-12-27
end = 2024-12-31
regime = "second"
"""


@pytest.fixture(scope="session")
def periods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A settings file with the two periods."""
    file = tmp_path_factory.mktemp("config") / "periods.toml"
    file.write_text(PERIODS)
    return file


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory, periods: Path) -> Path:
    """The lake of a finished main job, made by the first worker to need it. Not to be changed."""
    folder = shared_folder(tmp_path_factory)
    lake, output = folder / "lake", folder / "output.txt"
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            options = ("--lake", lake, "--config", periods, *settings(SMALL_MARKET))
            done = in_process("run", *options, cwd=folder)
            assert (done.status, done.error) == (0, "")
            output.write_text(done.out)
    return lake


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test run that all its workers see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def own_lake(small_lake: Path, tmp_path: Path) -> Path:
    """A copy of the small lake, times of change included."""
    return Path(shutil.copytree(small_lake, tmp_path / "lake"))


@pytest.fixture
def incomplete_lake(own_lake: Path) -> Path:
    """A copy of the small lake without the newest partition of each table, whatever makes it."""
    lake = Lake(own_lake)
    for table in TABLES:
        for key in lake.keys(table)[-1:]:
            shutil.rmtree(Path(str(lake.path(table, key or None))).parent)
    return own_lake


@contextmanager
def instance_of(lake: Path) -> Iterator[dg.DagsterInstance]:
    """The lake's own Dagster instance; the environment is left as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        with open_instance(lake) as instance:
            yield instance
