"""Columns of the backtest, declared once: candidates, trades, days, figures."""

from __future__ import annotations

import dataframely as dy

from smallcaps_assets.schemas.table import INSTANT, day, flag, instant, integer, number, text

SIDES = (-1, 1)
FILL_SOURCES = ("quotes", "modelled")
REFUSALS = (
    *("long_only", "kill", "day_loss", "time", "positions", "occupied", "no_ticks", "no_price"),
    *("stale_quote", "halt", "band", "ssr", "no_locate", "no_volume", "size", "no_fill"),
)
"""Why a trade that a strategy wanted was not made, in the order in which the reasons are asked."""
EXIT_REASONS = ("take_profit", "stop", "time", "session", "trapped", "flattened")
"""Why a position was closed; a trapped one is closed on a later session, or written off."""
SOURCES = ("prediction", "pattern", "baseline")
FEES = ("fee_sec", "fee_taf", "fee_ecn", "commission", "locate", "borrow")
"""Columns of what a trade costs beside the spread, USD."""

_SHARES = "shares"
_USD = "USD"


def _list(inner: dy.Column, meaning: str, unit: str = "") -> dy.List:
    return dy.List(inner, description=meaning, metadata={"unit": unit} if unit else {})


def _times(meaning: str) -> dy.List:
    inner = dy.Datetime(time_unit=INSTANT.time_unit, time_zone=INSTANT.time_zone)
    return _list(inner, meaning, "UTC nanoseconds")


def _prices(meaning: str) -> dy.List:
    return _list(dy.Float64(nullable=True), meaning, "USD per share")


def _counts(meaning: str, unit: str = _SHARES) -> dy.List:
    return _list(dy.Int64(), meaning, unit)


def _side() -> dy.Int8:
    return dy.Int8(description="1 long, -1 short", check=lambda c: c.is_in(SIDES))


def _one_of(values: tuple[str, ...], meaning: str, nullable: bool = False) -> dy.String:
    told = f"{meaning}: {', '.join(values)}"
    return dy.String(description=told, check=lambda c: c.is_in(list(values)), nullable=nullable)


class BacktestCandidates(dy.Schema):
    month = text("test month, YYYY-MM")
    execution = text("orders that it is filled by, as the strategies name them", primary_key=True)
    latency_ms = integer("from a decision until its order is live", "ms", primary_key=True, min=0)
    t0 = instant("decision", primary_key=True)
    ticker = text("symbol", primary_key=True)
    sample = text(  # type: ignore[assignment]
        "bars: an event of the dataset; patterns: a pattern event", primary_key=True
    )
    event_id = dy.Int32(
        description="bar_id of a bar, event_id of a pattern event", primary_key=True, min=0
    )
    side = dy.Int8(
        description="1 long, -1 short", primary_key=True, check=lambda c: c.is_in(list(SIDES))
    )
    date = day("session")
    live = instant("when the entry is live")
    fill_source = _one_of(FILL_SOURCES, "what it is filled on")
    refusal = _one_of(REFUSALS, "why no order is sent; null: one is", nullable=True)
    price = number("what the entry was to cost: ask, or bid, at t0", "USD per share", nullable=True)
    mid = number("mid at t0", "USD per share", nullable=True)
    atr = number(
        "mean range of the last 14 minutes with a print", "USD per share", nullable=True, min=0
    )
    trailing_volume = number("volume of the minute before `live`", _SHARES, min=0)
    most_shares = integer("size up to which the fills are known", _SHARES, min=0)
    entry_times = _times("of each fill of the entry")
    entry_shares = _counts("filled by then")
    entry_prices = _prices("of each fill")
    entry_mids = _prices("mid at each fill")
    sizes = _counts("largest size of each range of sizes whose exits follow the same prices")
    take_profits = _prices("limit of each range's take profit")
    stops = _prices("price that sets off each range's stop")
    exit_counts = _counts("fills of each range's exit", "fills")
    exit_times = _times("of each fill of the exits, range by range")
    exit_shares = _counts("closed by then, of the range's largest size")
    exit_prices = _prices("of each fill")
    exit_mids = _prices("mid at each fill")
    exit_reasons = _list(dy.String(), f"why, of each fill: {', '.join(EXIT_REASONS)}")
    lows = _prices("of each range the lowest print from its entry to what closed it; null: none")
    highs = _prices("of each range the highest")
    are_halted = _list(dy.Bool(), "of each range whether a halt lay between entry and exit")
    trapped_from = instant(
        "from when some size could not be closed in its session: trading is halted to its end, or"
        " there are no more quotes; null: all were",
        nullable=True,
    )
    late_exit = instant(
        "when what is trapped is closed: at the first price of the next session that trades, or"
        " written off on the tenth",
        nullable=True,
    )
    late_date = day("its session", nullable=True)
    late_price = number(
        "its price on the share basis of the entry; null: written off, a long at 0, a short at the"
        " higher of its last mark and twice its entry",
        "USD per share",
        nullable=True,
    )
    marks_from = instant("of the first mark", nullable=True)
    marks = _prices("price to close at, at each step of the clock; null: none is known yet")


