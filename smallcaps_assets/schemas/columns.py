"""The columns of every table: types, units, meaning and the rules that a row must keep.

Columns only; which table stands where, and what it is made from, is in `tables.py`.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import dataframely as dy
import polars as pl

from smallcaps_assets.schemas.feed_columns import AsOfFeatures
from smallcaps_assets.schemas.table import (
    FAMILY,
    day,
    flag,
    instant,
    integer,
    no_feature,
    number,
    price,
    shares,
    text,
)

RULES = ("info_rich", "intraday_trigger", "premarket_gap", "follow_up")
SEGMENTS = ("premarket", "regular", "postmarket")
BAR_REASONS = ("threshold", "session", "halt")
PATTERNS = (
    *("opening_range_breakout", "gap_and_go", "vwap_reclaim", "vwap_reject", "first_pullback"),
    *("halt_resumption", "high_of_day_breakout", "parabolic_exhaustion"),
)
PRICE, VOLATILITY, VOLUME, FLOW, CONTEXT = "price", "volatility", "volume", "flow", "context"
"""Families of the features of trades; of quotes it is QUOTES, of feeds see `feed_columns.py`."""
QUOTES = "quotes"
_NO_PREVIOUS = "no previous close is known"
_NO_QUOTE = "no clean quote at the close, see null_reason"
_NO_TIME = "no clean quote in the window"
_NO_PRINT = "no print met a clean quote"
_NOT_MATURE = "no such print"


def _quoted(meaning: str, unit: str, null: str, **options: Any) -> dy.Float64:
    return number(meaning, unit, family=QUOTES, null=null, **options)


# Reference ---------------------------------------------------------------------------------------
class Tickers(dy.Schema):
    date = day("session on which the list was true", primary_key=True)
    ticker = text("symbol of that day; case matters", primary_key=True)
    name = text("company or product name", nullable=True)
    type = text("vendor's security type, such as CS, ADRC, ETF", nullable=True)
    primary_exchange = text("MIC of the listing exchange", nullable=True)
    cik = text("SEC central index key, ten digits", nullable=True)
    composite_figi = text("composite FIGI", nullable=True)
    share_class_figi = text("share class FIGI", nullable=True)
    identity = text(
        "listing identity: FIGI, else CIK, else ticker; never the ticker alone if known"
    )


class TickerDetails(dy.Schema):
    month = day("first day of the month that the details serve", primary_key=True)
    ticker = text("symbol", primary_key=True)
    as_of = day("date the vendor was asked for; 90 days before the month where possible")
    is_lagged = flag("details are those of 90 days before; false: none existed then")
    name = text("company name", nullable=True)
    description = text("what the company does", nullable=True)
    cik = text("SEC central index key", nullable=True)
    composite_figi = text("composite FIGI", nullable=True)
    sic_code = text("SIC industry code", nullable=True)
    sic_description = text("SIC industry", nullable=True)
    total_employees = number("employees", "persons", nullable=True, min=0)
    list_date = day("listing date", nullable=True)
    delisted_date = no_feature(
        "known when it was fetched", day("delisting date as of then", nullable=True)
    )
    shares_outstanding = shares("shares outstanding of the class, as of `as_of`", nullable=True)


class Coverage(dy.Schema):
    """Of how many tickers a session's vendor tables have rows, and why of the others not."""

    date = day("session", primary_key=True)
    table = text("raw table", primary_key=True)
    expected = integer("tickers that should be asked for", "tickers", min=0)
    got = integer("of these: rows are stored", "tickers", min=0)
    empty = integer("of these: asked for, and the vendor has none", "tickers", min=0)
    not_entitled = integer("of these: outside the vendor's plan", "tickers", min=0)
    failed = integer(
        "of these: the last attempt failed, or the trades are not their day's", "tickers", min=0
    )
    missing = integer("of these: not asked for yet", "tickers", min=0)
    reason = text("why the first of them failed", nullable=True)

    @dy.rule()
    def parts_add_up(self) -> pl.Expr:
        parts = pl.sum_horizontal("got", "empty", "not_entitled", "failed", "missing")
        return pl.col("expected") == parts


