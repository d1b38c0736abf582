"""Facts that change afterwards, and exactly which partitions each of them touches.

* A split that is new, gone or corrected: the sessions whose windows cross it (60 sessions from its
  day: daily metrics, and the selection made from them), the adjustment factors, one ticker history.
* A flat file published anew (another ETag): the minutes of its session, and the session tables
  whose windows hold it.
* A row of the condition table: bars, features, labels and weights of ticker-sessions on or after
  the day from which the row is valid.

Runs skip what is complete, so a table of these sessions whose inputs came out the same stays.
"""

from collections.abc import Callable, Iterator
from datetime import date

import dagster as dg
import polars as pl

from smallcaps_assets.defs.expected import date_of
from smallcaps_assets.defs.inputs import METRICS_WINDOW
from smallcaps_assets.defs.jobs import REGISTRY
from smallcaps_assets.defs.sessions import SESSION_TABLES
from smallcaps_assets.domain.conditions import conditions
from smallcaps_assets.orchestration.cursor import (
    Cursor,
    newest_event,
    remember_frame,
    remembered_frame,
)
from smallcaps_assets.orchestration.launchers import REASON_TAG, job_name, plan, run_request
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, TICKERS
from smallcaps_assets.orchestration.workspace import Workspace
from smallcaps_assets.schemas import TABLES, TICK_CHAIN

FROM_METRICS = ("daily_metrics", "watchlist", "runners")
FROM_MINUTES = SESSION_TABLES[SESSION_TABLES.index("minute_bars") :]
OPS = ("session_tables", REGISTRY, "ticker_history", "tick_chain")
FILES_WATCHED = 20
"""Sessions whose flat files are compared at each evaluation: the newest ones."""
Finder = Callable[[Workspace, dg.DagsterInstance, Cursor, date | None], Iterator[dg.RunRequest]]
SHOWN = 5
_SKIP = {"skip_complete": True}


def split_changes(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for what changed splits touch."""
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
    shown = ", ".join(f"{ticker} on {day}" for ticker, day in pairs[:SHOWN])
    more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
    reason = f"sensor corrections: splits of {shown}{more}"
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
    for number, launch in enumerate(plan(tickers, order)):
        key = f"{name} history {number}"
        yield run_request("ticker_history", ["ticker_history"], launch, reason, key, _SKIP)


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


def condition_changes(
    work: Workspace, instance: dg.DagsterInstance, cursor: Cursor, newest: date | None
) -> Iterator[dg.RunRequest]:
    """Requests for the ticker-sessions that changed rows of the condition table are valid for."""
    changed, digest = _changed(work, cursor, "conditions", conditions())
    if changed.is_empty():
        return
    since = str(changed["valid_from"].min())
    order = instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
    made = instance.get_materialized_partitions(dg.AssetKey(TICK_CHAIN[1]))
    ids = ", ".join(str(number) for number in changed["id"].unique().sort())
    reason = f"sensor corrections: trade conditions {ids} have changed"
    touched = [key for key in order if key in made and date_of(key) >= since]
    for number, launch in enumerate(plan(touched, order)):
        yield run_request(
            "tick_chain", TICK_CHAIN[1:], launch, reason, f"conditions {digest} {number}"
        )


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
    keys = work.cuts.session_keys(day, work.cuts.end)[: METRICS_WINDOW + 1]
    stored = set(work.lake.keys(table))
    return [key for key in keys if key in stored]


def _of_sessions(
    work: Workspace, tables: tuple[str, ...], keys: list[str], reason: str, name: str
) -> Iterator[dg.RunRequest]:
    order = work.cuts.session_keys(work.cuts.start, work.cuts.end)
    for number, launch in enumerate(plan(keys, order)):
        yield run_request("session_tables", tables, launch, reason, f"{name} {number}", _SKIP)


FINDERS: tuple[Finder, ...] = (split_changes, replaced_files, condition_changes)
