"""What trades earn where there is no edge: the backtest's own fills and costs on placebo markets.

The mid of a placebo market has no drift, so that no rule that knows the past earns at the mids, and
every trade loses its costs. The first event of each quarter of an hour of the admitted ticker-days
is traded, 100 shares at most, with the functions that make `backtest_candidates` and
`backtest_trades`. Lines, of the return at the mids by trade:

* always_long, random_side, momentum: within 2.5 standard errors of 0;
* model: the same, of the tenth of the rows that a simple cross-fitted model likes most;
* passive: at most 2 standard errors above 0, before rebates;
* by_the_close: days picked by their close, in their direction, from 04:00 on. What follows from
  the choice of the day looks like an edge: this line has to fail the proof.

A long and a short of one decision, closed by time at one instant and filled at once within what was
shown, lose exactly both spreads and the fees, to a billionth of a dollar: `pairs`.

Not by itself: `python benchmarks/placebo.py --trades`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import placebo
import polars as pl

from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.features import bar_features, session_context
from smallcaps_assets.domain.bars.quote_features import quote_arrays
from smallcaps_assets.domain.evaluation import (
    CROSS_FIT_INFLATION,
    clustered_mean,
    contiguous_folds,
    cross_fitted_scores,
)
from smallcaps_assets.domain.evidence.trades import thinned
from smallcaps_assets.domain.execution.account import with_candidates
from smallcaps_assets.domain.execution.candidates import candidate_rows
from smallcaps_assets.domain.execution.signals import COLUMNS, random_side
from smallcaps_assets.domain.execution.strategies import Execution
from smallcaps_assets.domain.execution.trades import Trade, trade_of
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.simulation.market import SimulatedMarket
from smallcaps_assets.settings import BacktestSettings, TradingRules
from smallcaps_assets.sources.polygon import quotes

SHARES = 100
BOUND, PASSIVE_BOUND = 2.5, 2.0
MOST_ERROR, MOST_MODEL_ERROR = 0.0003, 0.0010
TOP = 0.9
CENT = 1e-9
SETTINGS = BacktestSettings(capacity=1.0)
BY_RULE = TradingRules(long_only=False)
RULES = {
    "barriers": BY_RULE,
    "passive": BY_RULE.model_copy(update={"entry": "passive", "entry_seconds": 60}),
    "time": BY_RULE.model_copy(update={"take_profit": 10.0, "stop_loss": 0.99}),
}
FULL, QUICK = placebo.Size(markets=29), placebo.Size(markets=1, pump_days=120)
BY_CLOSE, PASSIVE, MODEL = "by_the_close", "passive", "model"
BASELINES = ("always_long", "random_side", "momentum")
FEATURES = ("return_5m", "running_return", "imbalance_ratio_5", "volatility", "day_range_position")
KEPT = ("ticker", "date", "t0", "event_id", "known", "rich", "change", *FEATURES)


@dataclass(frozen=True)
class Line:
    """Mean return at the mids of a rule's trades, and after costs, with clustered errors."""

    trades_of: str
    trades: int
    ticker_sessions: int
    gross: float
    gross_error: float
    net: float
    is_without_edge: bool

    @property
    def is_as_expected(self) -> bool:
        """Whether the line shows what it has to."""
        return self.is_without_edge != (self.trades_of == BY_CLOSE)


@dataclass(frozen=True)
class Pairs:
    """Longs and shorts of one decision: how many, and the largest distance in USD of their sum
    from both spreads and the fees."""

    pairs: int
    off: float

    @property
    def is_as_expected(self) -> bool:
        """Whether cash is conserved."""
        return self.pairs > 0 and self.off < CENT


