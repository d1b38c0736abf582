"""Builders of the feeds: short data, fails, halts, filings, news, fundamentals, ticker events.

Each asset is cut as its source delivers: halts and short volume by session, settlements by
half-month, filings and news by month, statements by year of filing, ticker events by ticker.
FINRA's consolidated short volume is made with the other tables of a session.
"""

from collections.abc import Callable
from datetime import date
from functools import partial

import polars as pl

from smallcaps_assets.domain.feeds import tables as feed_tables
from smallcaps_assets.domain.feeds.publication import half_month_end
from smallcaps_assets.lake import Scope
from smallcaps_assets.pipeline import halt_feed
from smallcaps_assets.pipeline.feed_inputs import month_reach
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.workspace import OFFERED_TABLES, Stage, Workspace, stored_rows
from smallcaps_assets.schemas import TABLES, Partitioning
from smallcaps_assets.sources.errors import (
    NotConfigured,
    NotEntitled,
    NotFound,
    NotOffered,
    RefusedRequest,
)
from smallcaps_assets.sources.regulators import exchanges
from smallcaps_assets.sources.regulators.finra import FIRST_DAY as FINRA_START

NOT_OFFERED = (403, 404, 405, 410, 501)
"""Statuses by which a vendor says that it, or the plan, has no such endpoint."""
Build = Callable[[Workspace, str, str], BuildResult]


