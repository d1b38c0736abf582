"""The tables of a session: lists, bars, short volume, universe, summary, metrics, selection.

Made table after table over all sessions of the run, so that a window of earlier sessions is there
when a later table needs it, and one bad session fails alone.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cached_property, lru_cache, partial

import numpy as np
import polars as pl

from smallcaps_assets.domain.market import metrics
from smallcaps_assets.domain.market.adjustment import adjustment_factors, listings
from smallcaps_assets.domain.market.calendar import session_hours, sessions
from smallcaps_assets.domain.market.universe import universe
from smallcaps_assets.domain.market.volume_curve import volume_curve
from smallcaps_assets.domain.selection import rules as selection
from smallcaps_assets.domain.selection.volatile import session_volatility, volatile
from smallcaps_assets.lake import Scope
from smallcaps_assets.lake.decisions import decisions
from smallcaps_assets.pipeline.density import day_metadata
from smallcaps_assets.pipeline.fetch import fetch_minutes
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.partition_keys import year_keys
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.usual_volume import UsualVolume
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import CLOSES_LOOKED_BACK, METRICS_WINDOW, TABLES, YEAR_WINDOW
from smallcaps_assets.sources.polygon.minutes import MonthsOfMinutes
from smallcaps_assets.sources.regulators.finra import FIRST_DAY as FINRA_START


def session_tables(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of some tables over many sessions."""
    stages = Stages(work)
    try:
        yield from stages.run(tables, keys)
    finally:
        stages.close()


