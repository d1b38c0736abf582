"""The tick chain of a ticker-session: trades, quotes, bars, features, patterns, labels, weights.

One op makes any subset of its tables. Ticks are fetched and stored here, where all threads share
the vendor's pace; what is made of them is made in worker processes where that pays, so that ticks
are decoded once there and stay in memory. Tables that are not selected are read from the lake.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cache, cached_property, lru_cache
from itertools import count
from typing import Any, Self

import polars as pl

from smallcaps_assets.domain.bars.build import (
    activity_target,
    build_bars,
    volume_activity_target,
)
from smallcaps_assets.domain.bars.diagnostics import bar_diagnostics, excluded_volume
from smallcaps_assets.domain.bars.features import SessionContext, bar_features, session_context
from smallcaps_assets.domain.bars.quote_features import (
    Quotes,
    no_quotes,
    quote_arrays,
    quote_features,
)
from smallcaps_assets.domain.columns import integers
from smallcaps_assets.domain.labels.forward_mids import forward_mids
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_labels
from smallcaps_assets.domain.labels.weights import sample_weights
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.volume_curve import volume_curve
from smallcaps_assets.domain.minute_fallback import (
    bars_from_minutes,
    minute_path,
    minute_tape,
    triple_barrier_on_bars,
)
from smallcaps_assets.domain.patterns.costs import round_trip_costs
from smallcaps_assets.domain.patterns.events import pattern_events
from smallcaps_assets.domain.patterns.labels import pattern_labels
from smallcaps_assets.domain.ticks.quotes import is_firm
from smallcaps_assets.domain.ticks.tape import TickTape, prepare_ticks
from smallcaps_assets.lake import Lake, split_ticker_session
from smallcaps_assets.lake.paths import is_key
from smallcaps_assets.pipeline.compilation import announce_compilation, compile_once
from smallcaps_assets.pipeline.feeds import offered
from smallcaps_assets.pipeline.fetch import fetch_ticks
from smallcaps_assets.pipeline.halt_feed import halts_of
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.processes import WorkerLostError, Workers, workers
from smallcaps_assets.pipeline.shared import kept
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.usual_volume import UsualVolume
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.sparkline import bars_sparkline
from smallcaps_assets.schemas import MADE_OF_TICKS, TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import RunSettings, Settings

_NUMBERS = count()
LABELLED = "dollar_imbalance_bars"
_SIGNED = {1: "+1", 0: "0", -1: "-1"}


class RegistryError(ValueError):
    """A ticker-session that the registry doesn't know."""


