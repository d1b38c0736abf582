"""Does the default training view hold an edge where there is none? And the naive one?

    python benchmarks/placebo.py            # 4,000 ticker-sessions, standard error below 0.004
    python benchmarks/placebo.py --quick    # 1,100 ticker-sessions
    python benchmarks/placebo.py --features # every feature alone, on the default view
    python benchmarks/placebo.py --trades   # what trades earn, placebo_trades.py
    python benchmarks/placebo.py --models --markets 18   # the package's models, placebo_models.py

Several placebo markets (the tape statistics of wild small caps on a driftless martingale) are run
through the project's own functions, from universe to ml_dataset, with default settings. Two views
of the rows are put side by side:

* default: is_selection_known rows, decided after some rule had admitted their day;
* naive: all rows of info_rich days, as somebody gets them who picks days by their close and labels
  inside them from 04:00.

Each is scored by its area under the ROC curve (AUC): by `running_return` alone, and by a ridge
logistic regression on all features, cross-fitted over blocks of whole sessions. The target is the
sign of the 15-minute forward return, zero and null dropped. It is not the triple-barrier label:
with barriers at +15 % and -10 % the chance of the upper touch depends on volatility even in a fair
game, so volatility would foretell it. Standard errors take a ticker-session as one draw. Main
figures weigh every row alike; since busy moments make more rows, `thinned` repeats the running
return with the first row of each quarter of an hour per ticker-session.

The bias of the naive view depends on how selective the close is: the change of a wild placebo day
has a standard deviation of 0.46, so most of them pass the default 0.15 anyway. The second pair of
rows asks for 0.30, which is to these days what 0.15 is to days with a deviation of 0.23.

With --models every algorithm of the package is put to the proof on the default view: rows as they
are, with a planted feature, and dealt to training and test without regard for their day.

With --features the AUC of each feature of trades, quotes and the session before is told, with its
distance from 0.5 in standard errors: none should be beyond 4. Those of feeds are not made here.

HTTP and Dagster are left out because they change no row, and company details as well, so that
every market cap counts as unknown, which the universe keeps. Minutes and daily bars are those of
the whole market, wild days are denser than in the default market to get more of them per second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from multiprocessing import get_context
from typing import Any

import numpy as np
import placebo_models
import polars as pl

from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.features import bar_features, session_context
from smallcaps_assets.domain.bars.quote_features import quote_arrays, quote_features
from smallcaps_assets.domain.dataset import ml_dataset
from smallcaps_assets.domain.evaluation import (
    CROSS_FIT_INFLATION,
    auc,
    clustered_standard_error,
    contiguous_folds,
    cross_fitted_scores,
)
from smallcaps_assets.domain.feeds.asof import no_feeds
from smallcaps_assets.domain.labels.forward_mids import forward_mids
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_labels
from smallcaps_assets.domain.labels.weights import sample_weights
from smallcaps_assets.domain.market import metrics
from smallcaps_assets.domain.market.adjustment import adjustment_factors, listings
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.universe import universe
from smallcaps_assets.domain.selection import rules as selection
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.simulation.market import SimulatedMarket
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import FEATURE_COLUMNS, QUOTE_COLUMNS
from smallcaps_assets.settings import Period, SelectionSettings, Settings
from smallcaps_assets.sources.polygon import quotes
from smallcaps_assets.sources.polygon import trades as trade_rows
from smallcaps_assets.sources.polygon.bars import without_gaps

SETTINGS = Settings()
MIN_CHANGES = (SETTINGS.selection.min_change, 0.30)
FIRST_SEED = 101
LOOKBACK = SETTINGS.metrics.lookback_sessions
FOLDS = 5
FEATURES = (*FEATURE_COLUMNS, *QUOTE_COLUMNS)
BEFORE = tuple(name for name in CATALOGUE if name.startswith("previous_day"))
TARGET = "forward_return_15m"
KEPT = (
    *("ticker", "date", "bar_id", "identity", "t0", "t1", "price_at_t0", "is_selection_known"),
    *("label", "label_return", "forward_return_5m", TARGET),
    *("forward_mid_return_5m", "forward_mid_return_15m", *CATALOGUE),
)


@dataclass(frozen=True)
class Size:
    """How much is simulated: markets with seeds of their own, and what each holds."""

    markets: int = 12
    tickers: int = 120
    pump_days: int = 400


FULL, QUICK = Size(), Size(markets=4, pump_days=600)


@dataclass(frozen=True)
class Score:
    """One line of the table; standard errors in `_error`."""

    view: str
    min_change: float
    rows: int
    ticker_sessions: int
    share_up: float
    running_return: float
    running_return_error: float
    model: float
    model_error: float
    thinned: float
    thinned_error: float


# One market --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Days:
    """Session tables of a market, by session."""

    universe: dict[date, pl.DataFrame]
    minutes: dict[date, pl.DataFrame]
    metrics: dict[date, pl.DataFrame]


def market_rows(size: Size, seed: int) -> pl.DataFrame:
    """Dataset rows of one placebo market, as `rows_of`."""
    config = SandboxConfig(
        kind="placebo", seed=seed, tickers=size.tickers, pump_days=size.pump_days
    )
    return rows_of(SimulatedMarket(config))


def rows_of(market: SimulatedMarket) -> pl.DataFrame:
    """Dataset rows of a market; `known_N` and `rich_N` are the views' flags."""
    days = session_tables(market)
    registries = [registry(days, change) for change in MIN_CHANGES]
    rows = dataset(market, days, registries[0])
    for number, chosen in enumerate(registries):
        rows = with_view(rows, chosen, number)
    flags = [f"{name}_{number}" for number in range(len(MIN_CHANGES)) for name in ("known", "rich")]
    return rows.select(pl.lit(market.config.seed).alias("market"), *KEPT, *flags)


