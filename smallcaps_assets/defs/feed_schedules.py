"""The schedules of the feeds: each evening, what has been published since.

Halts of every session that automation is responsible for (`catch_up.py`), again where one was left
open or unusable; half-months as they are published; filings and news of the current month, and
statements of the current year (in its first days also of the previous one), and those missed;
float; once a month the symbols of the tickers whose trades are stored. The SEC's files are
requested only if a contact is set. What a session itself needs is in `schedules.py`.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import dagster as dg

from smallcaps_assets.defs.catch_up import lacking_halts, sessions_looked_at, span
from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.jobs import JOBS
from smallcaps_assets.orchestration.launchers import (
    REASON_TAG,
    digest_of,
    not_under_way,
    planned,
    run_request,
)
from smallcaps_assets.orchestration.partitions import TICKERS
from smallcaps_assets.pipeline.feed_partitions import published_halves
from smallcaps_assets.pipeline.halt_feed import session_halts
from smallcaps_assets.pipeline.market import SEC_TABLES, market_of
from smallcaps_assets.pipeline.partition_keys import month_keys, year_keys
from smallcaps_assets.pipeline.publication_times import newest_begun
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS, TABLES, Partitioning

CRON = "30 20 * * 1-5"
READ_AGAIN, REOPENINGS_LOOKED_AT = 5, 20
HALVES = ("short_interest", "fails_to_deliver")
HALVES_LOOKED_AT = timedelta(days=120)
RECENTLY = timedelta(days=5)
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
    " smallcaps run fetches news of a simulated market only; the sensor corrections then renews the"
    " dataset, which uses what is stored.",
    "statements": "On weekday evenings, waiting for no other: fetches the statements filed in the"
    " current year. Optional: smallcaps run fetches those of a simulated market only; the sensor"
    " corrections then renews the dataset, which uses what is stored.",
    "ticker_events": "On weekday evenings, after the sensor registry: fetches once a month which"
    " symbols each of its tickers has had. Optional: smallcaps run fetches those of a simulated"
    " market only; the sensor corrections then renews the dataset, which uses what is stored.",
    "free_float": "On weekday evenings, waiting for no other: adds the newest free float of each"
    " company to those already stored. The sensor corrections then renews the dataset.",
}
OPS_SCHEDULED = tuple(_DESCRIPTIONS)
TABLES_SCHEDULED = tuple(table for op in OPS_SCHEDULED for table in OPS[op].tables)


def all_schedules(location: Location) -> list[dg.ScheduleDefinition]:
    """One per op, because the assets of a schedule must be partitioned alike; off by default."""
    return [_schedule(location, op) for op in OPS_SCHEDULED]


def name_of(op: str) -> str:
    """The name of an op's schedule."""
    return f"daily_{op}"


def _schedule(location: Location, op: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name_of(op),
        cron_schedule=CRON,
        execution_timezone="America/New_York",
        job=JOBS[op],
        required_resource_keys=RESOURCES,
        description=_DESCRIPTIONS[op],
    )
    def _evaluate(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        work = location.workspace_of(context.resources)
        newest = newest_begun(location.partitions, context.scheduled_execution_time)
        keys = sessions_looked_at(work, context.instance, newest)
        tickers = context.instance.get_dynamic_partitions(TICKERS.name or "")
        asked = list(_requests(work, keys, tickers, op)) if keys else []
        requests = not_under_way(context.instance, asked)
        told = f"sessions {span(keys)} checked" if keys else "the market has no session yet"
        left = "being made" if asked else "stored"
        yield from requests or [
            dg.SkipReason(f"{told}: every published partition of {op} is {left}")
        ]

    return _evaluate


def feeds_due(
    work: Workspace, keys: list[str], tickers: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Keys of each op that are published by the last of some sessions, and not complete.

    For halts, files of the newest sessions are read; the others are looked up in the listing.
    """
    newest, bars = date.fromisoformat(keys[-1]), {*work.lake.keys("daily_bars")}
    begun = {op: _since(work, op, newest - RECENTLY) for op in ("filings", "news", "statements")}
    filings = month_keys(begun["filings"], newest)
    found = {
        "halts": sorted(
            {*lacking_halts(work, keys), *(key for key in keys[-READ_AGAIN:] if key in bars)}
        ),
        **{
            table: published_halves(table, _since(work, table, newest - HALVES_LOOKED_AT), newest)
            for table in HALVES
        },
        "filings": [key for key in filings if work.lake.exists("ticker_details", key)],
        "news": month_keys(begun["news"], newest),
        "statements": year_keys(begun["statements"], newest),
        "ticker_events": tickers,
    }
    for table in market_of(work.settings).left_out & {*SEC_TABLES}:
        del found[table]
    due = {
        op: [key for key in keys if not all(work.is_complete(t, key) for t in OPS[op].tables)]
        for op, keys in found.items()
    }
    return {op: keys for op, keys in due.items() if keys}


def _since(work: Workspace, op: str, usual: date) -> date:
    """The first day to check: the usual one, or earlier where partitions have been missed since."""
    newest = [f"{key}-01-01"[:10] for key in work.lake.keys(OPS[op].tables[0])[-1:]]
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


def _requests(
    work: Workspace, keys: list[str], tickers: Sequence[str], op: str
) -> Iterator[dg.RunRequest]:
    newest = keys[-1]
    if TABLES[OPS[op].tables[0]].partitioning is Partitioning.NONE:
        if not work.is_complete(op, None):
            yield dg.RunRequest(run_key=op, tags={REASON_TAG: f"facts schedule: {op}"})
        return
    due = feeds_due(work, keys, tickers).get(op, [])
    yield from _runs(work, op, due, is_read_again=False)
    if op == "halts":
        again = [key for key in open_halts(work, date.fromisoformat(newest)) if key not in due]
        yield from _runs(work, op, again, is_read_again=True)


def _runs(
    work: Workspace, op: str, keys: list[str], is_read_again: bool
) -> Iterator[dg.RunRequest]:
    """Runs of at most `run.catch_up_sessions` partitions, or of a table's usual number of tickers,
    oldest first."""
    table = TABLES[OPS[op].tables[0]]
    is_by_ticker = table.partitioning is Partitioning.TICKER
    most = table.keys_per_run if is_by_ticker else work.settings.run.catch_up_sessions
    launches = planned(work.settings.run, keys, keys, most)
    for number, launch in enumerate(launches):
        left = sum(len(later.keys) for later in launches[number + 1 :])
        reason = f"facts schedule: {op} {span(launch.keys)}"
        reason += f"; {left} partitions are left to the runs after it" if left else ""
        config = {"skip_complete": not is_read_again}
        run_key = f"{op} {'again ' * is_read_again}{digest_of(launch.keys)}"
        yield run_request(op, OPS[op].tables, launch, reason, run_key, config)
