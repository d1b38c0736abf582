"""The daily schedule. What runs when, in one place, by the clock of New York:

* From 18:15 of a session, as soon as FINRA's file of the day answers: the stage `market`, that is
  lists, daily bars and short volume, with the year's actions and the month's details.
* From then on, as soon as the minute flat file is listed (about 11:00 of the next day), or at once
  where the plan has none: the stage `selection`, from universe and minutes to watchlist and
  runners.
* Once a session is whole, and again when its ticks have come: its coverage.
* After that, by sensors (`sensors.py`): registry and factors, ticks of the newest sessions,
  dataset.

The schedule ticks every half hour and asks the sources; without a session to make it skips and says
what it checked. All missed sessions are caught up (`catch_up.py`), oldest first,
`run.catch_up_sessions` at a time; the run's reason says what is left. What failed is requested
again at the next tick, three times at most; then the coverage shows the gap, and the others go on.
A file that is overdue is no longer waited for: the attempt records what the source says.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import dagster as dg

from smallcaps_assets.defs.catch_up import (
    LOOKED_AT,
    SCHEDULE,
    lacking,
    lacking_halts,
    lacking_ticks,
    offered,
    requests_for,
    sessions_looked_at,
    span,
)
from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.jobs import CHECKS_JOB, JOBS
from smallcaps_assets.orchestration.cursor import newest_event
from smallcaps_assets.orchestration.launchers import attempts, planned, run_request, tries
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.pipeline.publication_times import newest_begun, newest_expected
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS, SESSION_TABLES
from smallcaps_assets.sources.errors import NotFound, SourceError

ACTIONS = OPS["corporate_actions"].tables
CRON = "15,45 * * * *"
CHECKS_CRON = "0 6 * * *"
MARKET_TABLES = ("tickers", "daily_bars", "short_volume")
NEEDED_TABLES = ("tickers", "daily_bars")
"""The market tables that a selection is made from."""
SELECTION_TABLES = tuple(table for table in SESSION_TABLES if table not in MARKET_TABLES)
MOST_ATTEMPTS = 3
_ASKED = "daily schedule: "
_DESCRIPTIONS = {
    SCHEDULE: "The first of all. From 18:15 New York time it fetches a session's"
    " lists, bars and short volume once FINRA's file of the day is out; then, once the minute file,"
    " daily_actions and monthly_details have come too, it makes universe to watchlist and runners."
    " Missed sessions are caught up, oldest first.",
    "daily_actions": "Beside the first stage of daily: fetches the year's splits and dividends anew"
    " for each new session. The selection of daily waits for it.",
    "monthly_details": "When the first session of a month is due: fetches the companies' details of"
    " the month. The selection of daily waits for it.",
    "daily_coverage": "After daily, and again after ticks and daily_halts: records for each"
    " session what came from each source, and why the rest did not. Nothing waits for it.",
}
"""What each does and in which order, as the Automation page sorts by name."""


@dataclass(frozen=True)
class Look:
    """One evaluation: the time, and the sessions to check, oldest first."""

    work: Workspace
    instance: dg.DagsterInstance
    now: datetime
    keys: list[str]

    def is_late(self, table: str, key: str) -> bool:
        """Whether the source of a session's table should have had it by now."""
        newest = newest_expected(table, self.work.span, self.now)
        return newest is not None and key <= newest.isoformat()

    def lacking(self, tables: Sequence[str]) -> list[str]:
        """Sessions that lack some tables."""
        return lacking(self.work, tables, self.keys)


Answers = Iterator[dg.RunRequest | str]
"""Runs to request, and reasons why others are not requested."""


def all_schedules(location: Location) -> list[dg.ScheduleDefinition]:
    """One per partitioning, because the assets of a schedule must be partitioned alike, and one for
    the checks of whole tables; off by default."""
    return [
        _schedule(location, SCHEDULE, "session_tables", _of_sessions),
        _schedule(location, "daily_actions", "corporate_actions", _of_years),
        _schedule(location, "monthly_details", "ticker_details", _of_months),
        _schedule(location, "daily_coverage", "coverage", _of_coverage),
        _checks(),
    ]


