"""The ends of the flow: ml_dataset by period, and ticker_history by ticker."""

from datetime import date
from functools import cached_property
from typing import Any

import polars as pl

from smallcaps_assets import __version__
from smallcaps_assets.domain.dataset import (
    dataset_meta,
    held_periods,
    labels_without_path,
    ml_dataset,
    union,
)
from smallcaps_assets.domain.feeds.asof import AS_OF_COLUMNS, Feeds
from smallcaps_assets.domain.market.adjustment import listings
from smallcaps_assets.domain.market.history import ticker_history
from smallcaps_assets.pipeline.feed_inputs import feed_keys
from smallcaps_assets.pipeline.inputs import DATASET_PARTS
from smallcaps_assets.pipeline.losses import qualified_keys, short_tapes
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.outdated import at_once
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.sparkline import label_strip
from smallcaps_assets.schemas import OPS, TABLES
from smallcaps_assets.settings import UNION, Period

_PARTS = DATASET_PARTS
_WHOLE, _BY_TICKER, _BY_CIK = (
    (
        "short_interest",
        "fails_to_deliver",
        "filings",
        "free_float",
        "ticker_events",
        "runners",
        "volatile",
    ),
    ("short_volume", "halts", "universe", "splits", "news", "daily_metrics"),
    OPS["statements"].tables,
)


def datasets(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of the dataset by period; the union last, because it is made of the others."""
    for key in sorted(keys, key=lambda key: key == UNION):
        if work.skip_complete:
            work.describe("ml_dataset", key, lambda k=key: meta_of_stored(work, k))
        yield work.make("ml_dataset", key, lambda k=key: build_dataset(work, k))


def histories(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of ticker histories; a split rebuilds one key."""
    work = at_once(work)
    shared = Histories(work, keys)

    def one(key: str) -> Outcome:
        return work.make("ticker_history", key, lambda: shared.build(key))

    return in_threads(one, keys, work.settings.run.threads)


def meta_of_stored(work: Workspace, key: str) -> dict[str, Any]:
    """What meta.json says of a dataset that is stored."""
    frame, settings = work.lake.read("ml_dataset", key), work.settings.dataset
    periods = held_periods(frame, settings) if key == UNION else _periods(work, key)
    meta = dataset_meta(frame, key, periods, settings, **_stamps(work))
    if key != UNION:
        meta["labels_without_path"] = _without_path(work, periods[0])
    return meta | _of_sessions(work, key, frame)


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


def build_dataset(work: Workspace, key: str) -> BuildResult:
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
        features, quotes, labels, mids, weights = (
            work.lake.read_many(name, keys) for name in _PARTS
        )
        frame, meta = ml_dataset(
            *(features, quotes, labels, weights, registry, period, settings.dataset),
            mids=mids,
            feeds=feeds_of(work, period, registry.filter("is_qualified")),
            **_stamps(work),
        )
    meta |= _of_sessions(work, key, frame)
    labels = dict(frame["label"].value_counts().iter_rows())
    told = {"labels": label_strip(labels), "meta": meta}
    return BuildResult(frame, told, meta=meta)


def feeds_of(work: Workspace, period: Period, registry: pl.DataFrame) -> Feeds:
    """What is stored of the companies of a period's ticker-sessions, beside their tapes."""
    lake, wanted = work.lake, {*registry["ticker"]}
    lists = lake.scan("tickers").select("date", "ticker", "identity")
    identities = registry["identity"].unique().implode()
    symbols = lists.filter(pl.col("identity").is_in(identities)).select("ticker").unique()
    named = lists.join(symbols, on="ticker", how="semi")

    def held(table: str, column: str, values: pl.Series | None) -> pl.DataFrame:
        frames = [TABLES[table].empty().select(AS_OF_COLUMNS[table])]
        for key in feed_keys(work, table, period, wanted):
            rows = lake.read(table, key or None, AS_OF_COLUMNS[table])
            frames.append(rows if values is None else rows.filter(pl.col(column).is_in(values)))
        return pl.concat(frames)

    tickers = symbols.collect()["ticker"].implode()
    found = {name: held(name, "", None) for name in _WHOLE}
    found |= {name: held(name, "ticker", tickers) for name in _BY_TICKER}
    ciks = found["universe"]["cik"].unique().implode()
    found |= {name: held(name, "cik", ciks) for name in _BY_CIK}
    if not work.settings.dataset.news_sentiment:
        found["news"] = found["news"].with_columns(sentiment=pl.lit(None, pl.String))
    months = [date.fromisoformat(f"{key}-01") for key in lake.keys("news")]
    return Feeds(listings=listings(named), news_months=tuple(months), **found)


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

    def build(self, key: str) -> BuildResult:
        """One ticker's history."""
        return BuildResult(
            ticker_history(key, self.metrics, self.factors, self.watchlists, self.listed)
        )

    def _of_symbols(self, table: str) -> pl.DataFrame:
        symbols = self.listed["ticker"].unique().implode()
        return self.work.lake.scan(table).filter(pl.col("ticker").is_in(symbols)).collect()
