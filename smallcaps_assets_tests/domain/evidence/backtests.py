"""Trades and sessions of made-up strategies, with the columns of backtest_trades and _days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import sessions as exchange_sessions

START = 25_000.0
FEES = ("fee_sec", "fee_taf", "fee_ecn", "commission", "locate", "borrow")
PATTERNS = ("gap_and_go", "halt_resumption", None)
UTC_NS = pl.Datetime("ns", "UTC")


def make_trades(
    strategy: str = "model",
    source: str = "prediction",
    sessions: int = 12,
    edge: float = 0.0,
    seed: int = 0,
    first: date = date(2024, 9, 3),
) -> pl.DataFrame:
    """About three trades a session, and a refused one, in USD; `edge` is added to each gain."""
    random = np.random.default_rng(seed)
    days = exchange_sessions(first, first + timedelta(days=2 * sessions + 10))[:sessions]
    rows = [
        _trade(strategy, source, day, number, edge, random) for day in days for number in range(4)
    ]
    texts = dict.fromkeys(("pattern", "refused_by", "exit_reason", "fill_source"), pl.String)
    return pl.DataFrame(rows, schema_overrides={"t0": UTC_NS, "side": pl.Int8, **texts})


def _trade(strategy, source, day, number, edge, random):
    is_refused = number == 3
    price, shares = float(random.uniform(0.6, 24)), int(random.integers(100, 900))
    side = 1 if random.random() < 0.8 else -1
    half, gain = 0.01, float(random.normal(0, 0.3)) + edge
    t0 = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC) + timedelta(
        minutes=int(random.integers(0, 300))
    )
    spread, fees = 2 * half * shares, dict.fromkeys(FEES, 0.001 * shares)
    gross = gain * shares
    row = {
        **{"strategy": strategy, "t0": t0, "ticker": f"AB{'CD'[number % 2]}", "event_id": number},
        **{"date": day, "month": f"{day:%Y-%m}", "source": source, "side": side},
        "pattern": PATTERNS[number % 3] if source == "pattern" else None,
        "rule": ("info_rich", "premarket_gap")[number % 2],
        "score": float(random.uniform()),
        "refused_by": "positions" if is_refused else None,
        **{"shares_wanted": shares, "shares": 0 if is_refused else shares},
    }
    if is_refused:
        prices = ("entry_price", "entry_mid", "exit_price", "exit_mid", "exit_reason")
        sums = ("spread_cost", *FEES, "slippage", "gross_profit", "net_profit", "participation")
        nothing = {**dict.fromkeys(prices), **dict.fromkeys(sums, 0.0)}
        return row | nothing | _context(0.08, 2e6) | {"has_halt": False, "fill_source": "quotes"}
    return row | fees | _context(0.08, 2e6) | {
        **{"entry_price": price + side * half, "entry_mid": price},
        **{"exit_price": price + side * (gain - half), "exit_mid": price + side * gain},
        "exit_reason": ("take_profit", "stop", "time")[int(random.integers(3))],
        **{"spread_cost": spread, "slippage": spread / ((2 * price + side * gain) * shares)},
        **{"gross_profit": gross, "net_profit": gross - spread - sum(fees.values())},
        **{"participation": float(random.uniform(0.005, 0.1)), "has_halt": number == 1},
        "fill_source": "quotes",
        **{"decision_price": price + side * half, "decision_mid": price},
    }  # fmt: skip


def _context(sigma, volume):
    return {
        **{"sigma_day": sigma, "volume_so_far": volume},
        **{"decision_price": None, "decision_mid": None},
    }


def make_days(trades: pl.DataFrame, start: float = START) -> pl.DataFrame:
    """The sessions of trades of one strategy or several; marked 1 % below its end in each."""
    costs = pl.sum_horizontal(FEES)
    sums = trades.group_by("strategy", "date", maintain_order=True).agg(
        pl.col("shares").gt(0).sum().cast(pl.Int64).alias("trades"),
        pl.col("refused_by").is_not_null().sum().cast(pl.Int64).alias("refused"),
        pl.col("gross_profit", "spread_cost", "net_profit").sum(),
        costs.sum().alias("fees"),
    )
    path = sums.sort("strategy", "date").with_columns(
        equity=start + pl.col("net_profit").cum_sum().over("strategy"),
    )
    high = pl.max_horizontal(pl.col("equity").cum_max().over("strategy"), pl.lit(start))
    before = high.shift(1).over("strategy").fill_null(start)
    below = (before - 0.99 * pl.col("equity")) / before
    return path.with_columns(
        drawdown=(high - pl.col("equity")) / high,
        marked_drawdown=pl.max_horizontal(below, pl.lit(0.0)),
        open_positions=pl.lit(0),
        is_killed=pl.lit(False),
        month=pl.col("date").dt.strftime("%Y-%m"),
    )
