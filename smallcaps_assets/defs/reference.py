"""Slow facts: splits and dividends by year, ticker details by month, adjustment factors.

Sessions' own lists of tickers are in `sessions.py`, with the other tables of a session.
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import polars as pl

from smallcaps_assets.defs.common import RESOURCES, Location, make
from smallcaps_assets.domain.adjustment import adjustment_factors, listings
from smallcaps_assets.lake import Scope
from smallcaps_assets.orchestration.checks import quality_specs
from smallcaps_assets.orchestration.describe import asset_spec
from smallcaps_assets.orchestration.pools import VENDOR
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    in_threads,
    materialize,
    partition_keys,
    selected_tables,
)
from smallcaps_assets.orchestration.workspace import Built, Outcome, Workspace

ACTIONS = ("splits", "dividends")


def corporate_actions(location: Location) -> dg.AssetsDefinition:
    """Splits and dividends; a year is one short listing, so a range goes in one run."""

    @dg.multi_asset(
        name="corporate_actions",
        specs=[asset_spec(name) for name in ACTIONS],
        check_specs=quality_specs(ACTIONS, location.cuts),
        partitions_def=location.cuts.years,
        can_subset=True,
        required_resource_keys=RESOURCES,
        pool=VENDOR,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def _corporate_actions(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        keys = sorted(partition_keys(context, config))
        wanted = [(table, key) for table in selected_tables(context) for key in keys]
        outcomes = (
            make(work, config, t, k, lambda t=t, k=k: _actions(work, t, k)) for t, k in wanted
        )
        yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _corporate_actions


def details(location: Location) -> dg.AssetsDefinition:
    """Ticker details; one call per company and month, so many months share a run's throttle."""

    @dg.multi_asset(
        name="ticker_details",
        specs=[asset_spec("ticker_details")],
        check_specs=quality_specs(["ticker_details"], location.cuts),
        partitions_def=location.cuts.months,
        can_subset=True,
        required_resource_keys=RESOURCES,
        pool=VENDOR,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=12),
    )
    def _ticker_details(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)

        def one(key: str) -> Outcome:
            return make(work, config, "ticker_details", key, lambda: _details(work, key))

        keys = sorted(partition_keys(context, config))
        outcomes = in_threads(one, keys, location.settings.run.threads)
        yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _ticker_details


def factors(location: Location) -> dg.AssetsDefinition:
    """Adjustment factors, small and derived whole."""
    everything = dg.AllPartitionMapping()
    upstream = ("splits", "dividends", "daily_bars", "tickers")

    @dg.multi_asset(
        name="adjustment_factors",
        specs=[
            asset_spec(
                "adjustment_factors",
                [dg.AssetDep(name, partition_mapping=everything) for name in upstream],
            )
        ],
        check_specs=quality_specs(["adjustment_factors"], location.cuts),
        can_subset=True,
        required_resource_keys=RESOURCES,
    )
    def _adjustment_factors(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        outcome = work.store("adjustment_factors", None, lambda: _factors(work))
        yield from materialize(context, [outcome], location.observer, location.settings.run)

    return _adjustment_factors


def _actions(work: Workspace, table: str, key: str) -> Built:
    fetch = work.polygon.splits if table == "splits" else work.polygon.dividends
    return Built(fetch(int(key)))


def _details(work: Workspace, key: str) -> Built:
    month = date.fromisoformat(f"{key}-01")
    listed = work.polygon.tickers(_first_session(work, month))
    companies = listed.filter(pl.col("type").is_in(["CS", "ADRC"]))["ticker"].to_list()
    kept = work.spool.pages("ticker_details", key)
    frame, failed = work.polygon.ticker_details_of_month(month, companies, kept)
    delisted = work.polygon.delisted_dates()
    is_doubted = delisted.is_empty() or not companies
    return Built(
        with_delisted_dates(frame, delisted, month),
        expected=len(companies),
        missing=failed,
        doubted=Scope() if is_doubted else Scope.nothing(),
        forget=kept.close if failed else kept.drop,
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
    keys = work.cuts.session_keys(month, work.cuts.end)
    return date.fromisoformat(keys[0]) if keys else month


def _factors(work: Workspace) -> Built:
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
    return Built(adjustment_factors(splits, dividends, closes, intervals))
