"""Checks over whole tables: gaps against the calendar, freshness, what is out of date.

They never block. They run with every run that makes their table, on the schedule `daily_checks`,
and from the UI; `smallcaps run` withdraws a warning that no longer holds. Checks of a single
partition are in `pipeline/findings.py`.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg

from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.expected import between_stored, expected_keys
from smallcaps_assets.domain.quality import checks
from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.orchestration.checks import evaluation, result
from smallcaps_assets.pipeline.outdated import at_once, outdated
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.pipeline.publication_times import newest_expected
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES, TICK_CHAIN, Partitioning

COVERAGE, FRESHNESS, UP_TO_DATE = "coverage", "freshness", "up_to_date"
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
TABLE_CHECKS = {COVERAGE: COVERED, FRESHNESS: FRESH, UP_TO_DATE: tuple(TABLES)}
NEWEST_LOOKED_AT = 250
"""Partitions whose files are compared with what they were made from; of the few periods, and of the
tickers, which share their inputs, all."""
_COVERAGE = "Sessions between the first and the last stored one, against the exchange's calendar."
_TICKS = "Qualified ticker-sessions between the first and the last stored session."
_FRESHNESS = "The newest session that the sources should have by now is stored."
_UP_TO_DATE = (
    "Whether partitions are as they would be made now: of the same input files, settings and"
    " contract. All are looked at, of a long table the newest 250; smallcaps status --stale looks"
    " at every one."
)


def table_checks(location: Location) -> dg.AssetChecksDefinition:
    """All checks over whole tables in one op; any subset of them can be run."""
    described = {table: _TICKS if table in TICK_CHAIN else _COVERAGE for table in COVERED}
    described_equally = {FRESHNESS: _FRESHNESS, UP_TO_DATE: _UP_TO_DATE}

    @dg.multi_asset_check(
        name="table_checks",
        specs=[
            *(dg.AssetCheckSpec(COVERAGE, asset=t, description=d) for t, d in described.items()),
            *(
                dg.AssetCheckSpec(name, asset=table, description=text)
                for name, text in described_equally.items()
                for table in TABLE_CHECKS[name]
            ),
        ],
        can_subset=True,
        required_resource_keys=RESOURCES,
    )
    def _table_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        work = at_once(location.workspace_of(context.resources))
        look: dict[str, Callable[[str], Finding]] = {
            COVERAGE: lambda table: look_at_coverage(location, work.lake, context.instance, table),
            FRESHNESS: lambda table: look_at_freshness(
                location, work.lake, table, datetime.now(UTC)
            ),
            UP_TO_DATE: lambda table: look_at_outdated(work, table),
        }
        selected = context.op_execution_context.selected_asset_check_keys
        for key in sorted(selected, key=lambda key: (key.asset_key.path, key.name)):
            found = result([look[key.name](key.asset_key.to_user_string())])
            yield found._replace(asset_key=key.asset_key, check_name=key.name)

    return _table_checks


def withdraw_warnings(instance: dg.DagsterInstance, work: Workspace) -> None:
    """Check tables again whose check reported partitions out of date, or never ran: other runs, or
    settings that were changed back, may have made them current."""
    keys = {table: dg.AssetCheckKey(dg.AssetKey(table), UP_TO_DATE) for table in TABLES}
    known = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys.values()))
    still = at_once(replace(work, tickers=()))
    for table, key in keys.items():
        last = known[key].evaluation if key in known else None
        # A run that ended before its checks leaves only their plan behind.
        if not isinstance(last, dg.AssetCheckEvaluation) or not last.passed:
            found = [look_at_outdated(still, table)]
            instance.report_runless_asset_event(evaluation(table, None, found, check=UP_TO_DATE))


def look_at_outdated(work: Workspace, table: str) -> Finding:
    """Whether stored partitions are as they would be made now: all of them, or the newest."""
    stored = sorted(work.lake.keys(table), key=date_of)
    is_long = TABLES[table].partitioning.is_dated
    newest = stored[-NEWEST_LOOKED_AT:] if is_long else stored
    try:
        return checks.up_to_date(outdated(work, table, newest), len(newest), len(stored))
    except LakeError as error:
        return Finding("up to date", False, str(error), "then run this check again", is_error=False)


def look_at_coverage(
    location: Location, lake: Lake, instance: dg.DagsterInstance, table: str
) -> Finding:
    """The stored share of the partitions between the first and the last stored one."""
    keys = expected_keys(lake, instance, location.partitions, table)
    wanted, stored = between_stored(lake, table, keys)
    return checks.coverage(wanted, stored, LEAST_COVERAGE[TABLES[table].partitioning])


def look_at_freshness(location: Location, lake: Lake, table: str, now: datetime) -> Finding:
    """Whether the newest session that can be stored is stored."""
    stored = lake.keys(table)
    expected: date | None = newest_expected(table, location.partitions, now)
    return checks.freshness(stored[-1] if stored else None, expected)
