"""The backtest: candidates by test month, each strategy's trades and days, and the report.

Ticker-sessions are filled in worker processes, each from its stored ticks. A strategy then walks
over its candidates of all test months in order, in this process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

import polars as pl

from smallcaps_assets.domain.evidence.summary import WHOLE
from smallcaps_assets.domain.evidence.trials import trial_of
from smallcaps_assets.domain.execution.account import Account, with_candidates
from smallcaps_assets.domain.execution.candidates import candidate_rows
from smallcaps_assets.domain.execution.signals import (
    Month,
    StrategyError,
    logistic_baseline,
    wanted,
)
from smallcaps_assets.domain.execution.strategies import (
    execution_of,
    executions,
    strategy_digest,
)
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.models.extra import INSTALL, is_installed
from smallcaps_assets.lake.trials import record_trial
from smallcaps_assets.pipeline import evidence
from smallcaps_assets.pipeline.backtest_inputs import month_sessions
from smallcaps_assets.pipeline.fold_digests import test_months
from smallcaps_assets.pipeline.late_exits import late_exits
from smallcaps_assets.pipeline.models import month_parts, test_rows
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.ticks import Job, TickerDay, chain_of, start_workers
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.backtest_words import strategy_metadata
from smallcaps_assets.reports.markdown import preview
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.model_columns import BARS, SAMPLES
from smallcaps_assets.settings import Strategy, TradingRules

_EVENT = ("ticker", "date", "event_id", "t0")


# Candidates --------------------------------------------------------------------------------------
def candidates(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of `backtest_candidates` of some test months."""
    for key in keys:
        yield work.make("backtest_candidates", key, lambda k=key: build_candidates(work, k))


def build_candidates(work: Workspace, month: str) -> BuildResult:
    """The candidates of a test month, of all executions that the strategies ask for."""
    rows = pl.concat(
        test_rows(work.lake, sample, month).select(*_EVENT, sample=pl.lit(sample))
        for sample in SAMPLES
    )
    groups = rows.partition_by("ticker", "date", maintain_order=True)
    helpers, job = start_workers(work.settings.run, len(groups)), Job.of(work)
    found = [TABLES["backtest_candidates"].empty()]

    def fill(group: pl.DataFrame) -> pl.DataFrame:
        return helpers.call(session_candidates, job, group)

    threads = max(1, helpers.count)
    found += in_threads(fill, groups, threads, helpers.abandon)
    frame = pl.concat(found).with_columns(month=pl.lit(month))
    return BuildResult(frame, told_of_candidates(frame))


def session_candidates(job: Job, events: pl.DataFrame) -> pl.DataFrame:
    """The candidates of one ticker-session, whose events are given."""
    ticker, day = events.row(0, named=True)["ticker"], events.row(0, named=True)["date"]
    key, chain = f"{ticker}_{day}", chain_of(job, ())
    if not chain.work.lake.exists("trades", key):
        return TABLES["backtest_candidates"].empty()
    session = TickerDay(chain, key)
    settings = chain.work.settings.backtest
    bars = session.frame("dollar_imbalance_bars")
    frames = [
        candidate_rows(
            session.tape, session.quotes, bars, session.context, events, execution, settings
        )
        for execution in executions(settings, settings.chosen)
    ]
    frame = pl.concat(frames)
    return late_exits(chain.work, frame, ticker, day)


def told_of_candidates(frame: pl.DataFrame) -> dict[str, Any]:
    """How many are filled on what, and why others are not."""
    told: dict[str, Any] = {"candidates": frame.height}
    if frame.height:
        counts = frame.group_by("fill_source", "refusal").len("candidates")
        told["by refusal"] = preview(counts.sort("candidates", descending=True), 32)
    return told


