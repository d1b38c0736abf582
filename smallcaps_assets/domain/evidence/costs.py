"""Where the profit went: costs by kind, and what was paid against what the decision counted on."""

from __future__ import annotations

import polars as pl

from smallcaps_assets.domain.columns import floats, group_numbers
from smallcaps_assets.domain.evaluation import clustered_mean
from smallcaps_assets.domain.evidence.trades import CLUSTER

KINDS = {
    "spread_cost": "spread",
    "fee_sec": "SEC fee",
    "fee_taf": "FINRA TAF",
    "fee_ecn": "venues",
    "commission": "commission",
    "locate": "locates",
    "borrow": "borrowing",
}
_CENT = 0.005


def cost_breakdown(trades: pl.DataFrame) -> pl.DataFrame:
    """From the profit at the mids to the net: a row each for gross, kinds of cost, and net.

    Columns: item, usd, per_trade (USD), turnover_bp (of what was bought and sold). Costs are
    negative. Half a cent or more that the kinds don't explain is a row of its own.
    """
    turnover = trades.select(
        (pl.col("shares") * (pl.col("entry_price") + pl.col("exit_price").fill_null(0))).sum()
    ).item()
    gross, net = (float(trades[name].sum()) for name in ("gross_profit", "net_profit"))
    costs = {name: 0.0 - float(trades[column].sum()) for column, name in KINDS.items()}
    rest = net - gross - sum(costs.values())
    items = {"gross, at the mids": gross, **costs}
    if abs(rest) >= _CENT:
        items["not explained"] = rest
    items["net"] = net
    count = max(trades.height, 1)
    return pl.DataFrame(
        {
            "item": list(items),
            "usd": list(items.values()),
            "per_trade": [value / count for value in items.values()],
            "turnover_bp": [1e4 * v / turnover if turnover else None for v in items.values()],
        },
        schema_overrides={"turnover_bp": pl.Float64},
    )


def slippage_against_model(trades: pl.DataFrame) -> pl.DataFrame:
    """By fill source: what the decision counted on to pay beside the mid, and what was paid.

    `trades` have `decision_price` and `decision_mid`: what the entry was to cost, and the mid, at
    t0; counted on is their distance. Paid is `slippage`, of the mean of both sides. Columns:
    fill_source, trades, unknown (without a quote at t0), expected_bp, paid_bp, difference_bp and
    its clustered error.
    """
    expected = pl.col("side") * (pl.col("decision_price") / pl.col("decision_mid") - 1)
    told = trades.with_columns(expected.alias("expected"))
    rows = []
    for (source,), part in told.group_by("fill_source", maintain_order=True):
        known = part.filter(pl.col("expected").is_not_null(), pl.col("slippage").is_not_null())
        row = {"fill_source": source, "trades": part.height, "unknown": part.height - known.height}
        if known.height:
            differences = floats(known["slippage"]) - floats(known["expected"])
            mean, error = clustered_mean(differences, group_numbers(known, *CLUSTER))
            row["expected_bp"] = 1e4 * float(floats(known["expected"]).mean())
            row["paid_bp"] = 1e4 * float(floats(known["slippage"]).mean())
            row |= {"difference_bp": 1e4 * mean, "error_bp": None if error is None else 1e4 * error}
        rows.append(row)
    types = {"fill_source": pl.String, "trades": pl.Int64, "unknown": pl.Int64}
    names = ("expected_bp", "paid_bp", "difference_bp", "error_bp")
    return pl.DataFrame(rows, schema=types | dict.fromkeys(names, pl.Float64)).sort("fill_source")
