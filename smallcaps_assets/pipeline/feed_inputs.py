"""What the feeds' tables, and the feeds in the dataset, are made from, as digests.

Part of `inputs.py`, which says what digests are for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from datetime import date, datetime, time, timedelta

from smallcaps_assets.domain.feeds.acceptance import ERA
from smallcaps_assets.domain.feeds.asof import LOOKBACK
from smallcaps_assets.domain.feeds.publication import month_end
from smallcaps_assets.domain.market.calendar import NEW_YORK, nearest_sessions
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.schemas import OPS, TABLES, Partitioning
from smallcaps_assets.settings import Period
from smallcaps_assets.sources.errors import SourceError
from smallcaps_assets.sources.regulators.exchanges import exchange_files

AS_OF_TABLES = (
    *("short_volume", "short_interest", "fails_to_deliver", "free_float"),
    *("filings", "halts", "splits", "universe"),
    *("news", "ticker_events"),
    *("balance_sheets", "income_statements", "cash_flow_statements"),
    *("daily_metrics", "runners", "volatile"),
)


HALTS_OVER = time(20)
"""When the market has closed after its extended hours: New York."""


def month_reach(work: LakeContext, key: str) -> date:
    """The last day of a month that can be asked for by now."""
    return min(month_end(date.fromisoformat(f"{key}-01")), market_of(work.settings).last_day)


def of_feeds(work: LakeContext, period: Period, tickers: Collection[str]) -> Iterator[str]:
    """Digests of the feeds that the rows of a period and of its tickers are joined with."""
    for table in AS_OF_TABLES:
        keys = feed_keys(work, table, period, tickers)
        yield from (work.lake.digest(table, key or None) for key in keys)


def feed_keys(work: LakeContext, table: str, period: Period, tickers: Collection[str]) -> list[str]:
    """Stored partitions of a table that hold what may be known of some tickers in a period."""
    keys, cut = work.lake.keys(table), TABLES[table].partitioning
    if cut is Partitioning.TICKER:
        return [key for key in keys if key in tickers]
    if cut is not Partitioning.SESSION:
        return [key for key in keys if key[:4] <= str(period.last.year)]
    back = timedelta(0) if table == "universe" else LOOKBACK
    first = str(period.start - back)
    return [key for key in keys if first <= key <= str(period.last)]


def _of_filings(work: LakeContext, key: str) -> Iterator[str]:
    """The companies asked for, how far into its month the filings go, and from where they tell
    the clock of their acceptance."""
    reach = month_reach(work, key)
    yield work.lake.digest("ticker_details", key)
    yield str(reach)
    yield f"clocks since {reach - ERA}"


def _of_halts(work: LakeContext, key: str) -> Iterator[str]:
    """That the session was still on when its halts were read; they are read once more then."""
    if datetime.now(NEW_YORK) < datetime.combine(date.fromisoformat(key), HALTS_OVER, NEW_YORK):
        yield "the session was still on"


def _of_news(work: LakeContext, key: str) -> Iterator[str]:
    yield str(month_reach(work, key))


def _of_actions(work: LakeContext, key: str) -> Iterator[str]:
    """The newest session of the year so far: each may bring actions that were not listed before."""
    reach = min(date(int(key), 12, 31), market_of(work.settings).last_day)
    yield str(nearest_sessions(reach + timedelta(1))[0])


def _of_statements(work: LakeContext, key: str) -> Iterator[str]:
    """How far into the year statements have been filed."""
    yield str(min(date(int(key), 12, 31), market_of(work.settings).last_day))


def _of_symbols(work: LakeContext, key: str) -> Iterator[str]:
    """The month of the reading: changes of a symbol are rare."""
    yield str(market_of(work.settings).last_day)[:7]


def _of_exchange_files(work: LakeContext, key: str) -> Iterator[str]:
    """The files of a session in the user's folder."""
    try:
        files = exchange_files(work.settings.short.exchange_dir, date.fromisoformat(key))
    except SourceError:
        return
    for name, path in sorted(files.items()):
        yield f"{name} {path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _of_float(work: LakeContext, key: str) -> Iterator[str]:
    """The vendor has the newest figures only: they are of the day on which they were read."""
    yield str(market_of(work.settings).last_day)


FEED_INPUTS: dict[str, Callable[[LakeContext, str], Iterator[str]]] = {
    "splits": _of_actions,
    "dividends": _of_actions,
    "filings": _of_filings,
    "news": _of_news,
    "halts": _of_halts,
    "free_float": _of_float,
    **dict.fromkeys(OPS["statements"].tables, _of_statements),
    "ticker_events": _of_symbols,
    "exchange_short_volume": _of_exchange_files,
}
