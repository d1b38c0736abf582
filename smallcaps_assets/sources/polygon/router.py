"""Which source answers a request for minutes or trades, and why.

Daily bars have one route (a grouped call) and need no choice. The choice is by what is published,
by what the plan allows and by cost; settings can force it; the answer says which way it came. How
each source is read is in `polygon.py` and `flatfiles.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

import polars as pl

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources.errors import (
    NotEntitled,
    NotFound,
    SourceError,
    SourceUnavailable,
)
from smallcaps_assets.sources.http.notices import say_once
from smallcaps_assets.sources.http.page_cache import PageCache
from smallcaps_assets.sources.polygon.client import PolygonClient
from smallcaps_assets.sources.polygon.flatfile_stores import StoredFile
from smallcaps_assets.sources.polygon.flatfiles import FlatFiles, FlatFrame

DOWNLOAD_BYTES_PER_SECOND = 20e6
PARSE_BYTES_PER_SECOND = 60e6
CALLS_PER_TICKER_SESSION = 3
SECONDS_PER_CALL = 0.2
LISTING_SECONDS = 60.0
MINUTES, TRADES = "minute_aggs_v1", "trades_v1"
FILE = "flatfile "
NOT_PUBLISHED = "the day's file is not published"


@dataclass(frozen=True)
class Routed:
    """A frame, and the way it came.

    `route` is for people; `source` names a flat file and its ETag, empty for REST. `failed` has the
    tickers that could not be had. `forget` is to be called when the frame is stored.
    """

    frame: pl.DataFrame
    route: str
    source: str = ""
    failed: Mapping[str, SourceError] = field(default_factory=dict)
    forget: Callable[[], None] = lambda: None


class Router:
    """Minutes and trades from whichever source is cheapest and allowed.

    `flat_files` is None when there are none.
    """

    def __init__(
        self,
        client: PolygonClient,
        flat_files: FlatFiles | None,
        settings: PolygonSettings,
        page_cache: PageCache,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client, self._flat_files, self._settings = client, flat_files, settings
        self._page_cache, self._clock = page_cache, clock
        self._listings: dict[tuple[str, date], tuple[float, dict[date, StoredFile]]] = {}
        self._refused: set[date] = set()
        self._day_locks: dict[date, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def workers(self) -> int:
        """Requests in flight."""
        return self._settings.workers

    def minute_bars(self, day: date, tickers: Sequence[str], rest: Callable[[], Routed]) -> Routed:
        """MinuteBars of a session: its flat file once published, else what `rest` gives.

        The file is preferred whatever the number of tickers: it has no vwap, REST has, and one
        ticker rebuilt alone should not differ from the rest of its session.
        """
        if not tickers:
            return Routed(TABLES["minute_bars"].empty(), "nothing asked")

        def flat(files: FlatFiles, is_patient: bool) -> Routed:
            return _from_file(files.minute_bars(day, tickers, is_patient))

        return self._choose(self._settings.minute_route, MINUTES, day, flat, rest)

    def is_rest(self, day: date) -> bool:
        """Whether a session's minutes will come over REST, as far as can be seen beforehand."""
        route = self._settings.minute_route
        return route == "rest" or (route == "auto" and bool(self._why_no_file(MINUTES, day)))

    def is_awaited(self, day: date) -> bool:
        """Whether a session's minutes would better wait for a flat file that is not out yet."""
        if self._settings.minute_route == "rest":
            return False
        return self._why_no_file(MINUTES, day) == NOT_PUBLISHED

    def trades(self, ticker: str, day: date, companions: Collection[str] = ()) -> Routed:
        """Trades of one ticker-session; `companions` are the day's tickers that the run wants.

        Many tickers of a day may be worth reading its file, once for all of them.
        """
        wanted = sorted({ticker, *companions})
        route = self._settings.trade_route
        rest = partial(self._rest_trades, ticker, day)
        if route == "auto" and not self._is_file_cheaper(day, len(wanted)):
            reason = f"rest: {len(wanted)} tickers cost less than the day's file"
            return replace(rest(), route=reason)

        def flat(files: FlatFiles, is_patient: bool) -> Routed:
            return self._file_trades(files, ticker, day, wanted, is_patient)

        return self._choose(route, TRADES, day, flat, rest)

    def is_replaced(self, day: date, source: str, since: float) -> bool:
        """Whether the flat file that a partition came from has been published anew.

        `source` is that of `Routed`, `since` when the partition was written, in seconds since the
        epoch. A listing that can't be had replaces nothing.
        """
        files = self._flat_files
        if files is None or not source.startswith(FILE):
            return False
        key, _, etag = source.removeprefix(FILE).partition(" ")
        try:
            listed = self._listed(key.split("/")[1], day)
            return listed is not None and files.is_changed(listed, etag, since)
        except SourceError:
            return False

    def _rest_trades(self, ticker: str, day: date) -> Routed:
        kept = self._page_cache.pages("trades", ticker, day.isoformat())
        try:
            found = self.client.trades(ticker, day, kept, is_traded=True)
        finally:
            kept.close()
        return Routed(found, "rest", forget=kept.drop)

    def _file_trades(
        self, files: FlatFiles, ticker: str, day: date, wanted: Sequence[str], is_patient: bool
    ) -> Routed:
        """One ticker's trades from the day's file, which is read once for all that are wanted."""
        if len(wanted) == 1:
            return _from_file(files.trades(day, wanted, is_patient))
        pages = self._page_cache.pages("trades file", day.isoformat())
        with self._lock:
            day_lock = self._day_locks.setdefault(day, threading.Lock())
        with day_lock:
            kept = pages.frames(ticker)
            if not kept:
                found = files.trades(day, wanted, is_patient)
                pages.add(f"{found.key} {found.etag}", _by_ticker(found.frame, wanted))
                kept = pages.frames(ticker)
        ((source, frame),) = kept.items()
        pages.close()
        return Routed(
            frame,
            f"flatfile {source.partition(' ')[0]}",
            f"{FILE}{source}",
            forget=partial(pages.forget, ticker),
        )

    def _choose(
        self,
        wanted: str,
        dataset: str,
        day: date,
        flat: Callable[[FlatFiles, bool], Routed],
        rest: Callable[[], Routed],
    ) -> Routed:
        if wanted == "rest":
            return replace(rest(), route="rest: forced by the settings")
        if wanted == "flatfile":
            found = flat(self._required_files(), True)
            return replace(found, route=f"{found.route}: forced by the settings")
        reason = self._why_no_file(dataset, day)
        if not reason and self._flat_files is not None:
            try:
                return flat(self._flat_files, False)
            except SourceUnavailable as failure:
                reason = failure.found
            except NotFound:
                reason = "the day has no file"
            except NotEntitled as refusal:
                reason = f"no right to the day's file ({refusal.found})"
                self._refused.add(day.replace(day=1))
        if self._flat_files is not None and (down := self._flat_files.why_down()):
            say_once(f"flat files: {down}; going on over REST")
        return replace(rest(), route=f"rest: {reason}")

    def _required_files(self) -> FlatFiles:
        if self._flat_files is None:
            raise SourceError(
                "flat files are forced by the settings, but there are none",
                remedy="set polygon.flatfiles_dir or flatfiles_url, or the route to auto or rest",
            )
        return self._flat_files

    def _why_no_file(self, dataset: str, day: date) -> str:
        """Why the day's file is out of the question; empty when it is not."""
        if self._flat_files is None:
            return "no flat files configured"
        if day.replace(day=1) in self._refused:
            return "no right to the month's files"
        if down := self._flat_files.why_down():
            return down
        try:
            is_listed = self._listed(dataset, day) is not None
        except SourceError:
            return ""  # some hosts don't list: asking for the file itself decides
        return "" if is_listed else NOT_PUBLISHED

    def _listed(self, dataset: str, day: date) -> StoredFile | None:
        """The day's file in the listing of its month, which is looked at once a minute."""
        if self._flat_files is None:
            return None
        month = (dataset, day.replace(day=1))
        with self._lock:
            read_at, found = self._listings.get(month, (float("-inf"), {}))
            if self._clock() - read_at > LISTING_SECONDS:
                found = self._flat_files.days(*month)
                self._listings[month] = (self._clock(), found)
        return found.get(day)

    def _is_file_cheaper(self, day: date, tickers: int) -> bool:
        files = self._flat_files
        if files is None:
            return False
        if not files.is_local and self._rest_seconds(tickers) < 1e9 / DOWNLOAD_BYTES_PER_SECOND:
            return False  # a day of trades is a gigabyte or more: no need to look
        try:
            listed = self._listed(TRADES, day)
        except SourceError:
            return False
        if listed is None:
            return False
        download = 0.0 if files.is_local else listed.size / DOWNLOAD_BYTES_PER_SECOND
        return download + listed.size / PARSE_BYTES_PER_SECOND < self._rest_seconds(tickers)

    def _rest_seconds(self, tickers: int) -> float:
        calls = tickers * CALLS_PER_TICKER_SESSION
        pace = min(self.client.throttle.rate, self._settings.workers / SECONDS_PER_CALL)
        return calls / pace


def _from_file(found: FlatFrame) -> Routed:
    return Routed(found.frame, f"flatfile {found.key}", f"{FILE}{found.key} {found.etag}")


def _by_ticker(frame: pl.DataFrame, tickers: Sequence[str]) -> dict[str, pl.DataFrame]:
    found = {key[0]: part for key, part in frame.partition_by("ticker", as_dict=True).items()}
    return {ticker: found.get(ticker, frame.clear()) for ticker in tickers}
