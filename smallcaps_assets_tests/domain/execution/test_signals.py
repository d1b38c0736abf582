"""What strategies want, and what they may not name."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.execution.signals import (
    FEATURES,
    Month,
    StrategyError,
    logistic_baseline,
    random_side,
    wanted,
)
from smallcaps_assets.domain.execution.strategies import executions, strategy_digest
from smallcaps_assets.settings import BacktestSettings, SettingsError, Strategy, load_settings

COUNT = 40


def rows(sample: str = "bars") -> pl.DataFrame:
    """Events with features, of which `return_5m` foretells the target a little."""
    rng = np.random.default_rng(1)
    values = {name: rng.standard_normal(COUNT) for name in FEATURES}
    base = pl.DataFrame(
        {
            "ticker": ["A", "B"] * (COUNT // 2),
            "date": date(2024, 12, 2),
            "event_id": pl.Series(range(COUNT), dtype=pl.Int32),
            "t0": datetime(2024, 12, 2, 15, tzinfo=UTC),
            "selection_rule": "info_rich",
            "sign_15m": values["return_5m"] + rng.standard_normal(COUNT) > 0,
            **values,
        }
    )
    if sample == "bars":
        return base
    names = ["gap_and_go", "vwap_reject"] * (COUNT // 2)
    return base.with_columns(
        event_pattern=pl.Series(names), event_side=pl.Series([1, -1] * (COUNT // 2))
    )


def scores(target: str) -> pl.DataFrame:
    return rows().select(
        "ticker", "date", "event_id",
        target=pl.lit(target),
        algorithm=pl.lit("ensemble"),
        rank=pl.col("event_id") / COUNT,
        probability=pl.col("event_id") / COUNT,
    )  # fmt: skip


MONTH = Month({"bars": rows(), "patterns": rows("patterns")}, scores("sign_15m"), None)


def chosen(**values) -> pl.DataFrame:
    return wanted(Strategy(name="s", **values), MONTH, 0)[0]


def test_a_model_trades_above_the_quantile_or_a_threshold():
    assert chosen(signal="prediction")["event_id"].to_list() == [36, 37, 38, 39]
    assert chosen(signal="prediction", threshold=0.95)["event_id"].to_list() == [38, 39]
    found = chosen(signal="prediction")
    assert found["score"].to_list() == pytest.approx([0.9, 0.925, 0.95, 0.975])
    assert set(found["side"]) == {1}


def test_a_month_without_predictions_is_said_to_be_one():
    none = Month(MONTH.rows, None, None)
    found, note = wanted(Strategy(name="s", signal="prediction"), none, 0)
    assert found.is_empty() and note == "no predictions of sign_15m"
    found, note = wanted(Strategy(name="s", signal="pattern", has_meta=True), MONTH, 0)
    assert found.is_empty() and note == "no predictions of meta"


def test_patterns_have_their_own_side():
    found = chosen(signal="pattern", patterns=("vwap_reject",))
    assert found.height == COUNT // 2 and set(found["side"]) == {-1}
    assert set(chosen(signal="every_pattern")["side"]) == {1, -1}


def test_baselines_follow_nothing_but_what_was_known():
    assert chosen(signal="always_long").height == COUNT
    moved = chosen(signal="momentum")
    assert (moved["side"] == moved["score"].sign()).all()
    sides = chosen(signal="random_side")["side"]
    assert set(sides) == {1, -1} and sides[7] == random_side(0, "B", date(2024, 12, 2), 7)
    again, note = wanted(Strategy(name="s", signal="logistic"), MONTH, 0)
    assert again.is_empty() and "logistic" in str(note)


def test_the_logistic_baseline_finds_what_foretells_and_takes_the_best_tenth():
    model = logistic_baseline(rows(), rows(), 0.9)
    assert model is not None and model.weights[1] == max(model.weights[1:])
    month = Month(MONTH.rows, None, model)
    found, _ = wanted(Strategy(name="s", signal="logistic"), month, 0)
    assert found.height == 4 and (found["score"] >= model.least).all()


def test_a_strategy_is_limited_by_columns_and_told_when_it_names_an_absent_one():
    found = chosen(signal="always_long", at_least={"return_5m": 0.0}, at_most={"return_5m": 1.0})
    assert 0 < found.height < COUNT
    with pytest.raises(StrategyError, match=r"'s' names the column 'return_7m'.*return_5m"):
        chosen(signal="always_long", at_least={"return_7m": 0.0})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('[{"name": "x", "signal": "pattern", "patterns": ["moon"]}]', "unknown pattern 'moon'"),
        ('[{"name": "x", "signal": "pattern", "rules": {"stop": 1}}]', "unknown rule 'stop'"),
        ('[{"name": "x y", "signal": "pattern"}]', "letters, digits"),
        ("nonsense", "give a JSON list"),
    ],
)
def test_a_declaration_that_can_not_be_is_refused_with_the_remedy(given, message):
    with pytest.raises(SettingsError, match=message):
        load_settings([f"backtest.strategies={given}"])


def test_an_account_of_0_is_refused():
    with pytest.raises(SettingsError, match=r"backtest.equity='0' is invalid"):
        load_settings(["backtest.equity=0"])


def test_equal_orders_are_filled_once_and_a_name_is_no_trial():
    own = Strategy(name="late", signal="pattern", rules={"latency_ms": 1000})
    settings = BacktestSettings(strategies=(own,))
    assert hash(settings) == hash(BacktestSettings.model_validate(settings.model_dump(mode="json")))
    (found,) = executions(settings, settings.chosen)
    assert found.latencies_ms == (250, 1000) and found.sides == (1,)
    other = own.model_copy(update={"name": "other"})
    assert strategy_digest(settings, own) == strategy_digest(settings, other)
    assert strategy_digest(settings, own) != strategy_digest(settings, settings.every[0])
