"""Partitions of a lake in an object store: how little it is asked to find them complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.outcome import BuildResult
from smallcaps_assets.pipeline.outdated import outdated
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import SESSION_TABLES, TABLES
from smallcaps_assets_tests.object_store import ObjectStore, object_store
from smallcaps_assets_tests.pipeline.bench import workspace

MADE = ("splits", "dividends", "ticker_details", *SESSION_TABLES)


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


@pytest.fixture(scope="module")
def work(store: ObjectStore) -> Workspace:
    """Every table of some sessions in the bucket, without rows; each knows what it was made of."""
    made = workspace("s3://desk/lake")  # type: ignore[arg-type]
    for table in MADE:
        for key in keys_of(made, table):
            rows = BuildResult(TABLES[table].empty())
            assert made.store(table, key, lambda rows=rows: rows).error is None
    return made


def keys_of(work: Workspace, table: str) -> list[str]:
    slow = {"splits": ["2024"], "dividends": ["2024"], "ticker_details": ["2024-10"]}
    return slow.get(table) or work.span.session_keys(work.span.start, work.span.end)


def test_nothing_to_do_is_found_by_two_requests_a_partition(
    work: Workspace, store: ObjectStore
) -> None:
    fresh = replace(work, lake=Lake(work.lake.root))
    fresh.lake.root.fs.clear_instance_cache()  # as in a process of its own
    fresh = replace(work, lake=Lake(str(work.lake.root)))
    stored = {table: keys_of(work, table) for table in MADE}
    store.calls.clear()
    assert [key for table, keys in stored.items() for key in outdated(fresh, table, keys)] == []
    assert store.calls.total() <= 2 * sum(map(len, stored.values())), store.calls


def test_partition_that_was_replaced_elsewhere_puts_out_of_date_what_is_made_of_it(
    work: Workspace,
) -> None:
    key = keys_of(work, "tickers")[2]
    assert outdated(work, "daily_bars", [key]) == []
    elsewhere = replace(work, lake=Lake(str(work.lake.root)))
    stamp = replace(elsewhere.lake.stamp("daily_bars", key), config="another")  # type: ignore
    elsewhere.lake.write("daily_bars", key, TABLES["daily_bars"].empty(), stamp)
    assert outdated(work, "daily_bars", [key]) == [key]
    assert outdated(work, "session_summary", [key]) == [key]
