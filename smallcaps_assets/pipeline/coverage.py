"""Coverage: per session and vendor table what was expected, what came, and why the rest did not.

Made after the ticks, from the lake and the reasons of failed attempts; the vendor is not asked. Of
a feed it is the partition that the session can know: the newest half-month that was out, its month,
its year. A feed that the main job leaves out is reported only when it was tried.
"""

from collections.abc import Mapping
from datetime import date

import polars as pl

from smallcaps_assets.domain.quality.coverage import Reading, coverage
from smallcaps_assets.domain.quality.figures import PARTS
from smallcaps_assets.lake import Failures, Lake, Scope
from smallcaps_assets.pipeline.feed_partitions import COVERED, covered_feeds
from smallcaps_assets.pipeline.halt_feed import session_halts
from smallcaps_assets.pipeline.losses import short_tapes
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.registered import ticker_sessions_of
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.sparkline import coverage_strip
from smallcaps_assets.schemas import TABLES

SHORT = "ShortTape"
_NAMES = ("ticker", "tickers", "symbol", "cik")


def session_coverage(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of the coverage of many sessions."""

    def one(key: str) -> Outcome:
        return work.make("coverage", key, lambda: _of_session(work, key))

    return in_threads(one, keys, work.settings.run.threads)


def _of_session(work: Workspace, key: str) -> BuildResult:
    lake = work.lake
    before = work.sessions_before(date.fromisoformat(key), 1)
    universe = _tickers(lake, "universe", key) or _tickers(lake, "universe", *before)
    readings = [_of_list(lake, key, before)]
    readings += [_of_table(lake, table, key, universe) for table in COVERED[2:]]
    readings += [_of_trades(lake, key), *_of_quotes(lake, key)]
    readings += [_of_feed(lake, name, place, universe) for name, place in covered_feeds(work, key)]
    frame = coverage(date.fromisoformat(key), readings)
    told = {
        row["table"]: f"{row['got']} of {row['expected']}, {row['empty']} empty, "
        f"{row['not_entitled']} not entitled, {row['failed']} failed, {row['missing']} missing"
        for row in frame.iter_rows(named=True)
    }
    sums = frame.select(pl.col(PARTS[1:]).sum()).row(0, named=True)
    return BuildResult(frame, {"coverage": coverage_strip(sums), **told})


def _of_list(lake: Lake, key: str, before: list[str]) -> Reading:
    """The list of tickers: what was listed the session before and trades today belongs on it."""
    listed, known = _tickers(lake, "tickers", key), _tickers(lake, "tickers", *before)
    expected = listed | (known & _tickers(lake, "daily_bars", key))
    return Reading("tickers", expected, listed, listed, _failures(lake, "tickers", key, expected))


def _of_table(lake: Lake, table: str, key: str, universe: set[str]) -> Reading:
    stamp = lake.stamp(table, key)
    scope = Scope.nothing() if stamp is None else Scope.parse(stamp.scope)
    asked = {ticker for ticker in universe if ticker in scope}
    failures = _failures(lake, table, key, universe)
    return Reading(table, universe, _tickers(lake, table, key), asked, failures)


def _of_feed(lake: Lake, table: str, place: str | None, universe: set[str]) -> Reading:
    """A feed's table, whole or absent: a ticker without rows in it has nothing to report.

    Halts of a session that the feed no longer had are stored without rows, and missing.
    """
    is_told = lake.exists(table, place)
    if table == "halts" and is_told and place:
        is_told = session_halts(lake, date.fromisoformat(place)) is not None
    asked = universe if is_told else set()
    got = _named(lake, table, place)
    return Reading(table, universe, got, asked, _failures(lake, table, place, universe))


def _named(lake: Lake, table: str, place: str | None) -> set[str]:
    """Tickers with rows in a partition of a feed's table, by whatever names them there."""
    column = next(name for name in _NAMES if name in TABLES[table].columns)
    named = lake.read_many(table, [place], [column])
    if column == "cik":
        listed = lake.read_many("ticker_details", [place], ["cik", "ticker"])
        return set(listed.join(named, on="cik", how="semi")["ticker"])
    return set(named.explode(column)[column] if column == "tickers" else named[column])


def _of_trades(lake: Lake, key: str) -> Reading:
    """Trades that are not those of the day have failed, whatever the vendor's answer was."""
    wanted = ticker_sessions_of(lake, date.fromisoformat(key))
    asked = {ticker for ticker, name in wanted.items() if lake.exists("trades", name)}
    got = {ticker for ticker in asked if lake.rows("trades", wanted[ticker])}
    short = short_tapes(lake, [wanted[ticker] for ticker in asked])
    reasons = _reasons(lake, "trades", wanted)
    reasons |= {t: (SHORT, short[wanted[t]]) for t in asked if wanted[t] in short}
    return Reading("trades", wanted, got - reasons.keys(), asked - reasons.keys(), reasons)


def _of_quotes(lake: Lake, key: str) -> list[Reading]:
    """Quotes, once any of the session's were asked for."""
    wanted = ticker_sessions_of(lake, date.fromisoformat(key))
    asked = {ticker for ticker, name in wanted.items() if lake.exists("quotes", name)}
    reasons = _reasons(lake, "quotes", wanted)
    if not asked and not reasons:
        return []
    got = {ticker for ticker in asked if lake.rows("quotes", wanted[ticker])}
    return [Reading("quotes", wanted, got, asked, reasons)]


def _reasons(lake: Lake, table: str, wanted: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Why the last attempts at some ticker-sessions failed: kind and reason by ticker."""
    failures = Failures(lake)
    return {
        ticker: (failure.kind, failure.reason)
        for ticker, name in wanted.items()
        if (failure := failures.find(table, name)) is not None
    }


def _failures(
    lake: Lake, table: str, key: str | None, tickers: set[str]
) -> dict[str, tuple[str, str]]:
    """Kind and reason by ticker: of single tickers where known, else the partition's for all."""
    failure = Failures(lake).find(table, key)
    if failure is None:
        return {}
    if failure.tickers:
        return {ticker: (why.partition(":")[0], why) for ticker, why in failure.tickers.items()}
    return dict.fromkeys(tickers, (failure.kind, failure.reason))


def _tickers(lake: Lake, table: str, *keys: str) -> set[str]:
    return set(lake.read_many(table, keys, ["ticker"])["ticker"])
