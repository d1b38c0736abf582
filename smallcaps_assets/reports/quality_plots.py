"""Plots of the data-quality report, each of one span or of two laid over each other.

Each returns a `Plot`, or None when there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from smallcaps_assets.domain.bars.diagnostics import MAX_CLAMPED, MAX_SPACING_SECONDS
from smallcaps_assets.domain.quality.checks import MIN_ANSWERED_SHARE, MIN_VOLUME_SHARE
from smallcaps_assets.domain.quality.figures import coverage_over_time
from smallcaps_assets.reports.canvas import (
    AMBER,
    BLUE,
    MUTED,
    OUTCOMES,
    RED,
    SPAN_COLOURS,
    Plot,
    Size,
    draw_plot,
    legend_above,
    name_spans,
    panel,
    span_top,
)
from smallcaps_assets.reports.plots import (
    EVERY,
    SMALL,
    SMALL_NARROW,
    bucket_of,
    date_axis,
    date_range,
)
from smallcaps_assets.reports.quality_measures import QualityFigures
from smallcaps_assets.reports.spans import span_names

_ANSWERED = (
    (RED, f"under {MIN_VOLUME_SHARE:.0%}"),
    (AMBER, f"under {MIN_ANSWERED_SHARE:.0%}"),
    (BLUE, "answered for"),
)
_SECONDS = (1, 10, 60, 300, 1800)
_MOST_REASONS = 10


def coverage_plot(coverage: pl.DataFrame) -> Plot | None:
    """Which share of each vendor table's expected tickers was answered for, over time."""
    if coverage.is_empty():
        return None
    every = EVERY[bucket_of(*date_range(coverage))]
    rows = coverage_over_time(coverage, every)
    starts = rows["period"].unique().sort()
    ends = starts.shift(-1).fill_null(starts.dt.offset_by(every)[-1])
    rows = rows.join(pl.DataFrame({"period": starts, "end": ends}), on="period")
    tables = rows["table"].unique().sort(descending=True).to_list()

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 1.55, 0.46, 0.12, 0.32)
        axes.grid(visible=False)
        for place, table in enumerate(tables):
            _answered(axes, place, rows.filter(pl.col("table") == table).sort("period"))
        axes.set_yticks(range(len(tables)), tables)
        date_axis(axes, is_narrow)
        handles = [Patch(facecolor=colour, label=words) for colour, words in _ANSWERED]
        figure.legend(
            handles=handles, loc="upper left", ncols=3, fontsize=8 if is_narrow else 9,
            bbox_to_anchor=(0, 1), borderaxespad=0.2,
        )  # fmt: skip

    height = 0.89 + 0.24 * len(tables)
    alt = "Share of the expected tickers that each vendor table has answered for, over time."
    return draw_plot(draw, alt, Size(10.6, height), Size(4.3, height))


def _answered(axes: Axes, place: int, rows: pl.DataFrame) -> None:
    """A table's periods as bars, neighbours of one class in one piece."""
    limits = (MIN_VOLUME_SHARE, MIN_ANSWERED_SHARE)
    classes = pl.Series("class", np.digitize(rows["answered"].to_numpy(), limits))
    has_jumped = pl.col("period") != pl.col("end").shift()
    is_new = (pl.col("class") != pl.col("class").shift()) | has_jumped
    runs = (
        rows.with_columns(classes)
        .with_columns(is_new.fill_null(True).cum_sum().alias("run"))
        .group_by("run", maintain_order=True)
        .agg(pl.col("class", "period").first(), pl.col("end").last())
    )
    for _, number, first, last in runs.iter_rows():
        left, right = date2num((first, last))
        axes.barh(place, right - left, 0.86, left, color=_ANSWERED[number][0], lw=0)


def minutes_plot(figures: Sequence[QualityFigures]) -> Plot | None:
    """Which share of the daily volume the minutes hold, over time."""
    parts = [one.reconciled.filter(pl.col("daily") > 0) for one in figures]
    if all(part.is_empty() for part in parts):
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.8, 0.46, 0.2, span_top(span_names(figures)))
        for number, part in enumerate(parts):
            if part.is_empty():
                continue
            every = EVERY[bucket_of(*date_range(part))]
            rows = (
                part.group_by(pl.col("date").dt.truncate(every))
                .agg(pl.col("minutes", "daily").sum())
                .sort("date")
            )
            shares = 100 * (rows["minutes"] / rows["daily"]).to_numpy()
            axes.plot(date2num(rows["date"].to_list()), shares, color=SPAN_COLOURS[number], lw=1.4)
        axes.axhline(100, color=MUTED, lw=1, ls=(0, (3, 2)))
        axes.set_ylabel("minutes / daily volume (%)")
        date_axis(axes, True)
        name_spans(axes, "Minutes in the daily volume", span_names(figures))

    return draw_plot(draw, "Minutes' share of the daily volume over time.", SMALL, SMALL_NARROW)


