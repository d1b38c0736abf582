"""Sensors: what a change makes necessary is requested, exactly that, with the reason in its tags.

* `registry`, when a watchlist was made and the registry is out of date: the registry and the
  adjustment factors.
* `ticks`, when the registry has changed: the tick chain of the newest sessions' ticker-sessions,
  and of periods with `ticks = true`.
* `dataset`, when weights have been made, not more than once per quiet interval: the periods they
  fall in, then the union.
* `corrections`, when a split, a line of suspects.csv or the condition table has changed, a flat
  file was replaced, or halts and filings came late: the partitions touched, see `corrections.py`.
* `upkeep`, once a day: puts the instance in order (`upkeep.py`, `pools.py`). Requests no run, and
  is on from the start.

All others are off until switched on. Runs skip what is complete, so asking twice costs little.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

import dagster as dg

from smallcaps_assets.defs import corrections
from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.defs.expected import date_of
from smallcaps_assets.defs.inputs import registry_rows
from smallcaps_assets.defs.jobs import JOBS, REGISTRY
from smallcaps_assets.orchestration.cursor import Cursor, newest_event
from smallcaps_assets.orchestration.launchers import (
    REASON_TAG,
    Launch,
    digest_of,
    keys_in_flight,
    plan,
    run_request,
)
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, UNION, Cuts
from smallcaps_assets.orchestration.readiness import newest_begun
from smallcaps_assets.orchestration.upkeep import put_in_order
from smallcaps_assets.orchestration.workspace import Workspace
from smallcaps_assets.schemas import TICK_CHAIN
from smallcaps_assets.settings import Settings

MOST_RUNS = 10
"""Requests of one evaluation; a historical period's ticks come in instalments."""


def all_sensors(location: Location) -> list[dg.SensorDefinition]:
    """All of them."""
    return [
        registry(location),
        ticks(location),
        dataset(location),
        corrections_sensor(location),
        upkeep(location),
    ]


