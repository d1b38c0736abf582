"""Minutes and ticks, fetched by the route that the router answers: a day's flat file, or REST."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from datetime import date

from smallcaps_assets.pipeline.clients import Clients
from smallcaps_assets.pipeline.outcome import BuildResult
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.errors import WrongContent
from smallcaps_assets.sources.http.page_cache import CachedPages
from smallcaps_assets.sources.polygon.flatfiles import FlatFrame
from smallcaps_assets.sources.polygon.minutes import MonthsOfMinutes
from smallcaps_assets.sources.polygon.router import NO_FILE, Route


def fetch_minutes(
    clients: Clients, months: MonthsOfMinutes, day: date, tickers: Collection[str]
) -> BuildResult:
    """MinuteBars of some tickers of a session; over REST single tickers may be missing."""
    if not tickers:
        return BuildResult(TABLES["minute_bars"].empty(), _source("nothing asked"))
    route = clients.router.minutes(day)
    if route.is_file:
        try:
            file = clients.flat_files.minute_bars(day, sorted(tickers), route.is_forced)
            return _of_file(file, route)
        except NO_FILE as failure:
            route = clients.router.instead(route, day, failure)
    found = months.session(day, tickers)
    return BuildResult(
        found.frame, _source(route.describe()), missing=found.failed, cached=found.cached
    )


def fetch_ticks(
    clients: Clients, table: str, ticker: str, day: date, companions: Collection[str] = ()
) -> BuildResult:
    """Trades or quotes of one ticker-session; `companions` are the day's tickers that the run
    wants.

    Many tickers of a day may be worth reading its file, once for all of them.
    """
    wanted = sorted({ticker, *companions})
    route = clients.router.ticks(table, day, len(wanted))
    if route.is_file:
        try:
            file, cached = clients.tick_files.ticks(table, ticker, day, wanted, route.is_forced)
            return _of_file(file, route, cached)
        except NO_FILE as failure:
            route = clients.router.instead(route, day, failure)
    fetch = getattr(clients.polygon, table)
    with closing(clients.page_cache.pages(table, ticker, day.isoformat())) as pages:
        try:
            frame = fetch(ticker, day, pages, is_traded=True)
        except WrongContent:
            pages.drop()  # they are whole, and wrong: the next attempt asks for them again
            raise
    return BuildResult(frame, _source(route.describe()), cached=CachedPages(pages))


def _of_file(file: FlatFrame, route: Route, cached: CachedPages | None = None) -> BuildResult:
    metadata = _source(route.describe(file.key), file.source)
    return BuildResult(file.frame, metadata, source=file.source, cached=cached)


def _source(route: str, file: str = "") -> dict[str, str]:
    return {"source": route, "file": file}
