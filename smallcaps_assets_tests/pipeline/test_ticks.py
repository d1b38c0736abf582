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

from smallcaps_assets.lake import Failures
from smallcaps_assets.pipeline import processes
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome
from smallcaps_assets.pipeline.ticks import tick_chain
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import MADE_OF_TICKS, SESSION_TABLES, TICK_CHAIN
from smallcaps_assets.schemas.tables import QUOTE_COLUMNS
from smallcaps_assets.sources.errors import NotOffered
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
    assert len(outcomes) == COUNT * len(TICK_CHAIN) - len(MADE_OF_TICKS[1:])
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


def test_chain_given_a_plan_without_quotes_has_null_features_until_they_come(
    selected: Path, tmp_path: Path
):
    """The plan's refusal is no failure and is remembered; quotes that come later put what is made
    of them out of date, and nothing else."""
    root = lake_of(selected, tmp_path / "lake")
    refused = workspace(root, "403@quotes", run={"processes": 1})
    outcomes = ticks(refused)
    key = max(keys_of(refused), key=lambda key: refused.lake.rows("bar_features", key))
    assert [o for o in outcomes.values() if o.is_failed] == []
    assert {str(o.error) for (table, _), o in outcomes.items() if table == "quotes"} == {
        str(outcomes["quotes", key].error)
    }
    assert isinstance(outcomes["quotes", key].error, NotOffered)
    assert refused.is_not_offered("quotes", key)
    features = refused.lake.read("quote_features", key)
    assert features.height == refused.lake.read("bar_features", key).height > 0
    assert set(features["null_reason"]) == {"no_quote_yet"}
    told = features.select(QUOTE_COLUMNS).null_count().row(0, named=True)
    assert {*told.values()} == {features.height}
    assert refused.lake.read("quote_quality", key)["quotes"].item() == 0
    still = ticks(replace(at(root, processes=1), skip_complete=True))
    assert all(o.is_reused for o in still.values()) and ("quotes", key) not in still
    for name in keys_of(refused):
        Failures(refused.lake).clear("quotes", name)
    again = ticks(replace(at(root, processes=1), skip_complete=True))
    made = {table for (table, k), o in again.items() if k == key and not o.is_reused}
    assert made == {"quotes", "quote_features", "quote_quality", "pattern_labels", "forward_mids"}
    spreads = refused.lake.read("quote_features", key)["spread_last"]
    assert spreads.null_count() < spreads.len() and spreads.min() > 0
    quality = refused.lake.read("quote_quality", key).row(0, named=True)
    assert quality["inside_share"] >= 0.95 and again["quote_quality", key].findings[1].is_good


def test_patterns_are_those_of_the_tape_with_labels_and_costs(selected: Path, tmp_path: Path):
    work = at(lake_of(selected, tmp_path / "lake"), processes=1)
    outcomes = ticks(work)
    assert failed(outcomes) == []
    for key in keys_of(work):
        counted = work.lake.read("pattern_events", key)["pattern"].value_counts()
        assert dict(counted.iter_rows()).items() <= outcomes["pattern_events", key].metadata.items()
    events, labels = (
        work.lake.read_many(name, keys_of(work)) for name in ("pattern_events", "pattern_labels")
    )
    assert events.height > 5 and events["pattern"].n_unique() > 1
    assert labels.select("ticker", "event_id", "t0").equals(events["ticker", "event_id", "t0"])
    assert labels["round_trip_cost"].null_count() == 0 and labels["round_trip_cost"].min() > 0
    assert (events["is_selection_known"] == (events["t0"] >= events["eligible_from"])).all()
