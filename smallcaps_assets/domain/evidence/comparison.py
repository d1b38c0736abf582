"""Strategies side by side on the same sessions: which survive their costs, which beat a baseline.

Differences are paired by ticker-session: what one strategy and the other made of it, 0 where it did
not trade.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from smallcaps_assets.domain.columns import floats
from smallcaps_assets.domain.evaluation import clustered_mean
from smallcaps_assets.domain.evidence.figures import Figure, absent
from smallcaps_assets.domain.evidence.trades import CLUSTER, taken, trade_figures

ENOUGH = 2.0
"""Standard errors from 0 from which a mean counts as above or below it."""
BASELINE = "baseline"
SURVIVES, UNDECIDED, LOSES, IDLE = "survives", "undecided", "loses", "no trade"
_SUMS = ("gross_profit", "net_profit")


def paired_difference(own: pl.DataFrame, other: pl.DataFrame) -> Figure:
    """Mean net profit a ticker-session of one strategy less another's, USD, with its error.

    Over the ticker-sessions that either traded; each is one draw.
    """
    sums = [t.group_by(CLUSTER).agg(pl.col("net_profit").sum()) for t in (own, other)]
    joined = sums[0].join(sums[1], on=CLUSTER, how="full", coalesce=True).fill_null(0.0)
    ordered = joined.sort(CLUSTER)
    difference = floats(ordered["net_profit"]) - floats(ordered["net_profit_right"])
    if not difference.size:
        return absent("neither traded")
    mean, error = clustered_mean(difference, range(difference.size))
    return Figure(mean, error, reason="one ticker-session: no error" if error is None else None)


def best_baseline(trades: pl.DataFrame, besides: str = "") -> str | None:
    """Name of the baseline that made the most after costs; None where none traded."""
    kept = taken(trades).filter(pl.col("source") == BASELINE, pl.col("strategy") != besides)
    made = kept.group_by("strategy").agg(pl.col("net_profit").sum())
    ranked = made.sort("net_profit", "strategy", descending=[True, False])
    return None if ranked.is_empty() else ranked["strategy"][0]


def against_best(made: pl.DataFrame, trades: pl.DataFrame, name: str) -> tuple[str | None, Figure]:
    """The best baseline among all trades, and what a strategy's trades made beyond its."""
    baseline = best_baseline(trades, besides=name)
    if baseline is None:
        return None, absent("no baseline traded")
    return baseline, paired_difference(made, taken(trades.filter(pl.col("strategy") == baseline)))


def standings(trades: pl.DataFrame, strategies: list[str]) -> pl.DataFrame:
    """A row per strategy: what it made before and after costs, and against the best baseline.

    Columns: strategy, source, trades, refused, ticker_sessions, gross_profit, costs, net_profit,
    cost_share (of the gross profit; null where there is none), expectancy and its error, outcome
    (one of survives, undecided, loses, no trade), baseline, difference and its error, beats.
    A strategy survives if its expectancy after costs is two standard errors above 0, and beats a
    baseline if it survives and their difference is.
    """
    rows = [_standing(trades, name) for name in strategies]
    return pl.DataFrame(rows, schema=_STANDING)


def _standing(trades: pl.DataFrame, name: str) -> dict[str, Any]:
    own = trades.filter(pl.col("strategy") == name)
    made = taken(own)
    gross, net = (float(made[column].sum()) for column in _SUMS)
    expectancy = trade_figures(made)["expectancy"]
    baseline, against = against_best(made, trades, name)
    outcome = outcome_of(expectancy)
    return {
        "strategy": name,
        "source": own["source"][0] if own.height else None,
        "trades": made.height,
        "refused": own["refused_by"].is_not_null().sum(),
        "ticker_sessions": made.select(CLUSTER).n_unique() if made.height else 0,
        "gross_profit": gross,
        "costs": gross - net,
        "net_profit": net,
        "cost_share": (gross - net) / gross if gross > 0 else None,
        "expectancy": expectancy.value,
        "expectancy_error": expectancy.error,
        "outcome": outcome,
        "baseline": baseline,
        "difference": against.value,
        "difference_error": against.error,
        "beats": outcome == SURVIVES and _side(against) > 0,
    }


def outcome_of(expectancy: Figure) -> str:
    """What an expectancy after costs says of a strategy."""
    if expectancy.value is None:
        return IDLE
    return {1: SURVIVES, 0: UNDECIDED, -1: LOSES}[_side(expectancy)]


def _side(figure: Figure) -> int:
    """1 or -1 where a mean is two standard errors from 0, else 0; without an error it is 0."""
    if figure.value is None or figure.error is None:
        return 0
    beyond = abs(figure.value) > ENOUGH * figure.error
    return (1 if figure.value > 0 else -1) if beyond else 0


_STANDING: Mapping[str, type[pl.DataType]] = {
    **dict.fromkeys(("strategy", "source"), pl.String),
    **dict.fromkeys(("trades", "refused", "ticker_sessions"), pl.Int64),
    **dict.fromkeys(("gross_profit", "costs", "net_profit", "cost_share"), pl.Float64),
    **dict.fromkeys(("expectancy", "expectancy_error"), pl.Float64),
    **dict.fromkeys(("outcome", "baseline"), pl.String),
    **dict.fromkeys(("difference", "difference_error"), pl.Float64),
    "beats": pl.Boolean,
}
