"""When and at what price a position is closed that its own session could not close."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from smallcaps_assets.domain.columns import integers
from smallcaps_assets.domain.market.calendar import session_hours, sessions
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.pipeline.backtest_inputs import LATE_SESSIONS
from smallcaps_assets.pipeline.halt_feed import halts_of
from smallcaps_assets.pipeline.partition_keys import year_keys
from smallcaps_assets.pipeline.workspace import Workspace


def late_exits(work: Workspace, frame: pl.DataFrame, ticker: str, day: date) -> pl.DataFrame:
    """Candidates of a ticker-session with `late_exit`, `late_date` and `late_price` of those that
    are trapped.

    The first price of regular hours in the next session that has any, of its trades where they are
    stored, else its daily open; on the share basis of `day`. Of ten sessions without one, or of
    those that there are yet, the last, and no price.
    """
    if not frame["trapped_from"].is_not_null().any():
        return frame
    found = _late(work, ticker, day)
    is_trapped = pl.col("trapped_from").is_not_null()
    return frame.with_columns(
        pl.when(is_trapped).then(pl.lit(value)).cast(frame.schema[name]).alias(name)
        for name, value in found.items()
    )


def _late(work: Workspace, ticker: str, day: date) -> dict[str, Any]:
    later = sessions(day + timedelta(1), min(work.span.end, day + timedelta(5 * LATE_SESSIONS)))
    later, last = later[:LATE_SESSIONS], day
    for session in later:
        last = session
        moment, price = _first_price(work, ticker, session)
        if price is not None:
            told = price * _new_shares(work, ticker, day, session)
            return {"late_exit": moment, "late_date": session, "late_price": told}
    return {"late_exit": session_hours(last).close, "late_date": last, "late_price": None}


def _first_price(work: Workspace, ticker: str, day: date) -> tuple[int, float | None]:
    """Instant and price of the first regular print of a session; None for no price."""
    lake, hours, key = work.lake, session_hours(day), f"{ticker}_{day}"
    if lake.exists("trades", key):
        feed = halts_of(lake, ticker, day)
        tape = prepare_ticks(lake.read("trades", key), hours, work.settings.ticks, feed, ticker)
        forming = tape.ticks.filter("is_price_forming")
        regular = forming.filter(pl.Series(integers(forming["sip_timestamp"]) >= hours.open))
        if regular.height:
            return int(integers(regular["sip_timestamp"])[0]), regular["price"][0]
    if not lake.exists("daily_bars", day.isoformat()):
        return hours.open, None
    bars = lake.read("daily_bars", day.isoformat()).filter(pl.col("ticker") == ticker)
    return hours.open, bars["open"][0] if bars.height else None


def _new_shares(work: Workspace, ticker: str, day: date, later: date) -> float:
    """Shares that splits have made of one since a day."""
    factor = 1.0
    for key in year_keys(day, later):
        if not work.lake.exists("splits", key):
            continue
        dates = pl.col("execution_date")
        found = work.lake.read("splits", key).filter(
            pl.col("ticker") == ticker, dates > day, dates <= later
        )
        for before, after in found.select("split_from", "split_to").iter_rows():
            factor *= after / before
    return factor