def feed(build: Build) -> Stage:
    """The stage of a feed's tables, each partition built by itself."""

    def outcomes(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
        def one(table: str, key: str) -> Outcome:
            return work.make(table, key or None, lambda: offered(build, work, table, key))

        for table in tables:
            yield from in_threads(partial(one, table), keys or [""], work.settings.run.threads)

    return outcomes


def offered(build: Build, work: Workspace, table: str, key: str) -> BuildResult:
    """What a feed builds. Raises NotOffered where the vendor has no such endpoint."""
    try:
        return build(work, table, key)
    except (NotEntitled, NotFound, RefusedRequest) as refusal:
        if table not in OFFERED_TABLES or refusal.status not in NOT_OFFERED:
            raise
        cut = TABLES[table].partitioning
        is_by_ticker = cut in (Partitioning.TICKER, Partitioning.TICKER_SESSION)
        # The same is said of all tickers, once: their paths are left out.
        path = "" if is_by_ticker else refusal.path.partition("?")[0]
        told = f"the vendor does not offer {table}"
        raise NotOffered(told, status=refusal.status, path=path) from None


# By session --------------------------------------------------------------------------------------
def halts(work: Workspace, table: str, key: str) -> BuildResult:
    day, feed = date.fromisoformat(key), work.clients.regulators.halts
    told, session = "none: the feed reaches one year back", halt_feed.session_halts(work.lake, day)
    if feed.reaches(day):
        refused: list[str] = []
        rows = feed.halts(day, refused.append)
        session = halt_feed.SessionFeed(rows, tuple(dict.fromkeys(refused)))  # asked twice at times
        told = session.source
    elif session is not None:  # read when the feed still had it
        told = "as stored before"
    source = session.source if session else ""
    rows = session.rows if session else TABLES[table].empty()
    # Whole even in a run of some tickers: a ticker without rows has had no halt.
    return BuildResult(rows, {"source": told}, asked=Scope(), source=source)


def facility_short_volume(work: Workspace, table: str, key: str) -> BuildResult:
    """The files of the facilities in the settings; a facility without a file had no trades."""
    day, facilities = date.fromisoformat(key), work.settings.short.facilities
    frames, hashes, missing = [TABLES[table].empty()], {}, []
    for name in facilities if day >= FINRA_START else ():
        try:
            found = work.clients.finra.facility_short_volume(name, day)
        except NotFound as error:
            missing.append((name, error))
            continue
        frames.append(found.frame)
        hashes[name] = found.sha256
    if missing and len(missing) == len(facilities):
        raise missing[0][1]
    source = ", ".join(hashes) or "not configured: short.facilities"
    return BuildResult(
        pl.concat(frames), {"source": source, "sha256": str(hashes)}, source=_told(hashes)
    )


def exchange_short_volume(work: Workspace, table: str, key: str) -> BuildResult:
    folder = work.settings.short.exchange_dir
    try:
        frame, hashes = exchanges.exchange_short_volume(folder, date.fromisoformat(key))
    except (NotConfigured, NotFound) as nothing:
        return BuildResult(TABLES[table].empty(), {"source": f"none: {nothing}"})
    return BuildResult(frame, {"source": ", ".join(hashes)}, source=_told(hashes))


def _told(hashes: dict[str, str]) -> str:
    return " ".join(f"{name} {digest}" for name, digest in sorted(hashes.items()))


def polygon_short_volume(work: Workspace, table: str, key: str) -> BuildResult:
    day = date.fromisoformat(key)
    return BuildResult(
        feed_tables.polygon_short_volume(work.clients.polygon.short_volume(day, day), day)
    )


# By half-month -----------------------------------------------------------------------------------
def short_interest(work: Workspace, table: str, key: str) -> BuildResult:
    half, source = date.fromisoformat(key), work.settings.short.interest_source
    first, last = half, half_month_end(half)
    if source == "finra":
        found = work.clients.finra.short_interest(first, last)
    else:
        found = work.clients.polygon.short_interest(first, last).rename({"ticker": "symbol"})
    if found.is_empty():
        raise NotFound(
            f"no short interest settled from {first} to {last}",
            remedy="it is published seven business days after its settlement date, the 15th and"
            " the month's last day; FINRA has it from 2017-12-29 on",
        )
    return BuildResult(feed_tables.short_interest(found, half, source), {"source": source})


def fails(work: Workspace, table: str, key: str) -> BuildResult:
    frame = work.clients.regulators.sec.fails(date.fromisoformat(key))
    return BuildResult(frame, {"shares": float(frame["quantity"].sum())})


# By month ----------------------------------------------------------------------------------------
def filings(work: Workspace, table: str, key: str) -> BuildResult:
    month = date.fromisoformat(f"{key}-01")
    details = work.lake.read("ticker_details", key, ["cik"])
    ciks = details["cik"].drop_nulls().str.zfill(10).unique().sort().to_list()
    frame = work.clients.regulators.sec.filings(month, ciks, month_reach(work, key))
    counts = frame["form"].value_counts().sort("form").iter_rows()
    return BuildResult(frame, {"companies": len(ciks), **{f"form {form}": n for form, n in counts}})


def news(work: Workspace, table: str, key: str) -> BuildResult:
    month = date.fromisoformat(f"{key}-01")
    return BuildResult(
        feed_tables.news(work.clients.polygon.news(month, month_reach(work, key)), month)
    )


# By year, by ticker, whole -----------------------------------------------------------------------
def statements(work: Workspace, table: str, key: str) -> BuildResult:
    fetch = getattr(work.clients.polygon, table)
    frame = fetch(date(int(key), 1, 1), date(int(key), 12, 31))
    return BuildResult(feed_tables.statements(frame, table, int(key)))


def ticker_events(work: Workspace, table: str, key: str) -> BuildResult:
    return BuildResult(feed_tables.ticker_events(work.clients.polygon.ticker_events(key), key))


def free_float(work: Workspace, table: str, key: str) -> BuildResult:
    held, seal = stored_rows(work, table)
    newest = work.clients.polygon.free_float()
    doubted = Scope() if newest.is_empty() else Scope.nothing()
    read_on = market_of(work.settings).last_day
    rows = feed_tables.free_float(newest, held, read_on)
    return BuildResult(rows, doubted=doubted, over=seal)


FEEDS: dict[str, Build] = {
    "halts": halts,
    "facility_short_volume": facility_short_volume,
    "exchange_short_volume": exchange_short_volume,
    "polygon_short_volume": polygon_short_volume,
    "short_interest": short_interest,
    "fails_to_deliver": fails,
    "filings": filings,
    "news": news,
    "statements": statements,
    "ticker_events": ticker_events,
    "free_float": free_float,
}
"""What builds the tables of each feed's op."""