def _checks() -> dg.ScheduleDefinition:
    """Renews checks where no run does, or where the settings have changed."""
    return dg.ScheduleDefinition(
        name="daily_checks",
        cron_schedule=CHECKS_CRON,
        execution_timezone="America/New_York",
        job=CHECKS_JOB,
        description="Every morning, waiting for no other: runs the checks of whole tables again"
        " (coverage, freshness, up_to_date), which show what is missing, late or out of date."
        " Makes no data.",
    )


def _schedule(
    location: Location, name: str, op: str, answers: Callable[[Look], Answers]
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        cron_schedule=CRON,
        execution_timezone="America/New_York",
        job=JOBS[op],
        required_resource_keys=RESOURCES,
        description=_DESCRIPTIONS[name],
    )
    def _evaluate(
        context: dg.ScheduleEvaluationContext,
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        work, now = location.workspace_of(context.resources), context.scheduled_execution_time
        keys = sessions_looked_at(work, context.instance, newest_begun(location.partitions, now))
        if not keys:
            yield dg.SkipReason("the market has no session yet")
            return
        found = list(answers(Look(work, context.instance, now, keys)))
        requests = [answer for answer in found if isinstance(answer, dg.RunRequest)]
        reasons = [answer for answer in found if isinstance(answer, str)]
        told = "; ".join(reasons) or "nothing is due"
        yield from requests or [dg.SkipReason(f"sessions {span(keys)} checked: {told}")]

    return _evaluate


def _of_sessions(look: Look) -> Answers:
    """What can be started now: the market's tables first, the selection once they are stored."""
    absent = look.lacking(MARKET_TABLES)
    out = [key for key in absent if _is_market_out(look, key)]
    if awaited := [key for key in absent if key not in out]:
        yield f"market waits for FINRA's file of {span(awaited)}"
    pending = yield from _of_stage(look, "market", MARKET_TABLES, out)
    unselected = look.lacking(SELECTION_TABLES)
    ready, told = _selectable(look, unselected, pending)
    yield from told
    yield from _of_stage(look, "selection", SELECTION_TABLES, ready)
    if not absent and not unselected:
        yield _told_of_the_rest(look)


def _selectable(look: Look, keys: list[str], pending: list[str]) -> tuple[list[str], list[str]]:
    """Sessions whose selection can be made now, and what the others wait for.

    None after the first session whose market tables are pending: the windows would have a hole.
    """
    work, first = look.work, min(pending, default="~")
    years = sorted({key[:4] for key in keys})
    months = sorted({key[:7] for key in keys})
    unlisted = {*look.lacking(NEEDED_TABLES)}
    undone = {*lacking(work, ACTIONS, years), *lacking(work, ("ticker_details",), months)}
    listed = [
        key
        for key in keys
        if key not in unlisted and not undone & {key[:4], key[:7]} and key < first
    ]
    awaited = [
        key
        for key in listed
        if not look.is_late("minute_bars", key)
        and work.clients.router.is_awaited(date.fromisoformat(key))
    ]
    told = [f"selection waits for actions or details of {', '.join(sorted(undone))}"] * bool(undone)
    told += [f"selection waits for the flat file of {span(awaited)}"] if awaited else []
    return [key for key in listed if key not in awaited], told


def _told_of_the_rest(look: Look) -> str:
    """What else is missing of sessions whose own tables are all stored."""
    halts, ticks = lacking_halts(look.work, look.keys), lacking_ticks(look.work, look.keys)
    missing = [f"halts of {len(halts)} sessions, {span(halts)}"] if halts else []
    missing += [f"ticks of {len(ticks)} ticker-sessions, {span(ticks)}"] if ticks else []
    others = f"missing: {'; '.join(missing)}" if missing else "so are their halts and ticks"
    return f"all session tables are stored, {others}"


def _of_stage(
    look: Look, stage: str, tables: tuple[str, ...], keys: list[str]
) -> Generator[dg.RunRequest | str, None, list[str]]:
    """Runs of the oldest sessions, unless some are running. Returns the pending sessions."""
    order = look.work.span.session_keys(look.work.span.start, look.work.span.end)
    tried, busy = tries(look.instance, "session_tables", f"{_ASKED}{stage} ", order)
    if vain := [key for key in keys if tried[key] >= MOST_ATTEMPTS and key not in busy]:
        yield f"{stage} of {span(vain)} failed {MOST_ATTEMPTS} times and is not requested again"
    left = [key for key in keys if key not in vain]
    if left and busy:
        yield f"{stage} of {span(sorted(busy))} is under way"
    elif left:
        block = left[: look.work.settings.run.catch_up_sessions]
        what, number = f"{stage} {span(block)}", max(tried[key] for key in block)
        reason = f"{_ASKED}{what}{_rest(look.work, tables, left[len(block) :])}"
        for place, launch in enumerate(planned(look.work.settings.run, block, order)):
            config, run_key = {"skip_complete": True}, f"{what} #{number}.{place}"
            made = offered(look.work, tables)
            yield run_request("session_tables", made, launch, reason, run_key, config)
    return left


def _rest(work: Workspace, tables: tuple[str, ...], keys: list[str]) -> str:
    if not keys:
        return ""
    requests = requests_for(work, tables, keys)
    return f"; {len(keys)} sessions are left, {span(keys)}, about {requests:,} requests"


def _of_years(look: Look) -> Answers:
    """The years' splits and dividends again, before the selection that uses them."""
    keys = [key for key in look.lacking(MARKET_TABLES) if _is_market_out(look, key)]
    for year in sorted({key[:4] for key in keys}):
        what = f"actions of {year} for {keys[-1]}"
        yield from _attempt(look, what, "corporate_actions", ACTIONS, [year])


def _of_months(look: Look) -> Answers:
    """Details that are not stored yet of the months in which a session is due."""
    tables = ("ticker_details",)
    months = sorted({key[:7] for key in look.lacking(SESSION_TABLES)})
    for month in lacking(look.work, tables, months):
        yield from _attempt(look, f"details of {month}", *tables, tables, [month])


def _of_coverage(look: Look) -> Answers:
    """Coverage of what is stored now, named by a digest, so that later ticks are a new request."""
    work = look.work
    due = _uncovered(look)
    if not due:
        yield "coverage is of what is stored"
        return
    stored = "".join(work.stamp("coverage", key).inputs for key in due)
    mark = hashlib.sha256(stored.encode()).hexdigest()[:8]
    order = work.span.session_keys(work.span.start, work.span.end)
    what = f"coverage {span(due)} of what is stored ({mark})"
    yield from _attempt(look, what, "coverage", ("coverage",), due, order)


def _uncovered(look: Look) -> list[str]:
    """Stored sessions whose coverage is missing or was made of other files.

    Older sessions are compared only if ticks or halts have come since the last coverage.
    """
    event, _ = newest_event(look.instance, "coverage")
    come = {
        date_of(name)
        for table in ("trades", "halts")
        for name in look.instance.get_materialized_partitions(
            dg.AssetKey(table), after_cursor=event
        )
    }
    partial = {*look.lacking(SESSION_TABLES)}
    stored = [key for key in look.keys if key not in partial]
    there, near = set(look.work.lake.keys("coverage")), set(stored[-LOOKED_AT:])
    return [
        key
        for key in stored
        if key not in there or (key in near | come and not look.work.is_complete("coverage", key))
    ]


def _attempt(
    look: Look,
    what: str,
    op: str,
    tables: tuple[str, ...],
    keys: list[str],
    order: list[str] | None = None,
) -> Answers:
    """The runs of one request, or why there are none: under way, or tried often enough."""
    reason = f"{_ASKED}{what}"
    number = attempts(look.instance, reason)
    if number is None:
        yield f"{what} is under way"
        return
    if number >= MOST_ATTEMPTS:
        yield f"{what} failed {MOST_ATTEMPTS} times and is not requested again"
        return
    for place, launch in enumerate(planned(look.work.settings.run, keys, order or keys)):
        run_key = f"{what} #{number}.{place}"
        yield run_request(
            op, tables, launch, reason, run_key, {"skip_complete": op != "corporate_actions"}
        )


def _is_market_out(look: Look, key: str) -> bool:
    """Whether FINRA's file of the session, the last of the evening's sources, is available or
    overdue; if overdue, the run records that it is missing."""
    if look.is_late("short_volume", key):
        return True
    try:
        look.work.clients.finra.short_volume(date.fromisoformat(key))
    except NotFound:
        return False
    except SourceError:
        return True  # the run says what is wrong, and is requested again
    return True
