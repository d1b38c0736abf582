"""Columns of the desk's records, declared once, from decisions to slippage.

Instants are those at which the desk heard of something, on its own clock.
"""

from __future__ import annotations

from typing import Any

import dataframely as dy

from smallcaps_assets.schemas.table import day, instant, integer, number, shares, text

OUTCOMES = ("matched", "only ours", "only theirs", "differs")
LEGS = ("entry", "exit")
LIVE = "live"
SLIPPAGE_MODELS = ("backtest", "quote")
_MARKET = "mid of the best bid and ask"


def _price(meaning: str, **options: Any) -> dy.Float64:
    return number(meaning, "USD per share", **options)


def _token(**options: Any) -> dy.Int64:
    return integer("number that the desk gave the order; no other order has it", **options)


def _run() -> dy.String:
    return text("live, or the name of a session on paper", primary_key=True)


def _count(meaning: str) -> dy.Int64:
    return integer(meaning, "shares", min=0)


def _text_of(values: tuple[str, ...], meaning: str, **options: Any) -> dy.String:
    told = f"{meaning}: {', '.join(values)}"
    return dy.String(description=told, check=lambda c: c.is_in(list(values)), **options)


class DeskDecisions(dy.Schema):
    date = day("session")
    run = _run()
    journal = text("file that has the record", primary_key=True)
    number = integer("of the record in its journal", primary_key=True, min=1)
    decided_at = instant("when the risk chain judged the order")
    signal = text("name of the signal that wanted it")
    pattern = text("pattern of the event; null: another's", nullable=True)
    ticker = text("symbol")
    side = text("B, S or SS, and as DAS writes others")
    shares = integer("wanted, as it was asked for", "shares")
    price = text("limit, MKT, or the kind of the order and its prices")
    purpose = text("entry, why an exit is wanted, or flatten: the kill switch")
    signal_at = instant("when the strategy knew what it wanted")
    refused_by = text("first check that forbade it; null: it was placed", nullable=True)
    checks = text("what each check looked at, by its name in order: JSON")
    token = _token(nullable=True)
    bid = _price("best bid then; null: none was known", nullable=True)
    ask = _price("best ask then", nullable=True)


class DeskOrders(dy.Schema):
    date = day("session")
    run = _run()
    token = _token(primary_key=True)
    journal = text("file that has its records")
    order_id = integer("the broker's number; null: it never gave one", nullable=True)
    signal = text("name of the signal that wanted it")
    pattern = text("pattern of the event; null: another's", nullable=True)
    purpose = text("entry, why an exit was wanted, or flatten: the kill switch")
    ticker = text("symbol")
    side = text("B, S or SS, and as DAS writes others")
    shares = _count("ordered, after replacements")
    kind = text("LMT, MKT, or the kind of a peg or stop")
    limit_price = _price("limit; null: it had none", nullable=True)
    route = text("venue that it was sent to")
    tif = text("how long it lived: DAY, DAY+, IOC ...")
    signal_at = instant("when the strategy knew what it wanted; null: not told", nullable=True)
    created_at = instant("when it was written to the journal")
    sent_at = instant("when its line had been handed to the broker; null: never", nullable=True)
    acknowledged_at = instant("of the broker's first word on it; null: none came", nullable=True)
    first_fill_at = instant("of its first fill; null: none came", nullable=True)
    last_fill_at = instant("of its last fill", nullable=True)
    closed_at = instant("when nothing of it rested any more; null: it still did", nullable=True)
    signal_to_sent = number("sent_at less signal_at", "ms", nullable=True)
    sent_to_acknowledged = number("acknowledged_at less sent_at", "ms", nullable=True)
    sent_to_first_fill = number("first_fill_at less sent_at", "ms", nullable=True)
    state = text("state when the journal ends, in one word; UNKNOWN: nobody knew")
    filled = _count("filled")
    canceled = _count("cancelled")
    average_price = _price("average of its fills; null: none", nullable=True)
    fees = number("of its fills, as far as the broker told them; negative: a rebate", "USD")
    bid = _price("best bid at the decision; null: none was known", nullable=True)
    ask = _price("best ask at the decision", nullable=True)
    reason = text("why it is in doubt or lost; null: it is neither", nullable=True)


class DeskFills(dy.Schema):
    date = day("session")
    run = _run()
    trade_id = integer("the broker's number", primary_key=True)
    received_at = instant("when the desk heard of it")
    broker_time = text("the broker's clock, HH:MM:SS; empty: not told")
    order_id = integer("the broker's number of its order")
    token = _token(nullable=True)
    ticker = text("symbol")
    side = text("B, S or SS, and as DAS writes others")
    shares = _count("filled")
    price = _price("paid or got")
    route = text("venue")
    liquidity = text("+ added, - removed, R routed; empty: not told")
    fee = number("to the venue; negative: a rebate; null: not told", "USD", nullable=True)
    bid = _price("best bid when the desk heard of it; null: none was known", nullable=True)
    ask = _price("best ask then", nullable=True)


class DeskPositions(dy.Schema):
    date = day("session", primary_key=True)
    run = _run()
    ticker = text("symbol", primary_key=True)
    initial = integer("held from sessions before, negative when short", "shares")
    held = integer("the broker's position when the journal ends, negative when short", "shares")
    by_fills = integer("initial and all fills", "shares")
    bought = _count("bought in the session")
    sold = _count("sold in it")
    buy_price = _price("average of what was bought; null: nothing", nullable=True)
    sell_price = _price("average of what was sold; null: nothing", nullable=True)
    realized = number("of as many shares as were both bought and sold, before fees", "USD")
    fees = number("as far as the broker told them; negative: a rebate", "USD")
    held_at = instant("when the broker last told the position; null: never", nullable=True)
    mismatch = text("why entries in it were stopped; null: they were not", nullable=True)


class DeskReconciliation(dy.Schema):
    date = day("session", primary_key=True)
    run = _run()
    number = integer("row, in order of time", primary_key=True, min=1)
    outcome = _text_of(OUTCOMES, "whether both sides have the execution")
    field = text("in what they differ; null: in nothing", nullable=True)
    ticker = text("symbol")
    list = text("what ours were compared with: a file, or the broker's answers")
    our_trade_id = integer("ours; null: only theirs", nullable=True)
    our_time = text("on the broker's clock, HH:MM:SS", nullable=True)
    our_shares = integer("negative when sold", "shares", nullable=True)
    our_price = _price("paid or got", nullable=True)
    their_trade_id = integer("the broker's; null: only ours, or without a number", nullable=True)
    their_time = text("HH:MM:SS", nullable=True)
    their_shares = integer("negative when sold", "shares", nullable=True)
    their_price = _price("paid or got", nullable=True)


class DeskSlippage(dy.Schema):
    date = day("session", primary_key=True)
    run = _run()
    pattern = text("pattern of the event; none: another's, or not told", primary_key=True)
    leg = _text_of(LEGS, "entries, or exits", primary_key=True)
    model = _text_of(SLIPPAGE_MODELS, "what the model's cost is from", primary_key=True)
    orders = integer("with a fill", "orders", min=0)
    shares = shares("filled")
    value = number(f"of them at the {_MARKET} at the decision", "USD", min=0)
    realized = number("paid beside that mid", "USD")
    modelled = number(
        "the model's: the candidate's fills for so many shares beside the mid at its decision, or"
        " half the spread at the decision",
        "USD",
    )
    excess = number("(realized - modelled) / value", "fraction")
