"""All figures of one strategy over some sessions, as an object and as rows of backtest_report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import floats, group_numbers
from smallcaps_assets.domain.evaluation import (
    EvaluationError,
    auc,
    brier_score,
    clustered_standard_error,
    reliability_slope,
)
from smallcaps_assets.domain.evidence.account import account_figures
from smallcaps_assets.domain.evidence.capacity import capacity
from smallcaps_assets.domain.evidence.comparison import against_best, outcome_of
from smallcaps_assets.domain.evidence.figures import Figure, absent
from smallcaps_assets.domain.evidence.overfitting import overfitting, sharpe_probabilities
from smallcaps_assets.domain.evidence.trades import (
    CLUSTER,
    GROUPS,
    by_group,
    profit_figures,
    profit_intervals,
    profits_of,
    taken,
    thinned,
    trade_figures,
)
from smallcaps_assets.domain.evidence.trials import Trial, trial_count, trial_sharpes

WHOLE = "all"
_REPORT: Mapping[str, type[pl.DataType]] = {
    **dict.fromkeys(("strategy", "part", "value", "figure"), pl.String),
    **dict.fromkeys(("estimate", "error"), pl.Float64),
    **dict.fromkeys(("trades", "trials"), pl.Int64),
    "reason": pl.String,
}


@dataclass(frozen=True)
class Evidence:
    """What a strategy proved over some sessions.

    `trades` are all of it, `refused` those that it wanted and didn't get, `days` its sessions.
    """

    strategy: str
    trades: pl.DataFrame
    refused: pl.DataFrame
    days: pl.DataFrame
    figures: Mapping[str, Figure]
    baseline: str | None
    trials: int

    @property
    def outcome(self) -> str:
        """survives, undecided, loses or no trade: its expectancy after costs."""
        return outcome_of(self.figures["expectancy"])


def evidence_of(
    strategy: str,
    trades: pl.DataFrame,
    days: pl.DataFrame,
    trials: Sequence[Trial],
    overfit: Figure | None = None,
) -> Evidence:
    """The figures of a strategy beside all others on the same sessions.

    `trades` and `days` are those of every strategy, and so is `overfit`, the probability of
    overfitting, computed if it is not given. Raises EvidenceError for an account of 0.
    """
    own = trades.filter(pl.col("strategy") == strategy)
    made = taken(own)
    sessions = days.filter(pl.col("strategy") == strategy).sort("date")
    baseline, against = against_best(made, trades, strategy)
    count = trial_count(trials)
    profits = sessions["net_profit"].to_numpy()
    figures = {
        **profit_intervals(trade_figures(made), *profits_of(made)),
        "expectancy_thinned": trade_figures(thinned(made))["expectancy"],
        "gross_expectancy": profit_figures(*profits_of(made, "gross_profit"))["expectancy"],
        **score_figures(made),
        **account_figures(sessions),
        **sharpe_probabilities(profits, count, trial_sharpes(trials)),
        "overfitting": overfit or overfitting(daily_table(days)),
        "against_baseline": against,
    }
    refused = own.filter(pl.col("refused_by").is_not_null())
    return Evidence(strategy, made, refused, sessions, figures, baseline, count)


def score_figures(made: pl.DataFrame) -> dict[str, Figure]:
    """How well the scores of trades tell those that earned: area, Brier score, reliability.

    The last two only where scores are probabilities, that is, of predictions.
    """
    scored = made.filter(pl.col("score").is_finite())
    won = (scored["net_profit"] > 0).to_numpy()
    values = floats(scored["score"])
    try:
        area = auc(values, won)
        error = clustered_standard_error(values, won, group_numbers(scored, *CLUSTER))
        told = {"score_auc": Figure(area, error)}
    except EvaluationError as refusal:
        told = {"score_auc": absent(str(refusal))}
    is_chance = scored.height > 0 and (scored["source"] == "prediction").all()
    if not is_chance or not ((values >= 0) & (values <= 1)).all():
        missing = absent("the scores are no probabilities")
        return told | {"score_brier": missing, "score_reliability": missing}
    slope = reliability_slope(values, won)
    told["score_brier"] = Figure(brier_score(values, won))
    told["score_reliability"] = (
        absent("one outcome or one score only") if slope is None else Figure(slope)
    )
    return told


def daily_table(days: pl.DataFrame) -> np.ndarray:
    """Daily net profit, float64[sessions, strategies]: 0 where a strategy has no row."""
    wide = days.sort("strategy", "date").pivot("strategy", index="date", values="net_profit")
    return wide.sort("date").drop("date").fill_null(0.0).to_numpy()


# Rows of the report ------------------------------------------------------------------------------
def report_rows(
    trades: pl.DataFrame,
    days: pl.DataFrame,
    trials: Sequence[Trial],
    variants: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """backtest_report of all strategies: figures of the whole and of each part of it.

    `variants` has trades of the strategies under other settings, with the columns `part` and
    `value` that name the setting, such as latency and 1000 ms.
    """
    rows: list[dict[str, Any]] = []
    overfit = overfitting(daily_table(days))
    for strategy in days["strategy"].unique().sort().to_list():
        found = evidence_of(strategy, trades, days, trials, overfit)
        rows += _whole_rows(found)
        rows += _part_rows(found)
    rows += _variant_rows(variants, trial_count(trials)) if variants is not None else []
    return pl.DataFrame(rows, schema=_REPORT).sort("strategy", "part", "value", "figure")


def _row(
    found: tuple[str, str, str, str], figure: Figure, trades: int, trials: int
) -> dict[str, Any]:
    strategy, part, value, name = found
    return {
        **{"strategy": strategy, "part": part, "value": value, "figure": name},
        **{"estimate": figure.value, "error": figure.error, "trades": trades, "trials": trials},
        "reason": figure.reason if figure.value is None else None,
    }


def _whole_rows(found: Evidence) -> Iterator[dict[str, Any]]:
    sums = {
        name: Figure(float(found.trades[name].sum())) for name in ("gross_profit", "net_profit")
    }
    for name, figure in {**found.figures, **sums}.items():
        where = found.strategy, WHOLE, "", name
        yield _row(where, figure, found.trades.height, found.trials)


def _part_rows(found: Evidence) -> Iterator[dict[str, Any]]:
    if found.trades.is_empty():
        return
    for group in GROUPS:
        for row in by_group(found.trades, group).iter_rows(named=True):
            for name, figure in _group_figures(row).items():
                where = found.strategy, group, row["group"], name
                yield _row(where, figure, row["trades"], found.trials)
    yield from _capacity_rows(found)


def _group_figures(row: Mapping[str, Any]) -> dict[str, Figure]:
    factor = row["profit_factor"]
    return {
        "expectancy": Figure(row["expectancy"], row["expectancy_error"]),
        "hit_rate": Figure(row["hit_rate"], row["hit_rate_error"]),
        "profit_factor": absent("no trade lost") if factor is None else Figure(factor),
        "gross_profit": Figure(row["gross_profit"]),
        "net_profit": Figure(row["net_profit"]),
    }


def _capacity_rows(found: Evidence) -> Iterator[dict[str, Any]]:
    for row in capacity(found.trades).iter_rows(named=True):
        value = f"{row['participation']:.0%} of the minute before"
        for name in ("net_profit", "net_after_impact"):
            figure = Figure(row[name], reason="no trade has what it needs")
            where = found.strategy, "capacity", value, name
            yield _row(where, figure, row["trades"], found.trials)


def variant_figures(variants: pl.DataFrame) -> pl.DataFrame:
    """Of a strategy under each other setting: part, value, trades, expectancy, error, net_profit.

    `variants` has the columns of backtest_trades, and `part` and `value` that name the setting.
    """
    rows = []
    for (part, value), group in variants.group_by("part", "value", maintain_order=True):
        made = taken(group)
        found = trade_figures(made)["expectancy"]
        row = {"part": part, "value": value, "trades": made.height, "expectancy": found.value}
        rows.append(row | {"error": found.error, "net_profit": float(made["net_profit"].sum())})
    texts, numbers = ("part", "value"), ("expectancy", "error", "net_profit")
    types = dict.fromkeys(texts, pl.String) | {"trades": pl.Int64}
    return pl.DataFrame(rows, schema=types | dict.fromkeys(numbers, pl.Float64))


def _variant_rows(variants: pl.DataFrame, trials: int) -> Iterator[dict[str, Any]]:
    for (strategy,), own in variants.group_by("strategy", maintain_order=True):
        for row in variant_figures(own).iter_rows(named=True):
            expectancy = Figure(row["expectancy"], row["error"], reason="no trade was taken")
            figures = {"expectancy": expectancy, "net_profit": Figure(row["net_profit"])}
            for name, figure in figures.items():
                where = str(strategy), row["part"], row["value"], name
                yield _row(where, figure, row["trades"], trials)
