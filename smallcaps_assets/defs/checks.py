"""Checks over whole tables: gaps against the calendar, coverage, freshness. They never block.

They run with any run that makes their table, in the daily run, and from the UI. What is looked at
in a single partition is in `findings.py`.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import dagster as dg

from smallcaps_assets.defs.common import Location
from smallcaps_assets.defs.expected import between_stored, expected_keys
from smallcaps_assets.domain.quality import checks
from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.checks import result
from smallcaps_assets.pipeline.publication_times import newest_expected
from smallcaps_assets.schemas import TABLES, TICK_CHAIN, Partitioning

COVERAGE, FRESHNESS = "coverage", "freshness"
# Half a percent of 252 sessions is one; ticker-sessions may lack data at the vendor.
LEAST_COVERAGE = {
    Partitioning.SESSION: 1.0,
    Partitioning.HALF_MONTH: 1.0,
    Partitioning.TICKER_SESSION: 0.98,
}
COVERED = [
    table
    for table in TABLES
    if TABLES[table].partitioning in LEAST_COVERAGE and table not in TICK_CHAIN[1:-1]
]
FRESH = ("daily_bars", "minute_bars", "short_volume", "watchlist")
_COVERAGE = "Sessions between the first and the last stored one, against the exchange's calendar."
_TICKS = "Qualified ticker-sessions between the first and the last stored session."
_FRESHNESS = "The newest session that the sources should have by now is stored."


def table_checks(location: Location) -> dg.AssetChecksDefinition:
    """All checks over whole tables in one op; any subset of them can be run."""
    described = {table: _TICKS if table in TICK_CHAIN else _COVERAGE for table in COVERED}

    @dg.multi_asset_check(
        name="table_checks",
        specs=[
            *(dg.AssetCheckSpec(COVERAGE, asset=t, description=d) for t, d in described.items()),
            *(dg.AssetCheckSpec(FRESHNESS, asset=t, description=_FRESHNESS) for t in FRESH),
        ],
        can_subset=True,
        required_resource_keys={"lake"},
    )
    def _table_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        lake: Lake = context.resources.lake.open()
        selected = context.op_execution_context.selected_asset_check_keys
        for key in sorted(selected, key=lambda key: (key.asset_key.path, key.name)):
            table = key.asset_key.to_user_string()
            finding = (
                look_at_coverage(location, lake, context.instance, table)
                if key.name == COVERAGE
                else look_at_freshness(location, lake, table, datetime.now(UTC))
            )
            found = result([finding])
            yield found._replace(asset_key=key.asset_key, check_name=key.name)

    return _table_checks


def look_at_coverage(
    location: Location, lake: Lake, instance: dg.DagsterInstance, table: str
) -> Finding:
    """Share of what lies between the first and the last stored partition that is stored."""
    keys = expected_keys(lake, instance, location.partitions, table)
    wanted, stored = between_stored(lake, table, keys)
    return checks.coverage(wanted, stored, LEAST_COVERAGE[TABLES[table].partitioning])


def look_at_freshness(location: Location, lake: Lake, table: str, now: datetime) -> Finding:
    """Whether the newest session is as new as it can be."""
    stored = lake.keys(table)
    expected: date | None = newest_expected(table, location.partitions, now)
    return checks.freshness(stored[-1] if stored else None, expected)
