"""A simple session to trade in: prints each second, quotes around them."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.bars.quote_features import Quotes, no_quotes
from smallcaps_assets.domain.execution.account import Account, with_candidates
from smallcaps_assets.domain.execution.candidates import candidate_rows
from smallcaps_assets.domain.execution.strategies import executions
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import BacktestSettings, Strategy
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at, tape_of, trade

HOURS = session_hours(DAY)
SHORTS = {"long_only": False, "max_positions": 100, "max_day_loss": 1.0, "max_drawdown": 1.0}


def settings(strategy: str = "always_long", **values: Any) -> BacktestSettings:
    """Settings of one strategy."""
    return BacktestSettings.model_validate({"only": [strategy], **values})


def session(prices, start="10:00:00", size=1000.0, halts=None, day: date = DAY):
    """A tape of prints of `size` shares, one a second."""
    first = at(start, day)
    rows = [trade(first + n * SECOND, p, size) for n, p in enumerate(prices)]
    return tape_of(rows, day, halts=halts)


def quotes_around(tape, half=0.01, size=500.0) -> Quotes:
    """A quote half a second before each print, around its price, with one more share each time."""
    prices = tape.ticks["price"].to_numpy()
    sizes = size + np.arange(prices.size) % 2
    return Quotes(tape.times - SECOND // 2, prices - half, sizes, prices + half, sizes)


def events_at(*times: int, sample: str = "bars", day: date = DAY) -> pl.DataFrame:
    """An event at each of some instants."""
    return pl.DataFrame(
        {
            "ticker": "AAME",
            "date": day,
            "event_id": pl.Series(range(len(times)), dtype=pl.Int32),
            "t0": pl.Series(times, dtype=pl.Int64).cast(INSTANT),
            "sample": sample,
        }
    )


def candidates(tape, events, chosen: BacktestSettings, quotes: Quotes | None = None, **context):
    """Rows of backtest_candidates."""
    known = SessionContext("AAME", tape.date, **{"previous_close": 10.0, **context})
    (execution,) = executions(chosen, chosen.chosen)
    bars = TABLES["dollar_imbalance_bars"].empty()
    given = no_quotes() if quotes is None else quotes
    return candidate_rows(tape, given, bars, known, events, execution, chosen)


def wanted_of(events, sides=1, **values: Any) -> pl.DataFrame:
    """The events as a strategy wants them."""
    told = {"score": 0.5, "pattern": None, "rule": None, "source": "baseline", **values}
    return events.with_columns(
        side=pl.lit(sides, pl.Int8), **{name: pl.lit(value) for name, value in told.items()}
    )


def traded(chosen: BacktestSettings, wanted, rows, hours=(HOURS,), **account: Any):
    """Trades and days of the one strategy over some sessions."""
    strategy: Strategy = chosen.chosen[0]
    made = Account(strategy, chosen.rules_of(strategy), chosen.equity, **account)
    return made.walk(hours, with_candidates(wanted, rows))
