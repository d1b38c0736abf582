"""Sensors: each requests exactly what a change makes necessary, with the reason in the run's tags.

* `registry`, when a watchlist was made and the registry is out of date: the registry and the
  adjustment factors.
* `ticks`, when the registry has changed: the tick chain of the ticker-sessions of the newest
  sessions and of all that were missed since, oldest first; then of periods with `ticks = true`.
* `dataset`, when weights have been made, at most once per quiet interval: the outdated periods they
  fall in, then the union.
* `models`, when the union of the dataset has been made: its folds, then the test months whose fold
  has changed.
* `ticker_history`, when a session's selection is stored, once per `run.history_days`: the histories
  of the tickers that have sessions they don't hold.
* `corrections`, when a split, a line of suspects.csv or the condition table has changed, a flat
  file was replaced, or halts and filings came late: the partitions touched, see `corrections.py`.
* `desk`, when a session of the desk has ended: its records, and what is said of sessions between in
  which no desk ran.
* `upkeep`, every few seconds: ends dead runs, and once a day maintains the instance
  (`orchestration/maintenance.py`, `pools.py`). Requests no run, and is on from the start.

All others are off until switched on. Runs skip what is complete, so asking twice costs little.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

import dagster as dg

from smallcaps_assets.defs import corrections
from smallcaps_assets.defs.catch_up import LOOKED_AT, lacking
from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.jobs import JOBS, REGISTRY
from smallcaps_assets.domain.models.extra import INSTALL, missing
from smallcaps_assets.orchestration.cursor import Cursor, newest_event
from smallcaps_assets.orchestration.launchers import (
    REASON_TAG,
    Launch,
    digest_of,
    job_name,
    keys_in_flight,
    planned,
    run_request,
)
from smallcaps_assets.orchestration.maintenance import end_lost, end_orphans, maintain
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, TICKERS, Partitions
from smallcaps_assets.pipeline.desk_folder import DESK, ended_sessions
from smallcaps_assets.pipeline.fold_digests import MONTHLY, test_months
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outdated import outdated
from smallcaps_assets.pipeline.partition_keys import date_of, month_keys
from smallcaps_assets.pipeline.publication_times import newest_begun
from smallcaps_assets.pipeline.registered import registry_rows
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TICK_CHAIN
from smallcaps_assets.settings import UNION, Settings

MOST_RUNS = 10
"""Requests per evaluation; the ticks of a historical period come in batches."""
HISTORIES_PER_RUN = 1000
UPKEEP_SECONDS = 15
"""With the age of a heartbeat that needs a second look, a dead run is noticed within a minute."""
_NEVER = "9999-12-31"
_DAY = 86_400.0


def all_sensors(location: Location) -> list[dg.SensorDefinition]:
    """All of them."""
    return [
        registry(location),
        ticks(location),
        dataset(location),
        models(location),
        histories(location),
        corrections_sensor(location),
        desk(location),
        upkeep(location),
    ]


def registry(location: Location) -> dg.SensorDefinition:
    """Changed watchlists make the registry out of date."""

    @dg.sensor(
        name="registry",
        job=JOBS[REGISTRY],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="After the schedule daily: when a watchlist was made, renews the registry"
        " (ticker_sessions), which says whose ticks are wanted, and the adjustment factors. The"
        " sensors ticks and ticker_history wait for it.",
    )
    def _registry(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor = Cursor(context.cursor)
        event, _ = newest_event(context.instance, "watchlist")
        if event == cursor.get("event", 0):
            return dg.SkipReason("no watchlist was made since")
        work = location.workspace_of(context.resources)
        cursor.set("event", event)
        if work.is_complete("ticker_sessions", None):
            return dg.SensorResult([], cursor=cursor.text, skip_reason="the registry is current")
        inputs = work.stamp("ticker_sessions", None).inputs
        request = dg.RunRequest(
            run_key=f"registry {inputs}",
            tags={REASON_TAG: "sensor registry: watchlists have changed"},
        )
        return dg.SensorResult([request], cursor=cursor.text)

    return _registry


def ticks(location: Location) -> dg.SensorDefinition:
    """Ticks of the newest sessions always; of history where a period has `ticks = true`."""

    @dg.sensor(
        name="ticks",
        job=JOBS["tick_chain"],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="After the sensor registry: when it has new ticker-sessions, fetches the trades"
        f" of the newest {location.settings.run.tick_sessions} sessions and of missed ones, and"
        " makes their bars, features, labels and weights. The sensor dataset waits for it.",
    )
    def _ticks(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor = Cursor(context.cursor)
        event, _ = newest_event(context.instance, "ticker_sessions")
        mark = f"{event} {_wanted_mark(location.settings)}"
        if mark == cursor.get("mark") or event == 0:
            return dg.SkipReason("the registry has not changed since")
        work = location.workspace_of(context.resources)
        since = cursor.get("since") or _newest(work, TICK_CHAIN[-1])
        requests, left = _tick_requests(location, work, context.instance, since, event)
        cursor.set("since", since if left else _newest(work, "watchlist"))
        if not left:
            cursor.set("mark", mark)
        told = None if requests else _why_no_ticks(location, work, since)
        return dg.SensorResult(requests, cursor=cursor.text, skip_reason=told)

    return _ticks


def _wanted_mark(settings: Settings) -> str:
    names = [period.name for period in settings.dataset.periods if period.ticks]
    return ",".join([str(settings.run.tick_sessions), *names])


def _tick_requests(
    location: Location, work: Workspace, instance: dg.DagsterInstance, since: str, event: int
) -> tuple[list[dg.RunRequest], int]:
    """Runs of the wanted keys that are neither made nor under way; how many keys are left."""
    order = instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
    known = set(order)
    on = keys_in_flight(instance, "tick_chain", order)
    stored = set(work.lake.keys(TICK_CHAIN[-1]))
    missed, history = (
        [key for key in keys if key in known and key not in on and key not in stored]
        for keys in wanted_ticks(location, work, since)
    )
    sessions = sorted({date_of(key) for key in missed})[: location.settings.run.catch_up_sessions]
    oldest = [key for key in missed if date_of(key) in sessions]
    launches = planned(work.settings.run, oldest or history, order)[:MOST_RUNS]
    asked = sum(len(launch.keys) for launch in launches)
    left = len({*missed, *history}) - asked
    reason = "sensor ticks: ticker-sessions of the registry without weights"
    more = f"; {left:,} are left, at least as many requests" if left else ""
    requests = [
        run_request(
            "tick_chain",
            [table for table in TICK_CHAIN if table not in market_of(work.settings).left_out],
            launch,
            reason + more,
            f"ticks {event} {digest_of(launch.keys)}",
            {"skip_complete": True},
        )
        for launch in launches
    ]
    return requests, left


def _why_no_ticks(location: Location, work: Workspace, since: str) -> str:
    missed, history = map(len, wanted_ticks(location, work, since))
    return (
        f"of {missed} ticker-sessions of the newest sessions and {history} of periods with ticks"
        " all have weights or are under way"
    )


def _newest(work: Workspace, table: str) -> str:
    """The newest session of a table; later than any where there is none."""
    return max(map(date_of, work.lake.keys(table)), default=_NEVER)


def wanted_ticks(location: Location, work: Workspace, since: str) -> tuple[list[str], list[str]]:
    """Qualified ticker-sessions of the newest sessions, and of the periods that ask for ticks.

    The newest are `run.tick_sessions`, and those from the session `since` on, which were missed.
    """
    settings = location.settings
    qualified = [key for key, row in registry_rows(work.lake).items() if row["is_qualified"]]
    sessions, count = work.lake.keys("watchlist"), settings.run.tick_sessions
    first = min([since, *sessions[-count:][:1]]) if count else _NEVER
    periods = [
        (period.start.isoformat(), period.last.isoformat())
        for period in settings.dataset.periods
        if period.ticks
    ]
    missed = [key for key in qualified if date_of(key) >= first]
    history = [key for key in qualified if any(a <= date_of(key) <= b for a, b in periods)]
    return missed, history


def dataset(location: Location) -> dg.SensorDefinition:
    """Finished weights make the dataset of their periods out of date."""

    @dg.sensor(
        name="dataset",
        job=JOBS["ml_dataset"],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="At the end, after the sensor ticks: when weights were made, renews"
        " the periods of ml_dataset that they lie in, then the union; every"
        f" {location.settings.run.quiet_minutes:g} minutes at most.",
    )
    def _dataset(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor, now = Cursor(context.cursor), datetime.now(UTC).timestamp()
        event, _ = newest_event(context.instance, "sample_weights")
        if event == cursor.get("event", 0):
            return dg.SkipReason("no weights were made since")
        waited = cursor.waited("requested", now, location.settings.run.quiet_minutes * 60)
        if waited is not None:
            return dg.SkipReason(f"the dataset was requested {waited / 60:.0f} minutes ago")
        keys = context.instance.get_materialized_partitions(
            dg.AssetKey("sample_weights"), after_cursor=cursor.get("event")
        )
        cursor.set("event", event)
        touched, work = (
            periods_of(location.partitions, keys),
            location.workspace_of(context.resources),
        )
        stale = [name for name in touched if not work.is_current("ml_dataset", name)]
        if not stale:
            told = "the new weights lie in no period: widen one of dataset.periods, or add one"
            if touched:
                told = f"the datasets of {', '.join(touched)} hold the new weights"
            return dg.SensorResult([], cursor=cursor.text, skip_reason=told)
        cursor.set("requested", now)
        request = run_request(
            "ml_dataset",
            ["ml_dataset"],
            Launch((*stale, UNION), is_range=False),
            f"sensor dataset: new weights in {', '.join(stale)}",
            f"dataset {event}",
        )
        return dg.SensorResult([request], cursor=cursor.text)

    return _dataset


def models(location: Location) -> dg.SensorDefinition:
    """A new dataset makes the folds, and changed folds the models of their months, out of date."""

    @dg.sensor(
        name="models",
        jobs=[JOBS["folds"], JOBS["walk_forward"]],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="After the sensor dataset: when the union was made, renews the folds, then the"
        " models and predictions of the test months whose fold has changed. Nothing waits for it.",
    )
    def _models(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor = Cursor(context.cursor)
        newest = (newest_event(context.instance, name)[0] for name in ("ml_dataset", "folds"))
        mark = " ".join(map(str, newest))
        if mark == cursor.get("mark"):
            return dg.SkipReason("neither the dataset nor its folds were made since")
        if missing():
            return dg.SkipReason(f"{', '.join(missing())} is not installed: `{INSTALL}`")
        work = location.workspace_of(context.resources)
        if not work.lake.exists("ml_dataset", UNION):
            return dg.SkipReason("there is no union of the dataset yet")
        cursor.set("mark", mark)
        requests = _model_requests(location.partitions, work, mark)
        told = None if requests else "the models of all test months hold their folds"
        return dg.SensorResult(requests, cursor=cursor.text, skip_reason=told)

    return _models


def _model_requests(partitions: Partitions, work: Workspace, mark: str) -> list[dg.RunRequest]:
    """The run of the folds if they are out of date, else those of the months that are."""
    if not work.is_complete("folds", None):
        tags = {REASON_TAG: "sensor models: the dataset has changed"}
        return [dg.RunRequest(run_key=f"folds {mark}", job_name=job_name("folds"), tags=tags)]
    order = month_keys(partitions.start, partitions.end)
    months = [month for month in test_months(work.lake) if month in order]
    stale = {month for table in MONTHLY for month in outdated(work, table, months)}
    return [
        run_request(
            "walk_forward",
            MONTHLY,
            launch,
            "sensor models: folds have changed",
            f"models {mark} {digest_of(launch.keys)}",
            {"skip_complete": True},
        )
        for launch in planned(work.settings.run, stale, order)
    ]


def periods_of(partitions: Partitions, keys: Sequence[str] | set[str]) -> list[str]:
    """Names of the periods that some ticker-sessions fall in, in the order of the settings."""
    days = {date.fromisoformat(date_of(key)) for key in keys}
    return [period.name for period in partitions.periods if any(map(period.covers, days))]


def histories(location: Location) -> dg.SensorDefinition:
    """New sessions make the histories of their tickers out of date."""

    @dg.sensor(
        name="ticker_history",
        job=JOBS["ticker_history"],
        minimum_interval_seconds=600,
        required_resource_keys=RESOURCES,
        description="After the schedule daily and the sensor registry: when a session's selection"
        " and the adjustment factors are made, renews the histories of the tickers that have traded"
        " since (run.history_days). Nothing waits for it.",
    )
    def _histories(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor, now = Cursor(context.cursor), datetime.now(UTC).timestamp()
        event, _ = newest_event(context.instance, "daily_metrics")
        days = location.settings.run.history_days
        if event == cursor.get("event", 0):
            return dg.SkipReason("no daily metrics were made since")
        if not days:
            return dg.SkipReason("run.history_days is 0: histories are not renewed by sensors")
        waited = cursor.waited("requested", now, days * 86_400)
        if waited is not None:
            return dg.SkipReason(f"histories were requested {waited / 3600:.0f} hours ago")
        work = location.workspace_of(context.resources)
        if told := _why_not_yet(work):
            return dg.SkipReason(told)
        order = context.instance.get_dynamic_partitions(TICKERS.name or "")
        stale, session = histories_behind(work, order, cursor.get("session", ""))
        cursor.set("event", event)
        cursor.set("session", session)
        if not stale:
            told = "every history holds the newest session of its ticker"
            return dg.SensorResult([], cursor=cursor.text, skip_reason=told)
        cursor.set("requested", now)
        requests = [
            run_request(
                "ticker_history",
                ["ticker_history"],
                launch,
                f"sensor ticker_history: sessions up to {session}",
                f"histories {event} {number}",
            )
            for number, launch in enumerate(
                planned(work.settings.run, stale, order, HISTORIES_PER_RUN)
            )
        ]
        return dg.SensorResult(requests, cursor=cursor.text)

    return _histories


def histories_behind(work: Workspace, order: Sequence[str], since: str) -> tuple[list[str], str]:
    """Tickers whose history lacks sessions after `since`, and the newest session.

    Only tickers that have traded since are checked: the others' rows have not changed.
    """
    sessions = [key for key in work.lake.keys("daily_metrics") if key > since]
    newest = sessions[-1] if sessions else since
    rows = work.lake.read_many("daily_metrics", sessions[-LOOKED_AT:], ["ticker"])
    traded = set(rows["ticker"])
    return outdated(work, "ticker_history", [t for t in order if t in traded]), newest


def _why_not_yet(work: Workspace) -> str:
    """Which input of the histories is still missing; empty when none is."""
    newest = work.lake.keys("daily_bars")[-1:]
    if lacking(work, ("daily_metrics", "watchlist"), newest):
        return f"the selection of {newest[0]} is not stored yet"
    if not work.is_complete("adjustment_factors", None):
        return "the adjustment factors are out of date; the sensor registry renews them"
    return ""


def corrections_sensor(location: Location) -> dg.SensorDefinition:
    """Source data that was published anew."""

    @dg.sensor(
        name="corrections",
        jobs=[JOBS[op] for op in corrections.OPS],
        minimum_interval_seconds=900,
        required_resource_keys=RESOURCES,
        description="Beside all others: checks every 15 minutes what has changed afterwards"
        " (splits, your lines in suspects.csv, flat files, short volume, trade conditions, halts,"
        " filings and other feeds) and makes again exactly what was made from it.",
    )
    def _corrections(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = Cursor(context.cursor)
        work = location.workspace_of(context.resources)
        newest = newest_begun(location.partitions, datetime.now(UTC))
        requests = [*_all(corrections.FINDERS, work, context.instance, cursor, newest)]
        return dg.SensorResult(requests, cursor=cursor.text)

    return _corrections


def desk(location: Location) -> dg.SensorDefinition:
    """Journals of sessions that have ended become the desk's tables."""

    @dg.sensor(
        name="desk",
        job=JOBS["desk_records"],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="When a session of the desk has ended, or its list of trades came from the"
        " broker: makes the desk's tables of it, and of sessions between without a desk. Waits"
        " for nothing.",
    )
    def _desk(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor, settings = Cursor(context.cursor), location.settings
        ended = ended_sessions(settings)
        if not ended:
            return dg.SkipReason("no session of the desk has ended")
        mark = digest_of([f"{key} {source}" for key, source in ended.items()])
        if mark == cursor.get("mark"):
            return dg.SkipReason("no session of the desk has ended since")
        work = location.workspace_of(context.resources)
        order = location.partitions.session_keys(*map(date.fromisoformat, (min(ended), max(ended))))
        stale = [key for key in order if key in ended or not work.lake.exists(DESK[0], key)]
        stale = [key for key in stale if not all(work.is_complete(table, key) for table in DESK)]
        cursor.set("mark", mark)
        outside = len(ended.keys() - {*order})
        told = f"the desk's records are current; {outside} sessions are outside of this market"
        requests = [
            run_request(
                *("desk_records", DESK, launch, "sensor desk: a session has ended"),
                f"desk {mark} {digest_of(launch.keys)}",
                {"skip_complete": True},
            )
            for launch in planned(settings.run, stale, order)
        ]
        return dg.SensorResult(requests, cursor=cursor.text, skip_reason=None if requests else told)

    return _desk


def upkeep(location: Location) -> dg.SensorDefinition:
    """Dead runs, old captured output and pools, for an instance that is served for months."""

    @dg.sensor(
        name="upkeep",
        minimum_interval_seconds=UPKEEP_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="On from the start, waits for nothing and requests no run: ends runs whose"
        " process is gone, wherever it was, or that were lost on their way to a worker; once a"
        " day removes captured output after a month and"
        " sets the limits of the pools.",
    )
    def _upkeep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cursor, now = Cursor(context.cursor), datetime.now(UTC).timestamp()
        lost = end_lost(context.instance)
        if cursor.waited("maintained", now, _DAY) is not None:
            return dg.SkipReason(f"{end_orphans(context.instance) + lost} dead runs ended")
        ended, removed = maintain(context.instance, location.settings.run)
        cursor.set("maintained", now)
        context.update_cursor(cursor.text)
        ended += lost
        return dg.SkipReason(f"{ended} dead runs ended, captured output of {removed} runs removed")

    return _upkeep


def _all(finders: Sequence[corrections.Finder], *arguments: object) -> Iterator[dg.RunRequest]:
    for finder in finders:
        yield from finder(*arguments)  # type: ignore[arg-type]
