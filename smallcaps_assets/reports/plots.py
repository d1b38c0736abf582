"""Plots over many sessions: selection through time, labels, weights.

Each function takes frames of the lake and returns a `Plot`, an image as a data URI with its
alternative text, or None when there is nothing to draw. Plots of one session are in `day_plot.py`.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import HOURLY, AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import (
    AMBER,
    BLUE,
    GREY,
    MUTED,
    OUTCOMES,
    RULE_COLOURS,
    Plot,
    Size,
    clock_axis,
    draw_plot,
    panel,
)
from smallcaps_assets.reports.day_plot import day_plot, events_plot

SMALL, SMALL_NARROW = Size(5.2, 3.4), Size(4.2, 3.3)
PRECEDENCE = ("info_rich", "intraday_trigger", "premarket_gap", "follow_up")
LEGEND = {
    "info_rich": "info_rich",
    "intraday_trigger": "intraday_trigger, not info_rich",
    "premarket_gap": "premarket_gap, none of these",
    "follow_up": "follow_up only",
}
WEIGHTS = {
    "uniqueness": "uniqueness (all)",
    "uniqueness_eligible": "uniqueness (known)",
    "return_attribution": "|return attribution| (%)",
    "time_decay": "time decay",
}
_STRIP = 0.75  # inches of the panel of follow_up and its margin
EVERY = {"session": "1d", "week": "1w", "month": "1mo"}


# Selection ---------------------------------------------------------------------------------------
def bucket_of(first: date, last: date) -> str:
    """session, week or month: what keeps the bars of the span wide enough to see."""
    days = (last - first).days
    return "session" if days <= 130 else "week" if days <= 900 else "month"


def days_by_bucket(watchlist: pl.DataFrame, every: str) -> pl.DataFrame:
    """`start`, `rule`, `days`: ticker-days per bucket, each under the first rule of PRECEDENCE."""
    order = pl.col("rule").replace_strict({r: n for n, r in enumerate(PRECEDENCE)}, default=99)
    names = dict(enumerate(PRECEDENCE))
    return (
        watchlist.group_by("ticker", "date")
        .agg(order=order.min())
        .with_columns(
            start=pl.col("date").dt.truncate(EVERY[every]),
            rule=pl.col("order").replace_strict(names, default="other", return_dtype=pl.String),
        )
        .group_by("start", "rule")
        .agg(days=pl.len())
        .sort("start", "rule")
    )


def selected_days_plot(watchlist: pl.DataFrame) -> Plot | None:
    """Selected ticker-days over time; each counted once, under the first rule of PRECEDENCE.

    Those of follow_up alone, most of all days and chosen by no sign of their own, are in a panel of
    their own below.
    """
    if watchlist.is_empty():
        return None
    first, last = date_range(watchlist)
    every = bucket_of(first, last)
    counts = days_by_bucket(watchlist, every)
    is_follow_up = pl.col("rule") == "follow_up"
    parts = [counts.filter(~is_follow_up), counts.filter(is_follow_up)]
    drawn = [part for part in parts if not part.is_empty()]

    def draw(figure: Figure, is_narrow: bool) -> None:
        height, top = figure.get_size_inches()[1], 0.62 if is_narrow else 0.45
        lower = 0.46 + _STRIP if len(drawn) == 2 else 0.46
        panels = [panel(figure, 0.6, lower, 0.15, top)]
        if len(drawn) == 2:
            panels.append(panel(figure, 0.6, 0.46, 0.15, height - 0.46 - _STRIP + 0.15))
            panels[0].tick_params(labelbottom=False)
        for axes, part in zip(panels, drawn, strict=True):
            _stack(axes, part, counts["start"].unique().sort(), every)
            date_axis(axes, is_narrow)
        panels[0].set_ylabel(f"ticker-days per {every}")
        columns = 2 if is_narrow else 4
        figure.legend(
            loc="upper left", ncols=columns, bbox_to_anchor=(0, 1), borderaxespad=0.2,
            fontsize=8 if is_narrow else 9, labelspacing=0.3,
        )  # fmt: skip

    alt = f"Selected ticker-days per {every} by rule, {first} to {last}."
    if len(drawn) == 2:
        alt += f" Below: the {drawn[1]['days'].sum():,} of follow_up alone."
    return draw_plot(draw, alt, Size(10.6, 3.5), Size(4.3, 3.6))


def _stack(axes: Axes, counts: pl.DataFrame, starts: pl.Series, every: str) -> None:
    """Stacked bars of the rules; `starts` are the positions of all panels."""
    is_strip = "follow_up" in counts["rule"]
    places, base = date2num(starts.to_list()), np.zeros(len(starts))
    width = {"session": 0.8, "week": 5.8, "month": 26}[every]
    align = "center" if every == "session" else "edge"
    for rule, label in LEGEND.items():
        rows = counts.filter(pl.col("rule") == rule)
        if rows.is_empty():
            continue
        values = starts.to_frame().join(rows, on="start", how="left", maintain_order="left")
        heights = values["days"].fill_null(0).to_numpy()
        axes.bar(
            places, heights, width, base, align=align, color=RULE_COLOURS[rule], label=label, lw=0
        )
        base = base + heights
    axes.yaxis.set_major_locator(MaxNLocator(2 if is_strip else 5, integer=True))


def dollar_volume_plot(watchlist: pl.DataFrame, metrics: pl.DataFrame) -> Plot | None:
    """Dollars traded in the selected ticker-days over time, from daily_metrics."""
    picked = watchlist.select("ticker", "date").unique()
    days = metrics.join(picked, on=["ticker", "date"], how="semi")
    if days.is_empty():
        return None
    every = bucket_of(*date_range(days))
    dollars = (
        days.group_by(start=pl.col("date").dt.truncate(EVERY[every]))
        .agg(pl.col("dollar_volume").sum())
        .sort("start")
    )

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.72, 0.46, 0.2, 0.4)
        places = date2num(dollars["start"].to_list())
        axes.vlines(places, 0, dollars["dollar_volume"].to_numpy() / 1e6, color=BLUE, lw=1.6)
        axes.set_title("Dollars traded in selected days")
        axes.set_ylabel(f"M USD per {every}")
        axes.set_ylim(bottom=0)
        date_axis(axes, True)

    alt = f"Dollars traded in the selected ticker-days per {every}."
    return draw_plot(draw, alt, SMALL, SMALL_NARROW)


def date_axis(axes: Axes, is_narrow: bool) -> None:
    """Dates on the x axis, few of them where there is little room; needs 0.46 inches below."""
    locator = AutoDateLocator(minticks=2, maxticks=5 if is_narrow else 10)
    locator.intervald[HOURLY] = [24]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.margins(x=0.02)


def date_range(frame: pl.DataFrame) -> tuple[date, date]:
    """First and last `date` of a frame that has rows."""
    first, last = frame["date"].min(), frame["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise ValueError("the frame has no dates; pass one with rows")
    return first, last


# Labels ------------------------------------------------------------------------------------------
def label_shares(dataset: pl.DataFrame) -> dict[str, dict[int, int]]:
    """Rows per label in each view: `all rows` and `known rows`."""
    views = {"all rows": dataset, "known rows": dataset.filter("is_selection_known")}
    return {
        name: {value: int((view["label"] == value).sum()) for value in OUTCOMES}
        for name, view in views.items()
    }


def label_plot(dataset: pl.DataFrame) -> Plot | None:
    """Share of each label, all rows beside known rows."""
    if dataset.is_empty():
        return None
    shares = label_shares(dataset)

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.62, 0.3, 0.15, 0.68)
        for shift, (name, counts), colour in zip(
            (-0.2, 0.2), shares.items(), (GREY, BLUE), strict=True
        ):
            _label_bars(axes, shift, name, counts, colour)
        axes.set_xticks(range(3), [outcome.name for outcome in OUTCOMES.values()])
        axes.set_ylabel("share of rows (%)")
        axes.set_title("Labels by view", pad=22)
        axes.margins(y=0.16)
        axes.legend(loc="lower left", ncols=2, bbox_to_anchor=(-0.01, 1), borderaxespad=0.2)

    words = "; ".join(
        f"{name}: " + ", ".join(f"{OUTCOMES[v].name} {n:,}" for v, n in counts.items())
        for name, counts in shares.items()
    )
    return draw_plot(draw, f"Labels by view. {words}.", SMALL, SMALL_NARROW)


def _label_bars(axes: Axes, shift: float, name: str, counts: dict[int, int], colour: str) -> None:
    total = max(1, sum(counts.values()))
    places = np.arange(3) + shift
    heights = [100 * n / total for n in counts.values()]
    axes.bar(places, heights, 0.38, color=colour, label=f"{name} ({sum(counts.values()):,})", lw=0)
    for place, height, rows in zip(places, heights, counts.values(), strict=True):
        axes.annotate(
            f"{height:.1f}\n{human.compact(rows)}", (place, height), xytext=(0, 2),
            textcoords="offset points", ha="center", va="bottom", fontsize=8, color=MUTED,
        )  # fmt: skip


def labels_by_time(dataset: pl.DataFrame, minutes: int = 30) -> pl.DataFrame:
    """Rows per label and bin of the New York day: `hour` (start of the bin), `label`, `rows`."""
    local = pl.col("t0").dt.convert_time_zone("America/New_York")
    minute = local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute()
    return (
        dataset.group_by(hour=minute // minutes * minutes / 60, label="label")
        .agg(rows=pl.len())
        .sort("hour", "label")
    )


def label_clock_plot(dataset: pl.DataFrame) -> Plot | None:
    """Label mix and number of events over the day, New York time."""
    if dataset.is_empty():
        return None
    mix = labels_by_time(dataset)

    def draw(figure: Figure, is_narrow: bool) -> None:
        rows = panel(figure, 0.62, 2.35, 0.15, 0.4)
        shares = panel(figure, 0.62, 0.5, 0.15, 1.2)
        _draw_mix(rows, shares, mix)

    alt = "Events per half hour of the New York day, and the share of each label among them."
    return draw_plot(draw, alt, SMALL, SMALL_NARROW)


def _draw_mix(rows: Axes, shares: Axes, mix: pl.DataFrame) -> None:
    totals = mix.group_by("hour").agg(total=pl.col("rows").sum()).sort("hour")
    hours, total = totals["hour"].to_numpy(), totals["total"].to_numpy()
    rows.bar(hours, total, 0.46, align="edge", color=GREY, lw=0)
    rows.set_title("Labels over the day")
    rows.set_ylabel("events")
    rows.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    rows.yaxis.set_major_formatter(FuncFormatter(lambda y, _: human.compact(y)))
    base = np.zeros(len(hours))
    for value in (1, 0, -1):
        of_label = mix.filter(pl.col("label") == value).select("hour", "rows")
        joined = totals.join(of_label, on="hour", how="left", maintain_order="left")
        heights = 100 * joined["rows"].fill_null(0).to_numpy() / total
        colour = OUTCOMES[value].colour
        shares.bar(hours, heights, 0.46, base, align="edge", color=colour, lw=0)
        base = base + heights
    shares.set_ylabel("share (%)")
    shares.set_ylim(0, 100)
    shares.set_xlabel("New York time (green +1, grey 0, red -1)")
    for axes in (rows, shares):
        axes.set_xlim(hours.min() - 0.1, hours.max() + 0.6)
        clock_axis(axes, 2)
    rows.tick_params(labelbottom=False)


# Weights -----------------------------------------------------------------------------------------
def weights_plot(dataset: pl.DataFrame) -> Plot | None:
    """Distributions of the weight factors."""
    if dataset.is_empty():
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        width, height = figure.get_size_inches()
        for number, (column, title) in enumerate(WEIGHTS.items()):
            row, place = divmod(number, 2)
            left, right = (0.55, width / 2 + 0.15) if place == 0 else (width / 2 + 0.4, 0.2)
            bottom, top = (height / 2 + 0.3, 0.3) if row == 0 else (0.3, height / 2 + 0.3)
            axes = panel(figure, left, bottom, right, top)
            _histogram(axes, dataset, column, AMBER if "eligible" in column else BLUE)
            axes.set_title(title, fontsize=9)
            if place == 0:
                axes.set_ylabel("rows (%)")

    alt = "Distributions of " + ", ".join(WEIGHTS.values()) + "."
    return draw_plot(draw, alt, SMALL, SMALL_NARROW)


def _histogram(axes: Axes, dataset: pl.DataFrame, column: str, colour: str) -> None:
    values = dataset[column].drop_nulls().to_numpy()
    top = 1.0
    if column == "return_attribution":
        values = 100 * values
        top = float(np.quantile(values, 0.99)) or 1.0 if len(values) else 1.0
    if not len(values):
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=MUTED)
        return
    counts, edges = np.histogram(np.clip(values, 0, top), bins=25, range=(0, top))
    axes.stairs(100 * counts / len(values), edges, fill=True, color=colour, lw=0)
    axes.axvline(float(np.median(np.clip(values, 0, top))), color=MUTED, lw=1, ls=(0, (3, 2)))
    axes.set_xlim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(3))


__all__ = [
    "date_axis",
    "date_range",
    "day_plot",
    "days_by_bucket",
    "dollar_volume_plot",
    "events_plot",
    "label_clock_plot",
    "label_plot",
    "label_shares",
    "selected_days_plot",
    "weights_plot",
]
