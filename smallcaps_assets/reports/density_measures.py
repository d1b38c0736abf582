"""The figures of the density report on one span, and those by which two spans are compared.

Computing them belongs to `domain/selection/density.py`, reading the lake to the caller, the page to
`density_page.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from smallcaps_assets.domain.selection.density import LARGE_CHANGE, TickCost
from smallcaps_assets.reports import human
from smallcaps_assets.reports.spans import Measure, Span
from smallcaps_assets.schemas import RULES


@dataclass(frozen=True)
class DensityFigures:
    """What the report says of one span.

    `sessions` are the dates looked at; `watchlist` has date, ticker, rule and change of the span;
    `tails` is `change_tails` by year, `counts` `change_counts`, `histogram` `change_histogram`,
    `dollars` `dollars_traded` by month, of the days that the tick rules select; `around` is
    `rvol_summary` by kind of event; `cost` is that of those days' ticks.
    """

    span: Span
    sessions: pl.Series
    watchlist: pl.DataFrame
    tails: pl.DataFrame
    counts: pl.DataFrame
    histogram: pl.DataFrame
    dollars: pl.DataFrame
    around: Mapping[str, pl.DataFrame]
    cost: TickCost


def density_measures(figures: Sequence[DensityFigures]) -> list[Measure]:
    """The figures that sum up each span."""
    rows = [
        ("sessions", [len(one.sessions) for one in figures]),
        ("selected ticker-days", [_days(one.watchlist) for one in figures]),
        ("tickers selected at least once", [one.watchlist["ticker"].n_unique() for one in figures]),
    ]
    measures = [Measure(name, tuple(values)) for name, values in rows]
    for rule in RULES:
        means = tuple(_per_session(one, rule) for one in figures)
        measures.append(Measure(f"{rule} days per session", means, human.decimal))
    return [
        *measures,
        Measure(
            f"days with a change of {LARGE_CHANGE:.0%} or more",
            tuple(_large(one.counts) for one in figures),
            partial(human.percent, decimals=2),
            is_share=True,
        ),
        Measure("dollars traded per session", tuple(map(_dollars, figures)), human.dollars),
        Measure(
            "of them in days worth their ticks",
            tuple(map(selected_share, figures)),
            human.percent,
            is_share=True,
        ),
        *_around_measures(figures),
        *cost_measures(figures),
    ]


# Numbers ------------------------------------------------------------------------------------------
def _days(watchlist: pl.DataFrame) -> int:
    return watchlist.select("ticker", "date").n_unique()


def _per_session(one: DensityFigures, rule: str) -> float | None:
    if one.sessions.is_empty():
        return None
    return int((one.watchlist["rule"] == rule).sum()) / len(one.sessions)


def _large(counts: pl.DataFrame) -> float | None:
    row = counts.row(by_predicate=pl.col("threshold") == LARGE_CHANGE, named=True)
    return (row["rises"] + row["falls"]) / row["days"] if row["days"] else None


def _dollars(one: DensityFigures) -> float | None:
    return float(one.dollars["market"].sum()) / len(one.sessions) if len(one.sessions) else None


def selected_share(one: DensityFigures) -> float | None:
    """Share of all dollars that was traded in days worth their ticks."""
    market = float(one.dollars["market"].sum())
    return float(one.dollars["selected"].sum()) / market if market else None


def _around_measures(figures: Sequence[DensityFigures]) -> list[Measure]:
    """Median relative volume the session before and on the day of each kind of event."""
    return [
        Measure(
            f"median relative volume {when} {event}",
            tuple(_median(one.around[event], offset) for one in figures),
            human.decimal,
        )
        for event in figures[0].around
        for when, offset in (("the session before", -1), ("on the day of", 0))
    ]


def _median(around: pl.DataFrame, offset: int) -> float | None:
    rows = around.filter(pl.col("offset") == offset)
    return rows["median"][0] if len(rows) else None


def cost_measures(figures: Sequence[DensityFigures]) -> list[Measure]:
    """What the ticks of each span's days would cost."""
    costs = [one.cost for one in figures]
    return [
        Measure("ticker-sessions worth their ticks", tuple(c.ticker_sessions for c in costs)),
        Measure("requests for their trades", tuple(c.requests for c in costs)),
        Measure("time on a paid plan", tuple(3600 * c.hours_paid for c in costs), human.duration),
        Measure("time on the free plan", tuple(3600 * c.hours_free for c in costs), human.duration),
        Measure("size of their trades", tuple(1e9 * c.gigabytes for c in costs), human.size),
    ]
