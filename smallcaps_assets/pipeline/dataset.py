"""The ends of the flow: ml_dataset by period, and ticker_history by ticker."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import dagster as dg
import polars as pl

from smallcaps_assets import __version__
from smallcaps_assets.defs.common import RESOURCES, Location, make
from smallcaps_assets.domain.dataset import (
    dataset_meta,
    held_periods,
    labels_without_path,
    ml_dataset,
    union,
)
from smallcaps_assets.domain.feeds.asof import Facts
from smallcaps_assets.domain.market.adjustment import listings
from smallcaps_assets.domain.market.history import ticker_history
from smallcaps_assets.lake.meta import is_described, write_meta
from smallcaps_assets.orchestration.checks import quality_specs
from smallcaps_assets.orchestration.describe import asset_spec
from smallcaps_assets.orchestration.partitions import TICKERS
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    in_threads,
    materialize,
    partition_keys,
)
from smallcaps_assets.pipeline.feed_inputs import fact_keys
from smallcaps_assets.pipeline.inputs import DATASET_PARTS
from smallcaps_assets.pipeline.losses import qualified_keys, short_tapes
from smallcaps_assets.pipeline.outdated import digests_once
from smallcaps_assets.pipeline.workspace import Built, Outcome, Workspace
from smallcaps_assets.reports.sparkline import label_strip
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import UNION, Period

_PARTS = DATASET_PARTS
_BY_TICKER = {
    "short_volume": ["date", "ticker", "short_volume", "total_volume", "known_at"],
    "halts": ["date", "ticker", "known_at"],
    "universe": ["date", "ticker", "cik", "shares_outstanding"],
    "splits": ["ticker", "execution_date", "split_from", "split_to"],
}
_FILES = ("short_interest", "fails_to_deliver", "filings")
_EVERYTHING = dg.AllPartitionMapping()


def dataset(location: Location) -> dg.AssetsDefinition:
    """The dataset; one run makes all periods asked for, because the union is made of the others."""
    parts = [
        dg.AssetDep(name, partition_mapping=_EVERYTHING)
        for name in (*TABLES["ml_dataset"].upstream, "ticker_sessions")
    ]

    @dg.multi_asset(
        name="ml_dataset",
        specs=[asset_spec("ml_dataset", parts)],
        check_specs=quality_specs(["ml_dataset"], location.partitions),
        partitions_def=location.partitions.period_names,
        can_subset=True,
        required_resource_keys=RESOURCES,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def _ml_dataset(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        keys = sorted(partition_keys(context, config), key=lambda key: key == UNION)
        outcomes = (_made(work, config, key) for key in keys)
        yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _ml_dataset


def history(location: Location) -> dg.AssetsDefinition:
    """Ticker histories: renewed by a sensor; a split rebuilds one key."""
    deps = [
        dg.AssetDep(name, partition_mapping=_EVERYTHING)
        for name in TABLES["ticker_history"].upstream
    ]

    @dg.multi_asset(
        name="ticker_history",
        specs=[asset_spec("ticker_history", deps)],
        check_specs=quality_specs(["ticker_history"], location.partitions),
        partitions_def=TICKERS,
        can_subset=True,
        required_resource_keys=RESOURCES,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1000),
    )
    def _ticker_history(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = replace(location.workspace(context, config), digests=digests_once())
        keys = partition_keys(context, config)
        histories = Histories(work, keys)

        def one(key: str) -> Outcome:
            return make(work, config, "ticker_history", key, lambda: histories.build(key))

        outcomes = in_threads(one, keys, location.settings.run.threads)
        yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _ticker_history


def _made(work: Workspace, config: RunConfig, key: str) -> Outcome:
    if config.skip_complete:
        renew_meta(work, key)
    return make(work, config, "ml_dataset", key, lambda: build_dataset(work, key))


def renew_meta(work: Workspace, key: str) -> None:
    """Write the meta.json of a complete dataset that has none, and leave its rows as they are."""
    seal = work.lake.seal("ml_dataset", key)
    if is_described(work.lake, "ml_dataset", key) or not work.is_complete("ml_dataset", key):
        return
    frame, settings = work.lake.read("ml_dataset", key), work.settings.dataset
    periods = held_periods(frame, settings) if key == UNION else _periods(work, key)
    meta = dataset_meta(frame, key, periods, settings, **_stamps(work))
    if key != UNION:
        meta["labels_without_path"] = _without_path(work, periods[0])
    write_meta(work.lake, "ml_dataset", key, meta | _of_sessions(work, key, frame), seal)


def _without_path(work: Workspace, period: Period) -> int:
    """Labels of a period that have no row, which its rows can't tell."""
    keys = qualified_keys(work.lake, period.start, period.last)
    labels = work.lake.read_many("triple_barrier_labels", keys)
    return labels_without_path(labels, work.lake.read("ticker_sessions"), period)


