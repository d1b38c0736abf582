"""The tick chain in worker processes: the same bytes, one killed in the middle, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.pipeline import processes
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome
from smallcaps_assets.pipeline.ticks import tick_chain
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import SESSION_TABLES, TICK_CHAIN
from smallcaps_assets_tests.end_to_end.command import digests
from smallcaps_assets_tests.pipeline.bench import make_sessions, reference, workspace

SESSION = "2024-10-08"
COUNT = 3


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose registry holds tickers of a session, without ticks. Not to be changed."""
    root = tmp_path_factory.mktemp("ticks") / "lake"
    work = at(root)
    made = [*reference(work), *make_sessions(work, list(SESSION_TABLES), [SESSION]).values()]
    made.append(work.store("ticker_sessions", None, lambda: registry(work)))
    assert [o for o in made if o.error is not None] == []
    return root


def registry(work: Workspace) -> BuildResult:
    """Some tickers of the session, as if the watchlist had selected them."""
    bars = work.lake.read("daily_bars", SESSION).sort("volume").tail(COUNT)
    rows = bars.select(
        "ticker",
        "date",
        partition_key=pl.col("ticker") + f"_{SESSION}",
        identity="ticker",
        rules=pl.lit("info_rich"),
        selection_rule=pl.lit("info_rich"),
        eligible_from=pl.col("date").cast(pl.Datetime("ns", "UTC")).dt.offset_by("14h"),
        is_qualified=True,
    )
    return BuildResult(rows)


@pytest.fixture(scope="module", autouse=True)
def _two_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "ITEMS_PER_WORKER", 1)
        yield
    processes.end_workers()


def at(root: Path, **run: Any) -> Workspace:
    return workspace(root, run=run)


def lake_of(selected: Path, place: Path) -> Path:
    return Path(shutil.copytree(selected, place))


def keys_of(work: Workspace) -> list[str]:
    return work.lake.read("ticker_sessions")["partition_key"].sort().to_list()


def ticks(work: Workspace) -> dict[tuple[str, str], Outcome]:
    found = list(tick_chain(work, list(TICK_CHAIN), keys_of(work)))
    return {(o.table, str(o.key)): o for o in found}


def failed(outcomes: dict[tuple[str, str], Outcome]) -> list[tuple[str, str]]:
    return [place for place, outcome in outcomes.items() if outcome.error is not None]


def test_processes_make_the_bytes_that_threads_make(selected: Path, tmp_path: Path):
    here, there = (lake_of(selected, tmp_path / name) for name in ("here", "there"))
    processes.end_workers()
    one = ticks(at(here, processes=1))
    assert not processes._RUNNING
    many = ticks(at(there, processes=2))
    assert len(processes._RUNNING) == 2
    assert failed(one) == failed(many) == []
    assert len(one) == COUNT * len(TICK_CHAIN) and set(one) == set(many)
    assert digests(here) == digests(there)
    for place, outcome in one.items():
        assert many[place].findings == outcome.findings and many[place].written == outcome.written


def test_killed_worker_fails_its_ticker_session_alone_and_the_next_run_makes_it(
    selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    work = at(lake_of(selected, tmp_path / "lake"), processes=2)
    victim = keys_of(work)[1]
    send = processes._Worker.send

    def send_and_kill(worker: Any, function: Any, arguments: tuple[Any, ...]) -> None:
        send(worker, function, arguments)
        if victim in arguments:
            os.kill(worker._process.pid, signal.SIGKILL)

    monkeypatch.setattr(processes._Worker, "send", send_and_kill)
    outcomes = ticks(work)
    assert failed(outcomes) == [("dollar_bars", victim)]
    assert "worker process" in str(outcomes["dollar_bars", victim].error)
    assert len(outcomes) == COUNT * len(TICK_CHAIN) - 6
    monkeypatch.undo()
    again = ticks(replace(work, skip_complete=True))
    assert failed(again) == []
    made = {key for (table, key), o in again.items() if not o.is_reused}
    assert made == {victim}


def test_full_disk_in_a_worker_is_named_as_in_a_thread(selected: Path, tmp_path: Path):
    work = at(lake_of(selected, tmp_path / "lake"), processes=2)
    victim = keys_of(work)[0]
    folder = Path(str(work.lake.path("volume_bars", victim))).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    outcomes = ticks(work)
    assert failed(outcomes) == [("volume_bars", victim)]
    error = outcomes["volume_bars", victim].error
    assert isinstance(error, OSError) and str(folder) in str(error)