class Universe(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol of that session", primary_key=True)
    identity = text("listing identity, stable across renames")
    name = text("company name", nullable=True)
    type = text("security type")
    primary_exchange = text("MIC of the listing exchange")
    cik = text("SEC central index key", nullable=True)
    composite_figi = text("composite FIGI", nullable=True)
    sic_code = text("SIC industry code", nullable=True)
    sic_description = text("SIC industry", nullable=True)
    total_employees = number("employees", "persons", nullable=True, min=0)
    description = text("what the company does", nullable=True)
    list_date = day("listing date", nullable=True)
    delisted_date = no_feature(
        "known when it was fetched", day("delisting date as of then", nullable=True)
    )
    previous_close = price("last unadjusted close before the session", nullable=True)
    shares_outstanding = shares("shares outstanding on this session's share basis", nullable=True)
    market_cap = number("previous_close x shares_outstanding", "USD", nullable=True, min=0)
    is_market_cap_known = flag("false: kept in the universe with unknown size")
    is_shares_lagged = flag("shares come from details dated 90 days earlier", nullable=True)
    splits_count = integer("splits executed up to this session", "events", min=0)
    dividends_count = integer("dividends gone ex up to this session", "events", min=0)


class Splits(dy.Schema):
    year = integer("calendar year of the execution date", "year", primary_key=True)
    ticker = text("symbol", primary_key=True)
    execution_date = day("first session on the new share basis", primary_key=True)
    split_from = number("shares before", "shares", primary_key=True, min_exclusive=0)
    split_to = number("shares after", "shares", primary_key=True, min_exclusive=0)


class Dividends(dy.Schema):
    year = integer("calendar year of the ex-date", "year", primary_key=True)
    ticker = text("symbol", primary_key=True)
    ex_dividend_date = day("first session without the dividend", primary_key=True)
    cash_amount = number("cash per share", "USD per share", primary_key=True, min=0)
    sequence = integer("number among equal rows", "", primary_key=True, min=0)
    currency = text("currency of the amount", nullable=True)
    declaration_date = day("declared on", nullable=True)
    record_date = day("holders of record on", nullable=True)
    pay_date = day("paid on", nullable=True)
    frequency = integer("payments per year", "per year", nullable=True)
    distribution_type = text("vendor's kind of distribution", nullable=True)


class AdjustmentFactors(dy.Schema):
    ticker = text("symbol", primary_key=True)
    effective_date = day("first session on the new basis", primary_key=True)
    identity = text("listing identity that the event belongs to", primary_key=True)
    split_factor = number("multiply earlier prices by this for splits", min_exclusive=0)
    dividend_factor = number(
        "multiply earlier prices by this for dividends: 1 - D / previous close", min_exclusive=0
    )
    cash_amount = number("dividends going ex on the day", "USD per share", min=0)
    previous_close = price(
        "last close before the day, on the share basis before its events; null: none usable",
        nullable=True,
    )


# Market ------------------------------------------------------------------------------------------
class DailyBars(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol", primary_key=True)
    open = price("first eligible price")
    high = price("highest eligible price")
    low = price("lowest eligible price")
    close = price("last eligible price")
    volume = shares("shares traded, extended hours included")
    vwap = price("volume-weighted average price", nullable=True)
    transactions = integer("number of trades", "trades", nullable=True, min=0)

    @dy.rule()
    def is_range_ordered(cls) -> pl.Expr:
        return pl.col("high") >= pl.col("low")


class MinuteBars(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol", primary_key=True)
    window_start = instant("start of the minute", primary_key=True)
    open = price("first eligible price")
    high = price("highest eligible price")
    low = price("lowest eligible price")
    close = price("last eligible price")
    volume = shares("shares traded")
    vwap = price(
        "volume-weighted average price; flat files have none, so no table is made from it",
        nullable=True,
    )
    transactions = integer("number of trades", "trades", nullable=True, min=0)

    @dy.rule()
    def is_range_ordered(cls) -> pl.Expr:
        return pl.col("high") >= pl.col("low")


class ShortVolume(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol in the vendor's spelling", primary_key=True)
    symbol = text("symbol as FINRA spells it")
    short_volume = shares("off-exchange shares sold short, exempt ones included")
    short_exempt_volume = shares("off-exchange short shares exempt from the price test")
    total_volume = shares("off-exchange shares reported in regular hours")
    venues = text("reporting facilities, comma-separated letters")
    known_at = instant("publication: 18:00 New York on the session's day")


# Daily metrics and selection ---------------------------------------------------------------------
class SessionSummary(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol", primary_key=True)
    identity = text("listing identity")
    first_price = price("first price before 09:30, else the open", nullable=True)
    open = price("first regular price", nullable=True)
    high = price("highest price of the daily bar")
    low = price("lowest price of the daily bar")
    close = price("official close, else the last regular minute's")
    close_source = text("daily or minute", check=lambda c: c.is_in(["daily", "minute"]))
    volume = shares("shares traded in the session")
    volume_source = text("daily or minute", check=lambda c: c.is_in(["daily", "minute"]))
    vwap = price("average price of the daily bar, else dollar_volume / volume", nullable=True)
    transactions = integer("number of trades", "trades", nullable=True, min=0)
    dollar_volume = number("dollars traded", "USD", min=0)
    dollar_volume_source = text(
        "daily_vwap; minute_typical, daily_typical: typical price x volume of minutes, of the day",
        check=lambda c: c.is_in(["daily_vwap", "minute_typical", "daily_typical"]),
    )
    premarket_high = price("highest price before 09:30", nullable=True)
    premarket_volume = shares("shares before 09:30", nullable=True)
    premarket_minutes = dy.List(
        dy.Int16(), description="minutes with trades before 09:30, 0 is 04:00", nullable=True
    )
    premarket_minute_volumes = dy.List(
        dy.Float64(), description="shares in each of premarket_minutes", nullable=True
    )
    minute_volume = shares("sum over the minutes", nullable=True)
    minute_count = integer("minutes with a bar", "minutes", nullable=True, min=0)


class DailyMetrics(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol", primary_key=True)
    identity = text("listing identity")
    first_price = price("first price before 09:30, else the open; known then", nullable=True)
    open = price("first regular price", nullable=True)
    high = price("highest price")
    low = price("lowest price")
    close = price("close")
    volume = shares("shares traded")
    dollar_volume = number("dollars traded", "USD", min=0)
    premarket_volume = shares("shares before 09:30", nullable=True)
    premarket_high = price("highest price before 09:30", nullable=True)
    previous_close = price(
        "last close of the identity on this session's share basis", nullable=True
    )
    previous_close_date = day("session of previous_close", nullable=True)
    previous_close_reason = text("why previous_close is null", nullable=True)
    split_factor = number("price factor of splits since previous_close", min_exclusive=0)
    cash_dividend = number("cash dividends going ex today", "USD per share", min=0)
    pct_change = number("close / previous_close - 1", "fraction", nullable=True)
    gap = number("open / previous_close - 1", "fraction", nullable=True)
    log_return = number("ln(close / previous_close)", nullable=True)
    mean_volume30 = shares("mean volume of the previous 30 traded sessions", nullable=True)
    volume_sessions = integer("sessions in mean_volume30", "sessions", min=0)
    rvol30 = number("volume / mean_volume30", "ratio", nullable=True, min=0)
    mean_premarket_volume30 = shares("mean premarket volume of those sessions", nullable=True)
    premarket_rvol30 = number("premarket volume / its mean", "ratio", nullable=True, min=0)
    median_dollar_volume20 = number("of the previous 20 traded sessions", "USD", nullable=True)
    mean_volume20 = shares("mean volume of the previous 20 traded sessions", nullable=True)
    mean_premarket_volume20 = shares(
        "mean premarket volume of the latest 20 sessions that have one", nullable=True
    )
    jump_ratio = number(
        "split ratio near first_price / previous_close without a listed split; known with"
        " first_price",
        "ratio",
        nullable=True,
    )
    premarket_mean_so_far = dy.List(
        dy.Float64(),
        description="of those 20 sessions the mean shares from 04:00 to the end of each of the 330"
        " premarket minutes; null without a jump_ratio",
        nullable=True,
    )
    suspect_decision = text("verdict of suspects.csv: real or split", nullable=True)
    is_suspect_at_open = flag("looks like a missing split; known at the open print")
    is_suspect_at_close = flag("looks like a missing split; known at the close")
    suspect_reason = text("why it is suspect; known at the close", nullable=True)
    is_ssr_carried = flag("previous session traded 10 % below its reference: SSR holds all day")


class Watchlist(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol", primary_key=True)
    rule = text("selection rule", primary_key=True, check=lambda c: c.is_in(list(RULES)))
    identity = text("listing identity")
    known_at = instant("earliest moment at which the rule was known to hold")
    price = price("price the rule was judged on; null: none was known", nullable=True)
    change = number("change the rule was judged on", "fraction", nullable=True)
    relative_volume = number("relative volume the rule was judged on", "ratio", nullable=True)
    dollar_volume = number("dollars traded by known_at", "USD", nullable=True)


class Runners(dy.Schema):
    date = day("session", primary_key=True)
    rank = integer("1 is the most frequent", "", primary_key=True, min=1)
    ticker = text("symbol")
    identity = text("listing identity")
    info_rich_sessions = integer("info-rich sessions in the trailing 252", "sessions", min=1)
    last_info_rich = day("the latest of them")


class Volatile(dy.Schema):
    date = day("session", primary_key=True)
    rank = integer("1 is the most volatile", "", primary_key=True, min=1)
    ticker = text("symbol")
    identity = text("listing identity")
    sessions = integer("sessions of the trailing 252 in the means", "sessions", min=1)
    mean_gap = number("mean |gap|", "fraction", min=0)
    mean_relative_volume = number("mean rvol30", "ratio", min=0)
    mean_range = number("mean (high - low) / close", "fraction", min=0)
    mean_rank = number("mean of the ranks by the three; 1 is the highest", "", min=1)


class TickerSessions(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    partition_key = text("partition key, TICKER_YYYY-MM-DD", unique=True)
    identity = text("listing identity")
    rules = text("rules that selected it, comma-separated, alphabetical")
    selection_rule = text("of the rules that ask for ticks, the one known first")
    eligible_from = instant("earliest moment at which such a rule had admitted the day")
    is_qualified = flag("a rule that asks for ticks holds; false: disqualified later")


# Ticks -------------------------------------------------------------------------------------------
class Trades(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    sip_timestamp = instant("when the SIP published it", primary_key=True)
    sequence_number = integer("order within the ticker's day", primary_key=True)
    exchange = dy.Int16(description="vendor's exchange id; 4 is off-exchange", primary_key=True)
    trf_id = dy.Int16(description="trade reporting facility, 0 if none", primary_key=True)
    id = text("trade id, unique per ticker, exchange and facility", primary_key=True)
    participant_timestamp = instant("when the participant reported it", nullable=True)
    price = number("price", "USD per share", min=0)
    size = number("shares", "shares", min=0)
    conditions = dy.List(dy.Int16(), description="vendor's condition ids; empty if none")
    correction = dy.Int16(description="correction code, 0 regular", primary_key=True)
    tape = dy.Int8(description="1 NYSE, 2 regional, 3 Nasdaq listed")
    trf_timestamp = instant("when the facility received it", nullable=True)


class Quotes(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    sip_timestamp = instant("when the SIP published it", primary_key=True)
    sequence_number = integer("order within the ticker's day", primary_key=True)
    bid_exchange = dy.Int16(description="vendor's exchange id, 0: no bid", primary_key=True)
    ask_exchange = dy.Int16(description="vendor's exchange id, 0: no ask", primary_key=True)
    bid_price = price("best bid; null: none", nullable=True)
    bid_size = shares("offered at the bid; 0: none")
    ask_price = price("best ask; null: none", nullable=True)
    ask_size = shares("offered at the ask; 0: none")
    size_unit = dy.Int16(description="shares in one unit of the vendor's sizes: 100 or 1", min=1)
    conditions = dy.List(dy.Int16(), description="vendor's condition ids; empty if none")
    indicators = dy.List(dy.Int16(), description="vendor's indicator ids; empty if none")
    participant_timestamp = instant("when the participant reported it", nullable=True)
    tape = dy.Int8(description="1 NYSE, 2 regional, 3 Nasdaq listed")
    trf_timestamp = instant("when a facility received it", nullable=True)


class Bars(dy.Schema):
    """Columns shared by the four activity bars."""

    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    bar_id = dy.Int32(description="number of the bar in its session", primary_key=True, min=0)
    source = text("trades or minutes", check=lambda c: c.is_in(["trades", "minutes"]))
    first_tick = integer("index of the first tick", "", min=0)
    last_tick = integer("index of the last tick", "", min=0)
    open_timestamp = instant("time of the first tick")
    close_timestamp = instant("time of the last tick; known then if closed by threshold")
    known_at = instant("close_timestamp; for a remainder the end of the session or the halt")
    segment = text("segment of the last tick", check=lambda c: c.is_in(list(SEGMENTS)))
    reason = text("what closed it", check=lambda c: c.is_in(list(BAR_REASONS)))
    open = price("first price-forming price")
    high = price("highest price-forming price")
    low = price("lowest price-forming price")
    close = price("last price-forming price")
    vwap = price("dollar_volume / volume")
    volume = shares("shares")
    dollar_volume = number("dollars", "USD", min=0)
    ticks = integer("trades", "trades", min=1)
    buy_volume = shares("shares with tick sign +1")
    sell_volume = shares("shares with tick sign -1")
    unsigned_volume = shares("the rest: before the first price change, and auctions")


class ImbalanceBars(Bars):
    theta = number("signed sum at the close", "USD or shares")
    threshold = number("threshold that judged the bar", "USD or shares", min_exclusive=0)
    expected_ticks = number("E_T before the bar", "trades", nullable=True)
    expected_imbalance = number("E_I before the bar", "USD or shares per trade", nullable=True)
    is_clamped = flag("the threshold was at a clamp")


class BarFeatures(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    bar_id = dy.Int32(description="dollar imbalance bar", primary_key=True, min=0)
    known_at = instant("close of the bar; every feature uses the tape up to here")
    bar_return = number(
        "ln(close / previous bar's close)", family=PRICE, null="first bar of the session"
    )
    return_5 = number("ln(close / close 5 bars before)", family=PRICE, null="fewer bars")
    return_1m = number(
        "ln(close / last price at least 1 minute before)", family=PRICE, null="none so early"
    )
    return_5m = number(
        "ln(close / last price at least 5 minutes before)", family=PRICE, null="none so early"
    )
    volatility = number(
        "EWMA standard deviation of bar returns, span 20",
        family=VOLATILITY,
        null="fewer than 2 returns",
        min=0,
    )
    imbalance_ratio = number(
        "(buy - sell) / volume of the bar", "fraction", family=FLOW, null="no volume"
    )
    imbalance_ratio_5 = number(
        "(buy - sell) / volume of the last 5 bars",
        "fraction",
        family=FLOW,
        null="fewer bars, or no volume",
    )
    theta_ratio = number("theta / threshold", "ratio", family=FLOW)
    duration_seconds = number(
        "seconds since the bar before closed", "seconds", family=VOLUME, min=0
    )
    ticks_per_second = number(
        "trades per second of the bar", "per second", family=VOLUME, null="no duration", min=0
    )
    mean_trade_size = number("volume / trades of the bar", "shares", family=VOLUME, min=0)
    odd_lot_share = number(
        "share of the bar's trades below 100 shares", "fraction", family=FLOW, min=0, max=1
    )
    off_exchange_share = number(
        "share of the bar's volume off exchange", "fraction", family=FLOW, min=0, max=1
    )
    distance_to_vwap = number("close / running session vwap - 1", "fraction", family=PRICE)
    distance_to_premarket_high = number(
        "close / premarket high so far - 1", "fraction", family=PRICE, null="no premarket price"
    )
    spread_roll = number(
        "Roll's effective spread over 20 bars / close",
        "fraction",
        family=VOLATILITY,
        null="fewer bars",
    )
    spread_high_low = number(
        "Corwin-Schultz spread of the last two bars",
        "fraction",
        family=VOLATILITY,
        null="first bar of the session",
    )
    running_return = number(
        "close / previous session's close - 1", "fraction", family=PRICE, null=_NO_PREVIOUS
    )
    return_from_open = number(
        "close / first regular price - 1", "fraction", family=PRICE, null="before the first one"
    )
    gap = number(
        "regular open / previous close - 1",
        "fraction",
        family=PRICE,
        null="not yet open, or no previous close",
    )
    range_expansion = number(
        "bar range / mean range of the 20 bars before",
        "ratio",
        family=VOLATILITY,
        null="fewer bars, or all without range",
    )
    day_range_position = number(
        "(close - day low) / (day high - day low)", "fraction", family=PRICE, null="no range yet"
    )
    is_high_of_day_break = flag("the bar made a new high of the day", family=PRICE)
    relative_volume = number(
        "volume so far / mean daily volume of 30 sessions",
        "ratio",
        family=VOLUME,
        null="mean unknown",
        min=0,
    )
    relative_volume_at_time = number(
        "volume so far / mean volume by the end of this minute, of the newest 20 to 60 sessions"
        " before in which the symbol traded",
        "ratio",
        family=VOLUME,
        null="fewer than 20 such sessions, or none had traded by this minute",
        min=0,
    )
    dollars_so_far = number("dollars traded in the session so far", "USD", family=VOLUME, min=0)
    volume_concentration = number(
        "Gini coefficient of the session's volume so far over its traded cents",
        "fraction",
        family=VOLUME,
        null="no volume",
        min=0,
        max=1,
    )
    volume_burst = number(
        "volume of the last minute / mean of the 20 minutes before",
        "ratio",
        family=VOLUME,
        null="first 21 minutes of the session, or no volume in those before",
        min=0,
    )
    is_volume_burst = flag("volume_burst is above 3", family=VOLUME, null="volume_burst is null")
    large_print_share = number(
        "share of the bar's volume in prints above mean + 3 standard deviations of the 50 or more"
        " price-forming ones before them",
        "fraction",
        family=FLOW,
        min=0,
    )
    is_exhaustion = flag(
        "a large print at the high of the day was followed within 60 s by a price below its own,"
        " which printed in this bar",
        family=FLOW,
    )
    parabolic_slope = number(
        "least-squares slope of ln(price) over the last 15 minute closes",
        "per minute",
        family=PRICE,
        null="fewer closes",
    )
    parabolic_slope_t = number(
        "t statistic of parabolic_slope", family=PRICE, null="fewer closes, or all on a line"
    )
    minutes_from_open = number("minutes since 09:30; negative before", "minutes", family=CONTEXT)
    is_premarket = flag("the bar closed before 09:30", family=CONTEXT)
    is_ssr = flag(
        "short-sale restriction: down 10 % today so far, or on the day before", family=CONTEXT
    )
    halts_so_far = integer("halts known by now", "halts", family=CONTEXT, min=0)
    halt_source = text("source of the newest of them; null: none", nullable=True)


class QuoteFeatures(dy.Schema):
    """Of a bar's window [close of the bar before, its own close), as known at its close."""

    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    bar_id = dy.Int32(description="dollar imbalance bar", primary_key=True, min=0)
    known_at = instant("close of the bar; quotes before that instant, prints up to it")
    spread_last = _quoted("(ask - bid) / mid of the quote in force", "fraction", _NO_QUOTE, min=0)
    spread_time_weighted = _quoted(
        "mean of (ask - bid) / mid over the bar's time with a clean quote",
        "fraction",
        _NO_TIME,
        min=0,
    )
    spread_time_weighted_usd = _quoted(
        "mean of ask - bid over the bar's time with a clean quote", "USD", _NO_TIME, min=0
    )
    spread_expansion = _quoted(
        "spread_time_weighted / its mean over the 20 bars before",
        "ratio",
        "fewer bars, or one of them without a clean quote",
        min=0,
    )
    depth_last = _quoted("bid size + ask size of the quote in force", "shares", _NO_QUOTE, min=0)
    depth_time_weighted = _quoted(
        "mean of bid size + ask size over the bar's time with a clean quote",
        "shares",
        _NO_TIME,
        min=0,
    )
    quote_imbalance_last = _quoted(
        "(bid size - ask size) / depth of the quote in force",
        "fraction",
        _NO_QUOTE,
        min=-1,
        max=1,
    )
    quote_imbalance_time_weighted = _quoted(
        "mean of (bid size - ask size) / depth over the bar's time with a clean quote",
        "fraction",
        _NO_TIME,
    )
    microprice = no_feature(
        "a price level, known at t0",
        number(
            "(bid x ask size + ask x bid size) / depth",
            "USD per share",
            null=_NO_QUOTE,
            min_exclusive=0,
        ),
    )
    microprice_distance = _quoted("microprice / mid - 1", "fraction", _NO_QUOTE)
    order_flow_imbalance = _quoted(
        "sum over consecutive clean quotes of what was added at the bid and taken from the ask",
        "shares",
        "no clean quote in the session so far",
    )
    lee_ready_delta = _quoted(
        "volume bought - sold: above the mid a buy, below it a sale, at it the tick rule",
        "shares",
        _NO_PRINT,
    )
    lee_ready_delta_ratio = _quoted("lee_ready_delta / quoted_volume", "fraction", _NO_PRINT)
    touch_delta = _quoted(
        "volume bought - sold by prints at or beyond a side of the quote", "shares", _NO_PRINT
    )
    quoted_volume = _quoted(
        "volume of prints that met a clean quote; 0: there was one, and nothing met it",
        "shares",
        "no clean quote in the window, see null_reason",
        min=0,
    )
    effective_spread = _quoted(
        "2 x sign x (price - mid) / mid, share-weighted over prints", "fraction", _NO_PRINT
    )
    realised_spread_5s = _quoted(
        "2 x sign x (price - mid 5 s later) / mid, of prints whose 5 s ended in the window",
        "fraction",
        _NOT_MATURE,
    )
    price_impact_5s = _quoted(
        "2 x sign x (mid 5 s later - mid) / mid, of prints whose 5 s ended in the window",
        "fraction",
        _NOT_MATURE,
    )
    realised_spread_5m = _quoted(
        "2 x sign x (price - mid 5 minutes later) / mid, of prints whose 5 minutes ended in the"
        " window",
        "fraction",
        _NOT_MATURE,
    )
    price_impact_5m = _quoted(
        "2 x sign x (mid 5 minutes later - mid) / mid, of prints whose 5 minutes ended in the"
        " window",
        "fraction",
        _NOT_MATURE,
    )
    null_reason = text(
        "why the columns of the quote in force are null; null: they are not",
        nullable=True,
        check=lambda c: c.is_in(["no_quote_yet", "no_clean_quote_at_close"]),
    )


class QuoteQuality(dy.Schema):
    """How far a session's quotes can be trusted; shares are of regular hours."""

    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    quotes = integer("quotes in the session", "quotes", min=0)
    missing_share = number("time without any side", "fraction", min=0)
    one_sided_share = number("time with one side only", "fraction", min=0)
    locked_share = number("time with bid = ask", "fraction", min=0)
    crossed_share = number("time with bid > ask", "fraction", min=0)
    inside_share = number(
        "price-forming prints within the quote in force",
        "fraction",
        null="none met a clean quote",
        min=0,
        max=1,
    )
    longest_silence_seconds = number("longest time without a quote", "seconds", min=0)


_number = number  # a column of the next schema has that name


class PatternEvents(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    event_id = dy.Int32(description="number of the event in t0's order", primary_key=True, min=0)
    pattern = text("what happened", check=lambda c: c.is_in(list(PATTERNS)))
    range_minutes = dy.Int32(
        description="length of the opening range; null: another pattern", nullable=True
    )
    side = dy.Int8(description="1 up, -1 down", check=lambda c: c.is_in([-1, 1]))
    number = dy.Int32(description="number among the session's of its pattern and side", min=1)
    t0 = instant("when it was known")
    trigger_tick = integer("index of the tick that made it known", "", min=0)
    level = price("price that was crossed")
    price = price("price of the trigger, at a minute's end its close")
    gap = _number("open / previous close - 1", "fraction", null="not yet open, or none known")
    relative_volume = _number(
        "volume so far / mean daily volume of 30 sessions", "ratio", null="mean unknown", min=0
    )
    minutes_from_open = _number("minutes since 09:30; negative before", "minutes")
    halts_so_far = integer("halts known by t0", "halts", min=0)
    is_ssr = flag("short-sale restriction by t0")
    eligible_from = instant(
        "earliest moment at which some rule had admitted the day; null: none did", nullable=True
    )
    is_selection_known = flag("t0 >= eligible_from: some rule had admitted the day")


class PatternLabels(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    event_id = dy.Int32(description="event of pattern_events", primary_key=True, min=0)
    pattern = text("what happened", check=lambda c: c.is_in(list(PATTERNS)))
    side = dy.Int8(description="1 up, -1 down", check=lambda c: c.is_in([-1, 1]))
    t0 = instant("decision: when the event was known")
    t1 = instant("when the label became known")
    vertical_barrier = instant("t0 + 15 minutes, at most the scheduled close")
    price_at_t0 = price("price of the event")
    base_price = price(
        "what barriers and returns are relative to: price_at_t0, or with labels.from = entry the"
        " entry_price; null: no entry",
        nullable=True,
    )
    label = dy.Int8(description="+1 profit, -1 stop, 0 neither; mirrored for side -1")
    label_return = number(
        "price of the deciding print / base_price - 1, whatever the side",
        "fraction",
        null="no print decided",
    )
    raw_label = dy.Int8(description="+1, 0, -1 by the barriers of a long, whatever the side")
    raw_t1 = instant("when raw_label became known")
    raw_return = number("return of its deciding print", "fraction", null="no print decided")
    meta_label = dy.Int8(
        description="1 if side x label_return is above 0; null: no return", nullable=True
    )
    round_trip_cost = number(
        "spread at t0: the quoted one, without a clean quote the median change of price-forming"
        " prints that reverse",
        "fraction",
        null="neither is known",
        min=0,
    )
    meta_label_after_cost = dy.Int8(
        description="1 if side x label_return is above round_trip_cost; null: one is unknown",
        nullable=True,
    )
    touch_tick = integer("index of the touching tick; null on timeout", "", nullable=True, min=0)
    path_ticks = integer("price-forming ticks looked at", "trades", min=0)
    has_path = flag("some price-forming tick followed in time")
    is_touch_confirmed = flag(
        "a second print at or beyond within 10 s; null on timeout", nullable=True
    )
    is_session_cut = flag("the vertical barrier is the scheduled close")
    is_halt_cut = flag("a halt covered the vertical barrier; t1 is the re-opening print")
    entry_timestamp = instant("first eligible print at least 1 s after t0", nullable=True)
    entry_price = price("its price", nullable=True)
    return_from_entry = number(
        "price of the deciding print / entry_price - 1, known at t1; null: no print by t1 came"
        " after the entry",
        "fraction",
        nullable=True,
    )


class TripleBarrierLabels(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    bar_id = dy.Int32(description="dollar imbalance bar that decides", primary_key=True, min=0)
    t0 = instant("decision: close of the bar")
    t1 = instant("when the label became known")
    vertical_barrier = instant("t0 + 15 minutes, at most the scheduled close")
    price_at_t0 = price("close of the bar")
    base_price = price(
        "what barriers and label_return are relative to: price_at_t0, or with labels.from = entry "
        "the entry_price; null: no entry",
        nullable=True,
    )
    label = dy.Int8(description="+1 take profit, -1 stop loss, 0 neither", min=-1, max=1)
    label_return = number("price of the deciding print / base_price - 1", "fraction", nullable=True)
    touch_tick = integer("index of the touching tick; null on timeout", "", nullable=True, min=0)
    path_ticks = integer("price-forming ticks looked at", "trades", min=0)
    has_path = flag(
        "some price-forming tick followed in time; with labels.from = entry, after the entry"
    )
    is_touch_confirmed = flag(
        "a second print at or beyond within 10 s; null on timeout", nullable=True
    )
    is_session_cut = flag("the vertical barrier is the scheduled close")
    is_halt_cut = flag("a halt covered the vertical barrier; t1 is the re-opening print")
    is_ambiguous = flag("both barriers within one bar; bars-only fallback")
    entry_timestamp = instant("first eligible print at least 1 s after t0", nullable=True)
    entry_price = price("its price", nullable=True)
    return_from_entry = number(
        "price of the deciding print / entry_price - 1, known at t1; null: no print by t1 came "
        "after the entry",
        "fraction",
        nullable=True,
    )
    take_profit = number("upper barrier", "fraction", min_exclusive=0)
    stop_loss = number("lower barrier", "fraction", min_exclusive=0)
    forward_return_5m = number("last print by t0 + 5 minutes / price_at_t0 - 1", nullable=True)
    forward_label_5m = dy.Int8(description="+1, 0, -1 of forward_return_5m", nullable=True)
    forward_staleness_5m = number("age of that print", "seconds", nullable=True)
    forward_return_15m = number("the same for 15 minutes", "fraction", nullable=True)
    forward_label_15m = dy.Int8(description="+1, 0, -1 of forward_return_15m", nullable=True)
    forward_staleness_15m = number("age of that print", "seconds", nullable=True)


class ForwardMids(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    bar_id = dy.Int32(description="dollar imbalance bar that decides", primary_key=True, min=0)
    t0 = instant("decision: close of the bar")
    forward_mid_return_5m = number(
        "last clean mid by t0 + 5 minutes / first from t0 + the entry delay on - 1",
        "fraction",
        null="no clean quote",
    )
    forward_mid_return_15m = number("the same for 15 minutes", "fraction", null="no clean quote")


class SampleWeights(dy.Schema):
    ticker = text("symbol", primary_key=True)
    date = day("session", primary_key=True)
    bar_id = dy.Int32(description="dollar imbalance bar", primary_key=True, min=0)
    span_start = dy.Int32(description="i0: bar of the decision", min=0)
    span_end = dy.Int32(description="i1: first bar closing at or after t1", min=0)
    is_selection_known = flag("t0 >= eligible_from: some rule had admitted the day")
    uniqueness = number("mean of 1 / concurrency over the span", "fraction", min_exclusive=0, max=1)
    uniqueness_eligible = number(
        "the same among known rows only; null elsewhere", nullable=True, min_exclusive=0, max=1
    )
    return_attribution = number("|sum of r_t / c_t| over the span, raw", min=0)
    return_attribution_eligible = number("the same among known rows only", nullable=True, min=0)


# Dataset -----------------------------------------------------------------------------------------
# Why a column of the dataset is no feature: when it was known, or what it is for.
_KEY, _SETTING = "names the row", "of the settings"
_ENTRY = "known at the entry, after t0"
_AT_T1, _IN_5M, _IN_15M = "known at t1", "known 5 minutes after t0", "known 15 minutes after t0"
_ADMITTED = "known at eligible_from, which may lie after t0"
_WEIGHT, _DECAY = "a weight, known at the end of the session", "a weight, known at training"


class MlDataset(dy.Schema):
    """Keys, label, selection and weights; the features are added below."""

    period = no_feature(_SETTING, text("period of the dataset"))
    regime = no_feature(_SETTING, text("market regime named in the configuration"))
    identity = no_feature(_KEY, text("listing identity"))
    ticker = no_feature(_KEY, text("symbol", primary_key=True))
    date = no_feature(_KEY, day("session", primary_key=True))
    bar_id = no_feature(_KEY, dy.Int32(description="dollar imbalance bar", primary_key=True, min=0))
    t0 = no_feature(_KEY, instant("decision"))
    t1 = no_feature(_AT_T1, instant("label known"))
    label = no_feature(_AT_T1, dy.Int8(description="+1, 0, -1", min=-1, max=1))
    label_return = no_feature(_AT_T1, number("return of the deciding print", "fraction"))
    price_at_t0 = no_feature("a price level, known at t0", price("close of the bar"))
    entry_timestamp = no_feature(
        _ENTRY, instant("first eligible print at least 1 s after t0", nullable=True)
    )
    entry_price = no_feature(_ENTRY, price("its price, known at entry_timestamp", nullable=True))
    return_from_entry = no_feature(
        _AT_T1,
        number(
            "price of the deciding print / entry_price - 1, a label;"
            " null: none came after the entry",
            "fraction",
            nullable=True,
        ),
    )
    forward_return_5m = no_feature(
        _IN_5M, number("5-minute forward return", "fraction", nullable=True)
    )
    forward_label_5m = no_feature(_IN_5M, dy.Int8(description="+1, 0, -1", nullable=True))
    forward_return_15m = no_feature(
        _IN_15M, number("15-minute forward return", "fraction", nullable=True)
    )
    forward_label_15m = no_feature(_IN_15M, dy.Int8(description="+1, 0, -1", nullable=True))
    forward_mid_return_5m = no_feature(
        _IN_5M, number("5-minute forward return of the mid", "fraction", null="no clean quote")
    )
    forward_mid_return_15m = no_feature(
        _IN_15M, number("15-minute forward return of the mid", "fraction", null="no clean quote")
    )
    is_touch_confirmed = no_feature(
        "known 10 s after t1", flag("the touch was confirmed within 10 s", nullable=True)
    )
    is_session_cut = no_feature(_AT_T1, flag("cut by the scheduled close"))
    is_halt_cut = no_feature(_AT_T1, flag("cut by a halt"))
    halt_source = no_feature(
        "a note on halts_so_far, known at t0",
        text("source of the newest halt known by t0; null: none", nullable=True),
    )
    quote_null_reason = no_feature(
        "a note on the features of quotes, known at t0",
        text("null_reason of quote_features; null: there was a clean quote", nullable=True),
    )
    selection_rule = no_feature(_ADMITTED, text("the rule known first"))
    rules = no_feature("known at the close of the session", text("all rules that selected the day"))
    eligible_from = no_feature(
        _ADMITTED, instant("earliest moment at which some rule had admitted the day")
    )
    is_selection_known = no_feature(
        "chooses the rows to train on; the others were chosen by what followed",
        flag("t0 >= eligible_from; the default training view"),
    )
    uniqueness = no_feature(
        _WEIGHT, number("average uniqueness among all labels", min_exclusive=0, max=1)
    )
    uniqueness_eligible = no_feature(
        _WEIGHT, number("among known rows only", nullable=True, min_exclusive=0, max=1)
    )
    return_attribution = no_feature(_WEIGHT, number("raw return attribution", min=0))
    return_attribution_eligible = no_feature(
        _WEIGHT, number("among known rows only", nullable=True, min=0)
    )
    time_decay = no_feature(
        _DECAY, number("factor in [0, 1] on cumulative uniqueness over the period", min=0, max=1)
    )
    time_decay_eligible = no_feature(
        _DECAY, number("the same over known rows only", nullable=True, min=0, max=1)
    )


class TickerHistory(dy.Schema):
    ticker = text("symbol asked for; the key of the partition", primary_key=True)
    date = day("session", primary_key=True)
    symbol = text("symbol on that session, across renames")
    identity = text("listing identity")
    open = price("adjusted for splits as of the last session", nullable=True)
    high = price("adjusted")
    low = price("adjusted")
    close = price("adjusted")
    volume = shares("adjusted")
    close_unadjusted = price("as traded")
    dollar_volume = number("dollars traded", "USD", min=0)
    pct_change = number("close / previous close - 1", "fraction", nullable=True)
    rvol30 = number("relative volume", "ratio", nullable=True)
    split_factor = number("split effective on this session, 1 if none", min_exclusive=0)
    cash_dividend = number("dividend going ex on this session", "USD per share", min=0)
    total_return_close = price("adjusted for splits and dividends")
    rules = text("selection rules of the session", nullable=True)


def _features_of(*schemas: type[dy.Schema]) -> dict[str, dy.Column]:
    """The columns of some schemas that have a family."""
    return {
        name: copy(column)
        for schema in schemas
        for name, column in schema.columns().items()
        if FAMILY in (column.metadata or {})
    }


FEATURE_SCHEMAS = (BarFeatures, QuoteFeatures, AsOfFeatures)
FEATURE_COLUMNS = tuple(_features_of(BarFeatures))
QUOTE_COLUMNS = tuple(_features_of(QuoteFeatures))


def with_features(schema: type[dy.Schema]) -> type[dy.Schema]:
    """A schema with the features of the bars, of their quotes, and those as of t0, at its end."""
    return type(schema.__name__, (schema,), _features_of(*FEATURE_SCHEMAS))


MlDatasetWithFeatures = with_features(MlDataset)


class DollarBars(Bars): ...


class VolumeBars(Bars): ...


class DollarImbalanceBars(ImbalanceBars): ...


class VolumeImbalanceBars(ImbalanceBars): ...
