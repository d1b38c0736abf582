"""Plots of one ticker-session: the whole day, and a close look at its labelled events.

Time runs in New York hours; prices are unadjusted dollars. What is thinned and picked for them is
decided in `days.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import (
    AMBER,
    BLUE,
    GREY,
    INK,
    MUTED,
    OUTCOMES,
    PAPER,
    SHADE,
    Draw,
    Plot,
    Size,
    clock_axis,
    draw_plot,
    draw_png,
    panel,
)
from smallcaps_assets.reports.days import (
    DayView,
    Interval,
    busiest_window,
    dollars_per_minute,
    pick_events,
    price_path,
)

HOUR = 3_600_000_000_000
MINUTE = 60_000_000_000
ZOOM = 75 * MINUTE
_HALT = AMBER
_DAY = Size(10.6, 5.6)
_TRIANGLES = {1: "^", -1: "v"}
Clock = Callable[[int], float]


def day_plot(view: DayView) -> Plot:
    """Price path, bar closes, barriers of a few events, dollars per minute, every label."""
    alt = (
        f"{view.ticker} on {view.date}: price of the trades from premarket to the close, closes of "
        f"{len(view.bars)} dollar imbalance bars, {len(view.patterns)} pattern events, dollars "
        f"traded per minute, and the outcome of {len(view.labels)} labelled events."
    )
    return draw_plot(_of_day(view), alt, _DAY, Size(4.3, 5.6))


def day_png(view: DayView) -> bytes:
    """The plot of the day as a PNG file."""
    return draw_png(_of_day(view), _DAY)


def events_plot(view: DayView) -> Plot | None:
    """The 75 minutes with most barrier touches, where the barriers can be told apart.

    None if the day has no labels.
    """
    window = busiest_window(view.labels, ZOOM)
    if window is None:
        return None
    first, last = window[0] - 5 * MINUTE, min(window[1], view.hours.close)
    events = pick_events(view.labels, 5, window[0], last)
    if not events:
        first, last = window[0] - 5 * MINUTE, view.hours.close
        events = pick_events(view.labels, 5, window[0])

    def draw(figure: Figure, is_narrow: bool) -> None:
        _draw_events(figure, view, (first, last), events, is_narrow)

    alt = (
        f"{view.ticker} on {view.date}, {human.new_york_clock(first)} to "
        f"{human.new_york_clock(last)} New York: {len(events)} labelled events with their "
        "take-profit, stop-loss and time barriers, and where each ended."
    )
    return draw_plot(draw, alt, Size(10.6, 3.9), Size(4.3, 4.1))


def new_york_hours(view: DayView) -> Clock:
    """Maps UTC nanoseconds of the session to hours after New York midnight."""
    midnight = view.hours.premarket_open - 4 * HOUR
    return lambda moment: (moment - midnight) / HOUR


def _of_day(view: DayView) -> Draw:
    return lambda figure, is_narrow: _draw_day(figure, view, is_narrow)


def draw_path(figure: Figure, view: DayView, bounds: Interval) -> Axes:
    """The price between two instants, in New York hours, with halts and the premarket shaded."""
    axes, clock = panel(figure, 0.75, 0.4, 0.3, 0.4), new_york_hours(view)
    axes.set_xlim(clock(bounds[0]), clock(bounds[1]))
    clock_axis(axes, 0.25)
    _shade(axes, view, clock)
    _price(axes, view, clock, bounds)
    return axes


# The day -----------------------------------------------------------------------------------------
def _draw_day(figure: Figure, view: DayView, is_narrow: bool) -> None:
    left, right = (0.74, 0.68) if is_narrow else (0.75, 0.7)
    price = panel(figure, left, 2.15, right, 0.72 if is_narrow else 0.5)
    volume = panel(figure, left, 1.2, right, 3.62)
    outcome = panel(figure, left, 0.5, right, 4.62)
    clock, bounds = new_york_hours(view), _day_bounds(view)
    for axes in (price, volume, outcome):
        axes.set_xlim(clock(bounds[0]), clock(bounds[1]))
        clock_axis(axes, 2 if is_narrow else 1)
        _shade(axes, view, clock)
    for axes in (price, volume):
        axes.tick_params(labelbottom=False)
    outcome.set_xlabel("New York time")
    _price(price, view, clock, bounds)
    _bar_closes(price, view, clock, 2.6)
    for event in pick_events(view.labels, 6):
        _barriers(price, event, clock, is_detailed=False)
    _patterns(price, view, clock)
    _change_axis(price, view)
    _eligible(price, view, clock)
    _dollars(volume, view, clock)
    _outcomes(outcome, view.labels, clock)
    _legend(figure, view, is_narrow)


def _day_bounds(view: DayView) -> Interval:
    """From the hour of the first tick, at the latest 09:00, to a little after the close."""
    hours = view.hours
    first = hours.open - HOUR // 2
    if len(view.ticks):
        tick = view.ticks["sip_timestamp"].cast(pl.Int64).min()
        first = min(first, int(tick) if isinstance(tick, int) else first)
    steps = max(0, (first - hours.premarket_open) // HOUR)
    return hours.premarket_open + steps * HOUR, hours.close + 6 * MINUTE


def _shade(axes: Axes, view: DayView, clock: Clock) -> None:
    left, right = axes.get_xlim()
    axes.axvspan(left, clock(view.hours.open), color=SHADE, lw=0, zorder=0)
    for start, end in view.halt_intervals:
        axes.axvspan(clock(start), clock(end), color=_HALT, alpha=0.28, lw=0, zorder=0)
    axes.set_xlim(left, right)


def _price(axes: Axes, view: DayView, clock: Clock, bounds: Interval) -> None:
    path = price_path(view.ticks, *bounds)
    times, prices = path["time"].to_numpy(), path["price"].to_numpy().astype(float)
    for start, _ in view.halt_intervals:  # a gap in the line: nothing traded
        row = int(np.searchsorted(times, start, side="right"))
        times, prices = np.insert(times, row, start), np.insert(prices, row, np.nan)
    hours = np.array([clock(int(t)) for t in times])
    axes.plot(hours, prices, color=MUTED, lw=0.8, drawstyle="steps-post", zorder=2)
    axes.set_ylabel("price (USD per share)")
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))


def _bar_closes(axes: Axes, view: DayView, clock: Clock, dot: float) -> None:
    bars = view.bars.filter(pl.col("reason") == "threshold")
    for sign, colour in ((1, BLUE), (-1, AMBER)):
        side = bars.filter(pl.col("theta").sign() == sign)
        times = [clock(t) for t in side["close_timestamp"].cast(pl.Int64)]
        axes.plot(times, side["close"].to_list(), "o", ms=dot, color=colour, mew=0, zorder=3)


def _patterns(axes: Axes, view: DayView, clock: Clock) -> None:
    """A triangle for each pattern event, pointing to its side."""
    if view.patterns.is_empty():
        return
    for side, marker in _TRIANGLES.items():
        rows = view.patterns.filter(pl.col("side") == side)
        times = [clock(t) for t in rows["t0"].cast(pl.Int64)]
        axes.plot(times, rows["price"].to_list(), marker, ms=6, mfc="none", mec=INK, zorder=5)


def _change_axis(axes: Axes, view: DayView) -> None:
    base = view.metrics.get("previous_close")
    if not base:
        return
    change = axes.secondary_yaxis(
        "right",
        functions=(
            lambda p: 100 * (p / base - 1),
            lambda c: base * (1 + np.asarray(c, float) / 100),
        ),
    )
    change.set_ylabel("change on previous close (%)")
    change.yaxis.set_major_locator(MaxNLocator(6))
    low, high = axes.get_ylim()
    places = 0 if 100 * (high - low) / base >= 6 else 1
    change.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: f"{y:+.{places}f}" if round(y, places) else "0")
    )
    change.tick_params(length=0)
    change.spines["right"].set_visible(False)


def _eligible(axes: Axes, view: DayView, clock: Clock) -> None:
    if view.eligible_from is None:
        return
    hour = clock(human.nanoseconds(view.eligible_from))
    left, right = axes.get_xlim()
    if not left <= hour <= right:
        return
    axes.axvline(hour, color=MUTED, lw=1.1, ls=(0, (4, 3)), zorder=1)
    is_late = hour > (left + right) / 2
    axes.annotate(
        f"eligible from {human.new_york_clock(view.eligible_from)}",
        (hour, 0.985),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if is_late else 4, 0),
        textcoords="offset points",
        ha="right" if is_late else "left",
        va="top",
        fontsize=8.5,
        color=MUTED,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.2},
        zorder=6,
    )


def _dollars(axes: Axes, view: DayView, clock: Clock) -> None:
    values = dollars_per_minute(view.ticks, view.hours) / 1e6
    edges = clock(view.hours.premarket_open) + np.arange(len(values) + 1) / 60
    axes.stairs(values, edges, fill=True, color=BLUE, alpha=0.75, lw=0)
    axes.set_ylabel("M USD\nper min")
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.set_ylim(bottom=0)


def _outcomes(axes: Axes, labels: pl.DataFrame, clock: Clock) -> None:
    for value, outcome in OUTCOMES.items():
        rows = labels.filter(pl.col("label") == value, "has_path")
        times = [clock(t) for t in rows["t0"].cast(pl.Int64)]
        axes.plot(times, [value] * len(times), "|", ms=9, mew=0.9, color=outcome.colour)
    axes.set_ylim(-1.7, 1.7)
    axes.set_yticks([-1, 0, 1], ["-1", "0", "+1"])
    axes.set_ylabel("label")


# Events ------------------------------------------------------------------------------------------
def _draw_events(
    figure: Figure,
    view: DayView,
    window: Interval,
    events: Sequence[Mapping[str, Any]],
    is_narrow: bool,
) -> None:
    left, right = (0.74, 0.12) if is_narrow else (0.75, 0.7)
    axes = panel(figure, left, 0.5, right, 0.72 if is_narrow else 0.5)
    clock = new_york_hours(view)
    axes.set_xlim(clock(window[0]), clock(window[1]))
    clock_axis(axes, 0.5 if is_narrow else 0.25)
    _shade(axes, view, clock)
    _price(axes, view, clock, window)
    shown = view.bars.filter(pl.col("close_timestamp").cast(pl.Int64).is_between(*window))
    _bar_closes(axes, _with_bars(view, shown), clock, 4.2)
    for event in events:
        _barriers(axes, event, clock, is_detailed=True)
    axes.set_xlabel("New York time")
    _legend(figure, view, is_narrow, has_halts=False)


def _with_bars(view: DayView, bars: pl.DataFrame) -> DayView:
    return DayView(view.ticker, view.date, view.ticks, bars, view.labels, view.hours)


def _barriers(axes: Axes, event: Mapping[str, Any], clock: Clock, is_detailed: bool) -> None:
    """The box of an event: take profit above, stop loss below, time barrier at its right."""
    start, end = clock(event["t0"]), clock(event["vertical_barrier"])
    entry, outcome = event["base_price"], OUTCOMES[event["label"]]
    top, bottom = entry * (1 + event["take_profit"]), entry * (1 - event["stop_loss"])
    box = Rectangle((start, bottom), end - start, top - bottom)
    box.set(facecolor=outcome.colour, alpha=0.1, linewidth=0, zorder=1)
    axes.add_patch(box)
    width = 1.6 if is_detailed else 1.0
    axes.plot([start, end], [top, top], color=OUTCOMES[1].colour, lw=width, zorder=3)
    axes.plot([start, end], [bottom, bottom], color=OUTCOMES[-1].colour, lw=width, zorder=3)
    axes.plot([end, end], [bottom, top], color=GREY, lw=width, ls=(0, (2, 2)), zorder=3)
    _result(axes, event, clock, 8 if is_detailed else 4.5)
    axes.update_datalim([(start, top), (end, bottom)])
    if is_detailed:
        axes.plot([start], [entry], "s", ms=4.5, color=INK, zorder=4)


def _result(axes: Axes, event: Mapping[str, Any], clock: Clock, marker: float) -> None:
    if event["label_return"] is None:
        return
    outcome, entry = OUTCOMES[event["label"]], event["base_price"]
    ends = [clock(event["t0"]), clock(event["t1"])]
    prices = [entry, entry * (1 + event["label_return"])]
    axes.plot(ends, prices, color=outcome.colour, lw=1, zorder=4)
    style = {"color": outcome.colour, "mec": PAPER, "mew": 0.6, "zorder": 5}
    axes.plot(ends[1:], prices[1:], outcome.marker, ms=marker, **style)


def _legend(figure: Figure, view: DayView, is_narrow: bool, has_halts: bool = True) -> None:
    dot = {"linestyle": "none", "marker": "o", "markersize": 4}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=MUTED, lw=1, label="trades" if view.has_trades else "minutes"),
        Line2D([], [], color=BLUE, label="bar, buyers", **dot),
        Line2D([], [], color=AMBER, label="bar, sellers", **dot),
    ]
    handles = handles if view.has_trades else handles[:1]
    for outcome in OUTCOMES.values() if view.has_trades else ():
        style = {"linestyle": "none", "marker": outcome.marker, "markersize": 6}
        handles.append(Line2D([], [], color=outcome.colour, label=outcome.name, **style))
    if has_halts:
        if not view.patterns.is_empty():
            handles.append(
                Line2D([], [], ls="none", marker="^", mfc="none", mec=INK, label="pattern")
            )
        handles.append(Patch(facecolor=SHADE, label="premarket"))
        if view.halt_intervals:
            handles.append(Patch(facecolor=_HALT, alpha=0.28, label="halt"))
    rows = 3 if is_narrow else 1
    columns = -(-len(handles) // rows)
    figure.legend(
        handles=handles, loc="upper left", ncols=columns, fontsize=8 if is_narrow else 9,
        bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, labelspacing=0.3,
    )  # fmt: skip


def halt_minutes(halts: Sequence[Interval]) -> float:
    """Minutes halted in all; overlapping halts count once."""
    merged: list[Interval] = []
    for start, end in sorted(halts):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return sum(end - start for start, end in merged) / MINUTE


__all__ = ["day_plot", "day_png", "events_plot", "halt_minutes", "new_york_hours"]
