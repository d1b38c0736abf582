"""Partition keys are added with the outcomes that they follow from, and by no others."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from smallcaps_assets.orchestration import dynamic_partitions
from smallcaps_assets.orchestration.dynamic_partitions import registering
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS
from smallcaps_assets.pipeline.outcome import Outcome, Outcomes
from smallcaps_assets_tests.pipeline.small_dataset import KEYS, fill, work_on

DAY = "2024-05-03"


def outcomes(*tables: str, error: Exception | None = None) -> Outcomes:
    for table in tables:
        yield Outcome(table, DAY, error=error)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which keys were added, in order."""
    told: list[str] = []
    for name in ("register_tickers", "register_ticker_sessions"):
        monkeypatch.setattr(dynamic_partitions, name, lambda *_, n=name: told.append(n))
    return told


def test_tickers_are_added_once_after_the_last_outcome(added: list[str]) -> None:
    given = registering(None, None, outcomes("tickers", "universe", "universe", "minute_bars"))
    assert [(outcome.table, list(added)) for outcome in given][-1] == ("minute_bars", [])
    assert added == ["register_tickers"]


def test_tickers_are_added_when_a_run_is_cut_short(added: list[str]) -> None:
    given = registering(None, None, outcomes("universe", "universe"))
    next(given)
    given.close()
    assert added == ["register_tickers"]


def test_outcomes_of_other_tables_add_nothing(added: list[str]) -> None:
    assert len(list(registering(None, None, outcomes("tickers", "daily_bars")))) == 2
    assert added == []


def test_a_registry_that_failed_adds_nothing(added: list[str]) -> None:
    list(registering(None, None, outcomes("ticker_sessions", error=ValueError())))
    assert added == []


def test_ticker_sessions_are_there_before_the_registry_is_told_of(tmp_path: Path) -> None:
    work = work_on(tmp_path)
    fill(work)
    with dg.DagsterInstance.ephemeral() as instance:
        next(registering(instance, work, outcomes("ticker_sessions")))
        assert set(instance.get_dynamic_partitions(str(TICKER_SESSIONS.name))) == set(KEYS)
