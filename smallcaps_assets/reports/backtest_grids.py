"""The tables of a backtest's report: figures, parts of the trades, costs, sizes, other strategies.

Each function makes a table of texts of what `domain/evidence` computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from smallcaps_assets.domain.evidence.account import monthly
from smallcaps_assets.domain.evidence.capacity import HIGH_PARTICIPATION, large_trades
from smallcaps_assets.domain.evidence.costs import cost_breakdown, slippage_against_model
from smallcaps_assets.domain.evidence.figures import Figure
from smallcaps_assets.domain.evidence.trades import by_group
from smallcaps_assets.reports import human
from smallcaps_assets.reports.backtest_words import error_bars, signed, tried_text
from smallcaps_assets.reports.days import DayView
from smallcaps_assets.reports.sections import Grid

_LARGEST = 10
_COUNTS = "score_auc", "score_brier", "score_reliability", "profit_factor"
SHARES = "hit_rate", "annual_return", "max_drawdown"
CHANCES = "probabilistic_sharpe", "deflated_sharpe", "overfitting"
_MONEY = (
    *("expectancy", "expectancy_thinned", "gross_expectancy", "quantile_5", "expected_shortfall"),
    *("max_drawdown_usd", "against_baseline"),
)
FIGURES = {
    "gross_expectancy": "expectancy before costs, at the mids (USD a trade)",
    "expectancy": "expectancy after costs (USD a trade)",
    "expectancy_thinned": "the same, once per 15 minutes and ticker",
    "against_baseline": "less the best baseline (USD a ticker-session)",
    "profit_factor": "profit factor: gains / losses",
    "hit_rate": "hit rate",
    "quantile_5": "-5 % quantile (USD a trade)",
    "expected_shortfall": "mean at or below it (USD a trade)",
    "sharpe": "Sharpe ratio a year, of daily profit",
    "annual_return": "simple annual return",
    "max_drawdown": "largest drawdown, marked within sessions",
    "max_drawdown_usd": "the same in USD",
    "car_mdd": "annual return / largest drawdown",
    "probabilistic_sharpe": "probability that the Sharpe ratio is above 0",
    "deflated_sharpe": "the same against the best of all trials by luck",
    "overfitting": "probability that the best strategy is overfitted",
    "score_auc": "area under the curve: scores against profit",
    "score_brier": "Brier score of the scores",
    "score_reliability": "reliability slope of the scores",
}
"""Names of the figures of `Evidence`, in the order in which they are shown."""


@dataclass(frozen=True)
class WorstDay:
    """A ticker-session, what its trades made in USD, and the page of `smallcaps show`, if any."""

    view: DayView
    trades: int
    net_profit: float
    link: str = ""

    @property
    def command(self) -> str:
        """What shows the day in the terminal."""
        return f"smallcaps show {self.view.ticker} {self.view.date}"


def shown(name: str, value: float | None) -> str:
    """A figure by its name as people read it."""
    if name in (*SHARES, *CHANCES):
        return human.percent(value, 2 if name in SHARES else 1)
    if name in _MONEY:
        return human.MISSING if value is None else f"{value:+,.2f}"
    return human.MISSING if value is None else f"{value:,.3f}"


def figure_grid(figures: Mapping[str, Figure], trials: int) -> Grid:
    """Every figure with error and interval, or why there is none."""
    rows = [
        [words, _with_error(name, figures[name]), _bounds(name, figures[name]),
         figures[name].reason or ""]
        for name, words in FIGURES.items()
    ]  # fmt: skip
    note = (
        "± is a standard error that takes a ticker-session as one draw, of the Sharpe ratio a"
        " session; 95 % of draws of whole ticker-sessions or sessions lie in the range."
        f" {tried_text(trials)}"
    )
    columns = ["figure", "value", "95 % of draws", "why not"]
    return Grid(columns, rows, "Figures", note, words=["why not"], names=["figure"])


def _with_error(name: str, figure: Figure) -> str:
    value, error = (shown(name, number) for number in (figure.value, figure.error))
    return value if figure.error is None else f"{value} ± {error.lstrip('+')}"


def _bounds(name: str, figure: Figure) -> str:
    if figure.low is None:
        return human.MISSING
    return f"{shown(name, figure.low)} to {shown(name, figure.high)}"


def month_grid(days: pl.DataFrame) -> Grid:
    """Profit and costs by month."""
    rows = [
        [
            row["month"],
            *(human.count(row[name]) for name in ("sessions", "trades", "refused")),
            *(signed(row[name]) for name in ("gross_profit", "costs", "net_profit")),
            human.percent(row["share"], 2, signed=True),
        ]
        for row in monthly(days).iter_rows(named=True)
    ]
    columns = ["month", "sessions", "trades", "refused", "before costs", "costs", "after costs"]
    return Grid([*columns, "of equity"], rows, "By month")


def group_grid(trades: pl.DataFrame, group: str) -> Grid:
    """Figures of trades by pattern, hour, price, halt, rule, exit or side."""
    rows = [
        [
            row["group"].replace("_", " "),
            human.count(row["trades"]),
            human.percent(row["hit_rate"]),
            human.percent(row["hit_rate_error"]),
            human.decimal(row["profit_factor"]),
            signed(row["expectancy"]),
            signed(row["expectancy_error"]).lstrip("+"),
            signed(row["gross_profit"]),
            signed(row["net_profit"]),
        ]
        for row in (by_group(trades, group).iter_rows(named=True) if trades.height else ())
    ]
    columns = [group, "trades", "hits", "error", "profit factor", "expectancy", "its error"]
    return Grid([*columns, "before costs", "after costs"], rows, f"By {group}")


def cost_grid(trades: pl.DataFrame) -> Grid:
    """From the profit at the mids to the net."""
    rows = [
        [
            row["item"],
            signed(row["usd"]),
            signed(row["per_trade"]),
            human.MISSING if row["turnover_bp"] is None else f"{row['turnover_bp']:+,.1f}",
        ]
        for row in (cost_breakdown(trades).iter_rows(named=True) if trades.height else ())
    ]
    return Grid(["item", "all trades", "a trade", "bp of turnover"], rows, "Costs")


def slippage_grid(trades: pl.DataFrame) -> Grid:
    """The round trip's spread as the decision saw it, and as it was paid."""
    names = ("expected_bp", "paid_bp", "difference_bp", "error_bp")
    rows = [
        [
            row["fill_source"],
            human.count(row["trades"]),
            human.count(row["unknown"]),
            *(human.MISSING if row[n] is None else f"{row[n]:,.1f}" for n in names),
        ]
        for row in slippage_against_model(trades).iter_rows(named=True)
    ]
    columns = ["fills", "trades", "no quote at t0", "counted on (bp)", "paid (bp)", "difference"]
    note = (
        "Of the value, a side. Counted on: the distance of the price at the decision from its mid;"
        " paid: spread cost at entry and exit."
    )
    return Grid([*columns, "its error"], rows, "Slippage against the model", note)