def session_tables(market: SimulatedMarket) -> Days:
    """Universe, minutes and daily metrics of all sessions."""
    market.prepare()
    events = split_rows(market), dividend_rows(market)
    members, minutes, summaries = {}, {}, {}
    for day in market.sessions:
        hours, daily = session_hours(day), daily_rows(market, day)
        members[day] = members_of(market, day, *events)
        minutes[day] = minute_rows(market, day, members[day])
        summaries[day] = metrics.session_summary(members[day], daily, minutes[day], hours)
    every = pl.concat(summaries.values())
    factors = adjustment_factors(*events, every, listings(every))
    found = {}
    for place, day in enumerate(market.sessions):
        window = market.sessions[max(0, place - LOOKBACK) : place + 1]
        past = pl.concat(summaries[d] for d in window)
        found[day] = metrics.daily_metrics(
            past, factors, members[day], window, day, SETTINGS.metrics
        )
    return Days(members, minutes, found)


def registry(days: Days, min_change: float) -> pl.DataFrame:
    """The ticker-sessions that the tick rules admit at a threshold of change."""
    settings = SelectionSettings(min_change=min_change)
    previous, runners = TABLES["watchlist"].empty(), TABLES["runners"].empty()
    lists = []
    for day, found in days.metrics.items():
        previous = selection.watchlist(
            found,
            days.minutes[day],
            days.universe[day],
            previous,
            runners,
            session_hours(day),
            settings,
        )
        lists.append(previous)
    return selection.ticker_sessions(pl.concat(lists), None, settings)


def dataset(market: SimulatedMarket, days: Days, registry: pl.DataFrame) -> pl.DataFrame:
    """ml_dataset over all sessions of the market."""
    parts = [session_parts(market, days, row) for row in registry.iter_rows(named=True)]
    *frames, mids = (pl.concat(frames) for frames in zip(*parts, strict=True))
    period = Period(name="placebo", start=market.sessions[0], end=market.sessions[-1])
    past = pl.concat(days.metrics.values())
    feeds = replace(no_feeds(), daily_metrics=past, listings=listings(past))
    frame, _ = ml_dataset(*frames, registry, period, SETTINGS.dataset, feeds=feeds, mids=mids)
    return frame


