"""The tables of a session: lists, bars, short volume, universe, summary, metrics, selection.

One op makes any subset of them, table after table over all sessions of the run, so that a window
of earlier sessions is there when a later table needs it, and one bad session fails alone.
"""

from collections.abc import Iterator
from datetime import date
from functools import cached_property, lru_cache

import dagster as dg
import polars as pl

from smallcaps_assets.defs.common import RESOURCES, Location, make
from smallcaps_assets.domain.market import metrics
from smallcaps_assets.domain.market.adjustment import adjustment_factors, listings
from smallcaps_assets.domain.market.calendar import session_hours, sessions
from smallcaps_assets.domain.market.universe import universe
from smallcaps_assets.domain.selection import rules as selection
from smallcaps_assets.lake import Scope
from smallcaps_assets.lake.decisions import decisions
from smallcaps_assets.orchestration.checks import quality_specs
from smallcaps_assets.orchestration.describe import asset_spec
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, TICKERS
from smallcaps_assets.orchestration.pools import VENDOR
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    in_threads,
    materialize,
    partition_keys,
    selected_tables,
)
from smallcaps_assets.pipeline.density import day_metadata, density_metadata
from smallcaps_assets.pipeline.inputs import CLOSES_LOOKED_BACK, METRICS_WINDOW, YEAR_WINDOW
from smallcaps_assets.pipeline.partition_keys import year_keys
from smallcaps_assets.pipeline.workspace import Built, Outcome, Workspace
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.polygon.minutes import Minutes
from smallcaps_assets.sources.regulators.finra import FIRST_DAY as FINRA_START

SESSION_TABLES = (
    "tickers",
    "daily_bars",
    "short_volume",
    "universe",
    "minute_bars",
    "session_summary",
    "daily_metrics",
    "watchlist",
    "runners",
)
SESSIONS_PER_RUN = 250