def tape_plot(figures: Sequence[QualityFigures]) -> Plot | None:
    """Eligible trades as a share of the minutes' volume, over ticker-sessions."""
    values = [100 * one.bars["tape_share"].drop_nulls().to_numpy() for one in figures]
    edges = np.linspace(0, 120, 49)
    return _histogram(
        figures, values, edges, "Eligible trades in the minutes' volume", "share (%)",
        limits=(100 * MIN_VOLUME_SHARE, 100),
    )  # fmt: skip


def clamp_plot(figures: Sequence[QualityFigures]) -> Plot | None:
    """Share of each ticker-session's bars whose threshold stood at the clamp."""
    values = [100 * one.bars["clamped_share"].to_numpy() for one in figures]
    edges = np.linspace(0, 100, 41)
    return _histogram(
        figures,
        values,
        edges,
        "Bars at the clamp",
        "share of bars (%)",
        limits=(100 * MAX_CLAMPED,),
    )


def spacing_plot(figures: Sequence[QualityFigures]) -> Plot | None:
    """Median seconds between the bars of each ticker-session, on a log scale."""
    values = [np.log10(one.bars["spacing_seconds"].clip(1, 3600).to_numpy()) for one in figures]
    edges = np.linspace(0, np.log10(3600), 41)
    return _histogram(
        figures, values, edges, "Median time between bars", "seconds, log scale",
        limits=(float(np.log10(MAX_SPACING_SECONDS)),), ticks=_SECONDS,
    )  # fmt: skip


def balance_plot(labels: pl.DataFrame, title: str) -> Plot | None:
    """Share of each label by month, and the number of events."""
    if labels.is_empty():
        return None
    months = labels.group_by("period").agg(pl.col("rows").sum()).sort("period")

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.62, 0.46, 0.15, 0.68)
        places, base = date2num(months["period"].to_list()), np.zeros(len(months))
        for value in (1, 0, -1):
            rows = labels.filter(pl.col("label") == value).select("period", of_label="rows")
            held = months.join(rows, on="period", how="left", maintain_order="left")
            heights = (100 * held["of_label"].fill_null(0) / held["rows"]).to_numpy()
            outcome = OUTCOMES[value]
            axes.bar(
                places, heights, 26, base, align="edge", color=outcome.colour, lw=0,
                label=outcome.name,
            )  # fmt: skip
            base = base + heights
        axes.set_ylim(0, 100)
        axes.set_ylabel("events (%)")
        axes.set_title(title, pad=22)
        date_axis(axes, True)
        legend_above(axes, fontsize=8 if is_narrow else 9)

    return draw_plot(
        draw, f"{title}: share of each outcome among the events, by month.", SMALL, SMALL_NARROW
    )


def excluded_plot(figures: Sequence[QualityFigures]) -> Plot | None:
    """Share of the sampled volume that each reason has left out."""
    reasons = (
        pl.concat([one.excluded.select("reason", "share") for one in figures])
        .group_by("reason")
        .agg(pl.col("share").max())
        .sort("share", "reason", descending=[True, False])
        .head(_MOST_REASONS)["reason"]
        .to_list()
    )
    if not reasons:
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 2.15, 0.5, 0.25, span_top(span_names(figures)))
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x")
        width = 0.8 / len(figures)
        for number, one in enumerate(figures):
            held = dict(one.excluded.select("reason", "share").iter_rows())
            shares = [100 * held.get(reason, 0.0) for reason in reasons]
            places = np.arange(len(reasons)) - 0.4 + (number + 0.5) * width
            axes.barh(places, shares, 0.9 * width, color=SPAN_COLOURS[number], lw=0)
        axes.set_yticks(range(len(reasons)), reasons)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("share of volume (%)")
        name_spans(axes, "Volume left out", span_names(figures))

    return draw_plot(draw, "Share of volume left out, by reason.", SMALL, SMALL_NARROW)


def _histogram(
    figures: Sequence[QualityFigures],
    values: Sequence[np.ndarray],
    edges: np.ndarray,
    title: str,
    unit: str,
    limits: Sequence[float],
    ticks: Sequence[int] = (),
) -> Plot | None:
    """Ticker-sessions by a figure; those beyond the edges are in the outer bins."""
    if not any(len(one) for one in values):
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.62, 0.5, 0.2, span_top(span_names(figures)))
        for number, one in enumerate(values):
            counts, _ = np.histogram(np.clip(one, edges[0], edges[-1]), bins=edges)
            shares = 100 * counts / max(1, len(one))
            fill = len(figures) == 1
            axes.stairs(shares, edges, color=SPAN_COLOURS[number], fill=fill, lw=0 if fill else 1.6)
        for limit in limits:
            axes.axvline(limit, color=MUTED, lw=1, ls=(0, (3, 2)))
        if ticks:
            axes.set_xticks(np.log10(ticks), [f"{tick:,}" for tick in ticks])
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.set_xlabel(unit)
        axes.set_ylabel("ticker-sessions (%)")
        name_spans(axes, title, span_names(figures))

    return draw_plot(draw, f"{title}: distribution over ticker-sessions.", SMALL, SMALL_NARROW)
