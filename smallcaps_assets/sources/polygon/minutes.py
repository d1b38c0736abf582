"""Minute bars of the sessions of one run over REST, by ticker and month.

The vendor hands out 50,000 minutes a page, two months of the longest trading days; asking ticker
by day would cost twenty times the calls. Pages go to disk as they come, so memory holds one
session at a time and a killed run goes on where it was.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial

import polars as pl

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import NotEntitled, SourceError
from smallcaps_assets.sources.http.page_cache import CachedPages, PageCache, Pages
from smallcaps_assets.sources.http.workers import gather
from smallcaps_assets.sources.polygon.client import PolygonClient

LOG = logging.getLogger(__name__)
Wanted = Mapping[date, Collection[str]]


@dataclass
class _Month:
    """A month's pages: tickers are the parts, sessions the leaves."""

    pages: Pages
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: set[date] = field(default_factory=set)
    failed: dict[str, SourceError] = field(default_factory=dict)


@dataclass(frozen=True)
class SessionMinutes:
    """MinuteBars of a session, the tickers that failed and why, and the pages that hold them."""

    frame: pl.DataFrame
    failed: Mapping[str, SourceError]
    cached: CachedPages


class MonthsOfMinutes:
    """The minutes of a run's sessions. Safe to use from many threads.

    `wanted` gives for a day the sessions of its month that are to come over REST, with the tickers
    that the run still lacks; `traded` the tickers that are known to have traded on a day.
    """

    def __init__(
        self,
        client: PolygonClient,
        page_cache: PageCache,
        wanted: Callable[[date], Wanted],
        traded: Callable[[date], Collection[str]] = lambda day: (),
    ) -> None:
        self._client, self._page_cache = client, page_cache
        self._wanted, self._traded = wanted, traded
        self._months: dict[str, _Month] = {}
        self._lock = threading.Lock()

    def session(self, day: date, tickers: Collection[str]) -> SessionMinutes:
        """The minutes of a session; the first of a month asks for all that are wanted of it.

        Raises Unauthorized and NotEntitled, which concern every ticker.
        """
        month = self._month(day)
        with month.lock:
            if day not in month.asked:
                self._ask(month, day, tickers)
        pages = month.pages.frames(day.isoformat())
        bars = [pages[ticker] for ticker in sorted(tickers) if ticker in pages]
        failed = {t: month.failed[t] for t in tickers if t in month.failed and t not in pages}
        table = TABLES["minute_bars"]
        frame = table.conform(pl.concat([table.empty(), *bars]))
        return SessionMinutes(frame, failed, CachedPages(month.pages, day.isoformat()))

    def close(self) -> None:
        """Close the files; pages of sessions that were not stored are kept for the next run."""
        for month in self._months.values():
            month.pages.close()

    def _month(self, day: date) -> _Month:
        name = f"{day:%Y-%m}"
        with self._lock:
            if name not in self._months:
                self._months[name] = _Month(self._page_cache.pages("minute_bars", name))
            return self._months[name]

    def _ask(self, month: _Month, day: date, tickers: Collection[str]) -> None:
        others = self._wanted(day)
        try:
            self._fetch(month, {**others, day: tickers})
        except NotEntitled:
            if not others:
                raise
            self._fetch(month, {day: tickers})  # the plan's first day may lie inside the month

    def _fetch(self, month: _Month, wanted: Wanted) -> None:
        sessions: dict[str, list[date]] = {}
        for day in sorted(wanted):
            for ticker in wanted[day]:
                sessions.setdefault(ticker, []).append(day)
        there = month.pages.names()
        lacking = [
            ticker
            for ticker, days in sorted(sessions.items())
            if any((ticker, day.isoformat()) not in there for day in days)
        ]
        LOG.info("minutes over REST: %d tickers, %d sessions", len(lacking), len(wanted))

        def ask(ticker: str, is_final: bool = False) -> bool:
            """Whether the answer is believed, and so put down."""
            days = sessions[ticker]
            bars = self._client.minute_bars(ticker, days[0], days[-1])
            found = _by_session(bars, days)
            silent = [d for d in days if found[d.isoformat()].is_empty()]
            is_believed = is_final or not any(ticker in self._traded(day) for day in silent)
            if is_believed:
                month.pages.add(ticker, found)
            return is_believed

        heard, failed = gather(ask, lacking, self._client.settings.workers)
        doubted = [ticker for ticker, is_believed in heard.items() if not is_believed]
        if doubted:
            what = f"minutes of {len(doubted)} tickers that have traded"
            self._client.pause_for_nothing(what)
            _, again = gather(partial(ask, is_final=True), doubted, self._client.settings.workers)
            failed |= again
        month.failed.update(failed)
        month.asked.update(wanted)


def _by_session(bars: pl.DataFrame, days: list[date]) -> dict[str, pl.DataFrame]:
    """The bars of each session; a session without any has been asked for too."""
    found = {key[0]: part for key, part in bars.partition_by("date", as_dict=True).items()}
    return {day.isoformat(): found.get(day, bars.clear()) for day in days}
