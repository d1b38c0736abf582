"""What the desk's orders cost beside the mid, beside what the model says, and the profile of that.

The model of an entry is the candidate of its signal, where the backtest has it: its fills for as
many shares. Else, and for exits, it is half the spread at the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.execution.fills import first_shares
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.desk_columns import LIVE

NO_PATTERN, ALL = "none", "all"
_KEY = ("ticker", "sample", "event_id", "side")


def signal_of(row: Mapping[str, Any]) -> str:
    """The name of an event: ticker, sample, its id, side."""
    return "-".join(str(row[name]) for name in _KEY)


def desk_slippage(day: date, orders: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """The table `desk_slippage` of a session from its `desk_orders` and the rows of
    `backtest_candidates` of one execution and latency, of any sessions."""
    known = {signal_of(row): row for row in candidates.filter(pl.col("date") == day).to_dicts()}
    costs = [_cost(row, known.get(row["signal"])) for row in priced(orders).to_dicts()]
    by = ("run", "pattern", "leg", "model")
    kinds = {**dict.fromkeys(by, pl.String), "shares": pl.Int64}
    money = dict.fromkeys(("value", "realized", "modelled"), pl.Float64)
    sums = (
        pl.DataFrame(costs, schema={**kinds, **money}, orient="row")
        .group_by(by, maintain_order=True)
        .agg(pl.len().alias("orders"), pl.sum("shares", *money))
        .with_columns(
            date=pl.lit(day),
            excess=(pl.col("realized") - pl.col("modelled")) / pl.col("value"),
        )
    )
    return TABLES["desk_slippage"].conform(sums)


def priced(orders: pl.DataFrame) -> pl.DataFrame:
    """Orders with a fill and a quote of two sides at their decision."""
    is_quoted = (pl.col("bid") > 0) & (pl.col("ask") >= pl.col("bid"))
    return orders.filter((pl.col("filled") > 0) & is_quoted.fill_null(False))


def _cost(order: Mapping[str, Any], candidate: Mapping[str, Any] | None) -> dict[str, Any]:
    filled, mid = order["filled"], (order["bid"] + order["ask"]) / 2
    sign = 1 if order["side"].startswith("B") else -1
    leg = "entry" if order["purpose"] == "entry" else "exit"
    modelled = None
    if candidate is not None and leg == "entry":
        modelled = _of_candidate(candidate, filled)
    half_spread = (order["ask"] - order["bid"]) / 2
    return {
        "run": order["run"],
        "pattern": order["pattern"] or NO_PATTERN,
        "leg": leg,
        "model": "quote" if modelled is None else "backtest",
        "shares": filled,
        "value": mid * filled,
        "realized": sign * (order["average_price"] - mid) * filled,
        "modelled": half_spread * filled if modelled is None else modelled,
    }


def _of_candidate(row: Mapping[str, Any], shares: int) -> float | None:
    """What the entry of so many shares costs beside the mid at its decision, USD; None for more
    than its fills are known of."""
    taken = first_shares(row["entry_shares"], shares)
    if row["mid"] is None or sum(taken) < shares:
        return None
    paid = sum(n * p for n, p in zip(taken, row["entry_prices"], strict=False))
    return row["side"] * (paid - shares * row["mid"])


def cost_profile(slippage: pl.DataFrame, least_orders: int) -> dict[str, float]:
    """By pattern the share of its value that an execution cost beyond the model, never below 0.

    `slippage` has rows of `desk_slippage`, of which those on paper, whose fills are a model's own,
    don't count. `ALL` is that of all orders, for patterns with fewer than `least_orders`; empty
    without an order.
    """
    live = slippage.filter(pl.col("run") == LIVE)
    totals = (
        pl.concat([live, live.with_columns(pattern=pl.lit(ALL))])
        .group_by("pattern", maintain_order=True)
        .agg(pl.sum("orders", "value", "realized", "modelled"))
    )
    is_enough = (pl.col("orders") >= least_orders) | (pl.col("pattern") == ALL)
    excess = (pl.col("realized") - pl.col("modelled")) / pl.col("value")
    known = totals.filter(is_enough, pl.col("value") > 0)
    return dict(known.select("pattern", excess.clip(lower_bound=0.0)).iter_rows())


def excess_of(profile: Mapping[str, float], pattern: str | None) -> float:
    """What a profile charges an execution of a pattern, a share of its price."""
    return profile.get(pattern or NO_PATTERN, profile.get(ALL, 0.0))