def session_parts(
    market: SimulatedMarket, days: Days, row: dict[str, Any]
) -> tuple[pl.DataFrame, ...]:
    """Features, those of quotes, labels, weights and the mid's returns of one ticker-session."""
    ticker, day = row["ticker"], row["date"]
    hours = session_hours(day)
    known = days.metrics[day].filter(pl.col("ticker") == ticker).row(0, named=True)
    context = session_context(ticker, day, known)
    tape = prepare_ticks(trades_of(market, ticker, day), hours, SETTINGS.ticks, ticker=ticker)
    bars = build_bars(tape, "dollar_imbalance_bars", SETTINGS.bars)
    features = bar_features(tape.ticks, bars, context, hours, tape.halts)
    labels = triple_barrier_labels(tape, bars, SETTINGS.labels)
    quoted = market.facts.quotes(ticker, day).select("ticker", *quotes.TYPES)
    firm = quotes.conform(quoted, day, day >= SETTINGS.polygon.quote_shares_since)
    arrays = quote_arrays(firm, hours, tape.session_end)
    found, _ = quote_features(tape, bars, arrays)
    weights = sample_weights(labels, bars, row["eligible_from"])
    return features, found, labels, weights, forward_mids(labels, arrays, SETTINGS.labels)


def with_view(rows: pl.DataFrame, registry: pl.DataFrame, number: int) -> pl.DataFrame:
    """Flags: was the day admitted by t0, and is it info_rich at all."""
    flags = registry.select(
        "ticker",
        "date",
        pl.col("eligible_from").alias("admitted"),
        pl.col("rules").str.split(",").list.contains("info_rich").alias(f"rich_{number}"),
    )
    known = (pl.col("t0") >= pl.col("admitted")).fill_null(False)
    joined = rows.join(flags, on=["ticker", "date"], how="left").drop_nulls("t0")
    return joined.with_columns(
        known.alias(f"known_{number}"), pl.col(f"rich_{number}").fill_null(False)
    ).drop("admitted")


# The market's rows as the lake's tables ----------------------------------------------------------
def members_of(
    market: SimulatedMarket, day: date, splits: pl.DataFrame, dividends: pl.DataFrame
) -> pl.DataFrame:
    """The universe of a session, without company details."""
    listed = pl.DataFrame(market.tickers(day, True), infer_schema_length=None).with_columns(
        pl.lit(day).alias("date"),
        pl.coalesce("composite_figi", "cik", "ticker").alias("identity"),
    )
    nothing = TABLES["ticker_details"].empty(), TABLES["daily_bars"].empty()
    tickers = TABLES["tickers"].conform(listed)
    return universe(tickers, nothing[0], splits, dividends, nothing[1], SETTINGS.universe, day)


def daily_rows(market: SimulatedMarket, day: date) -> pl.DataFrame:
    """daily_bars of a session."""
    dated = market.daily_bars(day).with_columns(pl.lit(day).alias("date"))
    return TABLES["daily_bars"].conform(dated)


def minute_rows(market: SimulatedMarket, day: date, members: pl.DataFrame) -> pl.DataFrame:
    """minute_bars of a session, of its universe."""
    bars = market.minute_bars(day).join(members.select("ticker"), on="ticker", how="semi")
    dated = bars.with_columns(pl.lit(day).alias("date"), pl.col("window_start").cast(INSTANT))
    return TABLES["minute_bars"].conform(without_gaps(dated, f"minute bars of {day}"))


def trades_of(market: SimulatedMarket, ticker: str, day: date) -> pl.DataFrame:
    """trades of a ticker-session."""
    found = market.trades(ticker, day)
    return trade_rows.conform(found.with_columns(decimal_size=pl.lit(None, pl.Float64)), day)