def tick_chain(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of some tables of many ticker-sessions."""
    made_of_trades = [table for table in tables if table in MADE_OF_TICKS]
    helpers = start_workers(work.settings.run, len(keys) if made_of_trades else 0)
    if made_of_trades and not helpers.count:
        compile_once()
    run = _Run(Chain(work, tables, keys), made_of_trades, helpers)
    threads = work.settings.run.threads + helpers.count
    for outcomes in in_threads(run.make, keys, threads, helpers.abandon):
        yield from outcomes


def start_workers(settings: RunSettings, keys: int) -> Workers:
    """The worker processes that so many ticker-sessions are worth, started if they are not yet.

    Raises SettingsError when memory does not allow what the settings ask for.
    """
    helpers = workers(settings, keys)
    if keys:
        announce_compilation()
    helpers.prepare(compile_once)
    return helpers


class Chain:
    """The chain over many ticker-sessions of one run."""

    def __init__(self, work: Workspace, tables: list[str], keys: list[str]) -> None:
        self.work = work
        self.tables = tables
        self.keys = keys
        self.metrics = lru_cache(maxsize=64)(self._metrics)
        self.usual_volume = UsualVolume(work)

    @cached_property
    def registry(self) -> dict[str, dict[str, Any]]:
        """Rows of the registry by partition key."""
        rows = self.work.lake.read("ticker_sessions").iter_rows(named=True)
        return {row["partition_key"]: row for row in rows}

    def tickers_of(self, table: str, day: date) -> set[str]:
        """The tickers of a day whose trades, or quotes, this run still has to fetch."""
        return self._lacking_by_day(table).get(day, set())

    @lru_cache(maxsize=2)  # noqa: B019 - a chain lives as long as its run
    def _lacking_by_day(self, table: str) -> dict[date, set[str]]:
        found: dict[date, set[str]] = {}
        for key in (key for key in self.keys if is_key(TABLES[table], key)):
            if not (self.work.skip_complete and self.work.is_complete(table, key)):
                ticker, day = split_ticker_session(key)
                found.setdefault(day, set()).add(ticker)
        return found

    def make(self, tables: list[str], key: str) -> list[Outcome]:
        """Some tables of one ticker-session, ending with the last that there is to make."""
        day = cache(lambda: TickerDay(self, key))
        outcomes: list[Outcome] = []
        for table in tables:
            if self.work.skip_complete and self.work.is_not_offered(table, key):
                continue
            outcome = self.work.make(table, key, lambda t=table: day().build(t))
            outcomes.append(outcome)
            if self.is_last(outcome):
                break
        return outcomes

    def is_last(self, outcome: Outcome) -> bool:
        """Whether nothing is to be made after this: it has failed, or there is no need.

        What is made of trades that were read again and are as empty as before stays as it is. An
        optional table is not missed: what is made of it is made again once it is there.
        """
        if TABLES[outcome.table].is_optional:
            return False
        if outcome.error is not None:
            return True
        is_settled = outcome.is_unchanged and self.work.skip_complete
        return is_settled and all(self.work.is_current(name, outcome.key) for name in self.tables)

    def _metrics(self, day: date) -> pl.DataFrame:
        return self.work.lake.read("daily_metrics", day.isoformat())


@dataclass(frozen=True)
class Job:
    """What makes tables of stored trades in another process: a run's workspace without clients.

    No two jobs of a process have the same number, so that what is kept for one is not for the next.
    """

    settings: Settings
    root: str
    span: MarketSpan
    tickers: tuple[str, ...]
    skip_complete: bool
    number: int

    @classmethod
    def of(cls, work: Workspace) -> Self:
        """The job of a run."""
        span = MarketSpan(work.span.start, work.span.end, work.span.periods)
        root, number = str(work.lake.root), next(_NUMBERS)
        return cls(work.settings, root, span, work.tickers, work.skip_complete, number)


def make_of_trades(job: Job, tables: list[str], key: str, done: list[str]) -> list[Outcome]:
    """The tables of a ticker-session that are made of its stored trades; `done` are left."""
    chain = chain_of(job, tuple(tables))
    chain.work.done.update((table, key) for table in done)
    return chain.make(tables, key)


@lru_cache(maxsize=1)
def chain_of(job: Job, tables: tuple[str, ...]) -> Chain:
    """The chain of a run's job, kept while the job is the same."""
    work = Workspace(
        job.settings,
        Lake(job.root),
        job.span,
        job.tickers,
        skip_complete=job.skip_complete,
    )
    return Chain(work, list(tables), [])


class _Run:
    """The chain over many ticker-sessions of one run, part here and part in workers."""

    def __init__(self, chain: Chain, made_of_trades: list[str], helpers: Workers) -> None:
        self.chain, self.made_of_trades, self.helpers = chain, made_of_trades, helpers
        self.fetched = [table for table in chain.tables if table not in made_of_trades]
        self.job = Job.of(chain.work)

    def make(self, key: str) -> list[Outcome]:
        """All selected tables of one ticker-session, ending with the first that fails.

        When its worker is lost, the first table that it was at; what it has stored is found by the
        next run.
        """
        if not self.helpers.count:
            return self.chain.make(self.chain.tables, key)
        outcomes, rest = self.chain.make(self.fetched, key), self.made_of_trades
        if not rest or any(map(self.chain.is_last, outcomes)):
            return outcomes
        done = [table for table in rest if self.chain.work.is_done(table, key)]
        try:
            return outcomes + self.helpers.call(make_of_trades, self.job, rest, key, done)
        except WorkerLostError as error:
            return [*outcomes, Outcome(rest[0], key, error=error)]


@dataclass
class TickerDay:
    """One ticker-session: its tables, each made or read once."""

    chain: Chain
    key: str

    def __post_init__(self) -> None:
        self.ticker, self.date = split_ticker_session(self.key)
        self._frames: dict[str, pl.DataFrame] = {}

    def build(self, table: str) -> BuildResult:
        """The rows of a table, kept for the tables made from it."""
        row = self.chain.registry.get(self.key)
        if row is None:
            raise RegistryError(
                f"ticker-session {self.key} is not in the registry; materialize ticker_sessions"
                " after its watchlist, or choose a key that it holds"
            )
        if TABLES[table].layer == "raw":
            built = self._ticks(table, row)
        else:
            built = BuildResult(*_BUILDERS.get(table, TickerDay._bars)(self, table, row))
        self._frames[table] = built.frame
        return built

    def frame(self, table: str) -> pl.DataFrame:
        """A table of this ticker-session, from memory or from the lake; an optional one may be
        empty."""
        if table not in self._frames:
            lake = self.chain.work.lake
            is_there = not TABLES[table].is_optional or lake.exists(table, self.key)
            self._frames[table] = lake.read(table, self.key) if is_there else TABLES[table].empty()
        return self._frames[table]

    @kept
    def minutes(self) -> pl.DataFrame | None:
        """Minute bars that stand in where the vendor has no trades; None if there are trades."""
        key, lake = self.date.isoformat(), self.chain.work.lake
        if self.frame("trades").height or not lake.exists("minute_bars", key):
            return None
        return lake.read("minute_bars", key).filter(pl.col("ticker") == self.ticker)

    @kept
    def tape(self) -> TickTape:
        """The classified tape; without trades, one tick a minute."""
        hours, settings = session_hours(self.date), self.chain.work.settings.ticks
        if self.minutes is not None:
            return minute_tape(self.minutes, hours, settings, self.ticker)
        feed = halts_of(self.chain.work.lake, self.ticker, self.date)
        return prepare_ticks(self.frame("trades"), hours, settings, feed, self.ticker)

    @kept
    def context(self) -> SessionContext:
        """What was known of the ticker before the session opened."""
        metrics = self.chain.metrics(self.date).filter(pl.col("ticker") == self.ticker)
        row = metrics.row(0, named=True) if metrics.height else None
        return session_context(self.ticker, self.date, row)

    @kept
    def quotes(self) -> Quotes:
        """The session's usable quotes; none where minutes stand in for the trades."""
        frame = self.frame("quotes")
        if frame.is_empty() or self.minutes is not None:
            return no_quotes()
        firm = frame.with_columns(is_firm=is_firm(frame["conditions"]))
        return quote_arrays(firm, self.tape.hours, self.tape.session_end)

    @kept
    def of_quotes(self) -> dict[str, pl.DataFrame]:
        """Features and quality of the quotes, from one pass over them and the prints."""
        found = quote_features(self.tape, self.frame(LABELLED), self.quotes)
        return dict(zip(("quote_features", "quote_quality"), found, strict=True))

    def _ticks(self, table: str, row: dict[str, Any]) -> BuildResult:
        work, companions = self.chain.work, self.chain.tickers_of(table, self.date)

        def fetch(*_: Any) -> BuildResult:
            return fetch_ticks(work.clients, table, self.ticker, self.date, companions)

        built = offered(fetch, work, table, self.key)
        return replace(built, metadata={**built.metadata, "rules": row["rules"]})

    def _bars(self, table: str, row: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
        settings = self.chain.work.settings.bars
        target = self._target(table)
        if self.minutes is None:
            bars = build_bars(self.tape, table, settings, target)
        else:
            bars = bars_from_minutes(self.minutes, self.tape.hours, table, settings, target)
        told = {"path of price": bars_sparkline(bars), **asdict(bar_diagnostics(bars))}
        return bars, told | ({"volume left out": self._left_out} if table == LABELLED else {})

    @property
    def _left_out(self) -> str:
        """Volume that no bar holds, by reason."""
        reasons = excluded_volume(self.tape).filter(pl.col("volume") > 0)
        shares = reasons.select("share", "reason").iter_rows()
        return ", ".join(f"{share:.2%} {reason}" for share, reason in shares) or "none"

    def _target(self, table: str) -> float | None:
        """The activity-scaled target where the table has one; None for the fixed one."""
        settings, context = self.chain.work.settings.bars, self.context
        if not settings.activity_scale:
            return None
        if table == "dollar_imbalance_bars":
            return activity_target(context.median_dollar_volume20, settings)
        if table == "volume_bars":
            return volume_activity_target(context.mean_volume20, settings)
        return None

    def _features(self, table: str, row: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
        tape, bars = self.tape, self.frame(LABELLED)
        curve = volume_curve(self.chain.usual_volume.minutes(self.ticker, self.date))
        return bar_features(tape.ticks, bars, self.context, tape.hours, tape.halts, curve), {}

    def _of_quotes(self, table: str, row: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
        return self.of_quotes[table], {}

    def _patterns(self, table: str, row: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
        if self.minutes is not None:
            return TABLES[table].empty(), {}
        admitted = integers(pl.Series([row["eligible_from"]]).cast(INSTANT))[0]
        settings = self.chain.work.settings.patterns
        events = pattern_events(self.tape, self.context, settings, int(admitted))
        return events, dict(events["pattern"].value_counts().sort("pattern").iter_rows())

    def _pattern_labels(
        self, table: str, row: dict[str, Any]
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        events, settings = self.frame("pattern_events"), self.chain.work.settings.labels
        if events.is_empty():
            return TABLES[table].empty(), {}
        costs = round_trip_costs(self.tape, integers(events["t0"]), self.quotes)
        labels = pattern_labels(self.tape, events, settings, costs)
        return labels, {"profitable": int((labels["meta_label"] == 1).sum())}

    def _labels(self, table: str, row: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
        bars = self.frame("dollar_imbalance_bars")
        tape, settings = self.tape, self.chain.work.settings.labels
        if self.minutes is None:
            labels = triple_barrier_labels(tape, bars, settings)
        else:
            path = minute_path(self.minutes, tape.hours)
            labels = triple_barrier_on_bars(bars, tape.session_end, settings, path)
        counts = dict(labels["label"].value_counts().sort("label").iter_rows())
        metadata = {f"labels {sign}": counts.get(label, 0) for label, sign in _SIGNED.items()}
        metadata["labels without a path"] = labels.height - labels["has_path"].sum()
        return labels, {"path of price": bars_sparkline(bars, labels), **metadata}

    def _mids(self, table: str, row: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
        settings = self.chain.work.settings.labels
        mids = forward_mids(self.frame("triple_barrier_labels"), self.quotes, settings)
        return mids, {"with a mid": mids.height - mids["forward_mid_return_15m"].null_count()}

    def _weights(self, table: str, row: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
        bars, labels = self.frame("dollar_imbalance_bars"), self.frame("triple_barrier_labels")
        weights = sample_weights(labels, bars, row["eligible_from"])
        return weights, {"mean uniqueness": weights["uniqueness"].mean() or 0.0}


_Builder = Callable[[TickerDay, str, dict[str, Any]], tuple[pl.DataFrame, dict[str, Any]]]
_BUILDERS: dict[str, _Builder] = {
    "bar_features": TickerDay._features,
    "quote_features": TickerDay._of_quotes,
    "quote_quality": TickerDay._of_quotes,
    "pattern_events": TickerDay._patterns,
    "pattern_labels": TickerDay._pattern_labels,
    "triple_barrier_labels": TickerDay._labels,
    "forward_mids": TickerDay._mids,
    "sample_weights": TickerDay._weights,
}
