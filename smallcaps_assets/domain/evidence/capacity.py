"""What larger sizes might have earned. A model: a recorded tape has no answer to our orders.

Every trade is scaled to a share of the volume of the minute before its entry. Without impact it
earns in proportion; with impact each side moves its price by sigma_day * sqrt(shares / volume of
the day so far), the square-root law (Torre 1997; Almgren, Thum, Hauptmann and Li 2005), which is of
large companies and patient orders.
"""

from __future__ import annotations

import polars as pl

PARTICIPATIONS = (0.01, 0.02, 0.05, 0.10, 0.15, 0.20)
HIGH_PARTICIPATION = 0.05
CAPACITY_COLUMNS = ("sigma_day", "volume_so_far")


def capacity(trades: pl.DataFrame) -> pl.DataFrame:
    """A row per participation: mean value of a position, net profit without and with impact, USD.

    `trades` have `sigma_day`, the deviation of daily log returns before the session, and
    `volume_so_far`, the shares traded before t0 that day. Columns: participation, trades, unscaled
    (without participation), value, net_profit, without_impact_data, net_after_impact: null where no
    trade has what the model needs.
    """
    known = trades.filter(pl.col("participation") > 0)
    return pl.DataFrame(
        [_scaled(known, share, trades.height - known.height) for share in PARTICIPATIONS],
        schema={
            **{"participation": pl.Float64, "trades": pl.Int64, "unscaled": pl.Int64},
            **{"value": pl.Float64, "net_profit": pl.Float64},
            **{"without_impact_data": pl.Int64, "net_after_impact": pl.Float64},
        },
    )


def _scaled(trades: pl.DataFrame, participation: float, unscaled: int) -> dict[str, object]:
    scale = participation / pl.col("participation")
    shares = pl.col("shares") * scale
    volume = pl.when(pl.col("volume_so_far") > 0).then("volume_so_far")
    impact = pl.col("sigma_day") * (shares / volume).sqrt()
    both_sides = shares * impact * (pl.col("entry_price") + pl.col("exit_price"))
    rows = trades.select(
        value=shares * pl.col("entry_price"),
        net=pl.col("net_profit") * scale,
        impact=both_sides,
    )
    told = rows.drop_nulls("impact")
    return {
        "participation": participation,
        "trades": rows.height,
        "unscaled": unscaled,
        "value": rows["value"].mean(),
        "net_profit": rows["net"].sum() if rows.height else None,
        "without_impact_data": rows.height - told.height,
        "net_after_impact": float((told["net"] - told["impact"]).sum()) if told.height else None,
    }


def large_trades(trades: pl.DataFrame) -> pl.DataFrame:
    """Trades above 5 % of the minute before, the largest share first."""
    large = trades.filter(pl.col("participation") > HIGH_PARTICIPATION)
    return large.sort("participation", "t0", "ticker", descending=[True, False, False])
