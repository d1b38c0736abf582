"""The report on a strategy's backtest: verdict, figures with errors, parts, costs, sizes, days.

Its tables are in `backtest_grids.py`, its words in `backtest_words.py`, drawing in
`backtest_plots.py`; what they show is computed in `domain/evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from smallcaps_assets.domain.evidence.account import monthly
from smallcaps_assets.domain.evidence.capacity import capacity, large_trades
from smallcaps_assets.domain.evidence.costs import cost_breakdown, slippage_against_model
from smallcaps_assets.domain.evidence.summary import Evidence
from smallcaps_assets.domain.evidence.trades import GROUPS, by_group
from smallcaps_assets.reports import human
from smallcaps_assets.reports.backtest_grids import (
    CHANCES,
    FIGURES,
    SHARES,
    WorstDay,
    capacity_grid,
    cost_grid,
    figure_grid,
    group_grid,
    large_grid,
    month_grid,
    refusal_grid,
    shown,
    slippage_grid,
    standing_grid,
    variant_grid,
    worst_grid,
)
from smallcaps_assets.reports.backtest_plots import capacity_plot, equity_plot
from smallcaps_assets.reports.backtest_words import signed_usd, verdict
from smallcaps_assets.reports.canvas import Plot
from smallcaps_assets.reports.day_plot import day_plot
from smallcaps_assets.reports.sections import (
    Grid,
    Section,
    both,
    measures_grid,
    render_page,
    titled,
)
from smallcaps_assets.reports.spans import Measure, Span


@dataclass(frozen=True)
class BacktestFigures:
    """What the page shows of one span.

    `standings` are those of all strategies on the same sessions; `variants` has the columns part,
    value, trades, expectancy, error, net_profit of other settings.
    """

    span: Span
    market: str
    evidence: Evidence
    standings: pl.DataFrame
    variants: pl.DataFrame
    worst: Sequence[WorstDay] = ()

    @property
    def words(self) -> str:
        """The verdict."""
        is_own = pl.col("strategy") == self.evidence.strategy
        own = self.standings.row(by_predicate=is_own, named=True)
        return " ".join(
            filter(None, [verdict(own, self.evidence.trials), human.market_text(self.market)])
        )


def grids(figures: BacktestFigures) -> Iterator[Grid]:
    """The tables for the terminal, in order."""
    found = figures.evidence
    yield figure_grid(found.figures, found.trials)
    yield standing_grid(figures.standings)
    yield month_grid(found.days)
    yield from (group_grid(found.trades, group) for group in GROUPS)
    yield cost_grid(found.trades)
    yield slippage_grid(found.trades)
    yield capacity_grid(capacity(found.trades))
    yield variant_grid(figures.variants)
    yield refusal_grid(found.refused)
    yield worst_grid(figures.worst)


# Page --------------------------------------------------------------------------------------------
def backtest_page(figures: Sequence[BacktestFigures]) -> str:
    """The HTML of the report on one or two spans."""
    sections = [
        *([_side_by_side(figures)] if len(figures) > 1 else []),
        _account(figures),
        _parts(figures),
        _costs(figures),
        _sizes(figures),
        _others(figures),
        _worst(figures),
    ]
    first = figures[0].evidence
    return render_page(
        f"Backtest: {first.strategy}", figures[0].market, figures, _cards(figures), sections
    )


def _cards(figures: Sequence[BacktestFigures]) -> list[tuple[str, str]]:
    found = [one.evidence for one in figures]
    net = [float(one.trades["net_profit"].sum()) for one in found]
    return [
        (both(one.outcome for one in found), "after costs"),
        (both(signed_usd(value) for value in net), "after costs, all trades"),
        (both(human.count(one.trades.height) for one in found), "trades"),
        (both(human.count(one.refused.height) for one in found), "wanted and refused"),
        (human.count(found[0].trials), "strategies tried in this lake"),
    ]


def measures(figures: Sequence[BacktestFigures]) -> list[Measure]:
    """The figures of two spans, to be compared."""
    return [
        Measure(
            words,
            tuple(one.evidence.figures[name].value for one in figures),
            lambda value, name=name: shown(name, value),
            name in (*SHARES, *CHANCES),
        )
        for name, words in FIGURES.items()
    ]


def _side_by_side(figures: Sequence[BacktestFigures]) -> Section:
    grid = measures_grid(measures(figures), [one.span for one in figures])
    return Section("compare", "Side by side", grids=[[grid]])


def _account(figures: Sequence[BacktestFigures]) -> Section:
    words = figures[0].words
    if len(figures) > 1:
        words = " ".join(f"{one.span.name}: {one.words}" for one in figures)
    return Section(
        "account",
        "Verdict",
        words,
        plots=[equity_plot(o.evidence.days, titled("Equity", o, figures)) for o in figures],
        grids=[
            *(
                [_named(figure_grid(o.evidence.figures, o.evidence.trials), o, figures)]
                for o in figures
            ),
            *([_named(month_grid(o.evidence.days), o, figures)] for o in figures),
        ],
    )


def _parts(figures: Sequence[BacktestFigures]) -> Section:
    return Section(
        "parts",
        "Trades",
        "Parts of the same trades: of so many, some look good by luck.",
        grids=[
            [_named(group_grid(one.evidence.trades, group), one, figures)]
            for group in GROUPS
            for one in figures
        ]
        + [[_named(refusal_grid(one.evidence.refused), one, figures)] for one in figures],
        empty="No trade was wanted.",
    )


def _costs(figures: Sequence[BacktestFigures]) -> Section:
    tables = (cost_grid, slippage_grid)
    return Section(
        "costs",
        "Costs",
        "Before costs is at the mids. The spread is what was paid beside them, at entry and exit.",
        grids=[[_named(t(one.evidence.trades), one, figures)] for t in tables for one in figures],
        empty="No trade was made.",
    )


def _sizes(figures: Sequence[BacktestFigures]) -> Section:
    tables = [capacity(one.evidence.trades) for one in figures]
    return Section(
        "sizes",
        "Other sizes and settings",
        "Of several settings one is the best by luck: it is not what to expect.",
        small=[capacity_plot(table) for table in tables],
        grids=[
            *([_named(capacity_grid(t), o, figures)] for t, o in zip(tables, figures, strict=True)),
            *([_named(large_grid(one.evidence.trades), one, figures)] for one in figures),
            *([_named(variant_grid(one.variants), one, figures)] for one in figures),
        ],
    )


def _others(figures: Sequence[BacktestFigures]) -> Section:
    return Section(
        "others",
        "Beside the others",
        "On the same sessions and fills. A difference is paired by ticker-session; a strategy beats"
        " the best baseline if it survives its costs and the difference is two errors above 0.",
        grids=[[_named(standing_grid(one.standings), one, figures)] for one in figures],
    )


def _worst(figures: Sequence[BacktestFigures]) -> Section:
    days = [day for one in figures for day in one.worst]
    return Section(
        "worst",
        "Worst days",
        plots=[_day_plot(day) for day in days],
        grids=[[_named(worst_grid(one.worst), one, figures)] for one in figures],
        empty="No trade was made.",
    )


def _day_plot(day: WorstDay) -> Plot | None:
    """The day's chart, which leads to its own page."""
    if day.view.ticks.is_empty():
        return None
    caption = (
        f"{day.view.ticker} {day.view.date}: {signed_usd(day.net_profit)} after costs in"
        f" {human.count(day.trades)} trades; {day.command}"
    )
    return replace(day_plot(day.view), link=day.link, caption=caption)


def _named(grid: Grid, one: BacktestFigures, figures: Sequence[BacktestFigures]) -> Grid:
    """A grid that names its span where there are two."""
    return replace(grid, title=titled(grid.title, one, figures))


# For scripts -------------------------------------------------------------------------------------
def plain_backtest(figures: BacktestFigures) -> dict[str, Any]:
    """All that the page says, as values and frames."""
    found = figures.evidence
    return {
        **{"span": figures.span.name, "start": figures.span.start, "end": figures.span.end},
        **{"words": figures.words, "outcome": found.outcome, "trials": found.trials},
        "figures": {name: asdict(figure) for name, figure in found.figures.items()},
        "months": monthly(found.days),
        **{f"by_{group}": by_group(found.trades, group) for group in GROUPS},
        "costs": cost_breakdown(found.trades),
        "slippage": slippage_against_model(found.trades),
        "capacity": capacity(found.trades),
        "large_trades": large_trades(found.trades),
        "variants": figures.variants,
        "strategies": figures.standings,
        "refused": found.refused.group_by("refused_by").len("trades").sort("refused_by"),
    }
