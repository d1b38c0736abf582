"""Two writers of one partition: what either of them has made stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.lake import Empties, Lake, LakeError, LakeIdentity, Scope, open_lake
from smallcaps_assets.lake import market as lake_market
from smallcaps_assets.lake.file_identity import versions
from smallcaps_assets.pipeline.outcome import BuildResult
from smallcaps_assets.pipeline.workspace import Workspace, stored_rows
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.object_store import ObjectStore, object_store
from smallcaps_assets_tests.pipeline.bench import workspace

KEY = "2024-10-02"
ON_DISK, IN_A_BUCKET = "disk", "bucket"


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


@pytest.fixture(params=[ON_DISK, IN_A_BUCKET])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A new lake's place."""
    if request.param == ON_DISK:
        return tmp_path / "lake"
    request.getfixturevalue("store")
    return f"s3://desk/{tmp_path.name}"


@pytest.fixture
def work(root: Any) -> Workspace:
    return workspace(root)


def bars(*tickers: str, close: float = 2.0) -> pl.DataFrame:
    frame = pl.DataFrame({"ticker": list(tickers)})
    return frame.with_columns(
        date=pl.lit(date(2024, 10, 2)),
        open=1.5,
        high=3.0,
        low=1.0,
        close=close,
        volume=100.0,
        vwap=None,
        transactions=3,
    )


class Overtaken(Lake):
    """A lake on which something happens just after stored rows were read for the first time."""

    def __init__(self, root: Any, happens: Callable[[], object]) -> None:
        super().__init__(root)
        self._happens = [happens]

    def read_sealed(self, name: str, key: str | None = None) -> tuple[pl.DataFrame, str]:
        try:
            return super().read_sealed(name, key)
        finally:
            while self._happens:
                self._happens.pop()()


def make(work: Workspace, tickers: str, close: float, happens: Any = None) -> None:
    """A run for some tickers, or all for none; something happens while it merges its rows."""
    lake = Overtaken(work.lake.root, happens) if happens else Lake(work.lake.root)
    run = replace(work, tickers=tuple(tickers), lake=lake)
    rows = bars(*(tickers or "ABC"), close=close)
    assert run.store("daily_bars", KEY, lambda: BuildResult(rows)).error is None


def test_tickers_that_another_run_has_made_meanwhile_stay(work: Workspace) -> None:
    make(work, "", 2.0)
    make(work, "A", 2.5, happens=lambda: make(work, "B", 2.7))
    found = work.lake.read("daily_bars", KEY)
    assert dict(found.select("ticker", "close").iter_rows()) == {"A": 2.5, "B": 2.7, "C": 2.0}
    assert len(versions(work.lake.root, work.lake.path("daily_bars", KEY))) == 2


def test_first_partition_of_two_runs_holds_the_tickers_of_both(work: Workspace) -> None:
    make(work, "A", 2.5, happens=lambda: make(work, "B", 2.7))
    stamp = work.lake.stamp("daily_bars", KEY)
    assert stamp is not None and Scope.parse(stamp.scope) == Scope.only("AB")
    assert work.lake.read("daily_bars", KEY)["close"].to_list() == [2.5, 2.7]


def test_whole_partition_is_not_undone_by_a_merge_with_the_one_before(work: Workspace) -> None:
    make(work, "", 2.0)
    make(work, "A", 2.5, happens=lambda: make(work, "", 2.9))
    assert work.lake.read("daily_bars", KEY)["close"].to_list() == [2.5, 2.9, 2.9]


def test_rows_made_from_the_stored_ones_are_made_again_from_newer_ones(work: Workspace) -> None:
    table, seen = "adjustment_factors", []

    def one_more(lake: Lake) -> BuildResult:
        rows, seal = stored_rows(replace(work, lake=lake), table)
        seen.append(len(rows))
        return BuildResult(pl.concat([rows, factor(len(rows))]), over=seal)

    def store(lake: Lake) -> None:
        run = replace(work, lake=lake)
        assert run.store(table, None, lambda: one_more(lake)).error is None

    store(Overtaken(work.lake.root, lambda: store(Lake(work.lake.root))))
    assert seen == [0, 0, 1]
    assert work.lake.rows(table) == 2


def factor(number: int) -> pl.DataFrame:
    """The factors of one more split."""
    values = {"ticker": "A", "identity": "A", "split_factor": 0.5, "dividend_factor": 1.0}
    values |= {"effective_date": date(2024, 10, 1 + number), "cash_amount": 0.0}
    return pl.DataFrame([values], schema=TABLES["adjustment_factors"].columns)


def test_empties_of_two_processes_are_all_noted(root: Any) -> None:
    lake = Lake(root)
    one, other = (Empties(Lake(root), lambda: date(2026, 11, 2)) for _ in range(2))
    read = one._read

    def read_and_wait() -> Any:
        found = read()
        one._read = read  # type: ignore[method-assign]
        other.note("splits", "2014", Scope(), Scope())
        return found

    one._read = read_and_wait  # type: ignore[method-assign]
    one.note("splits", "2013", Scope(), Scope())
    noted = [(key, day.first) for (_, key), day in Empties(lake)._read()[0].items()]
    assert [key for key, _ in noted] == ["2013", "2014"]


def test_lake_made_by_two_processes_at_once_has_one_market(
    root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = LakeIdentity("simulated", {"seed": 7}), LakeIdentity("polygon", {})
    checks = [lambda: open_lake(str(root), theirs)]

    def decisions(lake: Lake) -> None:
        while checks:
            checks.pop()()

    monkeypatch.setattr(lake_market, "decisions", decisions)
    with pytest.raises(LakeError, match="holds the market polygon"):
        open_lake(str(root), mine)
    monkeypatch.undo()
    for _ in range(2):
        assert open_lake(str(root), theirs).read_file("lake.json") == Lake(root).read_file(
            lake_market.COPY
        )


def test_settings_that_another_process_has_changed_meanwhile_are_not_lost(
    root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = LakeIdentity("simulated", {"seed": 7})
    open_lake(str(root), identity)
    checks = [lambda: open_lake(str(root), identity, {"bars": {"alpha": 0.3}})]

    def decisions(lake: Lake) -> None:
        while checks:
            checks.pop()()

    monkeypatch.setattr(lake_market, "decisions", decisions)
    with pytest.raises(LakeError, match="changed by another process"):
        open_lake(str(root), identity, {"labels": {"take_profit": 0.2}})
    found = lake_market.read_identity(str(root))
    assert found is not None and found[1] == {"bars": {"alpha": 0.3}}


def test_another_attempt_leaves_what_the_first_has_made_and_makes_the_rest(
    work: Workspace,
) -> None:
    def build() -> BuildResult:
        built.append(1)
        return BuildResult(bars("A"))

    built: list[int] = []
    assert work.make("daily_bars", KEY, build).error is None
    seal = work.lake.seal("daily_bars", KEY)
    again = replace(work, made_before={("daily_bars", KEY): seal}, done=set())
    assert again.make("daily_bars", KEY, build).is_reused and len(built) == 1
    other = replace(work, made_before={("daily_bars", KEY): "of another file"}, done=set())
    assert not other.make("daily_bars", KEY, build).is_reused and len(built) == 2