def split_rows(market: SimulatedMarket) -> pl.DataFrame:
    """splits of all years."""
    columns = ("ticker", "execution_date", "split_from", "split_to")
    frame = pl.DataFrame([{name: row[name] for name in columns} for row in market.splits()])
    dated = pl.col("execution_date").str.to_date()
    return TABLES["splits"].conform(
        frame.with_columns(dated, dated.dt.year().alias("year"), pl.col("^split_.*$").cast(float))
    )


def dividend_rows(market: SimulatedMarket) -> pl.DataFrame:
    """dividends of all years; of their texts only what the adjustment reads."""
    table = TABLES["dividends"]
    columns = ("ticker", "ex_dividend_date", "cash_amount", "currency")
    frame = pl.DataFrame([{name: row.get(name) for name in columns} for row in market.dividends()])
    dated = pl.col("ex_dividend_date").str.to_date()
    rows = frame.with_columns(dated, dated.dt.year().alias("year"), pl.lit(0).alias("sequence"))
    absent = [pl.lit(None).alias(name) for name in table.columns if name not in rows.columns]
    return table.conform(rows.with_columns(absent))


# Scores ------------------------------------------------------------------------------------------
def score(rows: pl.DataFrame, view: str, min_change: float) -> Score:
    """One line of the table from the rows of a view."""
    judged = rows.filter(pl.col(TARGET) != 0, pl.col("running_return").is_not_null())
    is_up = (judged[TARGET] > 0).to_numpy()
    clusters = cluster_names(judged)
    alone = judged["running_return"].to_numpy()
    predicted = model_scores(judged, is_up)
    first = thinned(judged)
    lone, up, names = (first["running_return"], first[TARGET] > 0, cluster_names(first))
    return Score(
        view=view,
        min_change=min_change,
        rows=judged.height,
        ticker_sessions=int(np.unique(clusters).size),
        share_up=float(is_up.mean()),
        running_return=auc(alone, is_up),
        running_return_error=clustered_standard_error(alone, is_up, clusters),
        model=auc(predicted, is_up),
        model_error=CROSS_FIT_INFLATION * clustered_standard_error(predicted, is_up, clusters),
        thinned=auc(lone, up),
        thinned_error=clustered_standard_error(lone, up, names),
    )


