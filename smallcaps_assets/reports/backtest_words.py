"""What a backtest says in words: verdicts, the last lines of a run, and what the UI shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from smallcaps_assets.domain.evidence.comparison import (
    BASELINE,
    ENOUGH,
    IDLE,
    LOSES,
    SURVIVES,
    UNDECIDED,
    standings,
)
from smallcaps_assets.domain.evidence.trades import taken, trade_figures
from smallcaps_assets.reports import human
from smallcaps_assets.reports.sparkline import equity_sparkline

_OUTCOMES = {
    SURVIVES: "it survives its costs",
    UNDECIDED: f"within {ENOUGH:g} standard errors of 0, it can't be told from no edge",
    LOSES: "it does not survive its costs",
}


def verdict(standing: Mapping[str, Any], trials: int) -> str:
    """What a row of `standings` says, in sentences, with the number of trials."""
    name = standing["strategy"]
    tried = f" {tried_text(trials)}"
    if standing["outcome"] == IDLE:
        return (
            f"{name} took no trade of the {human.count(standing['refused'])} that it wanted: there"
            f" is nothing to judge.{tried}"
        )
    gross = standing["gross_profit"] / standing["trades"]
    return (
        f"{name} made {signed_usd(gross)} a trade before costs and"
        f" {plus_minus(standing['expectancy'], standing['expectancy_error'])} a trade after them,"
        f" over {human.count(standing['trades'])} trades: {_OUTCOMES[standing['outcome']]}."
        f" {_against(standing)}{tried}"
    )


def _against(standing: Mapping[str, Any]) -> str:
    """Whether it beats the best baseline."""
    baseline = standing["baseline"]
    if baseline is None:
        return "No baseline traded, so there is nothing to beat."
    what = "the best other baseline" if standing["source"] == BASELINE else "the best baseline"
    beats = "beats" if standing["beats"] else "does not beat"
    difference = plus_minus(standing["difference"], standing["difference_error"])
    return f"It {beats} {what}, {baseline}, after costs: {difference} a ticker-session."


def tried_text(trials: int) -> str:
    """The number of trials, which any best of them has to be read with."""
    what = "strategy was" if trials == 1 else "strategies were"
    return f"{human.count(trials)} {what} tried in this lake so far."


def plus_minus(value: float | None, error: float | None) -> str:
    """A mean in USD with its standard error: +0.31 ± 0.20 USD."""
    spread = "" if error is None else f" ± {error:,.2f}"
    return human.MISSING if value is None else f"{value:+,.2f}{spread} USD"


def error_bars(value: float | None, error: float | None) -> str:
    """A mean with its standard error, in a column that names the unit: +0.31 ± 0.20."""
    return plus_minus(value, error).removesuffix(" USD")


def signed(value: float | None) -> str:
    """USD with their sign and cents, in a column that names the unit."""
    return signed_usd(value).removesuffix(" USD")


def signed_usd(value: float | None) -> str:
    """USD with its sign and cents."""
    return human.MISSING if value is None else f"{value:+,.2f} USD"


# A run's last lines ------------------------------------------------------------------------------
def outcome_lines(trades: pl.DataFrame, days: pl.DataFrame, trials: int) -> Iterator[str]:
    """Which strategies survive their costs, which don't, and whether one beats the baselines."""
    if days.is_empty():
        yield "backtest none: it needs a test month with predictions or pattern events"
        return
    names = days["strategy"].unique().sort().to_list()
    table = standings(trades, names)
    sessions = days["date"].n_unique()
    yield (
        f"backtest {len(names)} strategies over {human.count(sessions)} sessions;"
        f" {tried_text(trials)} See `smallcaps backtest NAME`"
    )
    yield f"survive their costs: {_named(table, SURVIVES)}"
    yield f"can't be told from no edge after costs: {_named(table, UNDECIDED)}"
    yield f"don't survive their costs: {_named(table, LOSES)}"
    if idle := _names(table, IDLE):
        yield f"no trade: {', '.join(idle)}"
    better = table.filter(pl.col("beats"), pl.col("source") != BASELINE)["strategy"].to_list()
    yield f"beat the best baseline after costs: {', '.join(better) or 'none'}"


def _named(table: pl.DataFrame, outcome: str) -> str:
    """Strategies of an outcome with their expectancy, the best first."""
    rows = table.filter(outcome=outcome).sort("expectancy", descending=True)
    told = (
        f"{row['strategy']} ({plus_minus(row['expectancy'], row['expectancy_error'])} a trade)"
        for row in rows.iter_rows(named=True)
    )
    return ", ".join(told) or "none"


def _names(table: pl.DataFrame, outcome: str) -> list[str]:
    return table.filter(outcome=outcome)["strategy"].to_list()


# In the UI ---------------------------------------------------------------------------------------
def strategy_metadata(trades: pl.DataFrame, days: pl.DataFrame) -> dict[str, str]:
    """What the UI shows of one strategy: equity as a picture (Markdown), expectancy, costs."""
    made = taken(trades)
    expectancy = trade_figures(made)["expectancy"]
    gross, net = float(made["gross_profit"].sum()), float(made["net_profit"].sum())
    share = human.percent((gross - net) / gross) if gross > 0 else "nothing earned before costs"
    return {
        "equity": equity_sparkline(days),
        "expectancy": f"{plus_minus(expectancy.value, expectancy.error)} a trade"
        if expectancy.reason is None or expectancy.value is not None
        else expectancy.reason,
        "costs' share": share,
        "trades": f"{made.height:,} taken, {trades['refused_by'].is_not_null().sum():,} refused",
    }
