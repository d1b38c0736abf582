"""Plots of the density report, each of one span or of two laid over each other.

Each returns a `Plot`, or None when there is nothing to draw. Selected days over time are in
`plots.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from smallcaps_assets.domain.selection.density import BIN, LARGE_CHANGE, LONGEST_BIN
from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    MUTED,
    RED,
    SPAN_COLOURS,
    Plot,
    draw_plot,
    legend_above,
    name_spans,
    panel,
    span_top,
)
from smallcaps_assets.reports.density_measures import DensityFigures
from smallcaps_assets.reports.plots import PRECEDENCE, SMALL, SMALL_NARROW, date_axis
from smallcaps_assets.reports.spans import span_names

_CHANGES = (-0.75, -0.5, 0, 1, 3)
_QUANTILES = {"q_0.001": RED, "q_0.01": AMBER, "q_0.99": BLUE, "q_0.999": GREEN}


def per_session_plot(figures: Sequence[DensityFigures]) -> Plot | None:
    """Mean selected days per session by rule, a bar per span."""
    if all(one.watchlist.is_empty() for one in figures):
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.6, 0.4, 0.15, span_top(span_names(figures)))
        width = 0.8 / len(figures)
        for number, one in enumerate(figures):
            counts = [(one.watchlist["rule"] == rule).sum() for rule in PRECEDENCE]
            heights = np.array(counts) / max(1, len(one.sessions))
            places = np.arange(len(PRECEDENCE)) + (number + 0.5) * width - 0.4
            colour = SPAN_COLOURS[number]
            bars = axes.bar(places, heights, 0.92 * width, color=colour, lw=0)
            axes.bar_label(bars, fmt="{:.2g}", fontsize=7, color=MUTED, padding=1)
        axes.set_xticks(range(len(PRECEDENCE)), [r.replace("_", "\n") for r in PRECEDENCE])
        axes.tick_params(axis="x", labelsize=8)
        axes.set_ylabel("ticker-days")
        name_spans(axes, "Selected days per session", span_names(figures))

    return draw_plot(draw, "Mean number of selected days per session by rule.", SMALL, SMALL_NARROW)


def change_plot(figures: Sequence[DensityFigures]) -> Plot | None:
    """Share of ticker-days by change, on log scales."""
    if all(one.histogram.is_empty() for one in figures):
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.7, 0.5, 0.2, span_top(span_names(figures)))
        bins = np.arange(-LONGEST_BIN, LONGEST_BIN + 1)
        least = 100 / max(1, *(int(one.histogram["days"].sum()) for one in figures))
        for number, one in enumerate(figures):
            held = dict(one.histogram.iter_rows())
            days = np.array([held.get(int(n), 0) for n in bins], float)
            shares = 100 * days / max(1.0, days.sum())
            edges = (np.append(bins, LONGEST_BIN + 1) - 0.5) * BIN
            seen = np.where(shares > 0, shares, least / 2)
            axes.stairs(seen, edges, baseline=least / 2, lw=1.4, color=SPAN_COLOURS[number])
        for limit in (np.log1p(-LARGE_CHANGE), np.log1p(LARGE_CHANGE)):
            axes.axvline(limit, color=MUTED, lw=1, ls=(0, (3, 2)))
        axes.set_yscale("log")
        axes.set_ylim(least / 2, 150)
        axes.yaxis.set_major_locator(LogLocator(10, numticks=7))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", length=0)
        axes.set_xticks(np.log1p(_CHANGES), [_signed(c) for c in _CHANGES])
        axes.set_xlim(-LONGEST_BIN * BIN, LONGEST_BIN * BIN)
        axes.set_xlabel("change of the day, log scale; dashed: the selection's threshold")
        axes.xaxis.label.set_fontsize(8 if is_narrow else 9)
        axes.set_ylabel("ticker-days (%)")
        name_spans(axes, "Distribution of changes", span_names(figures))

    return draw_plot(draw, "Distribution of the days' changes of price.", SMALL, SMALL_NARROW)


def tails_plot(figures: Sequence[DensityFigures]) -> Plot | None:
    """Outer quantiles of the change by year; the years of both spans on one axis."""
    rows = (
        pl.concat([one.tails for one in figures])
        .unique("period", keep="first", maintain_order=True)
        .sort("period")
    )
    if len(rows) < 3:
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.7, 0.3, 0.2, 0.68)
        years = rows["period"].dt.year().to_numpy()
        for name, colour in _QUANTILES.items():
            label = f"{100 * float(name[2:]):g} %"
            axes.plot(years, 100 * rows[name].to_numpy(), "o-", ms=3, color=colour, label=label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_ylabel("change (%)")
        axes.set_title("Tails by year", pad=22)
        legend_above(axes)

    return draw_plot(draw, "Outer quantiles of the changes by year.", SMALL, SMALL_NARROW)


def around_plot(figures: Sequence[DensityFigures], event: str) -> Plot | None:
    """Median relative volume from five sessions before an event to five after."""
    if all(one.around[event].is_empty() for one in figures):
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.6, 0.5, 0.2, span_top(span_names(figures)))
        for number, one in enumerate(figures):
            rows = one.around[event]
            axes.plot(
                rows["offset"].to_numpy(), rows["median"].to_numpy(), "o-", ms=4,
                color=SPAN_COLOURS[number],
            )  # fmt: skip
        axes.axhline(1, color=MUTED, lw=1, ls=(0, (3, 2)))
        axes.axvline(0, color=MUTED, lw=1, ls=(0, (3, 2)))
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(-5, 6), ["0" if n == 0 else f"{n:+d}" for n in range(-5, 6)])
        axes.set_xlabel("sessions after the event")
        axes.set_ylabel("median relative volume")
        name_spans(axes, f"Around {event}", span_names(figures))

    alt = f"Median relative volume in the sessions around {event}."
    return draw_plot(draw, alt, SMALL, SMALL_NARROW)


def dollars_plot(dollars: pl.DataFrame, title: str) -> Plot | None:
    """Dollars traded per month, and the share of them in selected days below."""
    if dollars.is_empty():
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        height = figure.get_size_inches()[1]
        market = panel(figure, 0.75, height / 2 + 0.18, 0.2, 0.36)
        share = panel(figure, 0.75, 0.46, 0.2, height / 2 - 0.02)
        places = date2num(dollars["period"].to_list())
        market.bar(places, dollars["market"].to_numpy(), 26, align="edge", color=GREY, lw=0)
        share.bar(places, 100 * dollars["share"].to_numpy(), 26, align="edge", color=BLUE, lw=0)
        market.set_title(title)
        market.margins(y=0.12)
        market.set_ylabel("per month")
        market.yaxis.set_major_locator(MaxNLocator(3))
        market.yaxis.set_major_formatter(FuncFormatter(lambda y, _: human.dollars(y) if y else "0"))
        share.set_ylabel("selected (%)")
        share.yaxis.set_major_locator(MaxNLocator(3))
        for axes in (market, share):
            date_axis(axes, True)
        market.tick_params(labelbottom=False)

    alt = f"{title} per month, and the share of selected days in them."
    return draw_plot(draw, alt, SMALL, SMALL_NARROW)


def _signed(change: float) -> str:
    return f"{100 * change:+.0f} %" if change else "0"
