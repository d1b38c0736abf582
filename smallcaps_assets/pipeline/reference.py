"""Slow facts: splits and dividends by year, ticker details by month, adjustment factors.

Sessions' own lists of tickers are in `sessions.py`, with the other tables of a session.
"""

from contextlib import closing
from datetime import date
from itertools import product

import polars as pl

from smallcaps_assets.domain.market.adjustment import adjustment_factors, listings
from smallcaps_assets.lake import Scope
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.sources.http.page_cache import CachedPages


def actions(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of splits and dividends by year; a year is one short listing."""
    for table, key in product(tables, keys):
        yield work.make(table, key, lambda t=table, k=key: _actions(work, t, k))


def details(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of ticker details by month; one call per company and month."""

    def one(key: str) -> Outcome:
        return work.make("ticker_details", key, lambda: _details(work, key))

    return in_threads(one, keys, work.settings.run.threads)


def factors(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """The outcome of adjustment factors, small and derived whole."""
    yield work.store("adjustment_factors", None, lambda: _factors(work))


def _actions(work: Workspace, table: str, key: str) -> BuildResult:
    fetch = work.clients.polygon.splits if table == "splits" else work.clients.polygon.dividends
    return BuildResult(fetch(int(key)))


def _details(work: Workspace, key: str) -> BuildResult:
    month = date.fromisoformat(f"{key}-01")
    listed = work.clients.polygon.tickers(_first_session(work, month))
    companies = listed.filter(pl.col("type").is_in(["CS", "ADRC"]))["ticker"].to_list()
    with closing(work.clients.page_cache.pages("ticker_details", key)) as pages:
        frame, failed = work.clients.polygon.ticker_details_of_month(month, companies, pages)
    delisted = work.clients.polygon.delisted_dates()
    is_doubted = delisted.is_empty() or not companies
    return BuildResult(
        with_delisted_dates(frame, delisted, month),
        expected=len(companies),
        missing=failed,
        doubted=Scope() if is_doubted else Scope.nothing(),
        cached=None if failed else CachedPages(pages),
    )


def with_delisted_dates(details: pl.DataFrame, delisted: pl.DataFrame, month: date) -> pl.DataFrame:
    """When each company of a month left the exchange, the first time after the month began.

    A company is known by its FIGI, else by its CIK: a ticker may have been given to another since.
    """
    later = delisted.filter(pl.col("delisted_date") >= month).sort("delisted_date")
    by_figi, by_cik = (
        later.filter(pl.col(name).is_not_null()).unique(["ticker", name], keep="first")
        for name in ("composite_figi", "cik")
    )
    found = details.drop("delisted_date").join(
        by_figi.select("ticker", "composite_figi", "delisted_date"),
        on=["ticker", "composite_figi"],
        how="left",
    )
    other = by_cik.select("ticker", "cik", pl.col("delisted_date").alias("by_cik"))
    joined = found.join(other, on=["ticker", "cik"], how="left")
    return joined.with_columns(pl.coalesce("delisted_date", "by_cik").alias("delisted_date"))


def _first_session(work: Workspace, month: date) -> date:
    """The month's first session in the market: the companies listed then are asked for."""
    keys = work.span.session_keys(month, work.span.end)
    return date.fromisoformat(keys[0]) if keys else month


def _factors(work: Workspace) -> BuildResult:
    splits = work.lake.scan("splits").collect()
    dividends = work.lake.scan("dividends").collect()
    lists = work.lake.scan("tickers").filter(
        pl.col("type").is_in(list(work.settings.universe.types))
    )
    intervals = listings(lists.select("date", "ticker", "identity"))
    payers = dividends["ticker"].unique().implode()
    companies = intervals.filter(pl.col("ticker").is_in(payers)).select("identity").unique()
    symbols = intervals.join(companies, on="identity", how="semi")["ticker"].unique().implode()
    closes = work.lake.scan("daily_bars").filter(pl.col("ticker").is_in(symbols))
    closes = closes.select("date", "ticker", "close").collect()
    return BuildResult(adjustment_factors(splits, dividends, closes, intervals))
