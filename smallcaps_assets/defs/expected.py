"""Which partitions a complete lake would hold, which of them are missing, and which have failed."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.partitions import TICKERS, Partitions
from smallcaps_assets.pipeline.feed_partitions import published_halves
from smallcaps_assets.pipeline.fold_digests import MONTHLY, test_months
from smallcaps_assets.pipeline.partition_keys import date_of, month_keys, year_keys
from smallcaps_assets.pipeline.registered import registry_rows
from smallcaps_assets.schemas import TABLES, Partitioning


def expected_keys(
    lake: Lake, instance: dg.DagsterInstance, partitions: Partitions, table: str
) -> list[str]:
    """Keys that a complete lake of this market would hold, in the order of the sessions."""
    start, end = partitions.start, partitions.end
    qualified = (key for key, row in registry_rows(lake).items() if row["is_qualified"])
    return {
        Partitioning.NONE: lambda: [""] if table != "backtest_report" or test_months(lake) else [],
        Partitioning.SESSION: lambda: partitions.session_keys(start, end),
        Partitioning.HALF_MONTH: lambda: published_halves(table, start, end),
        Partitioning.MONTH: lambda: (
            test_months(lake)
            if table in (*MONTHLY, "backtest_candidates")
            else month_keys(start, end)
        ),
        Partitioning.YEAR: lambda: year_keys(start, end, TABLES[table].years_before),
        Partitioning.TICKER: lambda: list(instance.get_dynamic_partitions(TICKERS.name or "")),
        Partitioning.TICKER_SESSION: lambda: sorted(qualified, key=date_of),
        Partitioning.PERIOD: lambda: partitions.datasets(start, end),
        Partitioning.STRATEGY: lambda: list(partitions.strategies) if test_months(lake) else [],
    }[TABLES[table].partitioning]()


def failed_keys(
    instance: dg.DagsterInstance, partitions: Partitions, table: str, keys: Sequence[str]
) -> list[str]:
    """Those of some partitions whose last attempt failed, as Dagster knows them."""
    definition = partitions.of(TABLES[table])
    if definition is None or not keys:
        return []
    found = instance.get_status_by_partition(dg.AssetKey(table), list(keys), definition) or {}
    return [key for key, status in found.items() if status is not None and status.name == "FAILED"]


def between_stored(lake: Lake, table: str, keys: Sequence[str]) -> tuple[list[str], set[str]]:
    """Of the expected keys those between the first and last stored date, and all stored ones."""
    stored = set(lake.keys(table))
    dates = [date_of(key) for key in keys if key in stored]
    if not dates:
        return [], stored
    return [key for key in keys if min(dates) <= date_of(key) <= max(dates)], stored
