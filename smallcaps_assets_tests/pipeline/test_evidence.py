"""What stands beside trades was known at their t0; the report's rows come from the lake alone."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.evidence import CONTEXT, backtests, report, with_context
from smallcaps_assets.settings import BacktestSettings
from smallcaps_assets_tests.pipeline.backtest_lake import backtest_lake, write


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return backtest_lake(tmp_path_factory.mktemp("lake"))


def test_context_is_that_of_the_minutes_and_sessions_before(lake: Lake) -> None:
    trades, _ = backtests(lake)
    told = with_context(lake, trades)
    assert told.drop(CONTEXT).equals(trades)
    returns = lake.read_many("daily_metrics", lake.keys("daily_metrics"))
    for row in told.sample(20, seed=1).iter_rows(named=True):
        minutes = (row["t0"].hour - 13) * 60 + row["t0"].minute - 30
        assert row["volume_so_far"] == (1_000 * minutes or None)
        before = returns.filter(
            pl.col("ticker") == row["ticker"], pl.col("date") < row["date"]
        )["log_return"].to_list()[-20:]  # fmt: skip
        expected = np.std(before, ddof=1) if len(before) >= 5 else None
        assert row["sigma_day"] == (expected and pytest.approx(expected, rel=1e-9))


def test_context_given_a_lake_cut_at_t0_is_the_same(lake: Lake, tmp_path: Path) -> None:
    trades = backtests(lake)[0].sort("t0").tail(1)
    row = trades.row(0, named=True)
    cut = Lake(shutil.copytree(str(lake.root), tmp_path / "cut"))
    key = str(row["date"])
    minutes = cut.read("minute_bars", key)
    over = pl.col("window_start") + timedelta(minutes=1) <= row["t0"]
    write(cut, "minute_bars", key, minutes.filter(over))
    metrics = cut.read("daily_metrics", key)
    write(cut, "daily_metrics", key, metrics.with_columns(log_return=pl.lit(None, pl.Float64)))
    assert with_context(cut, trades).equals(with_context(lake, trades))


def test_report_has_every_strategy_the_trials_and_the_same_bytes(lake: Lake) -> None:
    names = lake.keys("backtest_days")
    rows = report(lake, BacktestSettings(), names)
    assert set(rows["strategy"]) == {"model", "always_long", "random_side", "gap_and_go"}
    assert (rows["trials"] == 4).all()
    assert rows.equals(report(lake, BacktestSettings(), names))
    impact = rows.filter(part="capacity", figure="net_after_impact", strategy="model")
    assert impact["estimate"].null_count() == 0