# One market --------------------------------------------------------------------------------------
def market_trades(size: placebo.Size, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades of one placebo market, and its pairs."""
    config = SandboxConfig(
        kind="placebo", seed=seed, tickers=size.tickers, pump_days=size.pump_days
    )
    return trades_of(SimulatedMarket(config))


def trades_of(market: SimulatedMarket) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades of a market, and its pairs."""
    days = placebo.session_tables(market)
    registry = placebo.registry(days, placebo.MIN_CHANGES[1])
    found = [session_trades(market, days, row) for row in registry.iter_rows(named=True)]
    trades, pairs = (pl.concat(frames) for frames in zip(*found, strict=True))
    return trades.with_columns(market=pl.lit(market.config.seed)), pairs


def session_trades(
    market: SimulatedMarket, days: placebo.Days, row: dict[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Trades of one ticker-session on both sides by each of RULES, and its pairs."""
    ticker, day = row["ticker"], row["date"]
    hours = session_hours(day)
    known = days.metrics[day].filter(pl.col("ticker") == ticker).row(0, named=True)
    context = session_context(ticker, day, known)
    tape = prepare_ticks(
        placebo.trades_of(market, ticker, day), hours, placebo.SETTINGS.ticks, ticker=ticker
    )
    bars = build_bars(tape, "dollar_imbalance_bars", placebo.SETTINGS.bars)
    features = bar_features(tape.ticks, bars, context, hours, tape.halts)
    quoted = market.facts.quotes(ticker, day).select("ticker", *quotes.TYPES)
    firm = quotes.conform(quoted, day, day >= placebo.SETTINGS.polygon.quote_shares_since)
    arrays = quote_arrays(firm, hours, tape.session_end)
    events = _events(features, row, known["pct_change"])
    made = {}
    for name, rules in RULES.items():
        execution = Execution(name, rules, (rules.latency_ms,), ("bars",), (-1, 1))
        filled = candidate_rows(tape, arrays, bars, context, events, execution, SETTINGS)
        made[name] = list(_trades(events, filled, rules))
    trades = [t for name in ("barriers", PASSIVE) for t in _rows(made[name], name)]
    return _frame(trades, events), _pairs(made["time"])


def _events(features: pl.DataFrame, row: dict[str, Any], change: float | None) -> pl.DataFrame:
    """Bars that could be traded, once a quarter of an hour in each view."""
    flagged = features.select(
        *("ticker", "date", "bar_id", *FEATURES),
        t0="known_at",
        event_id="bar_id",
        sample=pl.lit("bars"),
        known=(pl.col("known_at") >= row["eligible_from"]).fill_null(False),
        rich=pl.lit("info_rich" in row["rules"].split(",")),
        change=pl.lit(change, pl.Float64),
    )
    return thinned(flagged.filter(pl.col("known") | pl.col("rich")), "known")


def _trades(
    events: pl.DataFrame, filled: pl.DataFrame, rules: TradingRules
) -> Iterable[tuple[dict[str, Any], Trade]]:
    """Each candidate that was filled and closed in its session, with its row."""
    wanted = filled.select(
        "ticker", "date", "event_id", "sample", "t0", "side",
        score=pl.lit(None, pl.Float64), pattern=pl.lit(None, pl.String),
        rule=pl.lit(None, pl.String), source=pl.lit("baseline"),
    ).select(COLUMNS)  # fmt: skip
    for row in (r for rows in with_candidates(wanted, filled).values() for r in rows):
        shares = min(SHARES, row["most_shares"] or 0)
        if row["refusal"] is None and shares and row["trapped_from"] is None:
            yield row, trade_of({**row, **row["fills"]()}, shares, rules)


def _rows(made: Iterable[tuple[dict[str, Any], Trade]], name: str) -> Iterable[dict[str, Any]]:
    for row, trade in made:
        value = trade.entry.mid_value
        yield {
            **{"rules": name, "event_id": row["event_id"], "side": row["side"]},
            **{"gross": trade.gross / value, "net": trade.net / value},
        }


def _frame(rows: list[dict[str, Any]], events: pl.DataFrame) -> pl.DataFrame:
    types = {"rules": pl.String, "event_id": pl.Int32, "side": pl.Int8}
    numbers = {"gross": pl.Float64, "net": pl.Float64}
    told = events.select(pl.col(KEPT)).with_columns(pl.col("event_id").cast(pl.Int32))
    return pl.DataFrame(rows, schema=types | numbers).join(told, on="event_id")


def _pairs(made: Iterable[tuple[dict[str, Any], Trade]]) -> pl.DataFrame:
    """Of decisions with both sides filled and closed at once: how far their sum is off, in USD."""
    by_event: dict[int, list[Trade]] = {}
    for row, trade in made:
        is_whole = len(trade.entry.times) == len(trade.exit.times) == 1
        if is_whole and trade.shares == SHARES and trade.exit.reasons == ("time",):
            by_event.setdefault(row["event_id"], []).append(trade)
    off = []
    for both in by_event.values():
        is_pair = len(both) == 2 and len({(t.entry.times, t.exit.times) for t in both}) == 1
        if is_pair:
            costs = sum(sum(trade.costs.values()) for trade in both)
            spreads = _spread(both, "entry") + _spread(both, "exit")
            off.append(abs(sum(trade.net for trade in both) + spreads + costs))
    return pl.DataFrame({"off": off}, schema={"off": pl.Float64})


def _spread(both: list[Trade], leg: str) -> float:
    """Distance in USD of what the two sides paid, that is, shares times the quoted spread."""
    return SHARES * abs(getattr(both[0], leg).prices[0] - getattr(both[1], leg).prices[0])


# The proof ---------------------------------------------------------------------------------------
def lines(trades: pl.DataFrame) -> list[Line]:
    """A line per rule."""
    known = trades.filter("known")
    market, passive = known.filter(rules="barriers"), known.filter(rules=PASSIVE)
    rich = trades.filter(pl.col("rules") == "barriers", "rich", pl.col("change") != 0)
    chosen = {
        "always_long": market.filter(side=1),
        "random_side": market.filter(pl.col("side") == _random_sides(market)),
        "momentum": market.filter(pl.col("side") == pl.col("return_5m").sign()),
        MODEL: _most_liked(market.filter(side=1)),
        PASSIVE: passive.filter(side=1),
        BY_CLOSE: rich.filter(pl.col("side") == pl.col("change").sign()),
    }
    return [_line(name, rows) for name, rows in chosen.items()]


def _random_sides(rows: pl.DataFrame) -> pl.Series:
    keys = rows.select("market", "ticker", "date", "event_id").iter_rows()
    return pl.Series([random_side(0, *key) for key in keys], dtype=pl.Int8)


def _most_liked(rows: pl.DataFrame) -> pl.DataFrame:
    """The tenth with the highest scores, each by a fit on other sessions, for the sign of the mid
    return. `error` is inflated for the cross-fit."""
    moved = rows.filter(pl.col("gross") != 0)
    order = moved.select(pl.struct("market", "date").rank("dense")).to_series().to_numpy()
    values = moved.select(pl.col(FEATURES).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    folds = contiguous_folds(order, min(placebo.FOLDS, np.unique(order).size))
    scores = cross_fitted_scores(values, (moved["gross"] > 0).to_numpy(), folds)
    return moved.filter(pl.Series(scores >= TOP))


def _line(name: str, rows: pl.DataFrame) -> Line:
    clusters = rows.select(pl.struct("market", "ticker", "date").rank("dense")).to_series()
    gross, error = clustered_mean(rows["gross"], clusters)
    error = (error or float("inf")) * (CROSS_FIT_INFLATION if name == MODEL else 1.0)
    bound = PASSIVE_BOUND if name == PASSIVE else BOUND
    is_fair = gross <= bound * error if name == PASSIVE else abs(gross) <= bound * error
    net = float(rows["net"].mean())  # type: ignore[arg-type]
    return Line(name, rows.height, clusters.n_unique(), gross, error, net, is_fair)


def simulate(size: placebo.Size, first_seed: int, workers: int) -> tuple[list[Line], Pairs]:
    """The lines of all markets, one market per process at a time."""
    os.environ["POLARS_MAX_THREADS"] = "1"  # read by the new processes; they are the parallelism
    seeds = range(first_seed, first_seed + size.markets)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(market_trades, [size] * size.markets, seeds))
    trades, pairs = (pl.concat(frames) for frames in zip(*found, strict=True))
    off = float(pairs["off"].max()) if pairs.height else 0.0  # type: ignore[arg-type]
    return lines(trades), Pairs(pairs.height, off)


def print_lines(found: list[Line], pairs: Pairs, began: float) -> None:
    """A line each, in basis points, and what is not as expected."""
    print(
        f"{'trades of':14} {'trades':>8} {'ticker-sessions':>15} {'at the mids, bp':>18} {'net':>8}"
    )
    for one in found:
        told = "" if one.is_as_expected else "  NOT AS EXPECTED"
        most = MOST_MODEL_ERROR if one.trades_of == MODEL else MOST_ERROR
        if one.trades_of in (*BASELINES, MODEL) and one.gross_error > most:
            told += f"  standard error above {1e4 * most:g} bp: take more markets"
        print(
            f"{one.trades_of:14} {one.trades:8,} {one.ticker_sessions:15,}"
            f" {1e4 * one.gross:+8.1f} ({1e4 * one.gross_error:.1f}) {1e4 * one.net:+8.1f}{told}"
        )
    told = "" if pairs.is_as_expected else "  NOT AS EXPECTED"
    print(f"{pairs.pairs:,} pairs lose both spreads and fees, off by {pairs.off:.1e} USD{told}")
    print(f"{time.perf_counter() - began:.0f} s; standard errors over ticker-sessions in brackets")
