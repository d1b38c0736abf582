"""A session as the vendor's WebSocket sends it: one JSON object per trade, quote, bar and halt.

Sent at its SIP time in milliseconds; a bar at its end, built from what was printed until then.
How the objects are paced, framed and spoiled belongs to `stream.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache

import polars as pl

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.sandbox import constants
from smallcaps_assets.sandbox.market import Market
from smallcaps_assets.sandbox.server.answers import json_rows
from smallcaps_assets.sandbox.server.routes_ticks import DECIMAL_SIZE_FROM

NS = 1_000_000
HALTED, RESUMED = 17, 18
FORM_T = 12
CANCEL_RECORD = 10
"""Corrections from here on are records about earlier prints, which a live feed does not send."""


def stream_rows(market: Market, day: date, tickers: Iterable[str]) -> pl.DataFrame:
    """Columns at (ms), rank, topic (`T.ABCD`), json; in the order in which they are sent."""
    parts = [part for ticker in tickers for part in _ticker_rows(market, day, ticker)]
    empty = pl.DataFrame(schema={"at": pl.Int64, "rank": pl.Int32, "topic": pl.String,
                                 "json": pl.String})  # fmt: skip
    return pl.concat([empty, *parts]).sort("at", "rank", maintain_order=True)


def most_traded(market: Market, day: date) -> list[str]:
    """The ten tickers of a session with the most volume."""
    bars = market.daily_bars(day).sort("volume", "ticker", descending=[True, False])
    return bars["ticker"].head(10).to_list()


def _ticker_rows(market: Market, day: date, ticker: str) -> Iterable[pl.DataFrame]:
    trades = market.trades(ticker, day).filter(pl.col("correction").fill_null(0) < CANCEL_RECORD)
    quotes = market.facts.quotes(ticker, day)
    ms = (pl.col("sip_timestamp") // NS).alias("t")
    if trades.height:
        yield _rows("T", ticker, trades.select(_trade_columns(ms, day)), "t", ("i", "ds"), ("c",))
    if quotes.height:
        yield _rows("Q", ticker, quotes.select(_quote_columns(ms)), "t", (), ("i",))
    for event, every in (("A", 1000), ("AM", 60_000)):
        bars = _bars(trades, day, every)
        if bars.height:
            yield _rows(event, ticker, bars, "e", (), ())
    halts = [halt for halt in market.facts.halts(day) if halt.ticker == ticker]
    if halts:
        # A halt for news has a row for each of its codes, of which the last has the end.
        stamps = {(halt.start, HALTED) for halt in halts}
        stamps |= {(halt.end, RESUMED) for halt in halts if halt.end}
        frame = pl.DataFrame([(at // NS, [code], 0.0, 0.0) for at, code in sorted(stamps)],
                             schema=["t", "i", "h", "l"], orient="row")  # fmt: skip
        text = pl.col("i").cast(pl.List(pl.String)).list.join(",")
        yield _rows("LULD", ticker, frame.with_columns(text), "t", (), ("i",))


def _rows(
    event: str, ticker: str, frame: pl.DataFrame, at: str, texts: Sequence[str],
    arrays: Sequence[str],
) -> pl.DataFrame:  # fmt: skip
    """Objects of one kind; LULD alone names its ticker T."""
    name = "T" if event == "LULD" else "sym"
    head = frame.select(pl.lit(event).alias("ev"), pl.lit(ticker).alias(name), *frame.columns)
    rank = ("LULD", "Q", "T", "A", "AM").index(event)
    return frame.select(
        pl.col(at).alias("at"),
        pl.lit(rank, pl.Int32).alias("rank"),
        pl.lit(f"{event}.{ticker}").alias("topic"),
        json_rows(head, ("ev", name, *texts), arrays).alias("json"),
    )


def _trade_columns(ms: pl.Expr, day: date) -> list[pl.Expr]:
    decimal = [pl.col("size").cast(pl.String).alias("ds")] if day >= DECIMAL_SIZE_FROM else []
    return [
        pl.col("exchange").alias("x"), pl.col("id").alias("i"), pl.col("tape").alias("z"),
        pl.col("price").alias("p"), pl.col("size").floor().cast(pl.Int64).alias("s"), *decimal,
        pl.col("conditions").replace("", None).alias("c"), ms,
        pl.col("sequence_number").alias("q"), pl.col("trf_id").alias("trfi"),
        (pl.col("trf_timestamp") // NS).alias("trft"),
    ]  # fmt: skip


def _quote_columns(ms: pl.Expr) -> list[pl.Expr]:
    first = pl.col("conditions").str.split(",").list.first().replace("", None)
    return [
        pl.col("bid_exchange").alias("bx"), pl.col("bid_price").alias("bp"),
        pl.col("bid_size").cast(pl.Int64).alias("bs"), pl.col("ask_exchange").alias("ax"),
        pl.col("ask_price").alias("ap"), pl.col("ask_size").cast(pl.Int64).alias("as"),
        first.alias("c"), pl.col("indicators").replace("", None).alias("i"), ms,
        pl.col("sequence_number").alias("q"), pl.col("tape").alias("z"),
    ]  # fmt: skip


@lru_cache(maxsize=1)
def _update_rules() -> dict[str, dict[int, bool]]:
    """By rule, what each trade condition allows, on the consolidated tape."""
    found: dict[str, dict[int, bool]] = {name: {} for name in ("high_low", "open_close", "volume")}
    for row in constants.conditions():
        rules = row.get("update_rules", {}).get("consolidated")
        if rules and "trade" in row["data_types"]:
            for name, by_id in found.items():
                by_id[row["id"]] = rules[f"updates_{name}"]
    return found


def _allowed(texts: pl.Series, rule: str, is_regular: pl.Series) -> pl.Series:
    """Whether trades with these conditions may update something: all of them must allow it.

    Outside regular hours Form T, which all trades have there, does not count.
    """
    by_id, distinct = _update_rules()[rule], texts.unique()

    def judge(ignored: int | None) -> pl.Series:
        told = [all(by_id.get(int(i), True) for i in text.split(",") if i and int(i) != ignored)
                for text in distinct]  # fmt: skip
        return texts.replace_strict(distinct, pl.Series(told), return_dtype=pl.Boolean)

    return judge(None).zip_with(is_regular, judge(FORM_T))


def _bars(trades: pl.DataFrame, day: date, every: int) -> pl.DataFrame:
    """Bars of `every` ms, as known at their end; none where no trade set a price."""
    if trades.is_empty():
        return trades
    hours, start = session_hours(day), pl.col("sip_timestamp") // NS // every * every
    trades = trades.with_columns(start.alias("s"))
    is_regular = trades["s"].is_between(hours.open // NS, hours.close // NS, closed="left")
    texts = trades["conditions"].fill_null("")
    moves, sets, counts = (
        _allowed(texts, rule, is_regular) for rule in ("high_low", "open_close", "volume")
    )
    price, size = pl.col("price"), pl.col("size")
    flow = pl.when(counts).then(size).otherwise(0)
    known = trades.with_columns(
        flow.alias("flow"),
        pl.when(sets).then(price).alias("set"),
        pl.when(moves).then(price).alias("move"),
        pl.when(sets & is_regular).then(price).forward_fill().alias("opened"),
        flow.cum_sum().alias("total"),
        (price * flow).cum_sum().alias("dollars"),
    )
    opening = known["opened"].drop_nulls().first()
    flow, total = pl.col("flow"), pl.col("total").last()
    bars = known.group_by("s", maintain_order=True).agg(
        flow.sum().alias("v"),
        total.alias("av"),
        pl.when(pl.col("opened").last().is_not_null()).then(pl.lit(opening)).alias("op"),
        ((price * flow).sum() / flow.sum()).round(4).alias("vw"),
        pl.col("set").drop_nulls().first().alias("o"),
        pl.col("set").drop_nulls().last().alias("c"),
        pl.col("move").max().alias("h"),
        pl.col("move").min().alias("l"),
        (pl.col("dollars").last() / total).round(4).alias("a"),
        (flow.sum() // (flow > 0).sum()).alias("z"),
    )
    whole = pl.col("v", "av", "z").cast(pl.Int64)
    priced = bars.filter(pl.col("o").is_not_null() & (pl.col("v") > 0))
    return priced.with_columns(whole, (pl.col("s") + every).alias("e")).select(
        "v", "av", "op", "vw", "o", "c", "h", "l", "a", "z", "s", "e"
    )
