"""The daily schedule. What runs when, in one place, by the clock of New York:

* From 18:15 of a session, as soon as FINRA's file of the day answers: the stage `market`, which is
  lists, daily bars and short volume, with the year's actions and the month's details.
* From then on, as soon as the minute flat file is listed (about 11:00 of the next day), or at once
  where the plan has none: the stage `selection`, from universe and minutes to watchlist and
  runners.
* Once a session is whole, and again when its ticks have come: its coverage.
* After that, by sensors (`sensors.py`): registry and factors, ticks of the newest sessions,
  dataset.

The schedule ticks every half hour and asks the sources; without a session to make it skips.
Missed sessions are caught up: all of the last twenty that are not whole go in one run. What failed
is asked for again at the next tick, three times at most; then the coverage check shows the gap.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import date

import dagster as dg

from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.jobs import JOBS
from smallcaps_assets.defs.reference import ACTIONS
from smallcaps_assets.defs.sessions import SESSION_TABLES
from smallcaps_assets.lake import Scope
from smallcaps_assets.orchestration.launchers import attempts, plan, run_request
from smallcaps_assets.orchestration.readiness import newest_begun
from smallcaps_assets.orchestration.workspace import Workspace
from smallcaps_assets.sources.errors import NotFound, SourceError

CRON = "15,45 * * * *"
CAUGHT_UP_SESSIONS = 20
MARKET_TABLES = ("tickers", "daily_bars", "short_volume")
SELECTION_TABLES = tuple(table for table in SESSION_TABLES if table not in MARKET_TABLES)
MOST_ATTEMPTS = 3


Requests = Callable[[Workspace, dg.DagsterInstance, list[str]], Iterator[dg.RunRequest]]
Due = Callable[[Workspace, date | None], list[str]]


def all_schedules(location: Location) -> list[dg.ScheduleDefinition]:
    """One for each cut, because the assets of a schedule must be cut alike; all off at first."""
    return [
        _schedule(location, "daily", "session_tables", sessions_due, _of_sessions),
        _schedule(location, "daily_actions", "corporate_actions", sessions_due, _of_years),
        _schedule(location, "monthly_details", "ticker_details", sessions_due, _of_months),
        _schedule(location, "daily_coverage", "coverage", uncovered, _of_coverage),
    ]


def _schedule(
    location: Location, name: str, op: str, due: Due, requests: Requests
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        cron_schedule=CRON,
        execution_timezone="America/New_York",
        job=JOBS[op],
        required_resource_keys=RESOURCES,
        description="For every session as soon as its sources are out; missed ones are caught up.",
    )
    def _evaluate(
        context: dg.ScheduleEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        work = location.workspace_of(context.resources)
        newest = newest_begun(location.cuts, context.scheduled_execution_time)
        keys = due(work, newest)
        if not keys:
            yield dg.SkipReason(f"every session up to {newest} is stored")
            return
        found = list(requests(work, context.instance, keys))
        yield from found or [dg.SkipReason(f"nothing to do yet for {keys[-1]}")]

    return _evaluate


def sessions_due(work: Workspace, newest: date | None) -> list[str]:
    """Of the last sessions those that are not whole; only the newest one in an empty lake."""
    recent = _recent(work, newest)
    stored = work.lake.keys("daily_bars")
    if not stored:
        return recent[-1:]
    return [key for key in recent if key >= stored[0] and _lacks(work, SESSION_TABLES, key)]


def uncovered(work: Workspace, newest: date | None) -> list[str]:
    """Of the last sessions those that are whole and whose coverage is not of what is stored now."""
    return [
        key
        for key in _recent(work, newest)
        if not _lacks(work, SESSION_TABLES, key) and not work.is_complete("coverage", key)
    ]


def _recent(work: Workspace, newest: date | None) -> list[str]:
    if newest is None:
        return []
    return [*work.sessions_before(newest, CAUGHT_UP_SESSIONS - 1), newest.isoformat()]


def _of_sessions(
    work: Workspace, instance: dg.DagsterInstance, due: list[str]
) -> Iterator[dg.RunRequest]:
    """What can be started now: the market's tables first, the selection once they are stored."""
    yield from _of_stage(work, instance, "market", MARKET_TABLES, _market_due(work, due))
    selection = [
        key
        for key in due
        if not _lacks(work, MARKET_TABLES, key)
        and not _lacks(work, ACTIONS, key[:4])
        and not _lacks(work, ("ticker_details",), key[:7])
        and _lacks(work, SELECTION_TABLES, key)
        and not work.router.is_awaited(date.fromisoformat(key))
    ]
    yield from _of_stage(work, instance, "selection", SELECTION_TABLES, selection)


