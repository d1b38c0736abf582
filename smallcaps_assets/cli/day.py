"""One ticker-session gathered from the lake, for the report and for `smallcaps show`.

With its ticks where they are stored, else with its minutes in their place.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.minute_fallback import minute_tape
from smallcaps_assets.domain.ticks.tape import TickTape, prepare_ticks
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.halt_feed import halts_of
from smallcaps_assets.reports.days import DayView, TickerDay
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings


def day_view(settings: Settings, lake: Lake, chosen: TickerDay | None) -> DayView | None:
    """One ticker-session for the report; None when its labels are not stored."""
    if chosen is None or not lake.exists("triple_barrier_labels", _key(*chosen)):
        return None
    return any_day(settings, lake, *chosen)


def any_day(settings: Settings, lake: Lake, ticker: str, day: date) -> DayView:
    """What is known of one ticker-session; tables that lack it give empty parts."""
    key = _key(ticker, day)
    tape = _tape(settings, lake, ticker, day)
    watched = _of_ticker(lake, "watchlist", ticker, day)
    admitted = watched.filter(pl.col("rule").is_in(settings.selection.tick_rules))
    view = DayView(
        ticker=ticker,
        date=day,
        ticks=tape.ticks,
        bars=_stored(lake, "dollar_imbalance_bars", key),
        labels=_stored(lake, "triple_barrier_labels", key),
        hours=tape.hours,
        halts=tape.halts,
        metrics=_first(_of_ticker(lake, "daily_metrics", ticker, day))
        or _first(_of_ticker(lake, "daily_bars", ticker, day)),
        eligible_from=min(admitted["known_at"].to_physical().to_list(), default=None),
        rules=",".join(sorted(watched["rule"])),
        has_trades=lake.exists("trades", key),
        patterns=_stored(lake, "pattern_events", key),
    )
    named = _first(_of_ticker(lake, "universe", ticker, day))
    named = named or _first(_of_ticker(lake, "tickers", ticker, day))
    return replace(view, identity=named.get("identity", ""), name=named.get("name") or "")


def _tape(settings: Settings, lake: Lake, ticker: str, day: date) -> TickTape:
    """The trades with their halts; without trades the minutes, with the feed's halts."""
    hours, feed, key = session_hours(day), halts_of(lake, ticker, day), _key(ticker, day)
    trades = _stored(lake, "trades", key)
    if len(trades):
        return prepare_ticks(trades, hours, settings.ticks, feed, ticker)
    quiet = prepare_ticks(trades, hours, settings.ticks, feed, ticker)
    minutes = _of_ticker(lake, "minute_bars", ticker, day)
    return replace(minute_tape(minutes, hours, settings.ticks, ticker), halts=quiet.halts)


def _key(ticker: str, day: date) -> str:
    return f"{ticker}_{day}"


def _stored(lake: Lake, table: str, key: str) -> pl.DataFrame:
    return lake.read(table, key) if lake.exists(table, key) else TABLES[table].empty()


def _of_ticker(lake: Lake, table: str, ticker: str, day: date) -> pl.DataFrame:
    return _stored(lake, table, day.isoformat()).filter(pl.col("ticker") == ticker)


def _first(rows: pl.DataFrame) -> dict[str, Any]:
    return {} if rows.is_empty() else rows.row(0, named=True)