# Strategies --------------------------------------------------------------------------------------
def backtests(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of the tables of some strategies."""
    run = Run(work)
    known = {strategy.name: strategy for strategy in work.settings.backtest.chosen}
    for key in keys:
        yield from run.make(tables, key, known.get(key))


@dataclass(eq=False)
class Run:
    """Some strategies on one lake; what they share of a month is read once."""

    work: Workspace

    def make(self, tables: list[str], key: str, strategy: Strategy | None) -> Iterator[Outcome]:
        """The tables of a strategy, ending with the first that fails."""
        built = lru_cache(maxsize=1)(lambda: self.build(key, strategy))
        for table in tables:
            outcome = self.work.make(table, key, lambda t=table: built()[t])
            yield outcome
            if outcome.is_failed:
                return
        if strategy is not None and self.work.lake.exists("backtest_days", key):
            days = self.work.lake.read("backtest_days", key)
            if days.height:
                digest = strategy_digest(self.work.settings.backtest, strategy)
                record_trial(self.work.lake, trial_of(digest, days))

    def build(self, key: str, strategy: Strategy | None) -> dict[str, BuildResult]:
        """Trades and days. Raises StrategyError for one that is not declared, or can't be tried."""
        settings = self.work.settings.backtest
        if strategy is None:
            names = ", ".join(one.name for one in settings.chosen)
            raise StrategyError(f"no strategy {key!r} is declared; choose from {names}")
        if strategy.asks_models and not self._is_predicted:
            raise StrategyError(self._unpredicted(key))
        if not self.months:
            raise StrategyError("the lake has no test month; take more sessions, see `folds`")
        trades, days = self.walk(strategy, settings.rules_of(strategy))
        told = told_of_strategy(trades, days)
        return {
            "backtest_trades": BuildResult(trades, told),
            "backtest_days": BuildResult(days, told),
        }

    def walk(self, strategy: Strategy, rules: TradingRules) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Trades and days of a strategy by some rules, over all test months."""
        notes, rows = self.wanted_by_session(strategy, rules)
        settings = self.work.settings.backtest
        account = Account(strategy, rules, settings.equity, settings.locate_shares, notes)
        return account.walk([session_hours(day) for day in self.sessions], rows)

    def wanted_by_session(
        self, strategy: Strategy, rules: TradingRules
    ) -> tuple[dict[str, str], dict[date, list[dict[str, Any]]]]:
        """By month why there could be no trade, and by session the events that a strategy wants,
        with their candidates, as `Account.walk` takes them."""
        settings, notes, rows = self.work.settings.backtest, {}, {}
        for month in self.months:
            if not self.work.lake.exists("backtest_candidates", month):
                notes[month] = "no candidates are stored"
                continue
            chosen, note = wanted(strategy, self.month(month), settings.seed)
            if note is not None:
                notes[month] = note
            rows |= with_candidates(chosen, self._candidates(month, rules))
        return notes, rows

    @cached_property
    def months(self) -> list[str]:
        """Test months of the lake, in order."""
        return test_months(self.work.lake)

    @cached_property
    def sessions(self) -> list[date]:
        """The sessions of those months."""
        span = self.work.span
        return [day for month in self.months for day in month_sessions(span, month)]

    @property
    def _is_predicted(self) -> bool:
        return any(self.work.lake.exists("predictions", month) for month in self.months)

    def _unpredicted(self, key: str) -> str:
        first = f"strategy {key!r} follows predictions, and the lake has none of"
        months = f" {', '.join(self.months) or 'any month'}; make them with `smallcaps run`"
        return first + months + ("" if is_installed() else f", after `{INSTALL}`")

    @lru_cache(maxsize=64)  # noqa: B019 - lives as long as its run
    def month(self, month: str) -> Month:
        """What there is of a month to choose from."""
        lake = self.work.lake
        rules = lake.read("ticker_sessions").select("ticker", "date", "selection_rule")
        rows = {
            sample: test_rows(lake, sample, month).join(rules, on=["ticker", "date"], how="left")
            for sample in SAMPLES
        }
        bars = month_parts(lake, self.work.settings.models, BARS, month)
        predicted = lake.read("predictions", month) if lake.exists("predictions", month) else None
        logistic = None if bars is None else logistic_baseline(bars[0], bars[1], 0.9)
        return Month(rows, predicted, logistic)

    @lru_cache(maxsize=64)  # noqa: B019 - lives as long as its run
    def _stored(self, month: str) -> pl.DataFrame:
        return self.work.lake.read("backtest_candidates", month)

    def _candidates(self, month: str, rules: TradingRules) -> pl.DataFrame:
        return self._stored(month).filter(
            pl.col("execution") == execution_of(rules), pl.col("latency_ms") == rules.latency_ms
        )


def told_of_strategy(trades: pl.DataFrame, days: pl.DataFrame) -> dict[str, Any]:
    """What a materialization shows: equity, trades, why others were refused, costs."""
    told: dict[str, Any] = dict(strategy_metadata(trades, days))
    refused = trades["refused_by"].drop_nulls()
    if refused.len():
        told["refused by"] = preview(refused.value_counts(sort=True), 32)
    notes = days.filter(pl.col("note").is_not_null()).select("month", "note").unique()
    if notes.height:
        told["months without events"] = preview(notes.sort("month"), 32)
    return told


# Report ------------------------------------------------------------------------------------------
def report(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """The outcome of `backtest_report`, which is made whole."""
    yield work.make("backtest_report", None, lambda: build_report(work))


def build_report(work: Workspace) -> BuildResult:
    """The figures of all stored strategies, with their errors and the number of trials."""
    lake, settings = work.lake, work.settings.backtest
    names = [s.name for s in settings.chosen if lake.exists("backtest_days", s.name)]
    rows = evidence.report(lake, settings, names)
    shown = rows.filter(pl.col("part") == WHOLE, pl.col("figure") == "expectancy")
    told = {"expectancy": preview(shown.select("strategy", "estimate", "error", "trades"), 32)}
    return BuildResult(rows, {"strategies": len(names), **(told if names else {})})