class Stages:
    """The tables of many sessions in one run."""

    def __init__(self, work: Workspace) -> None:
        self.work = work
        read = work.lake.read
        self._summary = lru_cache(maxsize=2 * METRICS_WINDOW)(partial(read, "session_summary"))
        self._rich = lru_cache(maxsize=None)(self._find_rich)
        self._measures = lru_cache(maxsize=None)(self._read_measures)
        self._actions = lru_cache(maxsize=8)(self._read_actions)
        self._details = lru_cache(maxsize=4)(partial(read, "ticker_details"))
        self._traded = lru_cache(maxsize=32)(self._read_traded)
        self._keys: list[str] = []

    @cached_property
    def months(self) -> MonthsOfMinutes:
        """The minutes over REST of all sessions of the run."""
        clients = self.work.clients
        return MonthsOfMinutes(
            clients.polygon, clients.page_cache, self._minutes_over_rest, self._traded
        )

    def close(self) -> None:
        """Close what was opened for the run."""
        if "months" in self.__dict__:
            self.months.close()

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
            still |= {(table, key) for key in below if self.work.is_skipped(table, key)}
            good = [key for key in keys if (table, key) not in failed | still]
            workers = self._threads(table)
            for outcome in in_threads(lambda key, t=table: self._make(t, key), good, workers):
                if outcome.written is None:
                    failed.add((table, str(outcome.key)))
                if outcome.is_unchanged:
                    still.add((table, str(outcome.key)))
                yield outcome

    def _threads(self, table: str) -> int:
        """FINRA's files are small and wait for each other's bytes: as many at once as allowed."""
        settings = self.work.settings
        return settings.finra.workers if table == "short_volume" else settings.run.threads

    def _make(self, table: str, key: str) -> Outcome:
        build = getattr(self, f"build_{table}")
        day = date.fromisoformat(key)
        return self.work.make(table, key, lambda: build(day))

    def build_tickers(self, day: date) -> BuildResult:
        return BuildResult(self.work.clients.polygon.tickers(day), {"source": "REST, pages"})

    def build_daily_bars(self, day: date) -> BuildResult:
        return BuildResult(
            self.work.clients.polygon.daily_bars(day), {"source": "REST, one grouped call"}
        )

    def build_short_volume(self, day: date) -> BuildResult:
        if day < FINRA_START:
            return BuildResult(
                TABLES["short_volume"].empty(), {"source": f"none before {FINRA_START}"}
            )
        answer = self.work.clients.finra.short_volume(day)
        source, stamp = f"CNMS {answer.sha256}", self.work.lake.stamp("short_volume", str(day))
        metadata = {"source": "FINRA CNMS", "sha256": answer.sha256}
        if stamp is not None and stamp.source not in ("", source):
            metadata["corrected"] = f"the file was {stamp.source.removeprefix('CNMS ')} before"
        return BuildResult(answer.frame, metadata, source=source)

    def build_universe(self, day: date) -> BuildResult:
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
        return BuildResult(frame)

    def build_minute_bars(self, day: date) -> BuildResult:
        companies, lacking = self._lacking_minutes(day.isoformat())
        if companies and not lacking:  # made bit by bit, and now whole
            return BuildResult(self.work.lake.read("minute_bars", day.isoformat()))
        built = fetch_minutes(self.work.clients, self.months, day, lacking)
        silent = self._traded(day) & set(lacking) - set(built.frame["ticker"]) - set(built.missing)
        return replace(
            built,
            asked=Scope.only(lacking) if len(lacking) < len(companies) else None,
            expected=len(companies),
            doubted=Scope.only(silent) if silent else Scope.nothing(),
        )

    def _read_traded(self, day: date) -> frozenset[str]:
        """Tickers that have traded on a session, by its daily bars; none when there are none."""
        bars = self.work.lake.read_many("daily_bars", [day.isoformat()], ["ticker", "volume"])
        return frozenset(bars.filter(pl.col("volume") > 0)["ticker"])

    def _lacking_minutes(self, key: str) -> tuple[list[str], list[str]]:
        """The session's tickers that the run is for, and those of them to be asked for."""
        universe = self.work.lake.read("universe", key, ["ticker"])
        companies = self.work.only_wanted(universe)["ticker"].to_list()
        if not self.work.skip_complete or not self.work.is_file_current("minute_bars", key):
            return companies, companies
        held = self.work.held("minute_bars", key)
        return companies, [ticker for ticker in companies if ticker not in held]

    def _minutes_over_rest(self, day: date) -> dict[date, list[str]]:
        """Sessions of a month that the run reads over REST, with the tickers they lack."""
        keys = [key for key in self._keys if key[:7] == day.isoformat()[:7]]
        there = [key for key in keys if self.work.lake.exists("universe", key)]
        found = {date.fromisoformat(key): self._lacking_minutes(key)[1] for key in there}
        router = self.work.clients.router
        return {
            d: lacking for d, lacking in found.items() if lacking and not router.minutes(d).is_file
        }

    def build_session_summary(self, day: date) -> BuildResult:
        key, lake = day.isoformat(), self.work.lake
        has_minutes = lake.exists("minute_bars", key)
        minutes = lake.read("minute_bars", key) if has_minutes else None
        frame = metrics.session_summary(
            lake.read("universe", key), lake.read("daily_bars", key), minutes, session_hours(day)
        )
        return BuildResult(frame, {"minutes": "used" if has_minutes else "not at hand"})

    def build_daily_metrics(self, day: date) -> BuildResult:
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
        return BuildResult(frame, {"sessions looked at": len(present), **day_metadata(frame)})

    def build_watchlist(self, day: date) -> BuildResult:
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
            listed=self._volatile(day, before[-1:]),
            usual=partial(self._usual, day),
        )
        counts = frame["rule"].value_counts(sort=True).sort("rule").iter_rows()
        return BuildResult(frame, {f"days by {rule}": count for rule, count in counts})

    def build_runners(self, day: date) -> BuildResult:
        keys = [*self.work.sessions_before(day, YEAR_WINDOW - 1), day.isoformat()]
        rich = [self._rich(k) for k in keys if self.work.lake.exists("daily_metrics", k)]
        return BuildResult(selection.runners(pl.concat(rich), day, self.work.settings.selection))

    def build_volatile(self, day: date) -> BuildResult:
        return BuildResult(self._most_volatile(day))

    def _most_volatile(self, day: date) -> pl.DataFrame:
        """The volatile list as of a session, from the year up to it."""
        keys = [*self.work.sessions_before(day, YEAR_WINDOW - 1), day.isoformat()]
        there = [key for key in keys if self.work.lake.exists("daily_metrics", key)]
        measures = pl.concat(map(self._measures, there)) if there else None
        if measures is None:
            return TABLES["volatile"].empty()
        return volatile(measures, day, self.work.settings.selection)

    def _volatile(self, day: date, before: list[str]) -> pl.DataFrame | None:
        """The list of the session before, where some rule is limited to it."""
        if not self.work.settings.selection.volatile_only or not before:
            return None
        return self._most_volatile(date.fromisoformat(before[0]))

    def _usual(self, day: date, tickers: list[str]) -> dict[str, np.ndarray]:
        """The usual volume of some tickers by each minute of a session, where it is known."""
        past = UsualVolume(self.work, {ticker: [day] for ticker in tickers})
        curves = {ticker: volume_curve(past.minutes(ticker, day)) for ticker in tickers}
        return {ticker: curve for ticker, curve in curves.items() if curve is not None}

    def _read_measures(self, key: str) -> pl.DataFrame:
        return session_volatility(self.work.lake.read("daily_metrics", key))

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
            self.work.settings.selection.model_copy(update={"volatile_only": ()}),
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
