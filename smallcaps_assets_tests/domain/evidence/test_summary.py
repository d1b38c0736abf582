"""Strategies side by side, parts of their trades, sizes, costs, and the rows of the report."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.evaluation import auc
from smallcaps_assets.domain.evidence import account, comparison
from smallcaps_assets.domain.evidence.capacity import capacity, large_trades
from smallcaps_assets.domain.evidence.costs import cost_breakdown, slippage_against_model
from smallcaps_assets.domain.evidence.figures import EvidenceError, Figure, absent
from smallcaps_assets.domain.evidence.summary import daily_table, evidence_of, report_rows
from smallcaps_assets.domain.evidence.trades import GROUPS, by_group, taken
from smallcaps_assets.domain.evidence.trials import (
    Trial,
    ledger_digest,
    trial_count,
    trial_of,
    trial_sharpes,
)
from smallcaps_assets_tests.domain.evidence.backtests import START, make_days, make_trades

exactly = pytest.approx


@pytest.fixture(scope="module")
def trades() -> pl.DataFrame:
    """A model with an edge, two baselines without, a pattern that never traded."""
    parts = [
        make_trades("model", edge=0.4, seed=1),
        make_trades("always_long", "baseline", edge=-0.02, seed=2),
        make_trades("random_side", "baseline", edge=-0.5, seed=3),
        make_trades("gap_and_go", "pattern", seed=4).with_columns(
            shares=pl.lit(0, pl.Int64), net_profit=pl.lit(0.0), refused_by=pl.lit("ssr")
        ),
    ]
    return pl.concat(parts, how="vertical_relaxed")


@pytest.fixture(scope="module")
def days(trades) -> pl.DataFrame:
    return make_days(trades)


TRIALS = [
    Trial("aa", "model", "2024-09-03", "2024-09-18", 12, 0.3),
    Trial("bb", "always_long", "2024-09-03", "2024-09-18", 12, -0.1),
    Trial("cc", "given_up", "2024-09-03", "2024-09-18", 12, None),
]


# Side by side ------------------------------------------------------------------------------------
def test_paired_difference_counts_what_only_one_traded():
    row = {"date": date(2024, 9, 3)}
    own = pl.DataFrame([row | {"ticker": "A", "net_profit": p} for p in (3.0, 4.0)])
    other = pl.DataFrame(
        [row | {"ticker": t, "net_profit": p} for t, p in (("A", 1.0), ("B", 2.0))]
    )
    found = comparison.paired_difference(own, other)
    values = [7.0 - 1.0, 0.0 - 2.0]
    assert found.value == exactly(np.mean(values), abs=1e-10)
    assert found.error == exactly(np.std(values, ddof=1) / math.sqrt(2), abs=1e-10)
    assert comparison.paired_difference(own.clear(), other.clear()).reason == "neither traded"


def test_standings_say_who_survives_and_who_beats_a_baseline(trades, days):
    names = days["strategy"].unique().sort().to_list()
    found = {row["strategy"]: row for row in comparison.standings(trades, names).to_dicts()}
    assert found["model"]["outcome"] == "survives" and found["model"]["beats"]
    assert found["model"]["baseline"] == "always_long"
    assert found["always_long"]["baseline"] == "random_side"
    assert found["random_side"]["outcome"] == "loses"
    assert found["gap_and_go"]["outcome"] == "no trade" and found["gap_and_go"]["refused"] == 48
    assert found["gap_and_go"]["expectancy"] is None and not found["gap_and_go"]["beats"]
    model = taken(trades.filter(strategy="model"))
    assert found["model"]["costs"] == exactly((model["gross_profit"] - model["net_profit"]).sum())
    assert found["random_side"]["cost_share"] is None


def test_a_mean_within_two_errors_is_undecided_and_without_an_error_too():
    outcome = comparison.outcome_of
    for figure in (Figure(1.9, 1.0), Figure(-1.9, 1.0), Figure(9.0)):
        assert outcome(figure) == "undecided"
    assert (outcome(Figure(2.1, 1.0)), outcome(Figure(-2.1, 1.0))) == ("survives", "loses")
    assert outcome(absent("none")) == "no trade"


# The account -------------------------------------------------------------------------------------
def test_account_is_judged_by_its_marks_within_sessions(days):
    own = days.filter(strategy="random_side").sort("date")
    found = account.account_figures(own)
    assert found["max_drawdown"].value == exactly(own["marked_drawdown"].max(), abs=1e-12)
    profits = own["net_profit"].to_numpy()
    assert found["sharpe"].value == exactly(
        profits.mean() / profits.std(ddof=1) * math.sqrt(252), rel=1e-10
    )
    annual = profits.sum() / START * 252 / profits.size
    assert found["car_mdd"].value == exactly(annual / own["marked_drawdown"].max(), rel=1e-10)


def test_account_of_a_part_of_the_sessions_starts_from_its_own_equity(days):
    own = days.filter(strategy="random_side").sort("date")
    part = own.tail(5)
    start = own["equity"][-6]
    assert account.start_equity(part) == exactly(start)
    marks = np.ravel(list(zip(0.99 * part["equity"], part["equity"], strict=True)))
    usd, fraction = account.drawdowns([start, *marks])
    found = account.account_figures(part)
    assert found["max_drawdown"].value == exactly(fraction, abs=1e-10)
    assert found["max_drawdown_usd"].value == exactly(usd, abs=1e-7)


def test_account_of_zero_is_refused(days):
    empty = days.filter(strategy="model").with_columns(equity=pl.col("net_profit").cum_sum())
    with pytest.raises(EvidenceError, match=r"model has 0 USD before 2024-09-03"):
        account.account_figures(empty.sort("date"))


def test_monthly_sums_add_up(days):
    own = days.filter(strategy="model").sort("date")
    table = account.monthly(own)
    assert table["net_profit"].sum() == exactly(own["net_profit"].sum())
    assert table["share"][0] == exactly(table["net_profit"][0] / START)
    assert table["sessions"].sum() == own.height


# Parts -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("group", GROUPS)
def test_parts_of_trades_add_up(trades, group):
    made = taken(trades.filter(strategy="model"))
    parts = by_group(made, group)
    assert parts["trades"].sum() == made.height
    assert parts["net_profit"].sum() == exactly(made["net_profit"].sum())
    row = parts.row(0, named=True)
    assert row["expectancy"] * row["trades"] == exactly(row["net_profit"])


def test_hours_are_those_of_new_york_and_prices_in_order(trades):
    made = taken(trades.filter(strategy="model"))
    assert by_group(made, "hour")["group"][0] == "10:00"
    names = by_group(made, "price")["group"].to_list()
    assert names == [n for n in ("below 1 USD", "1 to 2", "2 to 5", "5 to 10", "10 to 20",
                                 "20 and more") if n in names]  # fmt: skip
    low = made.filter(pl.col("entry_price") < 1)
    counts = dict(by_group(made, "price").select("group", "trades").rows())
    assert counts.get("below 1 USD", 0) == low.height
    edges = made.head(3).with_columns(entry_price=pl.Series([0.9999, 1.0, 20.0]))
    assert by_group(edges, "price")["group"].to_list() == ["below 1 USD", "1 to 2", "20 and more"]


# Costs and size ----------------------------------------------------------------------------------
def test_costs_lead_from_gross_to_net_and_what_they_dont_explain_is_told(trades):
    made = taken(trades.filter(strategy="model"))
    table = dict(cost_breakdown(made).select("item", "usd").rows())
    assert table.pop("net") == exactly(sum(table.values()), abs=1e-9)
    assert "not explained" not in table and table["spread"] == exactly(-made["spread_cost"].sum())
    off = made.with_columns(net_profit=pl.col("net_profit") - 1.0)
    told = dict(cost_breakdown(off).select("item", "usd").rows())
    assert told["not explained"] == exactly(-made.height)


def test_slippage_is_compared_with_the_quote_at_the_decision(trades):
    made = taken(trades.filter(strategy="model"))
    table = slippage_against_model(made).row(0, named=True)
    expected, paid = 0.01 / made["entry_mid"], made["slippage"]
    assert table["expected_bp"] == exactly(1e4 * expected.mean())
    assert table["paid_bp"] == exactly(1e4 * paid.mean())
    assert table["difference_bp"] == exactly(1e4 * (paid - expected).mean())
    blind = slippage_against_model(made.with_columns(decision_mid=pl.lit(None, pl.Float64)))
    row = blind.row(0, named=True)
    assert row["unknown"] == made.height and row["difference_bp"] is None


def test_capacity_scales_trades_and_takes_impact_off(trades):
    made = taken(trades.filter(strategy="model"))
    table = {row["participation"]: row for row in capacity(made).to_dicts()}
    net = impact = 0.0
    for row in made.to_dicts():
        scale = 0.05 / row["participation"]
        shares = row["shares"] * scale
        net += row["net_profit"] * scale
        impact += shares * 0.08 * math.sqrt(shares / 2e6) * (row["entry_price"] + row["exit_price"])
    assert table[0.05]["net_profit"] == exactly(net, rel=1e-10)
    assert table[0.05]["net_after_impact"] == exactly(net - impact, rel=1e-10)
    assert table[0.2]["net_profit"] == exactly(4 * net, rel=1e-10)
    blind = capacity(made.with_columns(sigma_day=pl.lit(None, pl.Float64)))
    assert blind["net_after_impact"].null_count() == blind.height
    assert blind["without_impact_data"][0] == made.height
    assert (large_trades(made)["participation"] > 0.05).all()
    assert large_trades(made).height == (made["participation"] > 0.05).sum()


# All together ------------------------------------------------------------------------------------
def test_evidence_has_every_figure_or_a_reason(trades, days):
    for strategy in ("model", "gap_and_go"):
        found = evidence_of(strategy, trades, days, TRIALS)
        assert found.trials == 3
        for name, figure in found.figures.items():
            assert figure.value is not None or figure.reason, name
    figures = evidence_of("model", trades, days, TRIALS).figures
    made = taken(trades.filter(strategy="model"))
    assert figures["score_auc"].value == exactly(auc(made["score"], made["net_profit"] > 0))
    assert figures["score_brier"].value == exactly(
        ((made["score"] - (made["net_profit"] > 0)) ** 2).mean()
    )
    baseline = evidence_of("always_long", trades, days, TRIALS).figures
    assert "no probabilities" in baseline["score_brier"].reason


def test_daily_table_has_zero_where_a_strategy_has_no_session(days):
    cut = days.filter(~((pl.col("strategy") == "model") & (pl.col("date") == date(2024, 9, 4))))
    table = daily_table(cut)
    assert table.shape == (12, 4)
    assert table[1, sorted(days["strategy"].unique()).index("model")] == 0


def test_report_rows_hold_every_strategy_and_the_trials(trades, days):
    variants = trades.filter(strategy="model").with_columns(
        part=pl.lit("latency"), value=pl.lit("1000 ms")
    )
    rows = report_rows(trades, days, TRIALS, variants)
    assert rows.equals(report_rows(trades, days, TRIALS, variants))
    key = rows.select("strategy", "part", "value", "figure")
    assert key.is_unique().all() and (rows["trials"] == 3).all()
    assert rows.filter(pl.col("estimate").is_null(), pl.col("reason").is_null()).is_empty()
    assert rows.filter(pl.col("estimate").is_not_null())["reason"].null_count() > 0
    late = rows.filter(part="latency", figure="net_profit")["estimate"].item()
    whole = rows.filter(strategy="model", part="all", figure="net_profit")["estimate"].item()
    assert late == exactly(whole)
    idle = rows.filter(strategy="gap_and_go")
    assert set(idle["part"]) == {"all"} and "no trade was taken" in idle["reason"].to_list()


# The ledger --------------------------------------------------------------------------------------
def test_trials_count_each_strategy_once_by_its_longest_backtest(days):
    own = days.filter(strategy="model").sort("date")
    short, long = trial_of("aa", own.head(6)), trial_of("aa", own)
    found = [short, long, TRIALS[1], TRIALS[2]]
    assert trial_count(found) == 3
    profits = own["net_profit"].to_numpy()
    ratio = profits.mean() / profits.std(ddof=1)
    assert trial_sharpes(found) == [exactly(ratio, rel=1e-10), -0.1]
    assert ledger_digest(found) == ledger_digest(found[::-1]) != ledger_digest(found[1:])
    assert (long.first, long.last, long.sessions) == ("2024-09-03", "2024-09-18", 12)
