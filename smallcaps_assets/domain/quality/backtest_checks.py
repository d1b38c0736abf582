"""What is looked at in backtests: what was filled on what, and whether cash adds up."""

from __future__ import annotations

import polars as pl

from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.schemas.backtest_columns import FEES

TOLERANCE = 1e-6


def fills_recorded(candidates: pl.DataFrame) -> Finding:
    """Whether events are filled on recorded quotes; where not, on modelled ones."""
    modelled = candidates.filter(pl.col("fill_source") == "modelled").height
    filled = candidates.filter(pl.col("refusal").is_null()).height
    figures = {"candidates": candidates.height, "filled": filled, "modelled": modelled}
    found = f"{filled:,} of {candidates.height:,} candidates can be entered, {modelled:,} modelled"
    remedy = "modelled fills are estimates; fetch quotes with quotes.enabled"
    return Finding("fills", not modelled, found, remedy, is_error=False, figures=figures)


def cash_conserved(trades: pl.DataFrame) -> Finding:
    """Whether each net profit is the gross one less spread and fees, and what the prices say."""
    made = trades.filter(pl.col("refused_by").is_null())
    costs = pl.col("spread_cost") + pl.sum_horizontal(FEES)
    cash = pl.col("side") * pl.col("shares") * (pl.col("exit_price") - pl.col("entry_price"))
    off = made.select(
        by_costs=(pl.col("gross_profit") - costs - pl.col("net_profit")).abs(),
        by_prices=(cash - pl.sum_horizontal(FEES) - pl.col("net_profit")).abs(),
    )
    bad = off.filter(pl.max_horizontal("by_costs", "by_prices") > TOLERANCE).height
    figures = {"trades": made.height, "refused": trades.height - made.height}
    found = f"{made.height - bad:,} of {made.height:,} trades add up to a millionth of a dollar"
    remedy = "the rows were not made by this code; make the strategy's backtest again"
    return Finding("cash", not bad, found, remedy, figures=figures)
