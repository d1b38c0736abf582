"""Trades and accounts: cash is conserved, rules refuse by name, equity and kill go on."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.execution.account import as_integers
from smallcaps_assets.domain.execution.fees import FeeError, fees
from smallcaps_assets.domain.execution.sizing import SizeError, position_size
from smallcaps_assets.domain.execution.trades import trade_of
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets_tests.domain.execution.sessions import (
    HOURS,
    SHORTS,
    candidates,
    events_at,
    quotes_around,
    session,
    settings,
    traded,
    wanted_of,
)
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at, halts_frame

RNG = np.random.default_rng(3)
NOISE = np.round(10 + 0.01 * RNG.integers(-8, 9, 1500), 2)
T0 = at("10:05:00")
FEES = ["fee_sec", "fee_taf", "fee_ecn", "commission", "locate", "borrow"]


def test_cash_is_conserved_to_a_billionth():
    chosen = settings(**SHORTS, commission=0.004, ecn="prop", timeout_seconds=20)
    tape = session(NOISE)
    events = events_at(*(T0 + k * 40 * SECOND for k in range(20)))
    rows = candidates(tape, events, chosen, quotes_around(tape))
    wanted = wanted_of(events).with_columns(side=pl.Series([1, -1] * 10, dtype=pl.Int8))
    trades, days = traded(chosen, wanted, rows)
    made = trades.filter(pl.col("refused_by").is_null())
    assert made.height > 1 and made["side"].n_unique() == 2
    cash = made["side"] * made["shares"] * (made["exit_price"] - made["entry_price"])
    told = made["net_profit"] + made.select(pl.sum_horizontal(FEES)).to_series()
    assert (cash - told).abs().max() < 1e-9
    assert days["equity"][-1] == pytest.approx(chosen.equity + made["net_profit"].sum(), abs=1e-9)
    assert (made["fee_taf"] > 0).all() and (made["locate"] > 0).sum() == (made["side"] < 0).sum()


def test_a_long_and_a_short_of_one_decision_lose_exactly_both_spreads_and_fees():
    wide = {"take_profit": 5.0, "stop_loss": 0.9, "timeout_seconds": 60}
    chosen = settings(**SHORTS, **wide, locate=0)
    tape = session(NOISE)
    events = events_at(T0)
    rows = candidates(tape, events, chosen, quotes_around(tape, half=0.02, size=900))
    long, short = (
        trade_of(row, 300, chosen.rules_of(chosen.chosen[0]))
        for row in as_integers(rows.sort("side", descending=True)).iter_rows(named=True)
    )
    assert long.exit.reasons == short.exit.reasons == ("time",)
    fee = sum(long.costs.values()) + sum(short.costs.values())
    assert long.net + short.net == pytest.approx(-(2 * 300 * 2 * 0.02) - fee, abs=1e-9)
    assert fee > 0


def test_a_rule_that_forbids_a_trade_is_named_in_the_order_of_the_rules():
    chosen = settings(max_positions=1)
    tape = session(NOISE)
    events = events_at(T0, T0 + 20 * SECOND, at("15:46:00"))
    rows = candidates(tape, events, chosen, quotes_around(tape))
    trades, _ = traded(chosen, wanted_of(events), rows)
    assert trades["refused_by"].to_list() == [None, "positions", "time"]
    shorts, _ = traded(chosen, wanted_of(events, -1), rows)
    assert set(shorts["refused_by"]) == {"long_only"}
    other = settings(max_positions=2)
    trades, _ = traded(other, wanted_of(events), rows)
    assert trades["refused_by"].to_list() == [None, "occupied", "time"]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"quotes": "gap"}, "stale_quote"),
        ({"quotes": "none yet"}, "no_price"),
        ({"halts": ("10:04:00", "10:06:00")}, "halt"),
        ({"size": 0.0001}, "no_volume"),
        ({"equity": 5.0}, "size"),
    ],
)
def test_what_can_not_be_filled_is_a_refusal_with_a_name(change, refusal):
    chosen = settings(equity=change.get("equity", 50_000.0))
    halts = halts_frame(change["halts"]) if "halts" in change else halts_frame()
    tape = session(NOISE, halts=halts, size=change.get("size", 1000.0))
    quotes = quotes_around(tape)
    kept = {"gap": quotes.times < T0 - 61 * SECOND, "none yet": quotes.times > T0}
    if "quotes" in change:
        quotes = type(quotes)(*(a[kept[change["quotes"]]] for a in quotes.arrays))
    events = events_at(T0)
    trades, days = traded(chosen, wanted_of(events), candidates(tape, events, chosen, quotes))
    assert trades["refused_by"].to_list() == [refusal]
    assert days["trades"].to_list() == [0] and days["refused"].to_list() == [1]


def test_without_quotes_fills_are_modelled_and_marked():
    chosen = settings(timeout_seconds=60)
    tape = session(NOISE)
    rows = candidates(tape, events_at(T0), chosen)
    assert rows["fill_source"].to_list() == ["modelled"]
    row = rows.row(0, named=True)
    assert row["price"] - row["mid"] >= 0.005
    trades, _ = traded(chosen, wanted_of(events_at(T0)), rows)
    assert trades["spread_cost"][0] > 0 and trades["fill_source"].to_list() == ["modelled"]


def trapped(late_price: float | None):
    """A position in a halt to the close, which is closed two sessions later."""
    chosen = settings(timeout_seconds=600)
    tape = session(NOISE[:600], halts=halts_frame(("10:08:00", None)))
    events = events_at(T0)
    rows = candidates(tape, events, chosen, quotes_around(tape))
    assert (
        rows["trapped_from"].to_list()
        == events.select(t=pl.lit(at("10:08:00")).cast(rows.schema["t0"]))["t"].to_list()
    )
    later = session_hours(DAY + timedelta(4))
    rows = rows.with_columns(
        late_exit=pl.lit(later.open).cast(rows.schema["t0"]),
        late_date=pl.lit(later.date),
        late_price=pl.lit(late_price, pl.Float64),
    )
    hours = [HOURS, session_hours(DAY + timedelta(3)), later]
    return traded(chosen, wanted_of(events), rows, hours)


def test_a_halt_to_the_close_traps_a_position_until_a_later_session():
    trades, days = trapped(4.0)
    trade = trades.row(0, named=True)
    assert (trade["exit_reason"], trade["exit_price"], trade["has_halt"]) == ("trapped", 4.0, True)
    assert days["open_positions"].to_list() == [1, 1, 0]
    assert days["net_profit"].to_list()[:2] == [0, 0] and days["net_profit"][2] < 0
    assert trapped(None)[0]["exit_price"].to_list() == [0.0]


def test_a_drawdown_ends_a_strategy_for_good():
    falling = np.round(np.concatenate([NOISE[:320], np.linspace(9.5, 5, 200), [5.0] * 600]), 2)
    chosen = settings(max_drawdown=0.001, max_day_loss=1.0, risk=0.05, account_share=1.0)
    tape = session(falling)
    events = events_at(T0, at("10:12:00"))
    rows = candidates(tape, events, chosen, quotes_around(tape))
    trades, days = traded(
        chosen, wanted_of(events), rows, [HOURS, session_hours(DAY + timedelta(3))]
    )
    assert trades["refused_by"].to_list() == [None, "kill"]
    assert days["is_killed"].to_list() == [True, True]
    assert trades["exit_reason"][0] in ("flattened", "stop")


def test_a_loss_of_the_day_flattens_at_the_mark_and_the_next_day_trades_again():
    falling = np.round(np.concatenate([NOISE[:320], np.linspace(10, 9.3, 400), [9.3] * 600]), 2)
    chosen = settings(max_day_loss=0.002, max_drawdown=1.0, account_share=1.0)
    tape = session(falling)
    events = events_at(T0, at("10:18:00"))
    rows = candidates(tape, events, chosen, quotes_around(tape))
    trades, days = traded(chosen, wanted_of(events), rows)
    assert trades["refused_by"].to_list() == [None, "day_loss"]
    assert trades["exit_reason"][0] == "flattened" and not days["is_killed"][0]
    made = trades.row(0, named=True)
    cash = made["shares"] * (made["exit_price"] - made["entry_price"])
    assert made["net_profit"] == pytest.approx(cash - sum(made[name] for name in FEES), abs=1e-9)
    assert days["marked_drawdown"][0] >= days["drawdown"][0] > 0


def test_what_follows_an_event_does_not_change_its_decision_or_its_earlier_fills():
    chosen = settings()
    events = events_at(T0)
    whole, until = session(NOISE), T0 + 100 * SECOND
    cut = session(NOISE[: (until - at("10:00:00")) // SECOND + 1])
    told = [
        candidates(tape, events, chosen, quotes_around(tape)).row(0, named=True)
        for tape in (whole, cut)
    ]
    names = ("refusal", "price", "mid", "atr", "trailing_volume", "most_shares")
    names += ("entry_times", "entry_shares", "entry_prices", "sizes", "take_profits", "stops")
    assert all(told[0][name] == told[1][name] for name in names)


@pytest.mark.parametrize(("day", "side"), [("2012-06-29", 1), ("2012-06-29", -1)])
def test_a_day_before_the_first_rate_has_no_fee_not_even_of_a_purchase(day, side):
    with pytest.raises(
        FeeError, match=r"fees.csv begins on 2013-05-25.*2012-06-29|2012-06-29.*begins"
    ):
        fees(pl.Series([day]).str.to_date()[0], side, 100, 5.0)


def test_a_price_of_0_is_an_error():
    with pytest.raises(FeeError, match="above 0"):
        fees(DAY, -1, 100, 0.0)
    with pytest.raises(SizeError, match="must be prices"):
        position_size(50_000, 0.005, 0.0, 0.0, None, 2, 0.1, 8000)
    assert position_size(0, 0.005, 5.0, 4.6, 0.3, 2, 0.1, 8000).shares == 0
