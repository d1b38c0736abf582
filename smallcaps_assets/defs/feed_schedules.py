"""The schedules of the feeds: each evening, what has been published since.

Halts of every session that automation is responsible for (`catch_up.py`), again where one was left
open or unusable; half-months as they are published; filings, news and float of the current month
(in its first days also of the previous one), and of missed months. The SEC's files are requested
only if a contact is set. What a session itself needs is in `schedules.py`.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from smallcaps_assets.defs.catch_up import lacking_halts, sessions_looked_at, span
from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.jobs import JOBS
from smallcaps_assets.orchestration.launchers import (
    REASON_TAG,
    digest_of,
    not_under_way,
    plan,
    run_request,
)
from smallcaps_assets.pipeline.feed_partitions import published_halves
from smallcaps_assets.pipeline.halt_feed import session_halts
from smallcaps_assets.pipeline.market import SEC_TABLES, market_of
from smallcaps_assets.pipeline.partition_keys import month_keys
from smallcaps_assets.pipeline.publication_times import newest_begun
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES, Partitioning

CRON = "30 20 * * 1-5"
READ_AGAIN, REOPENINGS_LOOKED_AT = 5, 20
HALVES = ("short_interest", "fails_to_deliver")
HALVES_LOOKED_AT = timedelta(days=120)
MONTHS_LOOKED_AT = timedelta(days=5)
_DESCRIPTIONS = {
    "halts": "On weekday evenings, after the first stage of daily: fetches the halts of sessions"
    " whose bars are stored, and reads those again that left a halt open. The sensor corrections"
    " then makes again what they change.",
    "short_interest": "On weekday evenings, waiting for no other: fetches the half-months of short"
    " interest that have been published since. The sensor corrections then renews the dataset.",
    "fails_to_deliver": "On weekday evenings, waiting for no other: fetches half-months of fails"
    " that the SEC has published since, if SMALLCAPS_SEC_CONTACT is set. The"
    " sensor corrections then renews the dataset.",
    "filings": "On weekday evenings, after monthly_details: fetches the current month's filings of"
    " its companies, if SMALLCAPS_SEC_CONTACT is set. The sensor"
    " corrections then renews the dataset.",
    "news": "On weekday evenings, waiting for no other: fetches the current month's news. Optional:"
    " smallcaps run fetches news of a simulated market only; the dataset uses what is stored.",
    "free_float": "On weekday evenings, waiting for no other: adds the newest free float of each"
    " company to those already stored. The sensor corrections then renews the dataset.",
}
TABLES_SCHEDULED = tuple(_DESCRIPTIONS)


def all_schedules(location: Location) -> list[dg.ScheduleDefinition]:
    """One per table, because the assets of a schedule must be partitioned alike; off by default."""
    return [_schedule(location, table) for table in TABLES_SCHEDULED]


def name_of(table: str) -> str:
    """The name of a table's schedule."""
    return f"daily_{table}"


def _schedule(location: Location, table: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name_of(table),
        cron_schedule=CRON,
        execution_timezone="America/New_York",
        job=JOBS[table],
        required_resource_keys=RESOURCES,
        description=_DESCRIPTIONS[table],
    )
    def _evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        work = location.workspace_of(context.resources)
        newest = newest_begun(location.partitions, context.scheduled_execution_time)
        keys = sessions_looked_at(work, context.instance, newest)
        asked = list(_requests(work, keys, table)) if keys else []
        requests = not_under_way(context.instance, asked)
        told = f"sessions {span(keys)} checked" if keys else "the market has no session yet"
        left = "being made" if asked else "stored"
        yield from requests or [
            dg.SkipReason(f"{told}: every published partition of {table} is {left}")
        ]

    return _evaluate


def feeds_due(work: Workspace, keys: list[str]) -> dict[str, list[str]]:
    """Keys of each table that are published by the last of some sessions, and not complete.

    For halts, files of the newest sessions are read; the others are looked up in the listing.
    """
    newest, bars = date.fromisoformat(keys[-1]), {*work.lake.keys("daily_bars")}
    halves = {name: _since(work, name, newest - HALVES_LOOKED_AT) for name in HALVES}
    months = {
        t: month_keys(_since(work, t, newest - MONTHS_LOOKED_AT), newest)
        for t in ("filings", "news")
    }
    found = {
        "halts": sorted(
            {*lacking_halts(work, keys), *(key for key in keys[-READ_AGAIN:] if key in bars)}
        ),
        **{table: published_halves(table, first, newest) for table, first in halves.items()},
        "filings": [key for key in months["filings"] if work.lake.exists("ticker_details", key)],
        "news": months["news"],
    }
    for table in market_of(work.settings).left_out & {*SEC_TABLES}:
        del found[table]
    due = {
        table: [key for key in keys if not work.is_complete(table, key)]
        for table, keys in found.items()
    }
    return {table: keys for table, keys in due.items() if keys}


def _since(work: Workspace, table: str, usual: date) -> date:
    """The first day to check: the usual one, or earlier where partitions have been missed since."""
    newest = [f"{key}-01"[:10] for key in work.lake.keys(table)[-1:]]
    return max(min([usual, *map(date.fromisoformat, newest)]), work.span.start)


def open_halts(work: Workspace, newest: date) -> list[str]:
    """Stored sessions whose feed left a halt open or unusable, whose end may be known by now."""
    sessions = [*work.sessions_before(newest, REOPENINGS_LOOKED_AT - 1), newest.isoformat()]
    feeds = {key: session_halts(work.lake, date.fromisoformat(key)) for key in sessions}
    return [
        key
        for key, feed in feeds.items()
        if feed is not None and (feed.rows["halt_end"].null_count() or feed.unusable)
    ]


def _requests(work: Workspace, keys: list[str], table: str) -> Iterator[dg.RunRequest]:
    newest = keys[-1]
    if TABLES[table].partitioning is Partitioning.NONE:
        if not work.is_complete(table, None):
            yield dg.RunRequest(run_key=table, tags={REASON_TAG: f"facts schedule: {table}"})
        return
    due = feeds_due(work, keys).get(table, [])
    yield from _runs(work, table, due, is_read_again=False)
    if table == "halts":
        again = [key for key in open_halts(work, date.fromisoformat(newest)) if key not in due]
        yield from _runs(work, table, again, is_read_again=True)


def _runs(
    work: Workspace, table: str, keys: list[str], is_read_again: bool
) -> Iterator[dg.RunRequest]:
    """Runs of at most `run.catch_up_sessions` partitions, oldest first."""
    launches = plan(keys, keys, most=work.settings.run.catch_up_sessions)
    for number, launch in enumerate(launches):
        left = sum(len(later.keys) for later in launches[number + 1 :])
        reason = f"facts schedule: {table} {span(launch.keys)}"
        reason += f"; {left} partitions are left to the runs after it" if left else ""
        config = {"skip_complete": not is_read_again}
        run_key = f"{table} {'again ' * is_read_again}{digest_of(launch.keys)}"
        yield run_request(table, (table,), launch, reason, run_key, config)
