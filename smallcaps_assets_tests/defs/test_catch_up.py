"""Which sessions automation answers for, on a lake of empty partitions."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from smallcaps_assets.defs.catch_up import (
    lacking,
    lacking_halts,
    requests_for,
    sessions_looked_at,
)
from smallcaps_assets.defs.schedules import Look, _is_market_out
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.orchestration.launchers import OP_TAG, REASON_TAG, tries
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.regulators.finra import FinraClient
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.sources.loopback import Loopback, Reply
from smallcaps_assets_tests.sources.regulators.test_finra import MISSING_DAY

LONG = {"sandbox": {"end": "2024-12-31", "tickers": 20, "pump_days": 4}}


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return workspace(tmp_path / "lake", **LONG)


def keys_of(work: Workspace) -> list[str]:
    return work.span.session_keys(work.span.start, work.span.end)


def store(work: Workspace, tables: tuple[str, ...], keys: list[str]) -> None:
    for table in tables:
        for key in keys:
            work.lake.write(table, key, TABLES[table].empty(), work.stamp(table, key))


def test_missed_sessions_expected_looked_at_however_many(work: Workspace) -> None:
    keys, newest = keys_of(work), work.span.end
    with dg.DagsterInstance.ephemeral() as instance:
        assert sessions_looked_at(work, instance, None) == []
        assert sessions_looked_at(work, instance, newest) == keys[-1:]  # an empty lake
        store(work, ("daily_bars", "volatile"), keys[:5])
        assert sessions_looked_at(work, instance, newest) == keys[4:]
        assert lacking(work, ("daily_bars", "volatile"), keys) == keys[5:]
        store(work, ("daily_bars", "volatile"), keys[-1:])  # by hand, after a gap
        assert sessions_looked_at(work, instance, newest) == keys[-20:]


def test_gap_after_the_schedule_began_expected_looked_at(work: Workspace) -> None:
    keys = keys_of(work)
    store(work, ("daily_bars", "volatile"), [*keys[:5], keys[-1]])
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/schedule_name": "daily", "dagster/partition": keys[2]}
        create_run_for_test(instance, "session_tables_job", tags=tags)
        assert sessions_looked_at(work, instance, work.span.end) == keys[2:]


def test_tries_expected_counted_by_key_and_stage(work: Workspace) -> None:
    keys = keys_of(work)
    with dg.DagsterInstance.ephemeral() as instance:
        for reason, first, last, status in [
            ("daily schedule: market a", 0, 2, dg.DagsterRunStatus.FAILURE),
            ("daily schedule: market b", 2, 3, dg.DagsterRunStatus.STARTED),
            ("daily schedule: selection c", 0, 9, dg.DagsterRunStatus.FAILURE),
        ]:
            tags = {
                OP_TAG: "session_tables",
                REASON_TAG: reason,
                "dagster/asset_partition_range_start": keys[first],
                "dagster/asset_partition_range_end": keys[last],
            }
            create_run_for_test(instance, "session_tables_job", tags=tags, status=status)
        found, busy = tries(instance, "session_tables", "daily schedule: market ", keys)
        assert found == {keys[0]: 1, keys[1]: 1, keys[2]: 2, keys[3]: 1}
        assert busy == {keys[2], keys[3]}


def test_halts_expected_asked_for_of_stored_sessions_only(work: Workspace) -> None:
    keys = keys_of(work)
    store(work, ("daily_bars",), keys[:3])
    store(work, ("halts",), keys[:1])
    assert lacking_halts(work, keys) == keys[1:3]


def test_requests_expected_by_the_newest_stored_session(work: Workspace) -> None:
    keys = keys_of(work)
    assert requests_for(work, ("tickers", "daily_bars", "short_volume"), keys[:10]) == 30
    assert date.fromisoformat(keys[0]) == work.span.start


def test_day_without_a_file_expected_awaited_and_then_asked_for(work: Workspace) -> None:
    key = "2024-12-27"
    with (
        dg.DagsterInstance.ephemeral() as instance,
        Loopback(Reply(MISSING_DAY, 403)) as server,
        FinraClient(url=server.url) as client,
    ):
        work.clients.finra = client
        evening = datetime(2024, 12, 27, 18, 45, tzinfo=NEW_YORK)
        assert not _is_market_out(Look(work, instance, evening, [key]), key)
        assert len(server.asked) == 1
        # A catch-up asks no file beforehand: what the source lacks is recorded by the attempt.
        later = datetime(2024, 12, 30, 9, 15, tzinfo=NEW_YORK)
        assert _is_market_out(Look(work, instance, later, [key]), key)
        assert len(server.asked) == 1
