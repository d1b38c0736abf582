"""Source data that changes afterwards, and exactly which partitions each change touches.

* A split that is new, gone or corrected: the sessions whose windows cross it (60 sessions from its
  day: daily metrics, and the selection made from them), the adjustment factors, one ticker history.
* A line of the lake's suspects.csv that is new, gone or changed: the session's daily metrics, and
  the selection of the sessions after it.
* A flat file published anew (another ETag): the minutes of its session, and the session tables
  whose windows hold it.
* A short-volume file that FINRA has corrected (another hash): its session's short volume.
* A row of the condition table: bars, features, labels and weights of ticker-sessions on or after
  the day from which the row is valid.
* Halts read after the ticks, or read again: the ticker-sessions whose tape they cut otherwise.
* Halts, filings and other feeds of the dataset that come after it was made: the periods in which
  they can be known.

Runs skip what is complete, so tables whose inputs did not change stay as they are.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import dagster as dg
import polars as pl

from smallcaps_assets.defs.feed_schedules import TABLES_SCHEDULED
from smallcaps_assets.defs.jobs import REGISTRY
from smallcaps_assets.domain.ticks.conditions import conditions
from smallcaps_assets.lake.decisions import decisions
from smallcaps_assets.orchestration.cursor import (
    Cursor,
    newest_event,
    remember_frame,
    remembered_frame,
)
from smallcaps_assets.orchestration.launchers import (
    REASON_TAG,
    Launch,
    digest_of,
    job_name,
    keys_in_flight,
    planned,
    run_request,
)
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, TICKERS
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import (
    MADE_OF_TICKS,
    METRICS_WINDOW,
    SESSION_TABLES,
    TABLES,
    TICK_CHAIN,
    lineage,
)
from smallcaps_assets.settings import UNION
from smallcaps_assets.sources.errors import SourceError

FROM_METRICS = ("daily_metrics", "watchlist", "runners", "volatile")
FROM_MINUTES = tuple(name for name in SESSION_TABLES if "minute_bars" in lineage(name))
OPS = ("session_tables", REGISTRY, "ticker_history", "tick_chain", "ml_dataset")
CUT_BY_HALTS = tuple(name for name in TICK_CHAIN if "halts" in TABLES[name].upstream)
HALTS_WATCHED = 25
"""Newest sessions whose halts are compared at the first evaluation."""
SHORT_FILES_WATCHED = 5
FILES_WATCHED = 20
"""Newest sessions whose flat files are compared at each evaluation."""
Finder = Callable[[Workspace, dg.DagsterInstance, Cursor, date | None], Iterator[dg.RunRequest]]
SHOWN = 5
_SKIP = {"skip_complete": True}


def split_changes(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for what changed splits affect."""
    event, _ = newest_event(instance, "splits")
    if event == cursor.get("splits event", 0):
        return
    now = work.lake.scan("splits").collect().sort(TABLES["splits"].key)
    years, changed, digest = cursor.get("split years", []), *_changed(work, cursor, "splits", now)
    cursor.set("splits event", event)
    cursor.set("split years", [int(key) for key in work.lake.keys("splits")])
    # A year that was not there before has been loaded, not corrected.
    rows = changed.filter(pl.col("year").is_in(years)).sort("execution_date", "ticker")
    if rows.height:
        yield from _of_splits(work, instance, rows, f"splits {digest}")


def _of_splits(
    work: Workspace, instance: dg.DagsterInstance, rows: pl.DataFrame, name: str
) -> Iterator[dg.RunRequest]:
    pairs = rows.select("ticker", "execution_date").unique(maintain_order=True).rows()
    shown = _shown([f"{ticker} on {day}" for ticker, day in pairs])
    reason = f"sensor corrections: splits of {shown}"
    windows = {key for _, day in pairs for key in _stored_window(work, "daily_metrics", day)}
    yield from _of_sessions(work, FROM_METRICS, sorted(windows), reason, name)
    yield dg.RunRequest(
        run_key=f"{name} factors",
        job_name=job_name(REGISTRY),
        asset_selection=[dg.AssetKey("adjustment_factors")],
        tags={REASON_TAG: reason},
    )
    order = instance.get_dynamic_partitions(TICKERS.name or "")
    tickers = {ticker for ticker, _ in pairs} & set(order)
    for number, launch in enumerate(planned(work.settings.run, tickers, order)):
        key = f"{name} history {number}"
        yield run_request("ticker_history", ["ticker_history"], launch, reason, key, _SKIP)


