"""A session on a feed trades as the backtest does on its tape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.desk.checks import Chain
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.events import Link, Snapshot
from smallcaps_assets.desk.journal import Journal, read
from smallcaps_assets.desk.paper import Book, PaperBroker, PaperRules
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets.desk.scanner import Scanner, TickerScan
from smallcaps_assets.desk.session import RULES, Halted, Session, Shown, Traded
from smallcaps_assets.desk.trading import Chooser, Company, Trader
from smallcaps_assets.domain.bars.build import dollar_imbalance_bars
from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.bars.quote_features import quote_arrays
from smallcaps_assets.domain.columns import integers
from smallcaps_assets.domain.execution.account import Account, with_candidates
from smallcaps_assets.domain.execution.candidates import candidate_rows
from smallcaps_assets.domain.execution.signals import random_side
from smallcaps_assets.domain.execution.strategies import executions
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at, halts_frame, trade, trades

HOURS = session_hours(DAY)
HALTS = halts_frame(("10:20:00", "10:25:00"))
CONTEXT = SessionContext("AAME", DAY, 10.0, 4e5, 1e6, False, 3e5)


def market(seed: int, count: int = 4000) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two hours of prints from 09:40, none in the halt, each after a quote around it."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, 7_200_000, count))
    times = at("09:40:00") + seconds * 10**6 + rng.integers(0, 10**6, count)
    keep = (times < at("10:20:00")) | (times > at("10:25:01"))
    times = np.sort(times[keep])
    prices = np.round(10 * np.exp(0.0008 * rng.standard_normal(times.size).cumsum()), 2)
    rows = [
        trade(int(t), float(p), float(100 * rng.integers(1, 9)))
        for t, p in zip(times, prices, strict=True)
    ]
    before = np.sort(times - rng.integers(10**6, 9 * 10**8, times.size))
    after = at("11:40:01") + np.arange(600) * SECOND  # nothing prints any more, but all can end
    when = np.concatenate([before, after])
    mids = prices[np.clip(np.searchsorted(times, when), 0, times.size - 1)]
    half = rng.integers(1, 3, when.size) / 100
    sizes = rng.integers(1, 9, (2, when.size)) * 100.0
    quotes = pl.DataFrame(
        {"ticker": "AAME", "date": DAY, "sip_timestamp": when,
         "sequence_number": np.arange(when.size), "bid_price": np.round(mids - half, 2),
         "bid_size": sizes[0], "ask_price": np.round(mids + half, 2), "ask_size": sizes[1],
         "conditions": [[1]] * when.size}
    )  # fmt: skip
    return trades(rows), quotes.with_columns(pl.col("sip_timestamp").cast(pl.Datetime("ns", "UTC")))


def settings_of(**rules) -> Settings:
    chosen = {"only": ["random_side"], "max_positions": 2, "timeout_seconds": 240, **rules}
    return Settings.model_validate({"bars": {"dollar_imbalance_target": 60_000},
                                    "backtest": chosen})  # fmt: skip


def backtest(settings: Settings, prints: pl.DataFrame, quotes: pl.DataFrame) -> pl.DataFrame:
    """Its trades."""
    chosen = settings.backtest
    (strategy,) = chosen.chosen
    tape = prepare_ticks(prints, HOURS, settings.ticks, HALTS, "AAME")
    bars = dollar_imbalance_bars(tape, settings.bars)
    closed = bars.filter(pl.col("reason") == "threshold")
    events = pl.DataFrame(
        {"ticker": "AAME", "date": DAY, "event_id": closed["bar_id"].cast(pl.Int32),
         "t0": closed["close_timestamp"], "sample": "bars"}
    )  # fmt: skip
    whole = quote_arrays(quotes, HOURS, tape.session_end)
    (execution,) = executions(chosen, [strategy])
    rows = candidate_rows(tape, whole, bars, CONTEXT, events, execution, chosen)
    sides = [random_side(chosen.seed, "AAME", DAY, n) for n in events["event_id"]]
    wanted = events.with_columns(
        side=pl.Series(sides, dtype=pl.Int8), score=pl.lit(None, pl.Float64),
        pattern=pl.lit(None, pl.String), rule=pl.lit("intraday_trigger"),
        source=pl.lit("baseline"),
    )  # fmt: skip
    account = Account(strategy, chosen.rules_of(strategy), chosen.equity)
    return account.walk([HOURS], with_candidates(wanted, rows))[0]


def messages(prints: pl.DataFrame, quotes: pl.DataFrame) -> list:
    """In order of time: halts, prints, quotes."""
    halts = HALTS.select(pl.all().to_physical()).rows()
    found = [(t, 0, Halted("AAME", t, n == 0)) for row in halts for n, t in enumerate(row)]
    for t, p, s in zip(
        integers(prints["sip_timestamp"]), prints["price"], prints["size"], strict=True
    ):
        found.append((int(t), 1, Traded("AAME", int(t), p, s, 12, (), 3)))
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    for t, *sides in zip(
        integers(quotes["sip_timestamp"]), *(quotes[n] for n in names), strict=True
    ):
        found.append((int(t), 2, Shown("AAME", int(t), *sides)))
    return [message for *_, message in sorted(found, key=lambda one: one[:2])]


def session_on(settings: Settings, folder: Path) -> Session:
    chosen = settings.backtest
    (strategy,) = chosen.chosen
    rules = chosen.rules_of(strategy)
    books = {"AAME": Book(HOURS, CONTEXT.previous_close)}
    account = Account(strategy, rules, chosen.equity)
    chooser = Chooser(strategy, chosen.seed, {"AAME": Company("intraday_trigger")})
    trader = Trader(account, chooser, books, HOURS, chosen.most_value)
    desk = Desk(DAY.timetuple().tm_yday, rules=RULES, chain=Chain([trader.check]))
    runtime = Runtime(desk, Journal(folder / "journal.jsonl"), Control(folder),
                      clock=lambda: trader.now)  # fmt: skip
    trader.connect(runtime, PaperBroker(books, lambda: trader.now, PaperRules.of(rules)))
    for event in (Link(True), Snapshot((), (), ())):
        runtime.step(HOURS.premarket_open, event)
    scan = TickerScan(CONTEXT, HOURS, settings)
    return Session(Scanner({"AAME": scan}), trader)


RULES_OF = {
    "long": {},
    "both sides, near barriers": {"long_only": False, "take_profit": 0.004, "stop_loss": 0.003},
    "passive": {"entry": "passive", "entry_seconds": 20, "take_profit": 0.003, "stop_loss": 0.02},
    "a day's loss": {"max_day_loss": 0.0004, "risk": 0.01, "account_share": 1, "stop_loss": 0.004},
}  # fmt: skip


@pytest.mark.parametrize("rules", RULES_OF.values(), ids=RULES_OF)
def test_a_session_trades_as_the_backtest(tmp_path: Path, rules: dict) -> None:
    settings = settings_of(**rules)
    prints, quotes = market(5)
    expected = backtest(settings, prints, quotes)
    session = session_on(settings, tmp_path)
    session.take(messages(prints, quotes))
    session.reach(HOURS.close)
    session.settle()
    session.trader.advance(HOURS.close)
    trader = session.trader
    trader.runtime.journal.close()
    refused = {f"AAME-bars-{r['event_id']}-{r['side']}": r["refused_by"] or ""
               for r in expected.to_dicts()}  # fmt: skip
    # An order at work holds its place, though it may come to nothing, which the backtest foresees.
    seen = {k: "no_fill" if (v, refused[k]) == ("occupied", "no_fill") else v
            for k, v in trader.refused.items()}  # fmt: skip
    assert seen == refused and len(refused) > 50
    taken = expected.filter(pl.col("refused_by").is_null()).sort("exit_time")
    names = ("shares", "entry_price", "exit_price", "exit_reason", "net_profit", "spread_cost")
    made = [{name: row[name] for name in names} for row in trader.trades]
    for mine, theirs in zip(made, taken.select(names).to_dicts(), strict=True):
        if mine["exit_reason"] == "flattened":  # at the market, where the backtest takes the mark
            assert (mine["shares"], mine["entry_price"]) == (
                theirs["shares"],
                theirs["entry_price"],
            )
        else:
            assert mine == theirs
    assert made and not trader.held
    entries, torn = read(tmp_path / "journal.jsonl")
    fills = sum(e.data["qty"] for e in entries if e.kind == "fill")
    assert torn == b"" and fills == 2 * taken["shares"].sum()
