"""The schedules of the facts beside prices: each evening what has come out since.

Halts of the newest sessions, and again of those that left one open or unusable, half-months as they
are published, filings, news and float of the running month (and of the one before in its first
days). The SEC's are asked for only when it can be told who asks. What a session itself needs is in
`schedules.py`.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.fact_places import published_halves
from smallcaps_assets.defs.halt_feed import session_halts
from smallcaps_assets.defs.jobs import JOBS
from smallcaps_assets.orchestration.launchers import (
    REASON_TAG,
    digest_of,
    not_under_way,
    plan,
    run_request,
)
from smallcaps_assets.orchestration.partitions import month_keys
from smallcaps_assets.orchestration.readiness import newest_begun
from smallcaps_assets.orchestration.workspace import Workspace
from smallcaps_assets.schemas import TABLES, Partitioning

CRON = "30 20 * * 1-5"
SESSIONS_LOOKED_AT, REOPENINGS_LOOKED_AT = 5, 20
HALVES_LOOKED_AT = timedelta(days=120)
MONTHS_LOOKED_AT = timedelta(days=5)
TABLES_SCHEDULED = (
    *("halts", "short_interest", "fails_to_deliver"),
    *("filings", "news", "free_float"),
)


def all_schedules(location: Location) -> list[dg.ScheduleDefinition]:
    """One for each table, because the assets of a schedule must be cut alike; all off at first."""
    return [_schedule(location, table) for table in TABLES_SCHEDULED]


def _schedule(location: Location, table: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"daily_{table}",
        cron_schedule=CRON,
        execution_timezone="America/New_York",
        job=JOBS[table],
        required_resource_keys=RESOURCES,
        description=f"{TABLES[table].meaning} Each evening, as far as it has come out.",
    )
    def _evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        work = location.workspace_of(context.resources)
        newest = newest_begun(location.cuts, context.scheduled_execution_time)
        asked = [] if newest is None else list(_requests(work, newest, table))
        requests = not_under_way(context.instance, asked)
        told = "what has come out is under way" if asked else "nothing has come out"
        yield from requests or [dg.SkipReason(f"{told} up to {newest}")]

    return _evaluate


def facts_due(work: Workspace, newest: date) -> dict[str, list[str]]:
    """Keys of each table that are out by the newest session and not stored as they are now."""
    first = max(newest - HALVES_LOOKED_AT, work.cuts.start)
    months = month_keys(max(newest - MONTHS_LOOKED_AT, work.cuts.start), newest)
    sessions = [*work.sessions_before(newest, SESSIONS_LOOKED_AT - 1), newest.isoformat()]
    found = {
        "halts": [key for key in sessions if work.lake.exists("daily_bars", key)],
        "short_interest": published_halves("short_interest", first, newest),
        "fails_to_deliver": published_halves("fails_to_deliver", first, newest),
        "filings": [key for key in months if work.lake.exists("ticker_details", key)],
        "news": months,
    }
    if work.settings.market.name == "polygon" and not work.settings.sec.contact:
        del found["fails_to_deliver"], found["filings"]
    due = {
        table: [key for key in keys if not work.is_complete(table, key)]
        for table, keys in found.items()
    }
    return {table: keys for table, keys in due.items() if keys}


def open_halts(work: Workspace, newest: date) -> list[str]:
    """Stored sessions whose feed left a halt open or unusable: its end may be known by now."""
    sessions = [*work.sessions_before(newest, REOPENINGS_LOOKED_AT - 1), newest.isoformat()]
    feeds = {key: session_halts(work.lake, date.fromisoformat(key)) for key in sessions}
    return [
        key
        for key, feed in feeds.items()
        if feed is not None and (feed.rows["halt_end"].null_count() or feed.unusable)
    ]


def _requests(work: Workspace, newest: date, table: str) -> Iterator[dg.RunRequest]:
    if TABLES[table].partitioning is Partitioning.NONE:
        if not work.is_complete(table, None):
            yield dg.RunRequest(run_key=table, tags={REASON_TAG: f"facts schedule: {table}"})
        return
    due = facts_due(work, newest).get(table, [])
    yield from _runs(table, due, is_read_again=False)
    if table == "halts":
        again = [key for key in open_halts(work, newest) if key not in due]
        yield from _runs(table, again, is_read_again=True)


def _runs(table: str, keys: list[str], is_read_again: bool) -> Iterator[dg.RunRequest]:
    for launch in plan(keys, keys):
        reason = f"facts schedule: {table} {keys[0]}" + (f" to {keys[-1]}" if keys[1:] else "")
        config = {"skip_complete": not is_read_again}
        run_key = f"{table} {'again ' * is_read_again}{digest_of(launch.keys)}"
        yield run_request(table, (table,), launch, reason, run_key, config)
