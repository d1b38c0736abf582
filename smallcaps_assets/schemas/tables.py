"""Every table of the lake, declared once, in the order of the data flow.

A new table is added here, with its columns in `columns.py`, and nowhere else: its contract, column
metadata, dictionary entry and catalog view follow.
"""

from __future__ import annotations

from functools import partial

from smallcaps_assets.schemas import columns
from smallcaps_assets.schemas.columns import BAR_REASONS, FEATURE_COLUMNS, RULES, SEGMENTS
from smallcaps_assets.schemas.table import Partitioning, Table

__all__ = [
    "BAR_REASONS",
    "BAR_TABLES",
    "FEATURE_COLUMNS",
    "RULES",
    "SEGMENTS",
    "TABLES",
    "TICK_CHAIN",
]

_session = partial(Table, partitioning=Partitioning.SESSION)
_ticker_session = partial(Table, partitioning=Partitioning.TICKER_SESSION)
_BARS = ("ticks", "bars")
_LABELS = ("ticks", "bars", "labels")
_METRICS = ("universe", "metrics")
_SELECTION = ("universe", "metrics", "selection")

_DECLARED = (
    _session(
        name="tickers",
        layer="raw",
        group="reference",
        schema=columns.Tickers,
        meaning="Everything listed on a session, as of then.",
    ),
    Table(
        name="ticker_details",
        layer="raw",
        group="reference",
        partitioning=Partitioning.MONTH,
        schema=columns.TickerDetails,
        meaning="What the vendor knew of each company 90 days before the month.",
    ),
    Table(
        name="splits",
        layer="raw",
        group="reference",
        partitioning=Partitioning.YEAR,
        schema=columns.Splits,
        meaning="Splits by year of execution.",
    ),
    Table(
        name="dividends",
        layer="raw",
        group="reference",
        partitioning=Partitioning.YEAR,
        schema=columns.Dividends,
        meaning="Cash dividends by year of their ex-date.",
    ),
    _session(
        name="daily_bars",
        layer="raw",
        group="market",
        schema=columns.DailyBars,
        meaning="Unadjusted daily bars of all tickers.",
    ),
    _session(
        name="universe",
        layer="processed",
        group="reference",
        schema=columns.Universe,
        meaning="Small caps tradable on the session, later-delisted ones among them.",
        upstream=("tickers", "ticker_details", "splits", "dividends", "daily_bars"),
        settings=("universe",),
    ),
    _session(
        name="minute_bars",
        layer="raw",
        group="market",
        schema=columns.MinuteBars,
        meaning="Unadjusted 1-minute bars of the universe, extended hours included.",
        upstream=("universe",),
        settings=("universe",),
    ),
    _session(
        name="short_volume",
        layer="raw",
        group="market",
        schema=columns.ShortVolume,
        meaning="FINRA off-exchange short volume of the session.",
    ),
    Table(
        name="adjustment_factors",
        layer="processed",
        group="reference",
        partitioning=Partitioning.NONE,
        schema=columns.AdjustmentFactors,
        meaning="Split and dividend factors by effective date.",
        upstream=("splits", "dividends", "daily_bars", "tickers"),
        settings=("universe",),
    ),
    _session(
        name="session_summary",
        layer="processed",
        group="metrics",
        schema=columns.SessionSummary,
        meaning="One row per ticker and session from daily and minute bars.",
        upstream=("universe", "daily_bars", "minute_bars"),
        settings=("universe",),
    ),
    _session(
        name="daily_metrics",
        layer="processed",
        group="metrics",
        schema=columns.DailyMetrics,
        meaning="Returns, gaps and relative volume on one share basis.",
        upstream=("session_summary", "universe", "splits", "dividends"),
        settings=_METRICS,
    ),
    _session(
        name="watchlist",
        layer="processed",
        group="selection",
        schema=columns.Watchlist,
        meaning="Ticker-days selected by rule, and the moment at which each rule was known.",
        upstream=("daily_metrics", "minute_bars", "universe"),
        settings=_SELECTION,
    ),
    _session(
        name="runners",
        layer="processed",
        group="selection",
        schema=columns.Runners,
        meaning="Most often info-rich tickers of 12 months.",
        upstream=("watchlist",),
        settings=_SELECTION,
    ),
    Table(
        name="ticker_sessions",
        layer="processed",
        group="selection",
        partitioning=Partitioning.NONE,
        schema=columns.TickerSessions,
        meaning="Registry of the ticker-days worth their ticks.",
        upstream=("watchlist",),
        settings=_SELECTION,
    ),
    _ticker_session(
        name="trades",
        layer="raw",
        group="ticks",
        schema=columns.Trades,
        meaning="Every trade of a selected ticker-day.",
        upstream=("ticker_sessions",),
        version=2,
    ),
    _ticker_session(
        name="dollar_bars",
        layer="processed",
        group="bars",
        schema=columns.DollarBars,
        meaning="Bars of equal dollars.",
        upstream=("trades",),
        settings=_BARS,
    ),
    _ticker_session(
        name="volume_bars",
        layer="processed",
        group="bars",
        schema=columns.VolumeBars,
        meaning="Bars of equal volume.",
        upstream=("trades",),
        settings=_BARS,
    ),
    _ticker_session(
        name="dollar_imbalance_bars",
        layer="processed",
        group="bars",
        schema=columns.DollarImbalanceBars,
        meaning="Bars that close when signed dollars leave their expected range.",
        upstream=("trades",),
        settings=_BARS,
    ),
    _ticker_session(
        name="volume_imbalance_bars",
        layer="processed",
        group="bars",
        schema=columns.VolumeImbalanceBars,
        meaning="Bars that close when signed volume leaves its expected range.",
        upstream=("trades",),
        settings=_BARS,
    ),
    _ticker_session(
        name="bar_features",
        layer="processed",
        group="labels",
        schema=columns.BarFeatures,
        meaning="What was known at each dollar imbalance bar's close.",
        upstream=("trades", "dollar_imbalance_bars"),
        settings=(*_BARS, "metrics"),
    ),
    _ticker_session(
        name="triple_barrier_labels",
        layer="processed",
        group="labels",
        schema=columns.TripleBarrierLabels,
        meaning="Which barrier the price touched first.",
        upstream=("trades", "dollar_imbalance_bars"),
        settings=_LABELS,
    ),
    _ticker_session(
        name="sample_weights",
        layer="processed",
        group="labels",
        schema=columns.SampleWeights,
        meaning="Uniqueness and return attribution of each label.",
        upstream=("dollar_imbalance_bars", "triple_barrier_labels"),
        settings=_LABELS,
    ),
    _session(
        name="coverage",
        layer="processed",
        group="quality",
        schema=columns.Coverage,
        meaning="What of each vendor table is there, and why the rest is not.",
        upstream=("tickers", "universe", "daily_bars", "minute_bars", "short_volume", "trades"),
    ),
    Table(
        name="ml_dataset",
        layer="processed",
        group="dataset",
        partitioning=Partitioning.PERIOD,
        schema=columns.MlDatasetWithFeatures,
        meaning="One row per labelled event: features, label, weight factors, selection.",
        upstream=("bar_features", "triple_barrier_labels", "sample_weights"),
        settings=(*_LABELS, *_SELECTION, "dataset"),
    ),
    Table(
        name="ticker_history",
        layer="processed",
        group="dataset",
        partitioning=Partitioning.TICKER,
        schema=columns.TickerHistory,
        meaning="One company's adjusted daily history across renames.",
        upstream=("daily_metrics", "adjustment_factors", "watchlist", "tickers"),
        settings=_SELECTION,
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _DECLARED}
BAR_TABLES = ("dollar_bars", "volume_bars", "dollar_imbalance_bars", "volume_imbalance_bars")
TICK_CHAIN = ("trades", *BAR_TABLES, "bar_features", "triple_barrier_labels", "sample_weights")
