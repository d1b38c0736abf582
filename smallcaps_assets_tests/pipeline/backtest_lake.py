"""A lake with backtests of made-up strategies and what is read beside their trades."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from smallcaps_assets.domain.evidence.trials import trial_of
from smallcaps_assets.lake import Lake, Stamp, open_lake
from smallcaps_assets.lake.trials import record_trial
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.domain.evidence.backtests import make_days, make_trades

STRATEGIES = {
    "model": ("prediction", 0.4),
    "always_long": ("baseline", -0.02),
    "random_side": ("baseline", -0.5),
    "gap_and_go": ("pattern", 0.0),
}


def backtest_lake(root: Path, sessions: int = 30) -> Lake:
    """The lake, made anew: 30 sessions from 3 September 2024."""
    lake = open_lake(root, market_of(Settings()).identity)
    for number, (name, (source, edge)) in enumerate(STRATEGIES.items()):
        trades = make_trades(name, source, sessions, edge, seed=number)
        days = make_days(trades)
        write(lake, "backtest_trades", name, whole("backtest_trades", trades))
        write(lake, "backtest_days", name, whole("backtest_days", days))
        record_trial(lake, trial_of(name, days))
    for day in trades["date"].unique().sort():
        write(lake, "minute_bars", str(day), minutes(day))
        write(lake, "daily_metrics", str(day), metrics(day))
    return lake


def write(lake: Lake, table: str, key: str | None, rows: pl.DataFrame) -> None:
    lake.write(table, key, rows, Stamp(table, TABLES[table].version, "abc"))


def whole(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with all columns of their table; those not made up are null, or else alike."""
    declared, columns = TABLES[table].schema.columns(), TABLES[table].columns
    usual = {pl.String: "x", pl.Boolean: False}
    made = [
        pl.lit(None if declared[name].nullable else usual.get(type(kind), usual.get(kind, 1)))
        .cast(kind)
        .alias(name)
        for name, kind in columns.items()
        if name not in rows.columns
    ]
    return rows.with_columns(made).select(*columns).cast(dict(columns))


def minutes(day) -> pl.DataFrame:
    """A minute of 1,000 shares each from 09:30 New York, of two tickers."""
    start = datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC)
    rows = [
        {"date": day, "ticker": ticker, "window_start": start + timedelta(minutes=n),
         "open": 5.0, "high": 5.0, "low": 5.0, "close": 5.0, "volume": 1_000.0, "vwap": 5.0,
         "transactions": 3}
        for ticker in ("ABC", "ABD")
        for n in range(390)
    ]  # fmt: skip
    return pl.DataFrame(rows).cast(dict(TABLES["minute_bars"].columns))


def metrics(day) -> pl.DataFrame:
    """Daily metrics of two tickers, of which only log_return is made up."""
    returns = [float(np.sin(day.toordinal() * k)) / 10 for k in (1, 2)]
    rows = pl.DataFrame({"date": [day] * 2, "ticker": ["ABC", "ABD"], "log_return": returns})
    return whole("daily_metrics", rows)
