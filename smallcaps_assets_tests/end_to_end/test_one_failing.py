"""One bad ticker-session among the rest: the others arrive, the one is named, and can be mended."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from benchmarks import chaos
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS
from smallcaps_assets.sandbox import SandboxConfig, SimulatedMarket
from smallcaps_assets.schemas import TICK_CHAIN
from smallcaps_assets_tests.end_to_end.command import (
    SMALL_MARKET,
    Finished,
    listing,
    run_again,
    smallcaps,
)
from smallcaps_assets_tests.end_to_end.conftest import instance_of


@dataclass(frozen=True)
class Failed:
    """A lake after a run with one bad ticker-session, and what the run said."""

    root: Path
    run: Finished
    ticker: str
    day: str

    @property
    def key(self) -> str:
        """The bad ticker-session."""
        return f"{self.ticker}_{self.day}"


@pytest.fixture(scope="module")
def failed(small_lake: Path, periods: Path, tmp_path_factory: pytest.TempPathFactory) -> Failed:
    """From the ticks on the lake is made anew, under the fault."""
    root = Path(shutil.copytree(small_lake, tmp_path_factory.mktemp("failing") / "lake"))
    chaos.begin_again(root)
    ticker, day = wild_ticker_session()
    fault = f"sandbox.faults=corrupt@trades:{ticker}:{day}"
    options = ("--config", periods, "--set", fault, "--set", "polygon.retry_budget=1")
    run = run_again(root, *options)
    return Failed(root, run, ticker, day)


def wild_ticker_session() -> tuple[str, str]:
    """The first wild day of the small market, which selection is made to find."""
    values = {name.partition(".")[2]: value for name, value in SMALL_MARKET.items()}
    market = SimulatedMarket(SandboxConfig.model_validate(values))
    number, index = min(market.wild_days, key=lambda wild: (wild[1], wild[0]))
    day = market.sessions[index]
    listing = next(listing for listing in market.listings if listing.number == number)
    return listing.ticker_on(day) or "", day.isoformat()


def statuses(root: Path, table: str) -> dict[str, str]:
    """Dagster's status of every ticker-session of a table."""
    with instance_of(root) as instance:
        keys = instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
        found = instance.get_status_by_partition(dg.AssetKey(table), keys, TICKER_SESSIONS) or {}
        return {key: status.name if status else "MISSING" for key, status in found.items()}


def test_run_with_one_bad_ticker_session_ends_in_one_and_names_it(failed: Failed) -> None:
    assert (failed.run.status, failed.run.error) == (1, "")
    assert "1 partitions failed; the others are complete" in failed.run.out
    named = [line.strip() for line in failed.run.out.splitlines() if failed.key in line]
    assert any(line.startswith(f"trades {failed.key}: ") for line in named)


def test_dagster_shows_exactly_the_bad_one_failed_from_trades_on(failed: Failed) -> None:
    registry = Lake(failed.root).read("ticker_sessions")["partition_key"].to_list()
    assert failed.key in registry and len(registry) >= 4
    expected = {key: "FAILED" if key == failed.key else "MATERIALIZED" for key in registry}
    for table in TICK_CHAIN:
        assert statuses(failed.root, table) == expected, table


def test_other_ticker_sessions_reach_the_dataset(failed: Failed) -> None:
    lake = Lake(failed.root)
    registry = lake.read("ticker_sessions")
    dataset = lake.read("ml_dataset", "union").select("ticker", "date").unique()
    keys = {f"{ticker}_{day}" for ticker, day in dataset.iter_rows()}
    assert keys == set(registry["partition_key"]) - {failed.key}
    assert all(failed.key not in lake.keys(table) for table in TICK_CHAIN)


def test_status_counts_the_failed_one(failed: Failed) -> None:
    done = smallcaps("status", "--lake", failed.root, cwd=failed.root.parent)
    count = len(Lake(failed.root).keys("trades"))
    for table in TICK_CHAIN:
        row = next(line.split() for line in done.out.splitlines() if line.split()[:1] == [table])
        assert [int(cell) for cell in row[1:5]] == [count + 1, count, 1, 1], table


