"""`smallcaps quality`: what is stored, what is missing and why, and whether it agrees."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.console import Console

from smallcaps_assets.cli.console import progress_bar, wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows, write_file
from smallcaps_assets.cli.quality_figures import (
    partitions_to_read,
    quality_figures,
    read_source,
)
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.cli.spans import check_page, chosen_spans
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import instance_to_read
from smallcaps_assets.reports.quality_measures import QualityFigures, quality_measures
from smallcaps_assets.reports.quality_page import quality_page
from smallcaps_assets.reports.sections import measures_grid, terminal_table
from smallcaps_assets.reports.spans import Span, plain_measures
from smallcaps_assets.settings import Settings

_SHOWN = 10


def show_quality(
    options: LakeOptions,
    html: str | None,
    compare: tuple[str, str] | None,
    tapes: int,
    is_json: bool,
) -> int:
    """Print the summary, and write the page; nothing is contacted, nothing in the lake changes."""
    settings = settings_of(options)
    store = stored_lake(settings)
    check_page(html)
    spans = chosen_spans(settings, store, "daily_bars", compare)
    figures = _gather(settings, store, spans, tapes)
    measures = quality_measures(figures)
    if html is not None:
        write_file(html, quality_page(figures, settings.market.name).encode(), "--html")
    if is_json:
        echo_json({**plain_measures(measures, spans), "found": [_plain(one) for one in figures]})
        return 0
    console = wide_console()
    console.print(terminal_table(measures_grid(measures, spans, f"lake {store.root}")))
    for line in _lines(figures):
        console.print(line, markup=False)
    if html is not None:
        console.print(f"page  {html}", soft_wrap=True, markup=False)
    return 0


def _gather(settings: Settings, store: Lake, spans: list[Span], tapes: int) -> list[QualityFigures]:
    """The figures of each span, with a progress bar."""
    with (
        progress_bar(Console(stderr=True)) as progress,
        instance_to_read(settings.lake.local) as instance,
    ):
        total = sum(partitions_to_read(store, span, tapes) for span in spans)
        task = progress.add_task("partitions", total=total, note="")
        source = read_source(
            settings, store, instance, tapes, lambda count: progress.advance(task, count)
        )
        return [quality_figures(source, span) for span in spans]


def _lines(figures: list[QualityFigures]) -> list[str]:
    """The first of the defects, gaps and failures, a line each."""
    lines = []
    for one in figures:
        gaps = one.gaps.filter(pl.col("missing") > 0).select("table", "runs")
        defects = one.checks.filter("is_error").select("table", "key", "text")
        failed = one.failures.select("table", "key", "reason")
        outside = one.outside.select("key", pl.format("{} events in no period", "events"))
        empty = one.empties.sort("is_confirmed", maintain_order=True).select("text")
        for name, rows in (
            ("missing", gaps),
            ("failed", failed),
            ("empty", empty),
            ("defect", defects),
            ("short of trades", one.short),
            ("outside", outside),
        ):
            lines += [" ".join((name, *row)) for row in rows.head(_SHOWN).iter_rows()]
            more = len(rows) - _SHOWN
            lines += [f"{name}: {more:,} more; --html and --json give them"] if more > 0 else []
    return lines


def _plain(one: QualityFigures) -> dict[str, Any]:
    """Details of a span for scripts, beside its measures."""
    return {
        "span": one.span.name,
        "failures": plain_rows(one.failures),
        "gaps": plain_rows(one.gaps),
        "empties": plain_rows(one.empties),
        "checks_not_passed": plain_rows(one.checks.filter(~pl.col("is_good"))),
        "short_of_trades": plain_rows(one.short),
        "outside_periods": plain_rows(one.outside),
        "suspect_actions": plain_rows(one.suspects),
        "excluded_volume": plain_rows(one.excluded),
    }