def session_tables(location: Location) -> dg.AssetsDefinition:
    """The op; a year of sessions a run, because a window is read once per run."""

    @dg.multi_asset(
        name="session_tables",
        specs=[asset_spec(name, _deps(name)) for name in SESSION_TABLES],
        check_specs=quality_specs(SESSION_TABLES, location.partitions),
        partitions_def=location.partitions.sessions,
        can_subset=True,
        required_resource_keys=RESOURCES,
        pool=VENDOR,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=SESSIONS_PER_RUN),
    )
    def _session_tables(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        stages = Stages(work, config)
        selected = selected_tables(context)
        tables = [name for name in SESSION_TABLES if name in selected]
        outcomes = stages.run(tables, sorted(partition_keys(context, config)))
        try:
            yield from materialize(context, outcomes, location.observer, location.settings.run)
        finally:
            stages.close()
            if "universe" in tables:
                register_tickers(context.instance, work)

    return _session_tables


def registry(location: Location) -> dg.AssetsDefinition:
    """The registry: which ticker-days get their ticks. Registers their partition keys."""
    watchlists = dg.AssetDep("watchlist", partition_mapping=dg.AllPartitionMapping())

    @dg.multi_asset(
        name="ticker_sessions",
        specs=[asset_spec("ticker_sessions", [watchlists])],
        check_specs=quality_specs(["ticker_sessions"], location.partitions),
        can_subset=True,
        required_resource_keys=RESOURCES,
    )
    def _ticker_sessions(
        context: dg.AssetExecutionContext, config: RunConfig
    ) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        outcome = work.store("ticker_sessions", None, lambda: _registry(work))
        if outcome.error is None:
            register_ticker_sessions(context.instance, work)
        yield from materialize(context, [outcome], location.observer, location.settings.run)

    return _ticker_sessions


def register_tickers(instance: dg.DagsterInstance, work: Workspace) -> None:
    """Make ticker_history partitions of every ticker that was ever in the stored universe."""
    rows = work.lake.scan("universe").select("ticker").unique().sort("ticker").collect()
    _add(instance, TICKERS, rows["ticker"].to_list())


def register_ticker_sessions(instance: dg.DagsterInstance, work: Workspace) -> None:
    """Make partitions of the registry's ticker-sessions, by session and ticker."""
    if not work.lake.exists("ticker_sessions"):
        return
    rows = work.lake.read("ticker_sessions").sort("date", "ticker")
    _add(instance, TICKER_SESSIONS, rows["partition_key"].to_list())


def _add(
    instance: dg.DagsterInstance, cut: dg.DynamicPartitionsDefinition, keys: list[str]
) -> None:
    """Add the keys that are not there yet, behind the others; keys are never deleted."""
    assert cut.name is not None
    known = set(instance.get_dynamic_partitions(cut.name))
    new = [key for key in keys if key not in known]
    if new:
        instance.add_dynamic_partitions(cut.name, new)


def _deps(name: str) -> list[dg.AssetDep]:
    everything = dg.AllPartitionMapping()
    windows = {
        ("universe", "daily_bars"): _window(CLOSES_LOOKED_BACK, -1),
        ("daily_metrics", "session_summary"): _window(METRICS_WINDOW, 0),
        ("watchlist", "daily_metrics"): _window(YEAR_WINDOW, 0),
        ("watchlist", "universe"): _window(YEAR_WINDOW, 0),
        ("runners", "watchlist"): _window(YEAR_WINDOW - 1, 0),
    }
    deps = []
    for upstream in TABLES[name].upstream:
        mapping = windows.get((name, upstream))
        if upstream in ("splits", "dividends"):
            mapping = everything
        deps.append(dg.AssetDep(upstream, partition_mapping=mapping))
    return deps


def _window(back: int, end: int) -> dg.TimeWindowPartitionMapping:
    return dg.TimeWindowPartitionMapping(
        start_offset=-back, end_offset=end, allow_nonexistent_upstream_partitions=True
    )


class Stages:
    """The tables of many sessions in one run."""

    def __init__(self, work: Workspace, config: RunConfig) -> None:
        self.work = work
        self.config = config
        self._summary = lru_cache(maxsize=2 * METRICS_WINDOW)(self._read_summary)
        self._rich = lru_cache(maxsize=None)(self._find_rich)
        self._actions = lru_cache(maxsize=8)(self._read_actions)
        self._details = lru_cache(maxsize=4)(self._read_details)
        self._traded = lru_cache(maxsize=32)(self._read_traded)
        self._keys: list[str] = []

    @cached_property
    def minutes(self) -> Minutes:
        """The minutes of all sessions of the run."""
        return Minutes(self.work.router, self.work.spool, self._month_of_minutes, self._traded)

    def close(self) -> None:
        """Close what was opened for the run."""
        if "minutes" in self.__dict__:
            self.minutes.close()

    def run(self, tables: list[str], keys: list[str]) -> Iterator[Outcome]:
        """All outcomes, table after table; a session whose table failed gets none made from it.

        Nor does one whose table was read again and came out the same: what is made from it stays.
        """
        self._keys = keys
        failed: set[tuple[str, str]] = set()
        still: set[tuple[str, str]] = set()
        for table in tables:
            upstream = TABLES[table].upstream
            failed |= {(table, k) for k in keys if any((name, k) in failed for name in upstream)}
            below = {k for k in keys if any((name, k) in still for name in upstream)}
            still |= {(table, key) for key in below if self._is_skipped(table, key)}
            good = [key for key in keys if (table, key) not in failed | still]
            workers = self._threads(table)
            for outcome in in_threads(lambda key, t=table: self._make(t, key), good, workers):
                if outcome.written is None:
                    failed.add((table, str(outcome.key)))
                if outcome.is_unchanged:
                    still.add((table, str(outcome.key)))
                yield outcome

    def _is_skipped(self, table: str, key: str) -> bool:
        return self.config.skip_complete and self.work.is_current(table, key)

    def _threads(self, table: str) -> int:
        """FINRA's files are small and wait for each other's bytes: as many at once as allowed."""
        settings = self.work.settings
        return settings.finra.workers if table == "short_volume" else settings.run.threads

    def _make(self, table: str, key: str) -> Outcome:
        build = getattr(self, f"build_{table}")
        day = date.fromisoformat(key)
        return make(self.work, self.config, table, key, lambda: build(day))

    def build_tickers(self, day: date) -> Built:
        return Built(self.work.polygon.tickers(day), {"source": "REST, pages"})

    def build_daily_bars(self, day: date) -> Built:
        return Built(self.work.polygon.daily_bars(day), {"source": "REST, one grouped call"})

    def build_short_volume(self, day: date) -> Built:
        if day < FINRA_START:
            return Built(TABLES["short_volume"].empty(), {"source": f"none before {FINRA_START}"})
        answer = self.work.finra.short_volume(day)
        source, stamp = f"CNMS {answer.sha256}", self.work.lake.stamp("short_volume", str(day))
        metadata = {"source": "FINRA CNMS", "sha256": answer.sha256}
        if stamp is not None and stamp.source not in ("", source):
            metadata["corrected"] = f"the file was {stamp.source.removeprefix('CNMS ')} before"
        return Built(answer.frame, metadata, source=source)

    def build_universe(self, day: date) -> Built:
        key = day.isoformat()
        splits, dividends = self._actions(day.year)
        before = self.work.sessions_before(day, CLOSES_LOOKED_BACK)
        frame = universe(
            self.work.lake.read("tickers", key),
            self._details(key[:7]),
            splits,
            dividends,
            self.work.lake.read_many("daily_bars", before),
            self.work.settings.universe,
            day,
        )
        return Built(frame)

    def build_minute_bars(self, day: date) -> Built:
        companies, lacking = self._lacking_minutes(day.isoformat())
        if companies and not lacking:  # made bit by bit, and now whole
            return Built(self.work.lake.read("minute_bars", day.isoformat()))
        answer = self.minutes.session(day, lacking)
        silent = self._traded(day) & set(lacking) - set(answer.frame["ticker"]) - set(answer.failed)
        return Built(
            answer.frame,
            {"source": answer.route, "file": answer.source},
            asked=Scope.only(lacking) if len(lacking) < len(companies) else None,
            expected=len(companies),
            missing=answer.failed,
            doubted=Scope.only(silent) if silent else Scope.nothing(),
            source=answer.source,
            forget=answer.forget,
        )

    def _read_traded(self, day: date) -> frozenset[str]:
        """Tickers that have traded on a session, by its daily bars; none when there are none."""
        bars = self.work.lake.read_many("daily_bars", [day.isoformat()], ["ticker", "volume"])
        return frozenset(bars.filter(pl.col("volume") > 0)["ticker"])

    def _lacking_minutes(self, key: str) -> tuple[list[str], list[str]]:
        """The session's tickers that the run is for, and those of them to be asked for."""
        universe = self.work.lake.read("universe", key, ["ticker"])
        companies = self.work.only_wanted(universe)["ticker"].to_list()
        if not self.config.skip_complete or not self.work.is_file_current("minute_bars", key):
            return companies, companies
        held = self.work.held("minute_bars", key)
        return companies, [ticker for ticker in companies if ticker not in held]

    def _month_of_minutes(self, day: date) -> dict[date, list[str]]:
        """For each of the run's sessions in a month the tickers whose minutes it lacks."""
        keys = [key for key in self._keys if key[:7] == day.isoformat()[:7]]
        there = [key for key in keys if self.work.lake.exists("universe", key)]
        found = {date.fromisoformat(key): self._lacking_minutes(key)[1] for key in there}
        return {session: tickers for session, tickers in found.items() if tickers}

    def build_session_summary(self, day: date) -> Built:
        key, lake = day.isoformat(), self.work.lake
        has_minutes = lake.exists("minute_bars", key)
        minutes = lake.read("minute_bars", key) if has_minutes else None
        frame = metrics.session_summary(
            lake.read("universe", key), lake.read("daily_bars", key), minutes, session_hours(day)
        )
        return Built(frame, {"minutes": "used" if has_minutes else "not at hand"})

    def build_daily_metrics(self, day: date) -> Built:
        keys = [*self.work.sessions_before(day, METRICS_WINDOW), day.isoformat()]
        present = [key for key in keys if self.work.lake.exists("session_summary", key)]
        summaries = pl.concat([self._summary(key) for key in present])
        splits, dividends = self._actions(day.year)
        factors = adjustment_factors(
            splits,
            dividends,
            summaries.select("date", "ticker", "close"),
            listings(summaries.select("date", "ticker", "identity")),
        )
        frame = metrics.daily_metrics(
            summaries,
            factors,
            self.work.lake.read("universe", day.isoformat()),
            sessions(date.fromisoformat(keys[0]), day),
            day,
            self.work.settings.metrics,
            decisions(self.work.lake),
        )
        return Built(frame, {"sessions looked at": len(present), **day_metadata(frame)})

    def build_watchlist(self, day: date) -> Built:
        lake, key = self.work.lake, day.isoformat()
        before = self.work.sessions_before(day, YEAR_WINDOW)
        rich = [self._rich(k) for k in before if lake.exists("daily_metrics", k)]
        history = pl.concat(rich) if rich else TABLES["watchlist"].empty()
        previous = date.fromisoformat(before[-1]) if before else day
        frame = selection.watchlist(
            lake.read("daily_metrics", key),
            lake.read("minute_bars", key) if lake.exists("minute_bars", key) else None,
            lake.read("universe", key),
            history.filter(pl.col("date") == previous),
            selection.runners(history, previous, self.work.settings.selection),
            session_hours(day),
            self.work.settings.selection,
        )
        counts = frame["rule"].value_counts(sort=True).sort("rule").iter_rows()
        return Built(frame, {f"days by {rule}": count for rule, count in counts})

    def build_runners(self, day: date) -> Built:
        keys = [*self.work.sessions_before(day, YEAR_WINDOW - 1), day.isoformat()]
        watchlists = self.work.lake.read_many("watchlist", keys)
        return Built(selection.runners(watchlists, day, self.work.settings.selection))

    def _read_summary(self, key: str) -> pl.DataFrame:
        return self.work.lake.read("session_summary", key)

    def _find_rich(self, key: str) -> pl.DataFrame:
        """Info-rich days of an earlier session, which its metrics alone decide."""
        lake, empty = self.work.lake, TABLES["watchlist"].empty()
        rows = selection.watchlist(
            lake.read("daily_metrics", key),
            None,
            lake.read("universe", key),
            empty,
            TABLES["runners"].empty(),
            session_hours(date.fromisoformat(key)),
            self.work.settings.selection,
        )
        return rows.filter(pl.col("rule") == "info_rich")

    def _read_actions(self, year: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Splits and dividends from the market's first year up to this one."""
        first = self.work.span.start
        keys = year_keys(first, date(year, 1, 1))
        for table in ("splits", "dividends"):
            self.work.lake.read(table, str(year), ["ticker"])
        read = self.work.lake.read_many
        return read("splits", keys), read("dividends", keys)

    def _read_details(self, month: str) -> pl.DataFrame:
        return self.work.lake.read("ticker_details", month)


def _registry(work: Workspace) -> Built:
    exists = work.lake.exists("ticker_sessions")
    watchlist = work.lake.scan("watchlist").collect()
    frame = selection.ticker_sessions(
        watchlist,
        work.lake.read("ticker_sessions") if exists else None,
        work.settings.selection,
    )
    counts = {"qualified": int(frame["is_qualified"].sum())}
    return Built(
        frame, {**counts, **density_metadata(watchlist, work.lake.keys("watchlist"), frame)}
    )
