"""`smallcaps run`: check the request, run the main job with live progress, and summarize it."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.console import Console

from smallcaps_assets.cli.console import progress_bar, wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.setup import (
    UserError,
    check_lake,
    check_launcher,
    check_market,
    range_text,
    ready_lake,
    session_range,
    settings_of,
    ticker_list,
)
from smallcaps_assets.lake import Empties, Lake
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

if TYPE_CHECKING:
    from smallcaps_assets.pipeline.losses import Losses

_SHOWN_FAILURES = 20
_SHOWN_EMPTIES = 5


class Display:
    """Live progress: one bar for each step of the main job."""

    def __init__(self, console: Console) -> None:
        from smallcaps_assets.sources.http import notices

        self.progress = progress_bar(console, notices.waits)
        self._hearing = notices.heard_by(self._say)
        self._task: Any = None
        self._failed = 0

    def step(self, step: Any, partitions: int) -> None:
        """A new step begins."""
        self._failed = 0
        self._finish()
        self._task = self.progress.add_task(step.title, total=partitions, note="")

    def partition(self, outcome: Any) -> None:
        """One partition is done."""
        self._failed += outcome.is_failed
        note = f"{self._failed} failed" if self._failed else f"{outcome.table} {outcome.key or ''}"
        if self._task is not None:
            self.progress.update(self._task, advance=1, note=note)

    def _say(self, text: str) -> None:
        self.progress.console.print(text, style="yellow", soft_wrap=True, markup=False)

    def _finish(self) -> None:
        if self._task is not None:
            self.progress.update(self._task, note="")

    def __enter__(self) -> Display:
        self._hearing.__enter__()
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()
        self.progress.stop()
        self._hearing.__exit__(None, None, None)


def run_main_job(
    options: LakeOptions,
    start: str | None,
    end: str | None,
    period: str | None,
    until: str | None,
    tickers: str | None,
    force: bool,
    is_dry: bool,
    is_reported: bool,
    is_queued: bool,
) -> int:
    """The command; returns its exit status."""
    began = time.perf_counter()
    settings = settings_of(options, is_new_run=True)
    _check_until(settings, until)
    if period is not None:
        start, end = _period_dates(settings, period, (start, end))
    first, last = session_range(settings, start, end)
    wanted = ticker_list(tickers)
    check_lake(settings)
    check_market(settings, wanted, first, last)
    if is_dry:
        return _show(settings, (first, last), wanted, force, until)
    if is_queued:
        check_launcher(settings)
    store = ready_lake(settings)

    from smallcaps_assets.jobs.run import MainJob
    from smallcaps_assets.orchestration.instance import choose_launcher, open_instance
    from smallcaps_assets.orchestration.queue import check_daemon

    console = wide_console()
    days = range_text((start, end), (first, last))
    console.print(f"market {settings.market.name}, {days}, lake {store.root}", soft_wrap=True)
    name_absent(console, settings)
    display = Display(console)
    if is_queued:
        choose_launcher(settings.lake.local, settings.run)
    with open_instance(settings.lake.local) as instance:
        if is_queued:
            check_daemon(instance)
        job = MainJob(
            settings,
            store,
            instance,
            first,
            last,
            wanted,
            force,
            observer=display.partition,
            on_step=display.step,
            until=until,
            is_queued=is_queued,
        )
        with display:
            report = job.run()
    renew_catalog(store)
    return _conclude(console, settings, store, report, (first, last), until, is_reported, began)


def _conclude(
    console: Console,
    settings: Settings,
    store: Lake,
    report: Any,
    days: tuple[date, date],
    until: str | None,
    is_reported: bool,
    began: float,
) -> int:
    """Summarize the run with its losses, empty answers and failures; its exit status."""
    from smallcaps_assets.pipeline.losses import losses

    if report.known:
        console.print(
            f"{len(report.known)} stored partitions were reported to Dagster and not made again"
        )
    lost = losses(store, settings.dataset.periods, *days)
    name_empties(console, store, len(report.unchanged))
    if not (report.done or report.failed or report.not_offered):
        took = time.perf_counter() - began
        console.print(f"everything is complete; nothing to do ({took:.1f} s)")
        if until is None:
            name_models(console, settings, store)
        name_losses(console, lost)
        return 0
    from smallcaps_assets.cli.report import write_report
    from smallcaps_assets.reports.terminal import summary_table

    rows = summary_rows(report)
    console.print(summary_table(rows))
    if until is not None:
        console.print(f"stopped after {until}, as requested")
    elif store.exists("ml_dataset", "union"):
        console.print(f"dataset  {store.path('ml_dataset', 'union')}", soft_wrap=True)
    if until is None and is_reported:
        place = write_report(settings, store, report, rows, days, lost.lines())
        console.print(f"report   {place}", soft_wrap=True)
    if until is None:
        name_models(console, settings, store)
    console.print(f"done in {time.perf_counter() - began:.1f} s")
    name_losses(console, lost)
    return name_failures(console, report)


def name_models(console: Console, settings: Settings, store: Lake) -> None:
    """Say which months were predicted and what there is no model of, and what strategies earned."""
    from smallcaps_assets.pipeline.backtest_lines import backtest_lines
    from smallcaps_assets.pipeline.model_lines import model_lines

    for line in (*model_lines(store), *backtest_lines(store, settings.backtest)):
        console.print(line, soft_wrap=True, markup=False)


def name_absent(console: Console, settings: Settings) -> None:
    """Say which tables are left out because the market has no source for them."""
    absent = [name for name in market_of(settings).absent_tables if not TABLES[name].is_optional]
    if absent:
        text = f"left out, because a {settings.market.name} market has no source for them: "
        console.print(text + ", ".join(absent), soft_wrap=True)


def _show(
    settings: Settings, days: tuple[date, date], tickers: list[str], force: bool, until: str | None
) -> int:
    """What a run would find missing or out of date; a lake that does not exist is not created."""
    from smallcaps_assets.jobs.run import MainJob
    from smallcaps_assets.orchestration.instance import instance_to_read
    from smallcaps_assets.reports.terminal import survey_table

    console, store = wide_console(), Lake(settings.lake.root)
    with instance_to_read(settings.lake.local) as instance:
        job = MainJob(settings, store, instance, *days, tickers, force, until=until)
        rows = list(job.survey())
    console.print(survey_table(rows))
    missing, stale = sum(row.missing for row in rows), sum(row.outdated for row in rows)
    console.print(
        f"{missing:,} partitions are missing and {stale:,} out of date; nothing was made. What is"
        " made from them follows in the same run, and is counted once they exist",
        soft_wrap=True,
    )
    return 0


def _check_until(settings: Settings, table: str | None) -> None:
    """Refuse a table that the main job does not make of this market."""
    known = [name for name in TABLES if name not in market_of(settings).left_out]
    if table is not None and table not in known:
        raise UserError(f"--until {table!r} is not made by `run`; choose from {', '.join(known)}")


def _period_dates(
    settings: Settings, name: str, given: tuple[str | None, str | None]
) -> tuple[str, str | None]:
    """First and last date of a period of the settings, as if given as options."""
    if any(given):
        raise UserError(f"--period {name} has its own dates; leave --from and --to out")
    periods = {period.name: period for period in settings.dataset.periods}
    if name not in periods:
        raise UserError(f"unknown period {name!r}; choose from {', '.join(periods)}")
    end = periods[name].end
    return str(periods[name].start), str(end) if end else None


def name_empties(console: Console, store: Lake, unchanged: int) -> None:
    """Name the empty answers that are not confirmed yet."""
    if unchanged:
        console.print(f"{unchanged} empty answers were read again and are still empty")
    found = [empty for empty in Empties(store).noted() if not empty.is_confirmed]
    if found:
        names = ", ".join(f"{e.table} {e.key}".strip() for e in found[:_SHOWN_EMPTIES])
        more = f" and {len(found) - _SHOWN_EMPTIES} more" if len(found) > _SHOWN_EMPTIES else ""
        line = f"came empty: {names}{more}; unconfirmed, a run on another day reads them again"
        console.print(line, soft_wrap=True, markup=False)


def renew_catalog(store: Lake) -> None:
    """Bring the SQL views up to date with what is stored."""
    if store.is_local:
        from smallcaps_assets.lake.catalog import refresh

        refresh(store)


def name_losses(console: Console, lost: Losses) -> None:
    """Print what was selected and is not in the dataset as it should be."""
    for line in lost.lines():
        console.print(line, style="bold yellow", soft_wrap=True, markup=False, highlight=False)


def name_failures(console: Console, report: Any) -> int:
    """Print the failed partitions; the exit status that they deserve."""
    if not report.failed:
        return 0
    from smallcaps_assets.orchestration.runner import explain

    failed = report.failed
    partial = sum(outcome.written is not None for outcome in failed)
    what = [(len(failed) - partial, "failed"), (partial, "lack tickers")]
    told = " and ".join(f"{count} partitions {fate}" for count, fate in what if count)
    console.print(f"{told}; the others are complete", style="bold red")
    for outcome in failed[:_SHOWN_FAILURES]:
        console.print(f"  {explain(outcome)}", soft_wrap=True, markup=False)
    console.print("fix the cause and run the same command again; only what is missing is made")
    return 1


def summary_rows(report: Any) -> list[tuple[str, int, int, int, float, int]]:
    """Table, partitions, rows, bytes, seconds and failures of a main job, in the graph's order."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0, 0])
    for outcome in (*report.done, *report.failed):
        entry = sums[outcome.table]
        entry[3] += outcome.seconds
        entry[4] += outcome.is_failed
        if outcome.written is None:
            continue
        for place, value in enumerate((1, outcome.written.rows, outcome.written.bytes)):
            entry[place] += value
    return [
        (t, int(s[0]), int(s[1]), int(s[2]), float(s[3]), int(s[4]))
        for t in TABLES
        if (s := sums.get(t))
    ]
