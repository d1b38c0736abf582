"""`smallcaps backfill`: check the request, run or show it, and name what failed."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Any

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.run import (
    Display,
    name_absent,
    name_empties,
    name_failures,
    name_losses,
    renew_catalog,
    summary_rows,
)
from smallcaps_assets.cli.setup import (
    UserError,
    check_lake,
    check_launcher,
    check_market,
    names_of,
    range_text,
    ready_lake,
    session_range,
    settings_of,
    ticker_list,
)
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.market import market_of


def run_backfill(
    options: LakeOptions,
    tables: tuple[str, ...],
    start: str | None,
    end: str | None,
    tickers: str | None,
    keys: str | None,
    is_missing: bool,
    is_failed: bool,
    is_dry: bool,
    is_queued: bool,
) -> int:
    """The command; returns its exit status."""
    settings = settings_of(options)
    check_lake(settings)
    narrowed = (tables, start, end, tickers, keys, is_missing, is_failed)
    if not any(narrowed):
        raise UserError("backfill what? name tables, keys or dates, or give --missing or --failed")
    first, last = _range(settings, start, end)
    if is_queued and not is_dry:
        check_launcher(settings)

    from smallcaps_assets.jobs.backfill import Backfill, BackfillError, Request, tables_of
    from smallcaps_assets.orchestration.instance import choose_launcher, open_instance
    from smallcaps_assets.orchestration.queue import check_daemon
    from smallcaps_assets.pipeline.losses import losses

    wanted = tuple(ticker_list(tickers))
    check_market(settings, list(wanted), first, last)
    console, began = wide_console(), time.perf_counter()
    if start or end:
        console.print(range_text((start, end), (first, last)), soft_wrap=True)
    name_absent(console, settings)
    display = Display(console)
    try:
        named = tables_of(tables, market_of(settings).left_out)
        chosen = names_of(keys, "--keys", "partition")
        request = Request(named, first, last, wanted, chosen, is_missing, is_failed)
        if is_queued and not is_dry:
            choose_launcher(settings.lake.local, settings.run)
        with open_instance(settings.lake.local) as instance:
            job = Backfill(
                settings,
                ready_lake(settings),
                instance,
                first,
                last,
                wanted,
                observer=display.partition,
                on_step=display.step,
                request=request,
                is_queued=is_queued,
            )
            if is_dry:
                return _show(console, job)
            if is_queued:
                check_daemon(instance)
            with display:
                report = job.run()
    except BackfillError as error:
        raise UserError(str(error)) from None
    renew_catalog(job.work.lake)
    name_empties(console, job.work.lake, len(report.unchanged))
    if not (report.done or report.failed or report.unchanged or report.not_offered):
        console.print("nothing to do: no partition matches the request")
        return 0
    from smallcaps_assets.reports.terminal import summary_table

    console.print(summary_table(summary_rows(report)))
    console.print(f"{report.runs} runs, done in {time.perf_counter() - began:.1f} s")
    name_losses(console, losses(job.work.lake, settings.dataset.periods, first, last))
    return name_failures(console, report)


def _range(settings: Any, start: str | None, end: str | None) -> tuple[date, date]:
    """The request's sessions; by default from the lake's first to the newest that has begun."""
    from smallcaps_assets.pipeline.partition_keys import MarketSpan
    from smallcaps_assets.pipeline.publication_times import newest_begun

    stored = Lake(settings.lake.root).keys("daily_bars")
    newest = newest_begun(MarketSpan.of_market(settings), datetime.now(UTC))
    begin = start or (stored[0] if stored else None)
    return session_range(settings, begin, end or (newest.isoformat() if newest else None))


def _show(console: Any, job: Any) -> int:
    """The runs that would be started, one line each."""
    count = 0
    for step, launch in job.planned():
        count += len(launch.keys)
        what = ", ".join(step.tables)
        how = "range" if launch.is_range else "list"
        console.print(
            f"{what}: {len(launch.keys):,} partitions by {how}, {launch.keys[0]} to"
            f" {launch.keys[-1]}",
            soft_wrap=True,
            markup=False,
        )
    console.print(f"{count:,} partitions; nothing was made")
    return 0
