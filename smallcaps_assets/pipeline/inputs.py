"""Which stored files a partition is made from.

The digests of these files go into the partition's footer. A partition whose inputs have other
digests now is out of date, however it came about, and the main job makes it again.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date
from functools import partial

from smallcaps_assets.lake import Failures, Lake, split_ticker_session
from smallcaps_assets.lake.decisions import decisions_digest
from smallcaps_assets.pipeline.backtest_inputs import BACKTEST, digests_of
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.feed_inputs import FEED_INPUTS, of_feeds
from smallcaps_assets.pipeline.feed_partitions import COVERED, covered_feeds, is_tried
from smallcaps_assets.pipeline.file_cache import FileCache
from smallcaps_assets.pipeline.fold_digests import MONTHLY, of_month
from smallcaps_assets.pipeline.halt_feed import halts_digest
from smallcaps_assets.pipeline.partition_keys import year_keys
from smallcaps_assets.pipeline.registered import registry_rows, ticker_sessions_of
from smallcaps_assets.schemas import TABLES, Partitioning, Window
from smallcaps_assets.schemas.tables import CURVE_WINDOW
from smallcaps_assets.settings import UNION

DATASET_PARTS = (
    *("bar_features", "quote_features", "triple_barrier_labels", "forward_mids"),
    "sample_weights",
)
_ADMITTED = ("sample_weights", "pattern_events")
"""Tables with the moment at which a ticker-session was admitted."""
_ACTION_DATES = {"splits": "execution_date", "dividends": "ex_dividend_date"}


def input_digests(work: LakeContext, table: str, key: str | None) -> Iterator[str]:
    """Digests of the files and other inputs that a partition is made from, in a fixed order."""
    declared = TABLES[table]
    if table in FEED_INPUTS:
        yield from FEED_INPUTS[table](work, key or "")
        return
    if table in BACKTEST:
        yield from digests_of(work, table, key)
        return
    if table in MONTHLY and key:
        yield from of_month(work, table, key)
        return
    if declared.layer == "raw" and table != "minute_bars":
        return
    if table == "coverage" and key:
        yield from _of_coverage(work, key)
    elif declared.partitioning is Partitioning.SESSION and key:
        yield from _of_session(work, table, date.fromisoformat(key))
    elif declared.partitioning is Partitioning.TICKER_SESSION and key:
        yield from _of_ticker_session(work, table, key)
    elif declared.partitioning is Partitioning.PERIOD and key:
        yield from _of_period(work, key)
    else:
        yield from filter(None, (work.lake.digests(upstream) for upstream in declared.upstream))
    if table == "folds":
        yield f"{work.span.end:%Y-%m}"  # a month that begins has a fold


def _of_session(work: LakeContext, table: str, day: date) -> Iterator[str]:
    lake = work.lake
    for name in TABLES[table].upstream:
        yield from (
            _of_actions(work, name, day)
            if name in _ACTION_DATES
            else (lake.digest(name, k) for k in _in_window(work, table, name, day))
        )
    if table == "daily_metrics" and (told := decisions_digest(lake, day)):
        yield told
    if table == "watchlist" and work.settings.selection.volume_at_time:
        before = work.sessions_before(day, CURVE_WINDOW)
        yield from (lake.digest("minute_bars", k) for k in before)
        yield from _of_actions(work, "splits", day)


def _of_actions(work: LakeContext, table: str, day: date) -> Iterator[str]:
    *earlier, this_year = year_keys(work.span.start, day)
    yield from (work.lake.digest(table, k) for k in earlier)
    yield _actions_until(work.lake, table, this_year, day)


def _in_window(work: LakeContext, table: str, upstream: str, day: date) -> list[str]:
    """Partitions of an upstream table that a session is made from, and that tell whether it is."""
    window = TABLES[table].window(upstream) or Window(upstream)
    if TABLES[upstream].partitioning is Partitioning.MONTH:
        return [day.isoformat()[:7]]
    is_told_apart = window.before and not window.through
    before = work.sessions_before(day, window.before) if is_told_apart else []
    return [*before, day.isoformat()] if window.has_own else before


def _actions_until(lake: Lake, table: str, year: str, day: date) -> str:
    """A digest of a year's actions up to a day: later ones put no earlier session out of date."""
    running = _RUNNING[table].get(lake, year)
    if running is None:
        return "absent"
    days, digests = running
    return digests[bisect_right(days, day)]


def _running_actions(
    table: str, column: str, lake: Lake, year: str | None
) -> tuple[list[date], list[str]]:
    """The days of a year's actions, and the digests before the first and after each of them."""
    rows = lake.read(table, year)
    running, days, digests = hashlib.sha256(), [], ["none"]
    by_day = rows.sort(column, *rows.columns, maintain_order=True)
    for (day,), group in by_day.group_by(column, maintain_order=True):
        running.update(group.write_csv().encode())
        days.append(day)
        digests.append(running.hexdigest())
    return days, digests


def _of_coverage(work: LakeContext, key: str) -> Iterator[str]:
    """The session's tables, its trades, the feeds it can know, and why any of them failed."""
    day, failures = date.fromisoformat(key), Failures(work.lake)
    names = sorted(ticker_sessions_of(work.lake, day).values())
    places = [("tickers", before) for before in work.sessions_before(day, 1)]
    places += [(name, key) for name in COVERED]
    places += [("trades", name) for name in names]
    places += [("session_summary", key)]
    places += [("quotes", n) for n in names if is_tried(work.lake, "quotes", n)]
    for table, place in (*places, *covered_feeds(work, key)):
        stored = work.lake.digest(table, place)
        yield f"{table} {place} {stored} {failures.digest(table, place)}"
    halts = work.lake.stamp("halts", key)
    if halts is not None and not halts.source:
        yield "the halt feed no longer had the session"


def _of_ticker_session(work: LakeContext, table: str, key: str) -> Iterator[str]:
    ticker, day = split_ticker_session(key)
    for name in TABLES[table].upstream:
        if name == "halts":
            yield halts_digest(work.lake, ticker, day, work.settings.ticks)
        elif name in _ACTION_DATES:
            yield from _of_actions(work, name, day)
        elif TABLES[name].partitioning is Partitioning.SESSION:
            yield from (work.lake.digest(name, k) for k in _in_window(work, table, name, day))
        elif TABLES[name].partitioning is Partitioning.TICKER_SESSION:
            yield work.lake.digest(name, key)
    if work.settings.bars.activity_scale and "daily_metrics" not in TABLES[table].upstream:
        yield work.lake.digest("daily_metrics", day.isoformat())
    if table in _ADMITTED:
        row = registry_rows(work.lake).get(key, {})
        yield str(row.get("eligible_from"))


def _of_period(work: LakeContext, key: str) -> Iterator[str]:
    lake, periods = work.lake, work.settings.dataset.periods
    if key == UNION:
        yield from (lake.digest("ml_dataset", period.name) for period in periods)
        return
    period = next(p for p in periods if p.name == key)
    tickers: set[str] = set()
    for name, row in sorted(registry_rows(lake).items()):
        if period.covers(row["date"]) and row["is_qualified"]:
            yield f"{name} {row['rules']} {row['eligible_from']}"
            yield from (lake.digest(table, name) for table in DATASET_PARTS)
            tickers.add(row["ticker"])
    yield from of_feeds(work, period, tickers)


_RUNNING = {
    table: FileCache(table, partial(_running_actions, table, column))
    for table, column in _ACTION_DATES.items()
}
