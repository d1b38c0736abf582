"""Which sessions automation is responsible for, and what they lack.

Listings of the lake are compared, so that thousands of sessions cost as little as a few; footers
are read for the newest sessions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import ceil

import dagster as dg

from smallcaps_assets.lake import Scope
from smallcaps_assets.orchestration.launchers import first_key
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.pipeline.registered import registry_rows
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import SESSION_TABLES, TICK_CHAIN

LOOKED_AT = 20
"""Newest sessions that are always checked, and whose files are opened."""
SCHEDULE = "daily"
_SCHEDULE_TAG = "dagster/schedule_name"
TICKERS_PER_PAGE = 1000


def sessions_looked_at(
    work: Workspace, instance: dg.DagsterInstance, newest: date | None
) -> list[str]:
    """Sessions that automation keeps complete, in order; only the newest one in an empty lake.

    They begin with the newest session that is stored, or with the first that the daily schedule
    ever requested, and include at least the last twenty. Earlier gaps are left alone: they may lie
    between two ranges that the user wanted.
    """
    keys = work.span.session_keys(work.span.start, newest) if newest else []
    stored = work.lake.keys("daily_bars")
    if not keys or not stored:
        return keys[-1:]
    whole = work.lake.keys(SESSION_TABLES[-1])
    since = min([keys[-LOOKED_AT:][0], *whole[-1:], *_first_asked(instance)])
    return [key for key in keys if key >= max(since, stored[0])]


def _first_asked(instance: dg.DagsterInstance) -> list[str]:
    asked = dg.RunsFilter(tags={_SCHEDULE_TAG: SCHEDULE})
    oldest = instance.get_runs(asked, limit=1, ascending=True)
    return [key for run in oldest if (key := first_key(run))]


def lacking(work: Workspace, tables: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Partitions that lack one of the tables, in the order given.

    Among the last twenty also those that are stored without some of their tickers.
    """
    tables = offered(work, tables)
    stored = [set(work.lake.keys(table)) for table in tables]
    near = set(keys[-LOOKED_AT:])
    return [
        key
        for key in keys
        if any(key not in there for there in stored)
        or (key in near and any(_is_partial(work, table, key) for table in tables))
    ]


def offered(work: Workspace, tables: Sequence[str]) -> list[str]:
    """The tables that the market has a source for."""
    absent = market_of(work.settings).absent_tables
    return [table for table in tables if table not in absent]


def _is_partial(work: Workspace, table: str, key: str) -> bool:
    stamp = work.lake.stamp(table, key)
    return stamp is None or Scope.parse(stamp.scope) != Scope()


def lacking_halts(work: Workspace, keys: Sequence[str]) -> list[str]:
    """Stored sessions without halts; none in a market without a halt feed."""
    if "halts" in market_of(work.settings).absent_tables:
        return []
    there, bars = set(work.lake.keys("halts")), set(work.lake.keys("daily_bars"))
    return [key for key in keys if key in bars and key not in there]


def lacking_ticks(work: Workspace, keys: Sequence[str]) -> list[str]:
    """Qualified ticker-sessions of some sessions without weights, oldest first."""
    days, made = set(keys), set(work.lake.keys(TICK_CHAIN[-1]))
    return sorted(
        (
            name
            for name, row in registry_rows(work.lake).items()
            if row["is_qualified"] and date_of(name) in days and name not in made
        ),
        key=date_of,
    )


def requests_for(work: Workspace, tables: Sequence[str], keys: Sequence[str]) -> int:
    """Roughly how many requests some sessions take, from the newest stored number of tickers."""
    months = len({key[:7] for key in keys})
    each = {"daily_bars": len(keys), "short_volume": len(keys)}
    each["tickers"] = len(keys) * max(1, ceil(_rows(work, "tickers") / TICKERS_PER_PAGE))
    first = date.fromisoformat(keys[0]) if keys else None
    is_rest = first is not None and not work.clients.router.minutes(first).is_file
    each["minute_bars"] = months * _rows(work, "universe") if is_rest else len(keys)
    return sum(each.get(table, 0) for table in tables)


def _rows(work: Workspace, table: str) -> int:
    newest = work.lake.keys(table)[-1:]
    return work.lake.rows(table, newest[0]) if newest else 0


def span(keys: Sequence[str]) -> str:
    """The first and the last of some keys, as text."""
    return keys[0] + (f" to {keys[-1]}" if len(keys) > 1 else "")