def test_backfill_of_the_failed_makes_that_one_alone(failed: Failed, tmp_path: Path) -> None:
    root = Path(shutil.copytree(failed.root, tmp_path / "lake"))
    dry = smallcaps("backfill", "--lake", root, "--failed", "--dry-run", cwd=root.parent)
    assert "1 partitions; nothing was made" in dry.out and failed.key in dry.out
    seen = listing(root)
    done = smallcaps("backfill", "--lake", root, "--failed", cwd=root.parent)
    assert (done.status, done.error) == (0, "")
    after = listing(root)
    changed = {Path(p) for p in after if p.endswith(".parquet") and after[p] != seen.get(p)}
    assert {path.stem for path in changed} == set(TICK_CHAIN)
    assert all(f"ticker={failed.ticker}/date={failed.day}" in p.as_posix() for p in changed)
    assert set(statuses(root, "sample_weights").values()) == {"MATERIALIZED"}


def test_next_run_without_the_fault_makes_only_what_is_missing(
    failed: Failed, periods: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(failed.root, tmp_path / "lake"))
    seen = listing(root)
    done = run_again(root, "--config", periods)
    assert (done.status, done.error) == (0, "")
    after = listing(root)
    changed = [Path(p) for p in after if p.endswith(".parquet") and after[p] != seen.get(p)]
    of_bad = {
        p.stem for p in changed if f"ticker={failed.ticker}/date={failed.day}" in p.as_posix()
    }
    assert of_bad == set(TICK_CHAIN)
    others = {p.parent.name for p in changed if p.stem == "ml_dataset"}
    assert others == {"period=before_christmas", "period=union"}
    covered = {p.parent.name for p in changed if p.stem == "coverage"}
    assert covered == {f"date={failed.day}"}
    folds = [p for p in changed if p.stem == "folds"]
    assert len(changed) == len(of_bad) + len(others) + len(covered) + len(folds)
    assert set(statuses(root, "trades").values()) == {"MATERIALIZED"}


def test_key_that_is_none_fails_alone_and_is_removed_by_verify(own_lake: Path) -> None:
    good = Lake(own_lake).keys("trades")[:2]
    with instance_of(own_lake) as instance:
        instance.add_dynamic_partitions(TICKER_SESSIONS.name or "", ["foo bar"])
        before = instance.get_latest_storage_id_by_partition(
            dg.AssetKey("trades"), dg.DagsterEventType.ASSET_MATERIALIZATION, set(good)
        )
    keys = ",".join([good[0], "foo bar", good[1]])
    done = smallcaps("backfill", "--lake", own_lake, "trades", "--keys", keys, cwd=own_lake.parent)
    assert done.status == 1 and "1 partitions failed; the others are complete" in done.out
    assert "'foo bar' is no ticker-session; `smallcaps verify --repair` removes" in done.out
    with instance_of(own_lake) as instance:
        after = instance.get_latest_storage_id_by_partition(
            dg.AssetKey("trades"), dg.DagsterEventType.ASSET_MATERIALIZATION, set(good)
        )
    assert all(after[key] > before[key] for key in good)
    assert statuses(own_lake, "trades")["foo bar"] == "FAILED"
    dry = smallcaps("backfill", "--lake", own_lake, "--failed", "--dry-run", cwd=own_lake.parent)
    assert "trades: 1 partitions by range, foo bar to foo bar" in dry.out
    repaired = smallcaps("verify", "--lake", own_lake, "--repair", "trades", cwd=own_lake.parent)
    assert "partition key 'foo bar': is not a valid ticker_session" in repaired.out
    assert "partition keys removed: 'foo bar'" in repaired.out
    assert "foo bar" not in statuses(own_lake, "trades")