def capacity_grid(table: pl.DataFrame) -> Grid:
    """What other sizes would have earned."""
    rows = [
        [
            human.percent(row["participation"], 0),
            human.count(row["trades"]),
            human.dollars(row["value"]),
            signed(row["net_profit"]),
            signed(row["net_after_impact"]),
            human.count(row["without_impact_data"]),
        ]
        for row in table.iter_rows(named=True)
    ]
    columns = ["of the minute before", "trades", "mean position", "without impact"]
    note = (
        "A model: every trade scaled to the share; impact is sigma of the day × √(shares / volume"
        " of the day so far) at entry and exit. Trades without volatility or volume are left out of"
        " it, and counted in the last column."
    )
    return Grid([*columns, "with impact", "left out of it"], rows, "Capacity", note)


def large_grid(trades: pl.DataFrame) -> Grid:
    """Trades whose size is not sure to have been had without moving the price."""
    large = large_trades(trades)
    rows = [
        [
            f"{row['ticker']} {row['date']}",
            human.new_york_clock(row["t0"], seconds=True),
            human.percent(row["participation"]),
            human.count(row["shares"]),
            signed(row["net_profit"]),
        ]
        for row in large.head(_LARGEST).iter_rows(named=True)
    ]
    title = f"{large.height:,} trades above {human.percent(HIGH_PARTICIPATION, 0)} of the minute"
    columns = ["trade", "New York", "of the minute before", "shares", "after costs"]
    return Grid(columns, rows, title, is_folded=True)


def variant_grid(variants: pl.DataFrame) -> Grid:
    """The same strategy under other settings."""
    rows = [
        [
            row["part"],
            row["value"],
            human.count(row["trades"]),
            signed(row["expectancy"]),
            signed(row["error"]).lstrip("+"),
            signed(row["net_profit"]),
        ]
        for row in variants.iter_rows(named=True)
    ]
    columns = ["setting", "value", "trades", "expectancy", "its error", "after costs"]
    note = (
        "The same events by other latencies and sizes; not trials of the ledger. Candidates are"
        " filled by the latencies that backtest.latencies_ms names, such as [50, 1000]."
    )
    return Grid(columns, rows, "Other settings", note, names=["value"])


def standing_grid(standings: pl.DataFrame) -> Grid:
    """All strategies on the same sessions."""
    rows = [
        [
            row["strategy"],
            row["outcome"],
            human.count(row["trades"]),
            human.count(row["net_profit"]),
            error_bars(row["expectancy"], row["expectancy_error"]),
            human.percent(row["cost_share"], 0),
            row["baseline"] or human.MISSING,
            error_bars(row["difference"], row["difference_error"]),
            "yes" if row["beats"] else "no",
        ]
        for row in standings.iter_rows(named=True)
    ]
    columns = ["strategy", "after costs", "trades", "net USD", "USD a trade", "costs"]
    more = ["best baseline", "less it", "beats it"]
    note = (
        "± is a standard error over ticker-sessions; costs are a share of the gross; less it: USD a"
        " ticker-session beyond the best baseline. Survives: two errors above 0; loses: two below;"
        " undecided: between."
    )
    named = ["after costs", "best baseline"]
    return Grid([*columns, *more], rows, "All strategies", note, names=named)


def refusal_grid(refused: pl.DataFrame) -> Grid:
    """Why trades that were wanted were not made."""
    counts = (
        refused.group_by("refused_by").len().sort("len", "refused_by", descending=[True, False])
    )
    rows = [[name.replace("_", " "), human.count(count)] for name, count in counts.iter_rows()]
    return Grid(["refused by", "trades"], rows, "Refused")


def worst_grid(worst: Sequence[WorstDay]) -> Grid:
    """The worst ticker-sessions."""
    rows = [
        [
            f"{day.view.ticker} {day.view.date}",
            human.count(day.trades),
            signed(day.net_profit),
            day.command,
        ]
        for day in worst
    ]
    return Grid(
        ["day", "trades", "after costs", "shown by"], rows, "Worst days", names=["shown by"]
    )
