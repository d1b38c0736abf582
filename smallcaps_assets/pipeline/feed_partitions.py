"""Which partitions of the feeds have been published, and which of them a session can know."""

from __future__ import annotations

from datetime import date, timedelta

from smallcaps_assets.domain.feeds.publication import fails_known_at, half_interest_known_at
from smallcaps_assets.lake import Failures, Lake
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.partition_keys import MarketSpan, half_month_keys
from smallcaps_assets.schemas import TABLES, Partitioning

COVERED = ("tickers", "universe", "daily_bars", "minute_bars", "short_volume")
"""Tables of prices whose partition of a session its coverage reports."""

_OF_TICKS = ("session_summary", "trades", "quotes")
FEED_TABLES = tuple(n for n in TABLES["coverage"].upstream if n not in (*COVERED, *_OF_TICKS))
"""Tables of feeds that a session's coverage reports."""

LONGEST_HALF = timedelta(days=75)
"""More than lies between a half-month's first day and the publication of the next one's figures."""


def covered_feeds(work: LakeContext, key: str) -> list[tuple[str, str | None]]:
    """Table and partition of the feeds that a session's coverage reports, in a fixed order."""
    places = ((table, place) for table in FEED_TABLES for place in _places(work, table, key))
    return [
        (table, place)
        for table, place in places
        if not TABLES[table].is_optional or is_tried(work.lake, table, place)
    ]


def published_halves(table: str, start: date, end: date) -> list[str]:
    """Keys of the half-months that a date range touches and whose figures are out by its end."""
    known_at = fails_known_at if table == "fails_to_deliver" else half_interest_known_at
    keys = half_month_keys(start, end)
    return [key for key in keys if known_at(date.fromisoformat(key)).date() <= end]


def needed_halves(table: str, span: MarketSpan, start: date, end: date) -> list[str]:
    """Keys of the half-months known in a date range: the newest at its start, and the later ones.

    The figures before are of no use to its decisions.
    """
    first = max(start - LONGEST_HALF, span.start)
    before = published_halves(table, first, start)
    return published_halves(table, first, end)[max(len(before) - 1, 0) :]


def _places(work: LakeContext, table: str, key: str) -> list[str | None]:
    """The key of the newest partition out by a session; nothing when there is none yet."""
    kind = TABLES[table].partitioning
    if kind is Partitioning.NONE:
        return [None]
    if kind is Partitioning.HALF_MONTH:
        day = date.fromisoformat(key)
        return [*needed_halves(table, work.span, day, day)]
    return [key[: {Partitioning.YEAR: 4, Partitioning.MONTH: 7}.get(kind, len(key))]]


def is_tried(lake: Lake, table: str, place: str | None) -> bool:
    """Whether a partition is stored, or its last attempt failed."""
    return lake.exists(table, place) or Failures(lake).find(table, place) is not None
