"""Which source is to be read for a day's minutes, trades or quotes, and why.

Daily bars have one route (a grouped call) and need no choice. The choice is by what is published,
by what the plan allows and by cost; settings can force it. Nothing is read here but listings: the
caller fetches by the route, and asks again when the day's file could not be had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources.errors import NotEntitled, NotFound, SourceError, SourceUnavailable
from smallcaps_assets.sources.http.notices import say_once
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.polygon.flatfile_stores import StoredFile
from smallcaps_assets.sources.polygon.flatfiles import MINUTES, TICKS, FlatFiles, file_of

DOWNLOAD_BYTES_PER_SECOND = 20e6
PARSE_BYTES_PER_SECOND = 60e6
CALLS_PER_TICKER_SESSION = {"trades": 3, "quotes": 20}
SECONDS_PER_CALL = 0.2
LISTING_SECONDS = 60.0
FORCED = "forced by the settings"
NOT_PUBLISHED = "the day's file is not published"
NO_FILE = (SourceUnavailable, NotFound, NotEntitled)
"""Failures of a file after which REST is asked instead, unless the settings force the file."""


@dataclass(frozen=True)
class Route:
    """REST or the day's flat file, and the reason for REST or for what is forced."""

    is_file: bool
    reason: str = ""

    @property
    def is_forced(self) -> bool:
        """Whether there is no other way."""
        return self.reason == FORCED

    def describe(self, key: str = "") -> str:
        """The route for people; `key` names the file."""
        parts = (f"flatfile {key}" if self.is_file else "rest", self.reason)
        return ": ".join(part for part in parts if part)


class Router:
    """The cheapest allowed route. Safe to use from many threads.

    `throttle` is that of the REST client, whose pace is part of the cost.
    """

    def __init__(
        self,
        files: FlatFiles,
        settings: PolygonSettings,
        throttle: Throttle,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files, self._settings = files, settings
        self._throttle, self._clock = throttle, clock
        self._listings: dict[tuple[str, date], tuple[float, dict[date, StoredFile]]] = {}
        self._refused: set[date] = set()
        self._lock = threading.Lock()

    def minutes(self, day: date) -> Route:
        """The route of a session's minutes: its flat file once published.

        The file is preferred whatever the number of tickers: it has no vwap, REST has, and one
        ticker rebuilt alone should not differ from the rest of its session.
        """
        return self._route(self._settings.minute_route, MINUTES, day)

    def ticks(self, table: str, day: date, tickers: int) -> Route:
        """The route of a day's trades or quotes; for many tickers its file may be worth reading."""
        settings = self._settings
        route = {"trades": settings.trade_route, "quotes": settings.quote_route}[table]
        if route == "auto" and not self._is_file_cheaper(table, day, tickers):
            return Route(False, f"{tickers} tickers cost less than the day's file")
        return self._route(route, TICKS[table].dataset, day)

    def instead(self, route: Route, day: date, failure: SourceError) -> Route:
        """The route when a day's file could not be read. Raises `failure` if the file is forced."""
        if route.is_forced:
            raise failure
        if isinstance(failure, NotEntitled):
            self._refused.add(day.replace(day=1))
            return self._over_rest(f"no right to the day's file ({failure.found})")
        is_absent = isinstance(failure, NotFound)
        return self._over_rest("the day has no file" if is_absent else failure.found)

    def is_awaited(self, day: date) -> bool:
        """Whether a session's minutes would better wait for a flat file that is not out yet."""
        if self._settings.minute_route == "rest":
            return False
        return self._why_no_file(MINUTES, day) == NOT_PUBLISHED

    def is_replaced(self, day: date, source: str, since: float) -> bool:
        """Whether the flat file that a partition came from has been published anew.

        `source` is that of `FlatFrame`, `since` when the partition was written, in seconds since
        the epoch. A listing that can't be had replaces nothing.
        """
        if (file := file_of(source)) is None:
            return False
        dataset, etag = file
        try:
            listed = self._listed(dataset, day)
            return listed is not None and self._files.is_changed(listed, etag, since)
        except SourceError:
            return False

    def _route(self, wanted: str, dataset: str, day: date) -> Route:
        if wanted != "auto":
            return Route(wanted == "flatfile", FORCED)
        reason = self._why_no_file(dataset, day)
        return self._over_rest(reason) if reason else Route(True)

    def _over_rest(self, reason: str) -> Route:
        if down := self._files.why_down():
            say_once(f"flat files: {down}; going on over REST")
        return Route(False, reason)

    def _why_no_file(self, dataset: str, day: date) -> str:
        """Why the day's file is out of the question; empty when it is not."""
        if day.replace(day=1) in self._refused:
            return "no right to the month's files"
        if down := self._files.why_down():
            return down
        try:
            is_listed = self._listed(dataset, day) is not None
        except SourceError:
            return ""  # some hosts don't list: asking for the file itself decides
        return "" if is_listed else NOT_PUBLISHED

    def _listed(self, dataset: str, day: date) -> StoredFile | None:
        """The day's file in the listing of its month, which is looked at once a minute."""
        month = (dataset, day.replace(day=1))
        with self._lock:
            read_at, found = self._listings.get(month, (float("-inf"), {}))
            if self._clock() - read_at > LISTING_SECONDS:
                found = self._files.days(*month)
                self._listings[month] = (self._clock(), found)
        return found.get(day)

    def _is_file_cheaper(self, table: str, day: date, tickers: int) -> bool:
        is_local, rest_seconds = self._files.is_local, self._rest_seconds(table, tickers)
        if not is_local and rest_seconds < 1e9 / DOWNLOAD_BYTES_PER_SECOND:
            return False  # a day of ticks is a gigabyte or more: no need to look
        try:
            listed = self._listed(TICKS[table].dataset, day)
        except SourceError:
            return False
        if listed is None:
            return False
        download = 0.0 if is_local else listed.size / DOWNLOAD_BYTES_PER_SECOND
        return download + listed.size / PARSE_BYTES_PER_SECOND < rest_seconds

    def _rest_seconds(self, table: str, tickers: int) -> float:
        calls = tickers * CALLS_PER_TICKER_SESSION[table]
        return calls / min(self._throttle.rate, self._settings.workers / SECONDS_PER_CALL)
