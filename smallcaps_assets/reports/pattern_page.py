"""The report on pattern events: hit rates in tables, a typical event of each pattern as a chart.

The figures are those of `domain/patterns/hit_rates.py`; what of the tape is drawn is in `days.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import BLUE, INK, MUTED, Plot, Size, draw_plot
from smallcaps_assets.reports.day_plot import MINUTE, draw_path, new_york_hours
from smallcaps_assets.reports.days import DayView, price_path
from smallcaps_assets.reports.sections import Grid, Section, render_page
from smallcaps_assets.reports.spans import Span

_BEFORE, _AFTER = 60 * MINUTE, 5 * MINUTE
_WORDS = (
    "Hits are events with side × return above 0 at the exit: profit, stop or time, whichever came"
    " first, of the triple barrier turned to the event's side. After cost they are above the round"
    " trip's spread. An event counts under every rule that selected its day."
)


@dataclass(frozen=True)
class PatternFigures:
    """What the page shows of one span: rates by group, and typical events with their days."""

    span: Span
    rates: Mapping[str, pl.DataFrame]
    typical: Sequence[tuple[Mapping[str, Any], DayView]]


def pattern_page(figures: PatternFigures, market: str, words: str) -> str:
    """The HTML of the report."""
    sections = [
        Section("rates", "Hit rates", f"{words} {_WORDS}",
                grids=[[rate_grid(rates, by)] for by, rates in figures.rates.items()]),
        Section("typical", "A typical event of each pattern",
                "The event with the median gain of its pattern: as good as half of them.",
                plots=[event_plot(event, view) for event, view in figures.typical],
                empty="No event has a return."),
    ]  # fmt: skip
    total = figures.rates["pattern"]
    cards = [
        (human.count(sum(total["events"])), "events"),
        (human.count(total["group"].n_unique()), "patterns"),
    ]
    return render_page("Patterns", market, [figures], cards, sections)


def rate_grid(rates: pl.DataFrame, by: str) -> Grid:
    """The figures of `hit_rates` as a table of texts."""
    columns = [by, "side", "events", "no return", "hits", "after cost", "profit", "stop"]
    rows = [
        [
            row["group"].replace("_", " "),
            "long" if row["side"] > 0 else "short",
            human.count(row["events"]),
            human.count(row["without_return"]),
            *(human.percent(row[n]) for n in ("hits", "hits_after_cost", "profit", "stop")),
            human.percent(row["mean_gain"], 2, signed=True),
            human.percent(row["mean_cost"], 2),
        ]
        for row in rates.iter_rows(named=True)
    ]
    return Grid([*columns, "mean gain", "mean cost"], rows, f"By {by}", names=["side"])


def event_plot(event: Mapping[str, Any], view: DayView) -> Plot:
    """The price from an hour before an event until its label was known."""
    first, t0, t1 = event["t0"] - _BEFORE, event["t0"], event["t1"]
    name = f"{event['pattern'].replace('_', ' ')}, {'up' if event['side'] > 0 else 'down'}"

    def draw(figure: Figure, is_narrow: bool) -> None:
        clock = new_york_hours(view)
        axes = draw_path(figure, view, (first, t1 + _AFTER))
        axes.axhline(event["level"], color=MUTED, lw=1, ls=(0, (3, 2)), zorder=1)
        axes.axvline(clock(t0), color=BLUE, lw=1, zorder=1)
        axes.plot([clock(t0)], [event["price_at_t0"]], "s", ms=5, color=INK, zorder=4)
        exit_price = event["base_price"] * (1 + event["label_return"])
        axes.plot([clock(t1)], [exit_price], "D", ms=5, color=BLUE, zorder=4)
        title = f"{name}: {view.ticker} {view.date}, {event['side'] * event['label_return']:+.1%}"
        axes.set_title(title, fontsize=9, loc="left")

    shown = price_path(view.ticks, first, t1)
    alt = (
        f"{name}: {view.ticker} on {view.date}, {len(shown)} prints from an hour before"
        f" {human.new_york_clock(t0)} New York, the level that was crossed, and the exit."
    )
    return draw_plot(draw, alt, Size(10.6, 2.9), Size(4.3, 3.0))
