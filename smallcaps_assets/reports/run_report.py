"""The page that shows what a run built, in one self-contained HTML file.

Holds the inputs of the page and what is computed from them for the template. The page asks
nothing of the network; the caller writes it to a file. Drawing belongs to the plots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.reports import human, plots
from smallcaps_assets.reports.backtest_grids import standing_grid
from smallcaps_assets.reports.canvas import OUTCOMES, Plot
from smallcaps_assets.reports.day_card import day_facts
from smallcaps_assets.reports.days import DayView, choose_days
from smallcaps_assets.reports.pages import template
from smallcaps_assets.reports.pattern_page import rate_grid
from smallcaps_assets.reports.terminal import SummaryRow, total_of


@dataclass(frozen=True)
class RunReport:
    """What the page is made of.

    `summary` holds (table, partitions, rows, bytes, seconds, failed). `watchlist`, `metrics`
    (daily_metrics) and `dataset` (ml_dataset) are frames of the lake, None where there are none;
    `meta` is the dataset's meta.json, `patterns` the `hit_rates` by pattern, `standings` those of
    the backtested strategies, with `outcomes` in words. `losses` are lines on what was selected and
    is not in the dataset. `dataset_path` is what the reading example reads.
    """

    title: str
    market: str
    start: date
    end: date
    summary: Sequence[SummaryRow | tuple[Any, ...]] = ()
    watchlist: pl.DataFrame | None = None
    metrics: pl.DataFrame | None = None
    dataset: pl.DataFrame | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    patterns: pl.DataFrame | None = None
    standings: pl.DataFrame | None = None
    outcomes: Sequence[str] = ()
    pump: DayView | None = None
    fader: DayView | None = None
    failures: Sequence[str] = ()
    losses: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    dataset_path: str = "data/processed/ml_dataset/period=*/ml_dataset.parquet"


def render(report: RunReport) -> str:
    """The HTML of the page. The same report gives the same bytes."""
    watchlist = _rows(report.watchlist)
    dataset, rates = _rows(report.dataset), _rows(report.patterns)
    standings = _rows(report.standings)
    summary = [SummaryRow._make(row) for row in report.summary]
    return template("run_report.html").render(
        report=report,
        cards=_cards(report, summary, watchlist, dataset),
        summary=summary,
        total=total_of(summary),
        rules=None if watchlist is None else _rules(watchlist),
        selection_plots=_selection_plots(watchlist, report.metrics),
        days=_days(report),
        dataset_plots=_dataset_plots(dataset),
        patterns=None if rates is None else rate_grid(rates, "pattern"),
        strategies=None if standings is None else standing_grid(standings),
        bias=None if dataset is None else _bias(dataset),
        meta=_flat(report.meta),
        settings=_flat(report.settings),
    )


def _rows(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    return None if frame is None or frame.is_empty() else frame


# Numbers -----------------------------------------------------------------------------------------
def _cards(
    report: RunReport,
    summary: Sequence[SummaryRow],
    watchlist: pl.DataFrame | None,
    dataset: pl.DataFrame | None,
) -> list[tuple[str, str]]:
    """(number, what it counts), the most telling first."""
    total = total_of(summary)
    trades = [row for row in summary if row.table == "trades"]
    cards = []
    if watchlist is not None:
        cards.append((human.count(_ticker_days(watchlist)), "selected ticker-days"))
    if trades:
        cards.append((human.compact(trades[0].rows), "trades"))
    if dataset is not None:
        known = int(dataset["is_selection_known"].sum())
        cards.append((human.compact(len(dataset)), "labelled events"))
        cards.append((human.percent(known / len(dataset)), "of them with known selection"))
    cards.append((human.count(total.partitions), "partitions"))
    cards.append((human.size(total.bytes), "on disk"))
    if total.seconds is not None:
        cards.append((human.duration(total.seconds), "of work"))
    cards.append((human.count(len(report.failures) or total.failed), "failed"))
    return cards


def _ticker_days(frame: pl.DataFrame) -> int:
    return frame.select("ticker", "date").n_unique()


def _rules(watchlist: pl.DataFrame) -> list[tuple[str, int, int]]:
    """(rule, ticker-days, sessions with one)."""
    counts = watchlist.group_by("rule").agg(days=pl.len(), sessions=pl.col("date").n_unique())
    found = {row["rule"]: (row["days"], row["sessions"]) for row in counts.iter_rows(named=True)}
    return [(rule, *found[rule]) for rule in plots.PRECEDENCE if rule in found]


def _bias(dataset: pl.DataFrame) -> dict[str, Any]:
    """Counts by view and by rule, for the words on the selection bias."""
    known = int(dataset["is_selection_known"].sum())
    shares = plots.label_shares(dataset)
    rules = (
        dataset.group_by("selection_rule")
        .agg(rows=pl.len(), known=pl.col("is_selection_known").sum())
        .sort("selection_rule")
    )
    return {
        "total": len(dataset),
        "known": known,
        "unknown": len(dataset) - known,
        "ticker_days": _ticker_days(dataset),
        "outcomes": [outcome.name for outcome in OUTCOMES.values()],
        "views": [(name, list(counts.values())) for name, counts in shares.items()],
        "rules": rules.rows(),
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as (dotted name, text), in the order given."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            lines += _flat(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            lines.append((name, ", ".join(str(item) for item in value)))
        else:
            lines.append((name, str(value)))
    return lines


# Pictures ----------------------------------------------------------------------------------------
def _selection_plots(
    watchlist: pl.DataFrame | None, metrics: pl.DataFrame | None
) -> list[Plot | None]:
    if watchlist is None:
        return []
    dollars = None if metrics is None else plots.dollar_volume_plot(watchlist, metrics)
    return [plots.selected_days_plot(watchlist), dollars]


def _dataset_plots(dataset: pl.DataFrame | None) -> list[Plot | None]:
    if dataset is None:
        return []
    draw = (plots.label_plot, plots.label_clock_plot, plots.weights_plot)
    return [plot(dataset) for plot in draw]


def _days(report: RunReport) -> list[dict[str, Any]]:
    """The example days with their heading, facts and plots."""
    chosen = [
        ("pump", "A pump day: still high at the close", report.pump),
        ("fader", "A fader: triggered in the session, gave it back", report.fader),
    ]
    return [
        {"id": name, "heading": heading, "view": view, **_day(view)}
        for name, heading, view in chosen
        if view is not None
    ]


def _day(view: DayView) -> dict[str, Any]:
    if view.ticks.is_empty():
        return {"facts": day_facts(view), "plots": []}
    return {"facts": day_facts(view), "plots": [plots.day_plot(view), plots.events_plot(view)]}


__all__ = ["DayView", "RunReport", "choose_days", "render"]
