"""Calls in worker processes: results, errors, and what is left when a process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.pipeline.processes import (
    WORKER_BYTES,
    WorkerLostError,
    Workers,
    allowed,
    end_workers,
    workers,
)
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.settings import RunSettings, SettingsError
from smallcaps_assets.sources.errors import RateLimited
from smallcaps_assets_tests.pipeline import calls

OWNER = """
import sys
from pathlib import Path
from smallcaps_assets.pipeline.processes import Workers
from smallcaps_assets_tests.pipeline.calls import wait_for_ever

Workers(2).call(wait_for_ever, Path(sys.argv[1]))
"""


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    end_workers()


def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.005)


def is_running(process: int) -> bool:
    """Whether a process is there, and not only its entry."""
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def test_calls_of_many_threads_are_shared_among_the_workers_which_stay_for_the_next_run():
    found = set(in_threads(lambda n: Workers(2).call(calls.process, n), range(20), 1))
    assert os.getpid() not in found
    assert len(found) == 1
    many = Workers(2)
    assert len(set(in_threads(lambda n: many.call(calls.process, n), range(20), 4)) | found) == 2


def test_frames_go_there_and_back():
    frame = pl.DataFrame({"a": [1, 2]})
    assert Workers(2).call(calls.doubled, frame).equals(frame * 2)


def test_without_workers_a_call_is_made_here():
    assert Workers(0).call(calls.process) == os.getpid()


def test_killed_worker_fails_its_call_alone_and_the_next_gets_a_fresh_one():
    pool = Workers(2)
    before = pool.call(calls.process)
    with pytest.raises(WorkerLostError, match=r"killed by signal 9; the next run.*run\.processes"):
        pool.call(calls.end_badly, "kill")
    after = pool.call(calls.process)
    assert after != before
    assert not is_running(before)
    # One that is killed while it waits is not noticed by anybody.
    os.kill(after, signal.SIGKILL)
    os.waitid(os.P_PID, after, os.WEXITED | os.WNOWAIT)
    assert pool.call(calls.process) != after


def test_errors_arrive_as_they_were_raised():
    pool = Workers(2)
    with pytest.raises(OSError, match=r"No space left on device: '/lake/trades.parquet'") as disk:
        pool.call(calls.end_badly, "disk")
    assert disk.value.errno == 28
    with pytest.raises(RateLimited) as limited:
        pool.call(calls.end_badly, "source")
    assert limited.value.status == 429
    assert str(limited.value).count("polygon.plan") == 1
    with pytest.raises(calls.PairError, match="one and other") as pair:
        pool.call(calls.end_badly, "pair")
    assert "end_badly" in "".join(pair.value.__notes__)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes there are")
def test_worker_ends_in_the_middle_of_a_call_when_its_owner_is_killed(tmp_path: Path):
    told = tmp_path / "told"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(told)])
    until(lambda: told.exists() and told.read_text() != "")
    worker = int(told.read_text())
    assert is_running(worker)
    owner.kill()
    owner.wait()
    until(lambda: not is_running(worker))


def test_run_that_is_ended_early_waits_for_no_call(tmp_path: Path):
    pool, told = Workers(2), tmp_path / "told"
    functions = [calls.process, partial(calls.wait_for_ever, told), calls.process]
    calling = in_threads(pool.call, functions, 2, pool.abandon)
    next(calling)
    until(told.exists)
    calling.close()
    with pytest.raises(WorkerLostError, match="the run has ended"):
        pool.call(calls.process)
    assert Workers(2).call(calls.process)


@pytest.mark.skipif(sys.platform != "linux", reason="a terminal's group is looked up in /proc")
def test_ctrl_c_of_a_terminal_reaches_no_worker():
    pool = Workers(2)
    assert os.getpgid(pool.call(calls.process)) != os.getpgid(0)


def test_more_workers_than_memory_allows_are_refused_with_the_figures(
    monkeypatch: pytest.MonkeyPatch,
):
    end_workers()
    monkeypatch.setattr(
        "smallcaps_assets.pipeline.processes.free_memory", lambda: 3 * WORKER_BYTES + 1
    )
    assert allowed(RunSettings(processes=3)) == 3
    refusal = r"run\.processes=4 .* 1\.9 GB of memory, and 1\.4 GB are free; choose 3 at most"
    with pytest.raises(SettingsError, match=refusal):
        allowed(RunSettings(processes=4))
    monkeypatch.setattr("smallcaps_assets.pipeline.processes.cores", lambda: 8)
    assert allowed(RunSettings()) == 3
    monkeypatch.setattr("smallcaps_assets.pipeline.processes.free_memory", lambda: 0)
    assert allowed(RunSettings(processes=1)) == 1
    assert workers(RunSettings(), 1000).count == 0


@pytest.mark.parametrize(("items", "count"), [(0, 0), (15, 0), (16, 2), (24, 3), (500, 4)])
def test_few_items_are_worth_no_workers(items: int, count: int):
    assert workers(RunSettings(processes=4), items).count == count
