"""`smallcaps backtest`: what a strategy would have earned, with errors, costs and the trials.

Nothing is contacted. With `--html` the worst days are also drawn into the lake, as `smallcaps show`
draws them, so that the page's charts lead to them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows, write_file
from smallcaps_assets.cli.setup import UserError, settings_of, stored_lake
from smallcaps_assets.cli.spans import check_page, span_of
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.selection import as_day, stored_keys
from smallcaps_assets.settings import Settings

if TYPE_CHECKING:
    from smallcaps_assets.reports.backtest_grids import WorstDay
    from smallcaps_assets.reports.backtest_page import BacktestFigures
    from smallcaps_assets.reports.spans import Span

WORST_DAYS = 5


def show_backtest(
    options: LakeOptions,
    strategy: str | None,
    start: str | None,
    end: str | None,
    html: str | None,
    compare: tuple[str, str] | None,
    is_json: bool,
) -> int:
    """Print verdict and tables, or JSON, and write the page; without a strategy all of them."""
    settings = settings_of(options)
    store = stored_lake(settings)
    check_page(html)
    names = stored_keys(store, "backtest_days")
    if strategy is None:
        return _show_all(settings, store, (start, end), html, compare, is_json)
    if strategy not in names:
        raise UserError(f"{strategy!r} has no backtest; choose from {', '.join(names)}")
    trades, days = _backtests(store)
    spans = _spans(settings, days, (start, end), compare)
    figures = [_figures(settings, store, strategy, span, trades, days) for span in spans]
    if html is not None:
        figures = [_with_worst_days(settings, store, one, html) for one in figures]
        from smallcaps_assets.reports.backtest_page import backtest_page

        write_file(html, backtest_page(figures).encode(), "--html")
    if is_json:
        echo_json(_plain(figures))
        return 0
    _print(figures, html)
    return 0


def _show_all(
    settings: Settings,
    lake: Lake,
    dates: tuple[str | None, str | None],
    html: str | None,
    compare: tuple[str, str] | None,
    is_json: bool,
) -> int:
    """All strategies beside each other."""
    if html is not None or compare:
        raise UserError("a page and a comparison are of one strategy; name it: backtest STRATEGY")
    from smallcaps_assets.domain.evidence.comparison import standings
    from smallcaps_assets.domain.evidence.trials import trial_count
    from smallcaps_assets.lake.trials import trials
    from smallcaps_assets.reports.backtest_grids import standing_grid
    from smallcaps_assets.reports.backtest_words import outcome_lines
    from smallcaps_assets.reports.sections import terminal_table

    trades, days = _backtests(lake)
    (span,) = _spans(settings, days, dates, None)
    trades, days = _within(trades, span), _within(days, span)
    table = standings(trades, days["strategy"].unique().sort().to_list())
    count = trial_count(trials(lake))
    if is_json:
        echo_json({"trials": count, "strategies": plain_rows(table)})
        return 0
    console = wide_console()
    console.print(terminal_table(standing_grid(table)))
    for line in outcome_lines(trades, days, count):
        console.print(line, soft_wrap=True, markup=False)
    return 0


def _backtests(lake: Lake) -> tuple[pl.DataFrame, pl.DataFrame]:
    from smallcaps_assets.pipeline.evidence import backtests, with_context

    trades, days = backtests(lake)
    return with_context(lake, trades), days


def _spans(
    settings: Settings,
    days: pl.DataFrame,
    dates: tuple[str | None, str | None],
    compare: tuple[str, str] | None,
) -> list[Span]:
    """The two spans to compare, or the one between two dates; each with a session."""
    from smallcaps_assets.reports.spans import Span

    first, last = days["date"].min(), days["date"].max()
    assert isinstance(first, date) and isinstance(last, date)
    if compare and any(dates):
        raise UserError("--compare has its own dates; leave out --from and --to")
    if compare:
        spans = [span_of(settings, text, last) for text in compare]
    else:
        start = as_day(dates[0], "--from") or first
        end = as_day(dates[1], "--to") or max(start, last)
        if start > end:
            raise UserError(f"--from {start} is after --to {end}; swap them")
        spans = [Span(f"{start} to {end}", start, end)]
    for span in spans:
        if _within(days, span).is_empty():
            raise UserError(
                f"{span.text}: no session was traded; the backtests are of {first} to {last}"
            )
    return spans


def _within(rows: pl.DataFrame, span: Span) -> pl.DataFrame:
    return rows.filter(pl.col("date").is_between(span.start, span.end))


def _figures(
    settings: Settings,
    lake: Lake,
    strategy: str,
    span: Span,
    trades: pl.DataFrame,
    days: pl.DataFrame,
) -> BacktestFigures:
    from smallcaps_assets.domain.evidence.comparison import standings
    from smallcaps_assets.domain.evidence.summary import evidence_of
    from smallcaps_assets.lake.trials import trials
    from smallcaps_assets.reports.backtest_page import BacktestFigures

    trades, days = _within(trades, span), _within(days, span)
    names = days["strategy"].unique().sort().to_list()
    return BacktestFigures(
        span=span,
        market=settings.market.name,
        evidence=evidence_of(strategy, trades, days, trials(lake)),
        standings=standings(trades, names),
        variants=_variants(settings, lake, strategy, span),
    )


def _variants(settings: Settings, lake: Lake, strategy: str, span: Span) -> pl.DataFrame:
    """Expectancy of the strategy under other latencies and sizes."""
    from smallcaps_assets.domain.evidence.summary import variant_figures
    from smallcaps_assets.pipeline.evidence import latencies, other_sizes, variants

    rules = settings.backtest
    declared = next((one for one in rules.every if one.name == strategy), None)
    sizes = [] if declared is None else other_sizes(rules.rules_of(declared))
    walked = variants(lake, rules, strategy, [*latencies(rules), *sizes])
    return variant_figures(_within(walked, span))


# Worst days --------------------------------------------------------------------------------------
def _with_worst_days(
    settings: Settings, lake: Lake, figures: BacktestFigures, html: str
) -> BacktestFigures:
    """The figures with the ticker-sessions that lost most, each with a page of its own."""
    from dataclasses import replace

    losses = (
        figures.evidence.trades.group_by("ticker", "date")
        .agg(pl.len().alias("trades"), pl.col("net_profit").sum())
        .filter(pl.col("net_profit") < 0)
        .sort("net_profit", "date", "ticker")
        .head(WORST_DAYS)
    )
    worst = [_worst_day(settings, lake, html, row) for row in losses.iter_rows(named=True)]
    return replace(figures, worst=worst)


def _worst_day(settings: Settings, lake: Lake, html: str, row: dict[str, Any]) -> WorstDay:
    from smallcaps_assets.cli.day import any_day
    from smallcaps_assets.cli.show import draw_day
    from smallcaps_assets.reports.backtest_grids import WorstDay

    view = any_day(settings, lake, row["ticker"], row["date"])
    link = ""
    if lake.is_local:
        with suppress(OSError):  # of a lake that can't be written to, the command alone is told
            place = Path(draw_day(lake, view, None)).resolve()
            link = Path(os.path.relpath(place, Path(html).resolve().parent)).as_posix()
    return WorstDay(view, row["trades"], row["net_profit"], link)


# Output ------------------------------------------------------------------------------------------
def _print(figures: Sequence[BacktestFigures], html: str | None) -> None:
    from smallcaps_assets.reports.backtest_page import grids, measures
    from smallcaps_assets.reports.sections import measures_grid, terminal_table

    console = wide_console()
    for one in figures:
        console.print(f"{one.span.text}: {one.words}", soft_wrap=True, markup=False)
    if len(figures) > 1:
        spans = [one.span for one in figures]
        console.print(terminal_table(measures_grid(measures(figures), spans)))
    else:
        for grid in grids(figures[0]):
            if grid.rows:
                console.print(terminal_table(grid))
    if html is not None:
        console.print(f"page  {html}", soft_wrap=True, markup=False)


def _plain(figures: Sequence[BacktestFigures]) -> dict[str, Any]:
    """Everything as a script reads it; `spans` has one entry, or two."""
    from smallcaps_assets.reports.backtest_page import plain_backtest

    spans = [
        {name: plain_rows(v) if isinstance(v, pl.DataFrame) else v for name, v in told.items()}
        for told in map(plain_backtest, figures)
    ]
    return {"strategy": figures[0].evidence.strategy, "spans": spans}