class BacktestTrades(dy.Schema):
    strategy = text("name of the strategy", primary_key=True)
    t0 = instant("decision", primary_key=True)
    ticker = text("symbol", primary_key=True)
    event_id = dy.Int32(
        description="bar_id of a bar, event_id of a pattern event", primary_key=True, min=0
    )
    date = day("session")
    month = text("test month, YYYY-MM")
    source = _one_of(SOURCES, "what it came from")
    pattern = text("pattern of the event; null: a bar's", nullable=True)
    rule = text("selection rule that admitted the day first", nullable=True)
    score = number("what the strategy judged it by", nullable=True)
    side = _side()
    refused_by = _one_of(REFUSALS, "why there is no trade; null: there is one", nullable=True)
    shares_wanted = integer("size by the rules", _SHARES, min=0)
    shares = integer("bought, or sold short", _SHARES, min=0)
    entry_time = instant("of the entry's last fill", nullable=True)
    entry_price = number("average of the entry", "USD per share", nullable=True)
    entry_mid = number("average mid at its fills", "USD per share", nullable=True)
    exit_time = instant("of the exit's last fill", nullable=True)
    exit_price = number("average of the exit", "USD per share", nullable=True)
    exit_mid = number("average mid at its fills", "USD per share", nullable=True)
    exit_reason = _one_of(EXIT_REASONS, "why the last shares were sold", nullable=True)
    spread_cost = number("paid beside the mids at entry and exit", _USD)
    fee_sec = number("SEC fee on what was sold", _USD, min=0)
    fee_taf = number("FINRA trading activity fee on what was sold", _USD, min=0)
    fee_ecn = number("to the venues for liquidity taken, less rebates", _USD)
    commission = number("to the broker", _USD, min=0)
    locate = number("for shares to sell short", _USD, min=0)
    borrow = number("for nights short", _USD, min=0)
    slippage = number("spread cost / value at the mids, of the round trip", "fraction")
    gross_profit = number("at the mids, before all costs", _USD)
    net_profit = number("after all costs", _USD)
    max_adverse = number("furthest against the entry price", "fraction", min=0)
    max_favourable = number("furthest in its favour", "fraction", min=0)
    participation = number("shares / volume of the minute before the entry", "fraction", min=0)
    has_halt = flag("a halt lay between entry and exit")
    fill_source = _one_of(FILL_SOURCES, "what it was filled on; null: no_ticks", nullable=True)


class BacktestDays(dy.Schema):
    strategy = text("name of the strategy", primary_key=True)
    date = day("session", primary_key=True)
    month = text("test month, YYYY-MM")
    note = text("why there could be no trade, such as no predictions; null: none", nullable=True)
    trades = integer("trades decided", "trades", min=0)
    refused = integer("trades refused", "trades", min=0)
    gross_profit = number("at the mids, of positions closed", _USD)
    spread_cost = number("of positions closed", _USD)
    fees = number("all fees, commission, locate and borrow of positions closed", _USD)
    net_profit = number("of positions closed", _USD)
    equity = number("at the session's end, positions still open at cost", _USD)
    drawdown = number("equity below its highest so far, at the session's end", "fraction", min=0)
    marked_drawdown = number(
        "furthest below the highest equity before the session, within it, open positions at the"
        " price to close them",
        "fraction",
        min=0,
    )
    open_positions = integer("still open at the session's end: trapped", "positions", min=0)
    is_killed = flag("the drawdown's kill switch is latched at the session's end")


class BacktestReport(dy.Schema):
    strategy = text("name of the strategy", primary_key=True)
    part = text("all, or what it is a part of: pattern, hour, latency ...", primary_key=True)
    value = text("which part; empty for all", primary_key=True)
    figure = text("name of the figure", primary_key=True)
    estimate = number("its value", nullable=True)
    error = number("standard error, clustered by ticker-session", nullable=True, min=0)
    trades = integer("trades that it is of", "trades", min=0)
    trials = integer("strategies that were tried in this lake so far", "strategies", min=0)
    reason = text("why there is no estimate; null: there is one", nullable=True)