def decision_changes(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for the sessions affected by changed lines of suspects.csv."""
    changed, digest = _changed(work, cursor, "decisions", decisions(work.lake))
    if changed.is_empty():
        return
    pairs = changed.select("ticker", "date").unique().sort("date", "ticker").rows()
    shown = _shown([f"{ticker} on {day}" for ticker, day in pairs])
    reason = f"sensor corrections: suspects.csv has changed for {shown}"
    touched = {key for _, day in pairs for key in _stored_window(work, "daily_metrics", day)}
    yield from _of_sessions(work, FROM_METRICS, sorted(touched), reason, f"decisions {digest}")


def replaced_files(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for the sessions of the newest flat files that are no longer the ones read."""
    stored = work.lake.keys("minute_bars")[-FILES_WATCHED:]
    for key in stored:
        if work.is_file_current("minute_bars", key):
            continue
        source = getattr(work.lake.stamp("minute_bars", key), "source", "")
        sessions = _stored_window(work, "minute_bars", date.fromisoformat(key))
        reason = f"sensor corrections: the minute flat file of {key} was replaced"
        yield from _of_sessions(work, FROM_MINUTES, sessions, reason, f"file {key} {source}")


def corrected_short_volume(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for the newest sessions whose FINRA file has another hash than the one read.

    FINRA corrects files within days; they are requested once per new session.
    """
    if newest is None or cursor.get("short volume looked at") == str(newest):
        return
    cursor.set("short volume looked at", str(newest))
    for key in work.lake.keys("short_volume")[-SHORT_FILES_WATCHED:]:
        source = getattr(work.lake.stamp("short_volume", key), "source", "")
        try:
            found = f"CNMS {work.clients.finra.short_volume(date.fromisoformat(key)).sha256}"
        except SourceError:
            continue  # checked again with the next session
        if source and found != source:
            reason = f"sensor corrections: FINRA has corrected its file of {key}"
            order = work.span.session_keys(work.span.start, work.span.end)
            for launch in planned(work.settings.run, [key], order):
                yield run_request(
                    "session_tables", ("short_volume",), launch, reason, f"short {key} {found}"
                )


def condition_changes(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for the ticker-sessions that changed rows of the condition table are valid for."""
    changed, digest = _changed(work, cursor, "conditions", conditions())
    if changed.is_empty():
        return
    since = str(changed["valid_from"].min())
    order = instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
    made = instance.get_materialized_partitions(dg.AssetKey(MADE_OF_TICKS[0]))
    ids = ", ".join(str(number) for number in changed["id"].unique().sort())
    reason = f"sensor corrections: trade conditions {ids} have changed"
    touched = [key for key in order if key in made and date_of(key) >= since]
    for number, launch in enumerate(planned(work.settings.run, touched, order)):
        yield run_request(
            "tick_chain", MADE_OF_TICKS, launch, reason, f"conditions {digest} {number}"
        )


def late_halts(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for stored ticker-sessions that were made with other halts than the feed has now.

    Those whose ticks are being made are checked again at the next evaluation.
    """
    event, seen = newest_event(instance, "halts")[0], cursor.get("halts event")
    if event == (seen or 0):
        return
    read = instance.get_materialized_partitions(dg.AssetKey("halts"), after_cursor=seen)
    sessions = set(read if seen is not None else sorted(read)[-HALTS_WATCHED:])
    order = instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
    asked = [key for key in order if date_of(key) in sessions]
    busy = keys_in_flight(instance, "tick_chain", order).intersection(asked)
    stale = [key for key in asked if key not in busy and _has_other_halts(work, key)]
    if not busy:
        cursor.set("halts event", event)
    reason = f"sensor corrections: the feed has other halts of {_shown(stale)}"
    for launch in planned(work.settings.run, stale, order):
        run_key = f"halts {event} {digest_of(launch.keys)}"
        yield run_request("tick_chain", MADE_OF_TICKS, launch, reason, run_key, _SKIP)


def _has_other_halts(work: Workspace, key: str) -> bool:
    """Whether a stored table of a ticker-session that depends on halts has other inputs."""
    stamps = {table: work.lake.stamp(table, key) for table in CUT_BY_HALTS}
    return any(
        found is not None and found.inputs != work.stamp(table, key).inputs
        for table, found in stamps.items()
    )


def late_feeds(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for the stored periods of the dataset for which feeds have brought rows since.

    Once per quiet interval at most, as by the sensor `dataset`.
    """
    events = {table: newest_event(instance, table)[0] for table in TABLES_SCHEDULED}
    seen, now = cursor.get("facts events"), datetime.now(UTC).timestamp()
    if seen is None:
        cursor.set("facts events", events)
    if seen is None or events == seen:
        return
    if cursor.waited("facts asked", now, work.settings.run.quiet_minutes * 60) is not None:
        return
    stored = [period.name for period in work.span.periods if _has_newer_feeds(work, period.name)]
    cursor.set("facts events", events)
    if stored:
        cursor.set("facts asked", now)
        come = "; ".join(
            f"{table} of {_shown(sorted(_read_since(instance, table, seen.get(table, 0))))}"
            for table in TABLES_SCHEDULED
            if events[table] != seen.get(table, 0)
        )
        yield run_request(
            "ml_dataset",
            ["ml_dataset"],
            Launch((*stored, UNION), is_range=False),
            f"sensor corrections: read since: {come}",
            f"facts {sorted(events.values())}",
        )


def _has_newer_feeds(work: Workspace, period: str) -> bool:
    found = work.lake.stamp("ml_dataset", period)
    return found is not None and found.inputs != work.stamp("ml_dataset", period).inputs


def _read_since(instance: dg.DagsterInstance, table: str, event: int) -> set[str]:
    return instance.get_materialized_partitions(dg.AssetKey(table), after_cursor=event)


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _changed(
    work: Workspace, cursor: Cursor, name: str, now: pl.DataFrame
) -> tuple[pl.DataFrame, str]:
    """Rows that are new or gone since the last evaluation, and the digest of what is there now.

    At the first evaluation nothing has changed: what is stored was made from what is there.
    """
    before = remembered_frame(work.lake, name, cursor.get(name, ""))
    digest = remember_frame(work.lake, name, now)
    cursor.set(name, digest)
    if before is None:
        return now.clear(), digest
    gone = before.join(now, on=now.columns, how="anti", nulls_equal=True)
    new = now.join(before, on=now.columns, how="anti", nulls_equal=True)
    return pl.concat([gone, new]), digest


def _stored_window(work: Workspace, table: str, day: date) -> list[str]:
    """Stored sessions from a day on whose windows of earlier sessions can hold it."""
    keys = work.span.session_keys(day, work.span.end)[: METRICS_WINDOW + 1]
    stored = set(work.lake.keys(table))
    return [key for key in keys if key in stored]


def _of_sessions(
    work: Workspace, tables: tuple[str, ...], keys: list[str], reason: str, name: str
) -> Iterator[dg.RunRequest]:
    order = work.span.session_keys(work.span.start, work.span.end)
    for number, launch in enumerate(planned(work.settings.run, keys, order)):
        yield run_request("session_tables", tables, launch, reason, f"{name} {number}", _SKIP)


FINDERS: tuple[Finder, ...] = (
    split_changes,
    decision_changes,
    replaced_files,
    corrected_short_volume,
    condition_changes,
    late_halts,
    late_feeds,
)
