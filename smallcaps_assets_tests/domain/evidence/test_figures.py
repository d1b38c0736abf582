"""Every figure against the golden cases and an independent computation, to 1e-10."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.evaluation import brier_score, clustered_mean, reliability_slope
from smallcaps_assets.domain.evidence import account, overfitting
from smallcaps_assets.domain.evidence.figures import EvidenceError, Figure, absent, with_intervals
from smallcaps_assets.domain.evidence.trades import profit_figures, profit_intervals, thinned

stats = pytest.importorskip("scipy.stats", reason="SciPy, which scikit-learn brings, is missing")

GOLDEN = {
    case["name"]: case
    for case in json.loads(
        (Path(__file__).parents[2] / "golden" / "research_evidence.json").read_text()
    )
}
exactly = pytest.approx
PROFITS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(-500, 500).map(lambda cents: cents / 4)),
    min_size=1,
    max_size=40,
)


def figures_of(name):
    case = GOLDEN[name]
    return case["input"], case["expected"]


# Golden ------------------------------------------------------------------------------------------
def test_trade_metrics_golden():
    told, expected = figures_of("trade_metrics")
    sessions, profits = zip(*told["trades"], strict=True)
    start = told["start_equity"]
    daily = [sum(p for s, p in told["trades"] if s == day) for day in told["sessions"]]
    usd, fraction = account.drawdowns(start + np.cumsum([0, *profits]))
    found = {
        **{name: figure.value for name, figure in profit_figures(profits, sessions).items()},
        "trades": len(profits),
        "sharpe_daily": account.moments(daily).sharpe,
        "sharpe": account.sharpe(daily).value,
        **{"max_drawdown_usd": usd, "max_drawdown": fraction},
        "car": account.annual_return(daily, start),
        "car_mdd": account.car_mdd(daily, start, fraction).value,
    }
    assert found == exactly(expected, rel=1e-12)


def test_sharpe_probabilities_golden():
    told, expected = figures_of("probabilistic_sharpe")
    found = overfitting.probabilistic_sharpe(
        told["sharpe"], told["n"], told["skew"], told["kurtosis"], told["benchmark"]
    )
    assert found == exactly(expected, rel=1e-12)
    told, expected = figures_of("deflated_sharpe")
    benchmark = overfitting.expected_maximum(told["trials"], told["variance"])
    given_ = told["sharpe"], told["n"], told["skew"], told["kurtosis"]
    found = overfitting.deflated_sharpe(*given_, told["trials"], told["variance"])
    assert {"benchmark": benchmark, "dsr": found} == exactly(expected, rel=1e-12)


def test_overfitting_probability_golden():
    told, expected = figures_of("overfitting_probability")
    found, ranks = overfitting.overfitting_probability(told["matrix"])
    assert (found, ranks) == (exactly(expected["pbo"], rel=1e-12), expected["ranks"])


def test_clustered_mean_golden():
    told, expected = figures_of("clustered_standard_error")
    values = [value for cluster in told["clusters"] for value in cluster]
    names = [n for n, cluster in enumerate(told["clusters"]) for _ in cluster]
    assert clustered_mean(values, names) == exactly((expected["mean"], expected["se"]), rel=1e-12)
    naive = np.std(values, ddof=1) / math.sqrt(len(values))
    assert clustered_mean(values, range(len(values)))[1] == exactly(naive, rel=1e-12)
    assert naive == exactly(expected["naive"], rel=1e-12)


# Against independent computations ----------------------------------------------------------------
@given(PROFITS)
def test_profit_figures_given_any_trades_equal_a_plain_loop(trades):
    clusters, profits = zip(*trades, strict=True)
    found = profit_figures(profits, clusters)
    mean = sum(profits) / len(profits)
    assert found["expectancy"].value == exactly(mean, abs=1e-10)
    names = sorted(set(clusters))
    sums = [sum(p - mean for c, p in trades if c == name) for name in names]
    if len(names) < 2:
        assert found["expectancy"].error is None and found["expectancy"].reason
    else:
        square = sum(s * s for s in sums) * len(names) / (len(names) - 1)
        assert found["expectancy"].error == exactly(math.sqrt(square) / len(trades), abs=1e-10)
    losses = -sum(p for p in profits if p < 0)
    factor = sum(p for p in profits if p > 0) / losses if losses else None
    assert found["profit_factor"].value == (None if factor is None else exactly(factor, abs=1e-10))
    assert found["hit_rate"].value == exactly(sum(p > 0 for p in profits) / len(profits))
    ranked, place = sorted(profits), 0.05 * (len(profits) - 1)
    low = ranked[math.floor(place)]
    quantile = low + (place - math.floor(place)) * (ranked[math.ceil(place)] - low)
    assert found["quantile_5"].value == exactly(quantile, abs=1e-10)
    below = [p for p in profits if p <= found["quantile_5"].value]
    assert found["expected_shortfall"].value == exactly(sum(below) / len(below), abs=1e-10)


def test_moments_equal_those_of_scipy():
    daily = np.random.default_rng(3).standard_t(4, 300) + 0.1
    found = account.moments(daily)
    assert found.skew == exactly(stats.skew(daily), rel=1e-10)
    assert found.kurtosis == exactly(stats.kurtosis(daily, fisher=False), rel=1e-10)
    sharpe = daily.mean() / daily.std(ddof=1)
    deviation = math.sqrt(
        (1 - found.skew * sharpe + (found.kurtosis - 1) / 4 * sharpe**2) / (300 - 1)
    )
    assert account.sharpe(daily).error == exactly(deviation * math.sqrt(252), rel=1e-10)
    chance = stats.norm.cdf(sharpe / deviation)
    probability = overfitting.sharpe_probabilities(daily, 1, [])["probabilistic_sharpe"].value
    assert probability == exactly(chance, abs=1e-10)


def test_deflated_sharpe_counts_every_trial():
    daily = np.random.default_rng(5).normal(0.08, 1, 200)
    sharpes = [0.05, -0.02, 0.1, 0.03]
    euler = 0.5772156649015329
    previous = 1.0
    for trials in (4, 40, 400):
        found = overfitting.sharpe_probabilities(daily, trials, sharpes)["deflated_sharpe"].value
        quantiles = stats.norm.ppf(1 - 1 / trials), stats.norm.ppf(1 - 1 / (trials * math.e))
        luck = np.std(sharpes, ddof=1) * ((1 - euler) * quantiles[0] + euler * quantiles[1])
        known = account.moments(daily)
        assert found == exactly(stats.norm.cdf((known.sharpe - luck) / known.spread), abs=1e-10)
        assert found < previous
        previous = found


@given(st.integers(1, 3), st.integers(2, 6), st.integers(0, 10_000))
def test_overfitting_probability_equals_a_plain_loop(half, configurations, seed):
    matrix = np.random.default_rng(seed).integers(-4, 5, (2 * half, configurations)).astype(float)
    below, total = 0, 0
    for inside in combinations(range(2 * half), half):
        outside = [row for row in range(2 * half) if row not in inside]
        best = int(np.argmax(matrix[list(inside)].sum(axis=0)))
        rank = stats.rankdata(matrix[outside].sum(axis=0))[best]
        below, total = below + (rank / (configurations + 1) < 0.5), total + 1
    assert overfitting.overfitting_probability(matrix)[0] == exactly(below / total, abs=1e-10)


def test_daily_overfitting_takes_sixteen_blocks_of_whole_sessions():
    daily = np.random.default_rng(2).normal(size=(167, 10))
    blocks = [daily[[s for s in range(167) if s * 16 // 167 == b]].sum(axis=0) for b in range(16)]
    expected = overfitting.overfitting_probability(np.array(blocks))[0]
    assert overfitting.overfitting(daily).value == exactly(expected, abs=1e-10)


def test_brier_and_reliability_of_known_chances():
    chances = np.repeat([0.2, 0.6], 10)
    outcomes = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0] + [1] * 6 + [0] * 4, bool)
    assert brier_score(chances, outcomes) == exactly(0.2, abs=1e-10)
    assert reliability_slope(chances, outcomes) == exactly(1.0, abs=1e-6)
    assert reliability_slope(chances, np.ones(20, bool)) is None
    assert reliability_slope(np.full(20, 0.5), outcomes) is None


def test_drawdown_in_dollars_and_as_a_share_are_taken_separately():
    usd, fraction = account.drawdowns([100, 50, 1_000, 900])
    assert (usd, fraction) == (100, 0.5)


# Absence -----------------------------------------------------------------------------------------
def test_figures_given_nothing_are_null_with_a_reason():
    for figure in profit_figures([], []).values():
        assert figure.value is None and "no trade" in figure.reason
    assert "no trade lost" in profit_figures([1.0, 2.0], [1, 2])["profit_factor"].reason
    assert "same profit" in account.sharpe([0.0, 0.0, 0.0]).reason
    assert "never fell" in account.car_mdd([1.0], 100, 0.0).reason


@pytest.mark.parametrize(
    ("sessions", "configurations", "reason"),
    [(159, 10, "159 sessions"), (160, 9, "9 configurations"), (160, 10, None)],
)
def test_overfitting_below_its_bounds_is_null_with_a_reason(sessions, configurations, reason):
    daily = np.random.default_rng(1).normal(size=(sessions, configurations))
    found = overfitting.overfitting(daily)
    assert (found.value is None) == (reason is not None)
    assert reason is None or reason in found.reason


def test_deflated_sharpe_below_its_bounds_is_null_with_a_reason():
    short = overfitting.sharpe_probabilities(np.arange(159) % 7, 3, [0.1, 0.2])
    assert "159 sessions" in short["deflated_sharpe"].reason
    assert short["probabilistic_sharpe"].value is not None
    lone = overfitting.sharpe_probabilities(np.arange(160) % 7, 3, [0.1])
    assert "no variance" in lone["deflated_sharpe"].reason
    flat = overfitting.sharpe_probabilities(np.zeros(200), 3, [0.1, 0.2])
    assert all("never varied" in figure.reason for figure in flat.values())


def test_bad_input_is_refused():
    with pytest.raises(EvidenceError, match=r"shape \(3, 4\): take an even number of blocks"):
        overfitting.overfitting_probability(np.zeros((3, 4)))
    with pytest.raises(EvidenceError, match="count the trial that is judged"):
        overfitting.expected_maximum(0, 0.1)
    with pytest.raises(EvidenceError, match="above 0 USD"):
        account.drawdowns([0.0, 1.0])
    with pytest.raises(EvidenceError, match="no reason"):
        Figure(None)
    with pytest.raises(EvidenceError, match="nan is not a figure"):
        Figure(math.nan)
    assert absent("why").reason == "why"


# Intervals and thinning --------------------------------------------------------------------------
def test_interval_is_as_wide_as_the_standard_error_says():
    profits, clusters = np.random.default_rng(0).normal(1.0, 2.0, 600), np.arange(600) // 2
    found = profit_figures(profits, clusters)
    drawn = profit_intervals(found, profits, clusters)
    assert drawn == profit_intervals(found, profits, clusters)
    for name in ("expectancy", "hit_rate"):
        figure = drawn[name]
        assert figure.high - figure.low == exactly(2 * 1.96 * figure.error, rel=0.1)
        assert figure.low < figure.value < figure.high


def test_interval_given_draws_without_a_value_is_absent():
    figures = {"expectancy": Figure(1.0)}
    nothing = with_intervals(figures, lambda c: {"expectancy": np.full(len(c), np.nan)}, 5)
    lone = with_intervals(figures, lambda c: {"expectancy": c[:, 0]}, 1)
    assert nothing == lone == figures
    assert profit_intervals(profit_figures([], []), [], []) == profit_figures([], [])


def test_intervals_equal_those_of_trades_repeated(monkeypatch):
    monkeypatch.setattr("smallcaps_assets.domain.evidence.figures.DRAWS", 100)
    values = np.random.default_rng(4).normal(size=30)
    members = np.arange(30) // 3
    figures = profit_figures(values, members)

    def drawn(counts):
        parts = [profit_figures(v := np.repeat(values, row[members]), v) for row in counts]
        return {name: np.array([part[name].value for part in parts], float) for name in figures}

    expected = with_intervals(figures, drawn, 10)
    found = profit_intervals(figures, values, members)
    for name, figure in figures.items():
        assert found[name].low == exactly(expected[name].low, abs=1e-10), name
        assert found[name].high == exactly(expected[name].high, abs=1e-10)
        assert found[name].value == figure.value


def test_thinned_keeps_the_first_row_of_a_quarter_of_an_hour_of_each_ticker():
    minutes = [(0, "A"), (14, "A"), (15, "A"), (3, "B"), (2, "B")]
    rows = pl.DataFrame(
        {"t0": [m * 60_000_000_000 for m, _ in minutes], "ticker": [t for _, t in minutes]},
        schema_overrides={"t0": pl.Int64},
    ).with_columns(pl.col("t0").cast(pl.Datetime("ns", "UTC")), apart=pl.lit(1))
    kept = thinned(rows, "apart").select(pl.col("t0").dt.minute(), "ticker")
    assert kept.rows() == [(0, "A"), (2, "B"), (15, "A")]
