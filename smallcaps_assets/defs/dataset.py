"""The ends of the flow: ml_dataset by period, and ticker_history by ticker."""

from collections.abc import Iterator
from functools import cached_property

import dagster as dg
import polars as pl

from smallcaps_assets import __version__
from smallcaps_assets.defs.common import RESOURCES, Location, make
from smallcaps_assets.defs.fact_inputs import fact_keys
from smallcaps_assets.defs.inputs import DATASET_PARTS
from smallcaps_assets.domain.adjustment import listings
from smallcaps_assets.domain.asof import Facts
from smallcaps_assets.domain.dataset import ml_dataset, union
from smallcaps_assets.domain.history import ticker_history
from smallcaps_assets.orchestration.checks import quality_specs
from smallcaps_assets.orchestration.describe import asset_spec
from smallcaps_assets.orchestration.partitions import TICKERS, UNION
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    in_threads,
    materialize,
    partition_keys,
)
from smallcaps_assets.orchestration.workspace import Built, Outcome, Workspace
from smallcaps_assets.reports.sparkline import label_strip
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Period

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
        check_specs=quality_specs(["ml_dataset"], location.cuts),
        partitions_def=location.cuts.period_names,
        can_subset=True,
        required_resource_keys=RESOURCES,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def _ml_dataset(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        keys = sorted(partition_keys(context, config), key=lambda key: key == UNION)
        outcomes = (work.store("ml_dataset", k, lambda k=k: build_dataset(work, k)) for k in keys)
        yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _ml_dataset


def history(location: Location) -> dg.AssetsDefinition:
    """Ticker histories; unscheduled, a split rebuilds one key."""
    deps = [
        dg.AssetDep(name, partition_mapping=_EVERYTHING)
        for name in TABLES["ticker_history"].upstream
    ]

    @dg.multi_asset(
        name="ticker_history",
        specs=[asset_spec("ticker_history", deps)],
        check_specs=quality_specs(["ticker_history"], location.cuts),
        partitions_def=TICKERS,
        can_subset=True,
        required_resource_keys=RESOURCES,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1000),
    )
    def _ticker_history(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        keys = partition_keys(context, config)
        histories = Histories(work, keys)

        def one(key: str) -> Outcome:
            return make(work, config, "ticker_history", key, lambda: histories.build(key))

        outcomes = in_threads(one, keys, location.settings.run.threads)
        yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _ticker_history


def build_dataset(work: Workspace, key: str) -> Built:
    """One period's rows, or the union's; meta.json is stored beside the table."""
    settings, table = work.settings, TABLES["ml_dataset"]
    stamps = {"config_hash": settings.digest(table.settings), "code_version": __version__}
    if key == UNION:
        known = [p.name for p in settings.dataset.periods if work.lake.exists("ml_dataset", p.name)]
        frames = [work.lake.read("ml_dataset", name) for name in known]
        frame, meta = union(frames, settings.dataset, **stamps)
    else:
        period = next(p for p in settings.dataset.periods if p.name == key)
        registry = work.lake.read("ticker_sessions").filter(
            pl.col("date").is_between(period.start, period.last)
        )
        keys = registry.filter("is_qualified")["partition_key"].to_list()
        features, labels, weights = (work.lake.read_many(name, keys) for name in _PARTS)
        frame, meta = ml_dataset(
            *(features, labels, weights, registry, period, settings.dataset),
            facts_of(work, period, registry.filter("is_qualified")),
            **stamps,
        )
        meta["ticker_sessions_without_weights"] = [
            k for k in keys if not work.lake.exists("sample_weights", k)
        ]
    _write_meta(work, key, meta)
    labels = dict(frame["label"].value_counts().iter_rows())
    return Built(frame, {"labels": label_strip(labels), "meta": dg.MetadataValue.json(meta)})


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


def _write_meta(work: Workspace, key: str, meta: dict) -> None:
    folder = work.lake.path("ml_dataset", key).parent.relative_to(work.lake.root)
    work.lake.write_json(f"{folder}/meta.json", meta)


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