def model_scores(rows: pl.DataFrame, is_up: np.ndarray) -> np.ndarray:
    """Cross-fitted over consecutive sessions; markets one after the other."""
    order = rows.select(pl.struct("market", "date").rank("dense")).to_series().to_numpy()
    features = rows.select(pl.col(FEATURES).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    return cross_fitted_scores(features, is_up, contiguous_folds(order, FOLDS))


def thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each quarter of an hour of a ticker-session."""
    quarter = pl.col("t0").dt.truncate("15m").alias("quarter")
    by_time = rows.with_columns(quarter).sort("t0", maintain_order=True)
    key = ["market", "ticker", "date", "quarter"]
    return by_time.unique(key, keep="first", maintain_order=True)


def cluster_names(rows: pl.DataFrame) -> np.ndarray:
    """A number per ticker-session."""
    return rows.select(pl.struct("market", "ticker", "date").rank("dense")).to_series().to_numpy()


def scores(rows: pl.DataFrame) -> Iterable[Score]:
    """Default and naive view at each threshold."""
    for number, change in enumerate(MIN_CHANGES):
        yield score(rows.filter(f"known_{number}"), "default", change)
        yield score(rows.filter(f"rich_{number}"), "naive", change)


@dataclass(frozen=True)
class Alone:
    """One feature by itself, on rows of the default view that have it."""

    feature: str
    rows: int
    auc: float
    error: float

    @property
    def distance(self) -> float:
        """From 0.5, in standard errors."""
        return (self.auc - 0.5) / self.error if self.error else 0.0


def alone(rows: pl.DataFrame) -> list[Alone]:
    """Every feature that varies, the most telling first."""
    judged = rows.filter("known_0", pl.col(TARGET) != 0)
    found = []
    for name in (*FEATURES, *BEFORE):
        given = judged.filter(pl.col(name).is_not_null())
        is_up, values = (given[TARGET] > 0).to_numpy(), given[name].cast(pl.Float64).to_numpy()
        if given[name].n_unique() > 1 and is_up.any() and not is_up.all():
            error = clustered_standard_error(values, is_up, cluster_names(given))
            found.append(Alone(name, given.height, auc(values, is_up), error))
    return sorted(found, key=lambda one: -abs(one.distance))


# Command -----------------------------------------------------------------------------------------
def simulate(size: Size, first_seed: int, workers: int) -> pl.DataFrame:
    """Rows of all markets, one market per process at a time."""
    os.environ["POLARS_MAX_THREADS"] = "1"  # read by the new processes; they are the parallelism
    seeds = range(first_seed, first_seed + size.markets)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return pl.concat(pool.map(market_rows, [size] * size.markets, seeds))


def print_table(found: Iterable[Score]) -> None:
    """The table, with standard errors in brackets."""
    print(
        f"{'view':8} {'min_change':>10} {'rows':>8} {'ticker-sessions':>15} {'share up':>8} "
        f"{'running return':>17} {'simple model':>17} {'thinned':>17}"
    )
    for line in found:
        pairs = (
            f"{getattr(line, name):.4f} ({getattr(line, name + '_error'):.4f})".rjust(17)
            for name in ("running_return", "model", "thinned")
        )
        print(
            f"{line.view:8} {line.min_change:10.2f} {line.rows:8,} {line.ticker_sessions:15,} "
            f"{line.share_up:8.3f} {' '.join(pairs)}",
            flush=True,
        )


def print_features(found: Iterable[Alone]) -> None:
    """A line per feature."""
    print(f"{'feature':32} {'rows':>8} {'AUC':>17} {'standard errors':>16}")
    for one in found:
        print(
            f"{one.feature:32} {one.rows:8,} {one.auc:8.4f} ({one.error:.4f}) {one.distance:+16.1f}"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few markets only")
    parser.add_argument("--markets", type=int, help="how many markets")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="seed of the first market")
    parser.add_argument("--trades", action="store_true", help="what trades earn, instead")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--features", action="store_true", help="every feature alone")
    parser.add_argument("--models", action="store_true", help="the package's models too")
    parser.add_argument("--json", action="store_true", help="print the table as JSON only")
    return parser.parse_args()


def prove_trades(options: argparse.Namespace, began: float) -> None:
    """The lines of placebo_trades.py. Exits with 1 when one is not as expected."""
    import placebo_trades  # which imports this module

    base = placebo_trades.QUICK if options.quick else placebo_trades.FULL
    size = Size(options.markets or base.markets, base.tickers, base.pump_days)
    lines, pairs = placebo_trades.simulate(size, options.seed, options.workers)
    if options.json:
        print(json.dumps([*map(asdict, lines), asdict(pairs)]))
    else:
        placebo_trades.print_lines(lines, pairs, began)
    sys.exit(not all(one.is_as_expected for one in (*lines, pairs)))


def main() -> None:
    options, began = arguments(), time.perf_counter()
    if options.trades:
        prove_trades(options, began)
        return
    base = QUICK if options.quick else FULL
    size = Size(options.markets or base.markets, base.tickers, base.pump_days)
    rows = simulate(size, options.seed, options.workers)
    plan = placebo_models.QUICK if options.quick else placebo_models.Plan()
    proofs = placebo_models.proofs(rows, plan, options.workers) if options.models else []
    if options.json:
        lines = alone(rows) if options.features else scores(rows)
        print(json.dumps([asdict(line) for line in (*lines, *proofs)]))
        return
    print(f"{size}: {rows.height:,} rows in {time.perf_counter() - began:.0f} s")
    if options.features:
        print_features(alone(rows))
    else:
        print_table(scores(rows))
    if proofs:
        placebo_models.print_proofs(proofs)
    print(f"{time.perf_counter() - began:.0f} s; AUC with its standard error over ticker-sessions")


if __name__ == "__main__":
    main()