def _periods(work: Workspace, key: str) -> list[Period]:
    """The period of a dataset; of the union all that are stored."""
    lake, periods = work.lake, work.settings.dataset.periods
    if key == UNION:
        return [period for period in periods if lake.exists("ml_dataset", period.name)]
    return [period for period in periods if period.name == key]


def _stamps(work: Workspace) -> dict[str, str]:
    """What meta.json says of the making of the rows."""
    config = work.settings.digest(TABLES["ml_dataset"].settings)
    return {"config_hash": config, "code_version": __version__}


def _of_sessions(work: Workspace, key: str, frame: pl.DataFrame) -> dict[str, Any]:
    """What became of the ticker-sessions that were selected for a dataset, by partition key."""
    lake = work.lake
    keys = [k for p in _periods(work, key) for k in qualified_keys(lake, p.start, p.last)]
    stored = [key for key in keys if lake.exists("trades", key)]
    pairs = frame.select("ticker", "date").unique().iter_rows()
    held = {f"{ticker}_{day}" for ticker, day in pairs}
    return {
        "ticker_sessions_selected": len(keys),
        "ticker_sessions_without_weights": [
            k for k in keys if not lake.exists("sample_weights", k)
        ],
        "ticker_sessions_without_events": [k for k in keys if k not in held],
        "ticker_sessions_short_of_trades": short_tapes(lake, stored),
    }


def build_dataset(work: Workspace, key: str) -> Built:
    """One period's rows, or the union's, and what meta.json beside them says."""
    settings = work.settings
    if key == UNION:
        frames = [work.lake.read("ml_dataset", period.name) for period in _periods(work, key)]
        frame, meta = union(frames, settings.dataset, **_stamps(work))
    else:
        (period,) = _periods(work, key)
        registry = work.lake.read("ticker_sessions").filter(
            pl.col("date").is_between(period.start, period.last)
        )
        keys = registry.filter("is_qualified")["partition_key"].to_list()
        features, labels, weights = (work.lake.read_many(name, keys) for name in _PARTS)
        frame, meta = ml_dataset(
            *(features, labels, weights, registry, period, settings.dataset),
            facts_of(work, period, registry.filter("is_qualified")),
            **_stamps(work),
        )
    meta |= _of_sessions(work, key, frame)
    labels = dict(frame["label"].value_counts().iter_rows())
    told = {"labels": label_strip(labels), "meta": dg.MetadataValue.json(meta)}
    return Built(frame, told, meta=meta)


def facts_of(work: Workspace, period: Period, registry: pl.DataFrame) -> Facts:
    """What is stored of the companies of a period's ticker-sessions, beside their tapes."""
    lake = work.lake
    lists = lake.scan("tickers").select("date", "ticker", "identity")
    identities = registry["identity"].unique().implode()
    symbols = lists.filter(pl.col("identity").is_in(identities)).select("ticker").unique()
    named = lists.join(symbols, on="ticker", how="semi")
    held = {name: lake.read_many(name, fact_keys(work, name, period)) for name in _FILES}
    tickers = symbols.collect()["ticker"].implode()
    for name, columns in _BY_TICKER.items():
        frames = [
            lake.read(name, key, columns).filter(pl.col("ticker").is_in(tickers))
            for key in fact_keys(work, name, period)
        ]
        held[name] = pl.concat(frames) if frames else TABLES[name].empty()
    floats = lake.read("free_float") if lake.exists("free_float") else TABLES["free_float"].empty()
    return Facts(listings=listings(named), free_float=floats, **held)


class Histories:
    """What the histories of many tickers share, read from the lake once."""

    def __init__(self, work: Workspace, keys: list[str]) -> None:
        self.work = work
        self.keys = keys

    @cached_property
    def listed(self) -> pl.DataFrame:
        """Date, ticker and identity of every symbol of the companies asked for."""
        lists = self.work.lake.scan("tickers").select("date", "ticker", "identity")
        companies = lists.filter(pl.col("ticker").is_in(self.keys)).select("identity").unique()
        return lists.join(companies, on="identity", how="semi").collect()

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """Daily metrics of those symbols."""
        return self._of_symbols("daily_metrics")

    @cached_property
    def watchlists(self) -> pl.DataFrame:
        """Watchlist rows of those symbols."""
        return self._of_symbols("watchlist")

    @cached_property
    def factors(self) -> pl.DataFrame:
        """All adjustment factors."""
        return self.work.lake.read("adjustment_factors")

    def build(self, key: str) -> Built:
        """One ticker's history."""
        return Built(ticker_history(key, self.metrics, self.factors, self.watchlists, self.listed))

    def _of_symbols(self, table: str) -> pl.DataFrame:
        symbols = self.listed["ticker"].unique().implode()
        return self.work.lake.scan(table).filter(pl.col("ticker").is_in(symbols)).collect()
