"""The main job: the whole graph, step by step, through Dagster on the lake's own instance.

A step materializes some assets over the partitions that are not complete. Keys that fail don't stop
the others: the next step goes on with what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import product
from typing import Any

import dagster as dg
import polars as pl

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.defs.checks import withdraw_warnings
from smallcaps_assets.domain.models.extra import is_installed
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.failures import Failures
from smallcaps_assets.orchestration.dynamic_partitions import (
    register_ticker_sessions,
    register_tickers,
)
from smallcaps_assets.orchestration.heartbeats import process_tag, start_beating, stop_beating
from smallcaps_assets.orchestration.in_process import create_run, run_assets
from smallcaps_assets.orchestration.instance import report_unknown
from smallcaps_assets.orchestration.launchers import REASON_TAG, Launch, planned
from smallcaps_assets.orchestration.maintenance import end_orphans
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, TICKERS, Partitions
from smallcaps_assets.orchestration.queue import Queued, enqueue, follow, withdraw
from smallcaps_assets.pipeline.feed_partitions import needed_halves
from smallcaps_assets.pipeline.fold_digests import MONTHLY, OF_EXTRA, test_months
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import FailedElsewhereError, Observer, Outcome
from smallcaps_assets.pipeline.outdated import at_once, keys_where
from smallcaps_assets.pipeline.partition_keys import month_keys, year_keys
from smallcaps_assets.pipeline.ticks import start_workers
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import (
    METRICS_WINDOW,
    OPS,
    SESSION_TABLES,
    TABLES,
    TICK_CHAIN,
    Partitioning,
    lineage,
)
from smallcaps_assets.settings import Settings
from smallcaps_assets.sources.errors import NotOffered
from smallcaps_assets.sources.http.notices import say_once

WARM_UP_TABLES = ("tickers", "daily_bars", "universe", "minute_bars", "session_summary")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_MOST_PASSES = 3
FEEDS_LOOK_BACK = 25
"""Sessions before the requested ones whose short volume and halts are needed."""


class RunError(RuntimeError):
    """A run that failed as a whole, not in single partitions: a defect, not bad input."""


@dataclass(frozen=True)
class Step:
    """Assets to materialize over keys; `order` is the definition's order, for ranges.

    `whole` names unpartitioned tables that are made in the same run, after the partitioned ones.
    """

    title: str
    op: str
    tables: tuple[str, ...]
    keys: Sequence[str]
    order: Sequence[str]
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """Partitions of one table in one step: all, missing, and stored but out of date."""

    step: str
    table: str
    partitions: int
    missing: int
    outdated: int


@dataclass
class Report:
    """What a main job did, each partition once."""

    outcomes: dict[tuple[str, str | None], Outcome] = field(default_factory=dict)
    known: list[Outcome] = field(default_factory=list)
    runs: int = 0

    @property
    def done(self) -> list[Outcome]:
        """Partitions that were made, or found complete."""
        return [o for o in self.outcomes.values() if o.error is None and not o.is_unchanged]

    @property
    def unchanged(self) -> list[Outcome]:
        """Empty answers that were read again and are still empty."""
        return [o for o in self.outcomes.values() if o.error is None and o.is_unchanged]

    @property
    def not_offered(self) -> list[Outcome]:
        """Partitions that the vendor does not offer."""
        return [o for o in self.outcomes.values() if o.error is not None and not o.is_failed]

    @property
    def failed(self) -> list[Outcome]:
        """Partitions whose last attempt failed, or that lack tickers."""
        return [outcome for outcome in self.outcomes.values() if outcome.is_failed]

    def failed_since(self, before: Sequence[Outcome]) -> list[Outcome]:
        """Failures that are not among earlier ones."""
        known = set(map(id, before))
        return [outcome for outcome in self.failed if id(outcome) not in known]

    def observe(self, outcome: Outcome) -> None:
        """Record an attempt at a partition; the last one counts. Its preview is dropped, since it
        would keep the whole frame in memory."""
        place = (outcome.table, outcome.key)
        before = self.outcomes[place].seconds if place in self.outcomes else 0.0
        seconds = before + outcome.seconds
        self.outcomes[place] = replace(outcome, preview=None, seconds=seconds)


StepStarted = Callable[[Step, int], None]


class MainJob:
    """The whole graph over a date range of one lake, or the part needed for the table `until`."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        instance: dg.DagsterInstance,
        start: date,
        end: date,
        tickers: Sequence[str] = (),
        is_forced: bool = False,
        observer: Observer | None = None,
        on_step: StepStarted | None = None,
        until: str | None = None,
        is_queued: bool = False,
    ) -> None:
        self.report = Report()
        self.start, self.end = start, end
        self.tickers = tuple(sorted(tickers))
        self.is_forced = is_forced
        self.until = until
        self.is_queued = is_queued
        self.reason = "smallcaps run"
        self.instance = instance
        self._watch = observer
        self._on_step = on_step or (lambda step, count: None)
        self.partitions = Partitions.of_market(settings)
        self.definitions = build_definitions(settings, self._observe)
        self.work = Workspace(settings, lake, self.partitions, self.tickers)

    def run(self) -> Report:
        """Run every step; the report names what was made and what failed."""
        end_orphans(self.instance)
        start_beating(self.instance)
        try:
            return self._run()
        finally:
            stop_beating(self.instance)

    def _run(self) -> Report:
        self.work.lake.sweep(self.work.settings.lake.keep_replaced_days)
        self.work.clients.page_cache.sweep()
        waiting: list[tuple[str, str]] = []
        if not self.is_forced:
            self.report.known, waiting = report_unknown(self.instance, self.work)
        # A process killed after storing these tables has not added the keys that follow from them.
        register_tickers(self.instance, self.work)
        register_ticker_sessions(self.instance, self.work)
        for step in self._steps():
            self._do(self._narrowed(step))
        if waiting:
            self.report.known += report_unknown(self.instance, self.work)[0]
        withdraw_warnings(self.instance, self.work)
        return self.report

    @property
    def left_out(self) -> set[str]:
        """Tables that are not made, whatever the steps name."""
        absent = set() if is_installed() else {*OF_EXTRA}
        return market_of(self.work.settings).left_out | absent

    def survey(self) -> Iterator[Survey]:
        """What a run would make, table by table, as far as known now; makes nothing."""
        work = at_once(self.work)
        for step in map(self._narrowed, self._steps()):
            for table in (*step.tables, *step.whole):
                keys = [""] if table in step.whole else list(step.keys)
                stored = set(work.lake.keys(table))
                present = [key for key in keys if key in stored]
                absent = [key for key in keys if key not in stored]
                missing = [key for key in absent if not work.is_not_offered(table, key or None)]
                stale = present if self.is_forced else _stale(work, table, present)
                yield Survey(step.title, table, len(keys), len(missing), len(stale))

    def _narrowed(self, step: Step) -> Step:
        """The step without the tables that this job leaves out, or that `until` does not need."""
        needed = set(TABLES if self.until is None else lineage(self.until))
        needed -= self.left_out
        tables = tuple(table for table in step.tables if table in needed)
        return replace(
            step,
            tables=tables,
            keys=step.keys if tables else (),
            whole=tuple(table for table in step.whole if table in needed),
        )

    def _steps(self) -> Iterator[Step]:
        """The steps in order; each is planned when the earlier ones are done."""
        partitions = self.partitions
        wanted = partitions.session_keys(self.start, self.end)
        all_sessions = partitions.session_keys(partitions.start, partitions.end)
        before = self.work.sessions_before(self.start, METRICS_WINDOW)
        warm = market_of(self.work.settings).with_daily_bars(before)
        first = date.fromisoformat((warm or wanted)[0])
        years, months = year_keys(first, self.end), month_keys(first, self.end)
        yield Step(
            "corporate actions", "corporate_actions", OPS["corporate_actions"].tables, years, years
        )
        yield Step("ticker details", "ticker_details", ("ticker_details",), months, months)
        if warm:
            tables = tuple(
                t for t in WARM_UP_TABLES if t != "minute_bars" or self._has_minutes(warm)
            )
            yield Step("earlier sessions", "session_tables", tables, warm, all_sessions)
        yield from self._feed_steps(warm[-FEEDS_LOOK_BACK:], wanted, all_sessions, months)
        whole = ("adjustment_factors", "ticker_sessions")
        yield Step("sessions", "session_tables", SESSION_TABLES, wanted, all_sessions, whole)
        order = self.instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
        yield Step("tick chain", "tick_chain", TICK_CHAIN, self._ticker_sessions(), order)
        chosen, tickers = self._chosen_tickers()
        yield Step("ticker events", "ticker_events", ("ticker_events",), chosen, tickers)
        yield Step("coverage", "coverage", ("coverage",), wanted, all_sessions)
        for name in partitions.datasets(self.start, self.end):
            yield Step(f"dataset {name}", "ml_dataset", ("ml_dataset",), [name], [name])
        chosen, tickers = self._chosen_tickers()
        yield Step("ticker histories", "ticker_history", ("ticker_history",), chosen, tickers)
        yield Step("folds", "folds", (), (), (), ("folds",))
        yield Step("models", "walk_forward", MONTHLY, *self._test_months())
        yield Step("day families", "day_families", (), (), (), ("day_families",))
        yield from self._backtest_steps()

    def _backtest_steps(self) -> Iterator[Step]:
        """Candidates, then each strategy that can be tried, then the report."""
        months, order = self._test_months()
        names = self._strategies() if months else []
        yield Step("candidates", "backtest_candidates", ("backtest_candidates",), months, order)
        whole = ("backtest_report",) if names else ()
        tables = OPS["backtest"].tables
        yield Step("backtests", "backtest", tables, names, self.partitions.strategies, whole)

    def _strategies(self) -> list[str]:
        """Strategies that can be tried: without models, those that ask none."""
        chosen = self.work.settings.backtest.chosen
        return [s.name for s in chosen if is_installed() or not s.asks_models]

    def _test_months(self) -> tuple[list[str], list[str]]:
        """The test months of the request, and all months in order."""
        wanted = month_keys(self.start, self.end)
        order = month_keys(self.partitions.start, self.partitions.end)
        return [month for month in test_months(self.work.lake) if month in wanted], order

    def _feed_steps(
        self, before: list[str], wanted: list[str], all_sessions: list[str], months: list[str]
    ) -> Iterator[Step]:
        """The feeds that the dataset joins."""
        first = date.fromisoformat(wanted[0])
        short_volume = ("short_volume",)
        if before:
            yield Step("earlier short volume", "session_tables", short_volume, before, all_sessions)
        yield Step("halts", "halts", ("halts",), [*before, *wanted], all_sessions)
        yield Step("filings", "filings", ("filings",), months, months)
        for table in ("short_interest", "fails_to_deliver"):
            keys = needed_halves(table, self.partitions, first, self.end)
            yield Step(table.replace("_", " "), table, (table,), keys, keys)
        yield Step("free float", "free_float", (), (), (), ("free_float",))
        yield Step("news", "news", ("news",), months, months)
        statements = OPS["statements"].tables
        years = year_keys(first, self.end, TABLES[statements[0]].years_before)
        yield Step("statements", "statements", statements, years, years)

    def _has_minutes(self, keys: Sequence[str]) -> bool:
        """A recorded market often lacks minutes for the sessions before the requested ones."""
        return market_of(self.work.settings).is_complete or all(
            self.work.lake.exists("minute_bars", key) for key in keys
        )

    def _ticker_sessions(self) -> list[str]:
        if not self.work.lake.exists("ticker_sessions"):
            return []
        rows = self.work.lake.read("ticker_sessions").filter(
            pl.col("is_qualified"), pl.col("date").is_between(self.start, self.end)
        )
        return self.work.only_wanted(rows).sort("date", "ticker")["partition_key"].to_list()

    def _chosen_tickers(self) -> tuple[list[str], Sequence[str]]:
        """The tickers that this job is for, and all, as Dagster knows them by now."""
        tickers = self.instance.get_dynamic_partitions(TICKERS.name or "")
        return [t for t in tickers if not self.tickers or t in self.tickers], tickers

    def _do(self, step: Step) -> None:
        """Run a step until nothing is missing, except for what failed.

        A second pass is needed when a session that was made again puts later ones out of date.
        """
        failed: set[str] = set()
        for number in range(_MOST_PASSES):
            is_redone = self.is_forced and number == 0
            keys = list(step.keys) if is_redone else self._missing(step, failed)
            whole = [t for t in step.whole if is_redone or not _is_settled(self.work, t, None)]
            if not keys and not whole:
                return
            if "ticker_sessions" in whole:
                self._start_workers(len(keys))
            self._on_step(step, len(keys) * len(step.tables) + len(whole))
            failed |= self._run_blocks(step, keys, whole)
            if self.is_forced:
                return

    def _start_workers(self, sessions: int) -> None:
        """Start the tick chain's workers while sessions are made, which don't fill the cores."""
        if self.is_queued:
            return
        if self.until is None or set(TICK_CHAIN) & set(lineage(self.until)):
            start_workers(self.work.settings.run, sessions)

    def _missing(self, step: Step, failed: set[str]) -> list[str]:
        work = at_once(self.work)

        def is_missing(key: str) -> bool:
            return not all(_is_settled(work, table, key) for table in step.tables)

        return keys_where(work, is_missing, (key for key in step.keys if key not in failed))

    def _run_blocks(self, step: Step, keys: list[str], whole: list[str]) -> set[str]:
        """The runs that cover the keys; returns the keys that failed."""
        before = self.report.failed
        tables = step.tables if self.is_forced else self._outdated(step, keys)
        self._launch(step, tables, self.blocks(keys, step.order))
        if whole and not any(self._is_blocked(name) for name in whole):
            self._launch(step, tuple(whole), [None])
        return {outcome.key or "" for outcome in self.report.failed_since(before)}

    def blocks(self, keys: Sequence[str], order: Sequence[str]) -> list[Launch]:
        """The runs of some keys."""
        return planned(self.work.settings.run, keys, order)

    def _outdated(self, step: Step, keys: list[str]) -> tuple[str, ...]:
        """Tables of a step with an incomplete key, and those made from them."""
        found: list[str] = []
        work = at_once(self.work)
        for table in step.tables:
            is_below = any(name in found for name in TABLES[table].upstream)
            if is_below or _stale(work, table, keys):
                found.append(table)
        return tuple(found)

    def _is_blocked(self, table: str) -> bool:
        """Whether an upstream table has no partition, so that there is nothing to derive from."""
        return not all(self.work.lake.keys(name) for name in TABLES[table].upstream)

    def _launch(
        self, step: Step, tables: tuple[str, ...], launches: Sequence[Launch | None]
    ) -> None:
        """Run some blocks of a step, here or on the queue."""
        self.report.runs += len(launches)
        if self.is_queued:
            self._queue(step, tables, launches)
        else:
            for launch in launches:
                self._execute(step, tables, launch)

    def _request(
        self, step: Step, tables: tuple[str, ...], launch: Launch | None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Configuration and tags of a run."""
        partitioned = TABLES[tables[0]].partitioning is not Partitioning.NONE
        ops = [step.op] if partitioned else list(tables)
        config: dict[str, Any] = {
            "tickers": list(self.tickers),
            "skip_complete": not self.is_forced,
        }
        config |= launch.config if launch else {}
        tags = {REASON_TAG: self.reason, **(launch.tags if launch else {})}
        return {"ops": {op: {"config": config} for op in ops}, **_QUIET}, tags

    def _execute(self, step: Step, tables: tuple[str, ...], launch: Launch | None) -> None:
        before = self.report.failed
        config, tags = self._request(step, tables, launch)
        tags |= process_tag()
        result = run_assets(self.definitions, self.instance, tables, config, tags)
        if result.success:
            return
        kind, reason = _cause(result)
        if kind == dg.DagsterExecutionInterruptedError.__name__:
            raise KeyboardInterrupt
        if not self.report.failed_since(before):
            raise RunError(f"the run for {step.title} failed: {reason}")

    def _queue(
        self, step: Step, tables: tuple[str, ...], launches: Sequence[Launch | None]
    ) -> None:
        """Hand blocks to the queue, and follow them until all have ended."""
        ids: list[str] = []
        try:
            for launch in launches:
                config, tags = self._request(step, tables, launch)
                run = create_run(self.definitions, self.instance, tables, config, tags)
                enqueue(self.instance, run)
                ids.append(run.run_id)
            ended = follow(self.instance, ids, self._observe)
        except KeyboardInterrupt:
            if going_on := withdraw(self.instance, ids):
                say_once(f"{going_on} runs have begun and go on without this command")
            raise
        for queued, launch in zip(ended, launches, strict=True):
            before = self.report.failed
            self._add_failures(tables, launch.keys if launch else [None], queued)
            if not queued.run.is_success and not self.report.failed_since(before):
                reason = queued.failure or f"it is {queued.run.status.value.lower()}"
                raise RunError(f"the run for {step.title} failed: {reason}")

    def _add_failures(
        self, tables: tuple[str, ...], keys: Sequence[str | None], queued: Queued
    ) -> None:
        """What the lake says of partitions that a queued run could not make, or not whole."""
        failures = Failures(at_once(self.work).lake)
        for table, key in product(tables, keys):
            failure = failures.find(table, key)
            if failure is not None:
                is_failed = failure.kind != NotOffered.__name__
                kind = FailedElsewhereError(failure.kind, failure.reason)
                error = kind if is_failed else NotOffered(failure.reason)
                made = queued.made.get((table, key), Outcome(table, key))
                self._observe(replace(made, error=error))

    def _observe(self, outcome: Outcome) -> None:
        self.report.observe(outcome)
        if self._watch is not None:
            self._watch(outcome)


def _stale(work: Workspace, table: str, keys: Sequence[str]) -> list[str]:
    """Those of some partitions that are not as they would be made now."""
    return keys_where(work, lambda key: not work.is_current(table, key or None), keys)


def _is_settled(work: Workspace, table: str, key: str | None) -> bool:
    """Whether a partition is current, or known not to be offered by the vendor."""
    return work.is_current(table, key) or work.is_not_offered(table, key)


def _cause(result: dg.JobExecutionResult) -> tuple[str | None, str]:
    """Class and message of the innermost error of a failed run."""
    for event in result.all_events:
        if event.is_failure and (error := getattr(event.event_specific_data, "error", None)):
            while error.cause is not None:
                error = error.cause
            return error.cls_name, error.message.strip()
    return None, "see the run's log in the web server"
