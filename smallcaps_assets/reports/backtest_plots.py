"""Plots of a backtest: equity with its drawdown, and what larger sizes would have earned."""

from __future__ import annotations

import polars as pl
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from smallcaps_assets.domain.evidence.account import start_equity
from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import (
    AMBER,
    BLUE,
    MUTED,
    RED,
    Plot,
    Size,
    draw_plot,
    legend_above,
    panel,
)
from smallcaps_assets.reports.plots import SMALL, SMALL_NARROW, date_axis


def equity_plot(days: pl.DataFrame, title: str) -> Plot | None:
    """Equity by session, and below how far it was under its highest within each session."""
    if days.is_empty():
        return None
    start = start_equity(days)

    def draw(figure: Figure, is_narrow: bool) -> None:
        height = figure.get_size_inches()[1]
        equity = panel(figure, 0.75, height * 0.4 + 0.1, 0.2, 0.4)
        below = panel(figure, 0.75, 0.46, 0.2, height * 0.6 + 0.12)
        places = date2num(days["date"].to_list())
        equity.plot(places, days["equity"].to_numpy(), color=BLUE, lw=1.4)
        equity.axhline(start, color=MUTED, lw=1, ls=(0, (3, 2)))
        depth = -100 * days["marked_drawdown"].to_numpy()
        below.fill_between(places, depth, 0, color=RED, lw=0, alpha=0.6)
        equity.set_title(title)
        equity.set_ylabel("equity")
        equity.yaxis.set_major_formatter(FuncFormatter(lambda y, _: human.dollars(y)))
        below.set_ylabel("below (%)")
        below.yaxis.set_major_locator(MaxNLocator(3))
        for axes in (equity, below):
            date_axis(axes, is_narrow)
        equity.tick_params(labelbottom=False)

    last, depth = days["equity"][-1], days["marked_drawdown"].max()
    alt = (
        f"{title}: {start:,.0f} to {last:,.0f} USD over {days.height} sessions, at most"
        f" {human.percent(depth)} below its highest."  # type: ignore[arg-type]
    )
    return draw_plot(draw, alt, Size(10.6, 3.8), Size(4.3, 3.8))


def capacity_plot(table: pl.DataFrame) -> Plot | None:
    """Net profit by participation, without impact and with the modelled one."""
    rows = table.drop_nulls("net_profit")
    if rows.is_empty():
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.75, 0.5, 0.2, 0.62)
        places = (100 * rows["participation"]).to_list()
        lines = (
            *(("net_profit", "without impact", AMBER),),
            *(("net_after_impact", "square-root impact (a model)", BLUE),),
        )
        for name, label, colour in lines:
            axes.plot(places, rows[name].to_list(), "o-", ms=4, lw=1.2, color=colour, label=label)
        axes.axhline(0, color=MUTED, lw=1, ls=(0, (3, 2)))
        axes.set_title("Net profit by size", pad=22)
        axes.set_xlabel("share of the minute before (%)")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: human.dollars(y)))
        legend_above(axes, ncols=2)

    alt = "Net profit at 1 to 20 % of the volume of the minute before, without and with impact."
    return draw_plot(draw, alt, SMALL, SMALL_NARROW)
