"""A small placebo market through the backtest's own fills: nobody earns, cash is conserved, and the
planted error is found. `python benchmarks/placebo.py --trades` is the proof at its size.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.simulation.market import SimulatedMarket

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def made():
    """Trades and pairs of the small market, and the module that makes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import placebo_trades

        config = SandboxConfig(kind="placebo", seed=101, tickers=20, pump_days=12)
        yield *placebo_trades.trades_of(SimulatedMarket(config)), placebo_trades
    for name in ("placebo", "placebo_trades", "placebo_models"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def lines(made) -> dict:
    trades, _, module = made
    return {line.trades_of: line for line in module.lines(trades)}


@pytest.mark.parametrize("name", ["always_long", "random_side", "momentum", "passive"])
def test_nobody_earns_at_the_mids_where_there_is_no_edge(lines, name):
    line = lines[name]
    assert line.trades > 50 and line.gross_error > 0
    assert line.is_without_edge and line.is_as_expected
    assert line.net < line.gross


def test_days_picked_by_their_close_look_like_an_edge_and_fail_the_proof(lines):
    line = lines["by_the_close"]
    assert line.gross > 2.5 * line.gross_error
    assert not line.is_without_edge and line.is_as_expected


def test_a_long_and_a_short_lose_exactly_both_spreads_and_the_fees(made):
    trades, pairs, _ = made
    assert pairs.height > 20
    assert pairs["off"].max() < 1e-9
    costs = trades.filter(rules="barriers").select(pl.col("gross") - pl.col("net"))
    assert costs.to_series().mean() > 0
