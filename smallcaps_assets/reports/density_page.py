"""The page of the density report: one span, or two side by side.

What is shown of the figures in `density_measures.py`; drawing is in `density_plots.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from smallcaps_assets.domain.selection.density import (
    LARGE_CHANGE,
    TAILS,
    selected_days,
    top_runners,
)
from smallcaps_assets.reports import density_plots as plots
from smallcaps_assets.reports import human
from smallcaps_assets.reports.density_measures import (
    DensityFigures,
    cost_measures,
    density_measures,
    selected_share,
)
from smallcaps_assets.reports.plots import selected_days_plot
from smallcaps_assets.reports.sections import (
    Grid,
    Section,
    both,
    measures_grid,
    render_page,
    titled,
)


def density_page(figures: Sequence[DensityFigures], market: str) -> str:
    """The HTML of the report on one or two spans."""
    sections = [
        _selection(figures),
        _runners(figures),
        _changes(figures),
        _around(figures),
        _dollars_section(figures),
        _cost(figures),
    ]
    if len(figures) > 1:
        versus = measures_grid(density_measures(figures), [one.span for one in figures])
        sections = [Section("compare", "Side by side", grids=[[versus]]), *sections]
    return render_page("Density of selected days", market, figures, _cards(figures), sections)


def _cards(figures: Sequence[DensityFigures]) -> list[tuple[str, str]]:
    """The most telling figures, for two spans of both."""
    days = [one.cost.ticker_sessions for one in figures]
    per = [one.cost.ticker_sessions / max(1, len(one.sessions)) for one in figures]
    return [
        (both(human.count(d) for d in days), "ticker-days worth their ticks"),
        (both(human.decimal(p) for p in per), "of them per session"),
        (
            both(human.percent(selected_share(one)) for one in figures),
            "of the dollars traded, in them",
        ),
        (both(human.size(1e9 * one.cost.gigabytes) for one in figures), "of trades to fetch"),
    ]


# Sections ----------------------------------------------------------------------------------------
def _selection(figures: Sequence[DensityFigures]) -> Section:
    tables = [
        [_rule_grid(one, by, titled(f"By {name}", one, figures), is_folded) for one in figures]
        for by, name, is_folded in (("1y", "year", False), ("1mo", "month", True))
    ]
    over_time = [selected_days_plot(one.watchlist) for one in figures]
    return Section(
        "selection",
        "Selected days",
        "Each ticker-day is drawn once, as info_rich if it was, else under the first rule that"
        " holds; in the tables it counts under every rule that it met. Means and medians are per"
        " session, those without a selected day among them.",
        plots=over_time,
        small=[plots.per_session_plot(figures)] if len(figures) > 1 else [],
        grids=tables,
        empty="No ticker-day met a selection rule in these sessions.",
    )


def _rule_grid(one: DensityFigures, by: str, title: str, is_folded: bool) -> Grid:
    rows = selected_days(one.watchlist, one.sessions, by)
    texts = [
        [
            _period(row["period"], by),
            row["rule"],
            human.count(row["days"]),
            human.count(row["sessions"]),
            human.decimal(row["mean"]),
            human.decimal(row["median"]),
        ]
        for row in rows.iter_rows(named=True)
    ]
    unit = "year" if by == "1y" else "month"
    columns = [unit, "rule", "days", "sessions", "mean", "median"]
    return Grid(columns, texts, title, names=["rule"], is_folded=is_folded)


def _period(day: object, by: str) -> str:
    return str(day)[: 4 if by == "1y" else 7]


def _runners(figures: Sequence[DensityFigures]) -> Section:
    grids = []
    for one in figures:
        rows = top_runners(one.watchlist, "1y")
        texts = [
            [_period(period, "1y"), ticker, human.count(days), human.percent(biggest, signed=True)]
            for period, ticker, days, biggest in rows.iter_rows()
        ]
        columns = ["year", "ticker", "info-rich days", "biggest change"]
        title = titled("Most info-rich days of the year", one, figures)
        grids.append(Grid(columns, texts, title, names=["ticker"], is_folded=len(texts) > 30))
    return Section(
        "runners",
        "Runners",
        "The ten tickers with most info-rich days in each year.",
        grids=[grids],
        empty="No day was info-rich.",
    )


def _changes(figures: Sequence[DensityFigures]) -> Section:
    return Section(
        "changes",
        "Changes of price",
        "Close against previous close on one share basis, all ticker-days with metrics. A tail that"
        " is thick on one side at a round factor hints at splits that the vendor's list lacks.",
        small=[plots.change_plot(figures), plots.tails_plot(figures)],
        grids=[
            *([_tail_grid(one, titled("Tails by year", one, figures))] for one in figures),
            [
                _threshold_grid(one, titled("Per thousand ticker-days", one, figures))
                for one in figures
            ],
        ],
        empty="There are no daily metrics of these sessions.",
    )


def _tail_grid(one: DensityFigures, title: str) -> Grid:
    quantiles = [f"q_{q}" for q in TAILS]
    texts = [
        [
            _period(row["period"], "1y"),
            human.count(row["days"]),
            human.count(row["beyond"]),
            *(human.percent(row[name], signed=True) for name in quantiles),
        ]
        for row in one.tails.iter_rows(named=True)
    ]
    beyond = f"beyond {LARGE_CHANGE:.0%}"
    return Grid(["year", "ticker-days", beyond, *(f"{q:.1%}" for q in TAILS)], texts, title)


def _threshold_grid(one: DensityFigures, title: str) -> Grid:
    """Rises and falls per thousand ticker-days, beyond each threshold."""
    texts = [
        [f"{limit:.0%} or more", *(human.decimal(1000 * n / days) for n in (rises, falls))]
        for limit, rises, falls, days in one.counts.iter_rows()
        if days
    ]
    return Grid(["change", "rises", "falls"], texts, title)


def _around(figures: Sequence[DensityFigures]) -> Section:
    return Section(
        "around",
        "Relative volume around halts and splits",
        "Volume against the mean of the previous 30 sessions, from five sessions before to five"
        " after. News lifts the day itself; a median that is high before a halt or a split would"
        " mean that a gap in the data or a wrong share basis has bent the mean.",
        small=[plots.around_plot(figures, event) for event in figures[0].around],
        grids=[[_around_grid(figures, event)] for event in figures[0].around],
        empty="No halt and no split is known of these sessions.",
    )


def _around_grid(figures: Sequence[DensityFigures], event: str) -> Grid:
    offsets = sorted({n for one in figures for n in one.around[event]["offset"]})
    rows = []
    for offset in offsets:
        at = [one.around[event].filter(pl.col("offset") == offset) for one in figures]
        texts = [t for rows_at in at for t in _around_texts(rows_at)]
        rows.append([f"{offset:+d}" if offset else "the day itself", *texts])
    names = [f" {one.span.name}" if len(figures) > 1 else "" for one in figures]
    columns = [f"{kind}{name}" for name in names for kind in ("days", "median", "mean")]
    return Grid(["session", *columns], rows, f"Around {event}", is_folded=True)


def _around_texts(at: pl.DataFrame) -> list[str]:
    if at.is_empty():
        return [human.MISSING] * 3
    row = at.row(0, named=True)
    return [human.count(row["count"]), human.decimal(row["median"]), human.decimal(row["mean"])]


def _dollars_section(figures: Sequence[DensityFigures]) -> Section:
    return Section(
        "dollars",
        "Dollars traded",
        "Of all ticker-days with metrics, and of those among them that are worth their ticks:"
        " a rule that asks for ticks selects them.",
        small=[
            plots.dollars_plot(one.dollars, titled("Dollars traded", one, figures))
            for one in figures
        ],
        grids=[[_dollar_grid(one, titled("By year", one, figures)) for one in figures]],
        empty="There are no daily metrics of these sessions.",
    )


def _dollar_grid(one: DensityFigures, title: str) -> Grid:
    years = (
        one.dollars.group_by(pl.col("period").dt.truncate("1y"))
        .agg(pl.col("market", "selected").sum())
        .sort("period")
    )
    texts = [
        [_period(year, "1y"), human.dollars(market), human.dollars(selected),
         human.percent(selected / market if market else None)]
        for year, market, selected in years.iter_rows()
    ]  # fmt: skip
    return Grid(["year", "market", "selected", "share"], texts, title)


def _cost(figures: Sequence[DensityFigures]) -> Section:
    return Section(
        "cost",
        "What their ticks would cost",
        "The ticker-sessions that the tick rules select, in pages of 50,000 trades. Look first,"
        " then decide which periods' ticks to fetch: set ticks = true of the period.",
        grids=[[measures_grid(cost_measures(figures), [one.span for one in figures])]],
    )