def registry(location: Location) -> dg.SensorDefinition:
    """Changed watchlists make the registry out of date."""

    @dg.sensor(
        name="registry",
        job=JOBS[REGISTRY],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="A watchlist was made: renew the registry, which registers ticker-sessions.",
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
    """Ticks of the newest sessions by themselves; of history where a period says so."""

    @dg.sensor(
        name="ticks",
        job=JOBS["tick_chain"],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="The registry has new ticker-sessions: fetch the ticks of the newest sessions.",
    )
    def _ticks(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor = Cursor(context.cursor)
        event, _ = newest_event(context.instance, "ticker_sessions")
        mark = f"{event} {_asked_for(location.settings)}"
        if mark == cursor.get("mark") or event == 0:
            return dg.SkipReason("the registry has not changed since")
        work = location.workspace_of(context.resources)
        requests, is_all = _tick_requests(location, work, context.instance, event)
        if is_all:
            cursor.set("mark", mark)
        return dg.SensorResult(requests, cursor=cursor.text)

    return _ticks


def _asked_for(settings: Settings) -> str:
    names = [period.name for period in settings.dataset.periods if period.ticks]
    return ",".join([str(settings.run.tick_sessions), *names])


def _tick_requests(
    location: Location, work: Workspace, instance: dg.DagsterInstance, event: int
) -> tuple[list[dg.RunRequest], bool]:
    """The runs of what is asked for and neither made nor under way; and whether that is all."""
    order = instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
    known = set(order)
    on = keys_in_flight(instance, "tick_chain", order)
    asked = [key for key in wanted_ticks(location, work) if key in known and key not in on]
    stored = set(work.lake.keys(TICK_CHAIN[-1]))
    wanted = [key for key in asked if key not in stored]
    launches = plan(wanted, order)
    requests = [
        run_request(
            "tick_chain",
            TICK_CHAIN,
            launch,
            "sensor ticks: ticker-sessions of the registry without weights",
            f"ticks {event} {digest_of(launch.keys)}",
            {"skip_complete": True},
        )
        for launch in launches[:MOST_RUNS]
    ]
    return requests, len(launches) <= MOST_RUNS


def wanted_ticks(location: Location, work: Workspace) -> list[str]:
    """Qualified ticker-sessions of the newest sessions, and of the periods that ask for ticks."""
    settings = location.settings
    qualified = [key for key, row in registry_rows(work.lake).items() if row["is_qualified"]]
    sessions = [*work.lake.keys("watchlist")]
    newest = set(sessions[len(sessions) - min(settings.run.tick_sessions, len(sessions)) :])
    periods = [
        (period.start.isoformat(), period.last.isoformat())
        for period in settings.dataset.periods
        if period.ticks
    ]
    return [
        key
        for key in qualified
        if (day := date_of(key)) in newest or any(a <= day <= b for a, b in periods)
    ]


def dataset(location: Location) -> dg.SensorDefinition:
    """Finished weights make the dataset of their periods out of date."""

    @dg.sensor(
        name="dataset",
        job=JOBS["ml_dataset"],
        minimum_interval_seconds=60,
        required_resource_keys=RESOURCES,
        description="Weights were made: renew their periods, once per quiet interval at most.",
    )
    def _dataset(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor, now = Cursor(context.cursor), datetime.now(UTC).timestamp()
        event, _ = newest_event(context.instance, "sample_weights")
        if event == cursor.get("event", 0):
            return dg.SkipReason("no weights were made since")
        quiet = location.settings.run.quiet_minutes * 60
        waited = now - cursor.get("requested", 0.0)
        if 0 <= waited < quiet:  # less than nothing: the clock has been set back since
            return dg.SkipReason(f"the dataset was asked for {waited / 60:.0f} minutes ago")
        keys = context.instance.get_materialized_partitions(
            dg.AssetKey("sample_weights"), after_cursor=cursor.get("event")
        )
        touched = periods_of(location.cuts, keys)
        cursor.set("event", event)
        cursor.set("requested", now)
        requests = [
            run_request(
                "ml_dataset",
                ["ml_dataset"],
                Launch((*touched, UNION), is_range=False),
                f"sensor dataset: new weights in {', '.join(touched)}",
                f"dataset {event}",
            )
        ]
        if not touched:
            told = "the new weights lie in no period: widen one of dataset.periods, or add one"
            return dg.SensorResult([], cursor=cursor.text, skip_reason=told)
        return dg.SensorResult(requests, cursor=cursor.text)

    return _dataset


def periods_of(cuts: Cuts, keys: Sequence[str] | set[str]) -> list[str]:
    """Names of the periods that some ticker-sessions fall in, in the order of the settings."""
    days = {date.fromisoformat(date_of(key)) for key in keys}
    return [period.name for period in cuts.periods if any(map(period.covers, days))]


def corrections_sensor(location: Location) -> dg.SensorDefinition:
    """Facts that were published anew."""

    @dg.sensor(
        name="corrections",
        jobs=[JOBS[op] for op in corrections.OPS],
        minimum_interval_seconds=900,
        required_resource_keys=RESOURCES,
        description="Splits, flat files, conditions, halts or filings: rebuild what they touch.",
    )
    def _corrections(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = Cursor(context.cursor)
        work = location.workspace_of(context.resources)
        newest = newest_begun(location.cuts, datetime.now(UTC))
        requests = [*_all(corrections.FINDERS, work, context.instance, cursor, newest)]
        return dg.SensorResult(requests, cursor=cursor.text)

    return _corrections


def upkeep(location: Location) -> dg.SensorDefinition:
    """Dead runs, old captured output, pools: for an instance that is served for months."""

    @dg.sensor(
        name="upkeep",
        minimum_interval_seconds=86_400,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends dead runs, removes captured output after a month, sets pool limits.",
    )
    def _upkeep(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended, removed = put_in_order(context.instance, location.settings.run)
        return dg.SkipReason(f"{ended} dead runs ended, captured output of {removed} runs removed")

    return _upkeep


def _all(finders: Sequence[corrections.Finder], *arguments: object) -> Iterator[dg.RunRequest]:
    for finder in finders:
        yield from finder(*arguments)  # type: ignore[arg-type]