def _of_years(
    work: Workspace, instance: dg.DagsterInstance, due: list[str]
) -> Iterator[dg.RunRequest]:
    """The years' splits and dividends anew, before the selection that uses them."""
    keys = _market_due(work, due)
    for year in sorted({key[:4] for key in keys}):
        what = f"actions of {year} for {keys[-1]}"
        yield from _attempt(instance, what, "corporate_actions", ACTIONS, [year])


def _of_months(
    work: Workspace, instance: dg.DagsterInstance, due: list[str]
) -> Iterator[dg.RunRequest]:
    """Details of a month in which a session is due and that are not there yet."""
    for month in sorted({key[:7] for key in due}):
        if _lacks(work, ("ticker_details",), month):
            tables = ("ticker_details",)
            yield from _attempt(instance, f"details of {month}", *tables, tables, [month])


def _of_coverage(
    work: Workspace, instance: dg.DagsterInstance, due: list[str]
) -> Iterator[dg.RunRequest]:
    """Coverage of what is stored now; named by it, so that later ticks are a thing of their own."""
    stored = "".join(work.stamp("coverage", key).inputs for key in due)
    mark = hashlib.sha256(stored.encode()).hexdigest()[:8]
    order = work.cuts.session_keys(work.cuts.start, work.cuts.end)
    what = f"coverage {_span(due)} of what is stored ({mark})"
    yield from _attempt(instance, what, "coverage", ("coverage",), due, order)


def _market_due(work: Workspace, due: list[str]) -> list[str]:
    return [key for key in due if _lacks(work, MARKET_TABLES, key) and _is_market_out(work, key)]


def _of_stage(
    work: Workspace,
    instance: dg.DagsterInstance,
    stage: str,
    tables: tuple[str, ...],
    keys: list[str],
) -> Iterator[dg.RunRequest]:
    if keys:
        what = f"{stage} {_span(keys)}"
        order = work.cuts.session_keys(work.cuts.start, work.cuts.end)
        yield from _attempt(instance, what, "session_tables", tables, keys, order)


def _span(keys: list[str]) -> str:
    return keys[0] + (f" to {keys[-1]}" if len(keys) > 1 else "")


def _attempt(
    instance: dg.DagsterInstance,
    what: str,
    op: str,
    tables: tuple[str, ...],
    keys: list[str],
    order: list[str] | None = None,
) -> Iterator[dg.RunRequest]:
    """The runs of one thing, unless they are on, or were tried often enough."""
    reason = f"daily schedule: {what}"
    number = attempts(instance, reason)
    if number is None or number >= MOST_ATTEMPTS:
        return
    for place, launch in enumerate(plan(keys, order or keys)):
        run_key = f"{what} #{number}.{place}"
        yield run_request(
            op, tables, launch, reason, run_key, {"skip_complete": op != "corporate_actions"}
        )


def _lacks(work: Workspace, tables: tuple[str, ...], key: str) -> bool:
    """Whether a partition of some tables is not stored, or stored without some of its tickers."""
    stamps = [work.lake.stamp(table, key) for table in tables]
    return any(stamp is None or Scope.parse(stamp.scope) != Scope() for stamp in stamps)


def _is_market_out(work: Workspace, key: str) -> bool:
    """Whether FINRA's file of the session answers, which is the last of the evening's sources."""
    try:
        work.finra.short_volume(date.fromisoformat(key))
    except NotFound:
        return False
    except SourceError:
        return True  # the run will say what is wrong, and is asked for again
    return True
