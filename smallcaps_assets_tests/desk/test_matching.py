"""The matching core on a recorded tape, under the simulator of DAS: the backtest's fills."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from smallcaps_assets.desk.das.commands import NewOrder, Price, Replace
from smallcaps_assets.desk.das.simulator import DasSimulator
from smallcaps_assets.desk.matching import TapeMatching
from smallcaps_assets.domain.execution.fills import (
    KINDS,
    SECOND,
    fill_tape,
    marketable_fill,
    passive_fill,
)
from smallcaps_assets_tests.desk.scripted import desk, quoted, until, wanted

D = Decimal
LATENCY = SECOND // 4


def tape(halts=()):
    """Quotes of 300 shares each second, 4.00 to 4.02 and a cent more every ten; prints between."""
    times = np.arange(1, 60) * SECOND
    steps = np.arange(1, 60) // 10 / 100
    sizes = 300.0 + np.arange(1, 60) % 2
    quotes = (times, 4.00 + steps, sizes, 4.02 + steps, sizes)
    prints = (times + SECOND // 2, 4.01 + steps, np.full(59, 200.0), np.full(59, KINDS["price"]))
    return fill_tape(quotes, prints, halts)


class Market:
    """A clock, and the simulator's book moved on with it."""

    def __init__(self, **options) -> None:
        self.now = 2 * SECOND
        self.tape = tape(options.pop("halts", ()))
        self.core = TapeMatching({"ABCD": self.tape}, lambda: self.now, LATENCY, **options)
        self.das = DasSimulator(self.core)

    def place(self, side: str, qty: int, price: Price, tif: str = "DAY+") -> int:
        return self.das.place_by_hand(NewOrder(1, side, "ABCD", "SMAT", qty, price, (), tif))

    def move(self, seconds: float) -> None:
        self.now = int(seconds * SECOND)
        for order_id, outcome in self.core.due():
            self.das.apply(order_id, [outcome])

    def fills(self) -> list[tuple[int, float]]:
        return [(trade.qty, float(trade.price)) for trade in self.das.trades]


def test_a_marketable_order_gets_what_the_backtest_gets() -> None:
    market = Market()
    order_id = market.place("B", 700, Price.limit(D("4.05")))
    market.move(2.2)
    assert market.fills() == []  # not live yet
    market.move(60)
    known = marketable_fill(market.tape, 1, 700, 2 * SECOND + LATENCY, 4.05, None)
    assert market.fills() == [(qty, price) for _, qty, price in known.fills]
    assert sum(qty for qty, _ in market.fills()) == 700
    assert market.das.orders[order_id].status == "Executed" and market.das.net("ABCD") == 700


def test_a_resting_order_waits_for_prints_and_stays_where_it_is_cancelled() -> None:
    market = Market()
    order_id = market.place("S", 500, Price.limit(D("4.03")))
    known = passive_fill(market.tape, -1, 500, 4.03, 2 * SECOND + LATENCY)
    first = known.fills[0][0] / SECOND
    market.move(first - 0.1)
    assert market.fills() == []
    market.move(first)
    assert market.fills() == [known.fills[0][1:]]
    market.das._cancel([order_id])
    market.move(60)
    assert len(market.fills()) == 1 and market.das.orders[order_id].left == 0


def test_what_is_immediate_is_cancelled_after_a_second() -> None:
    market = Market()
    order_id = market.place("B", 5000, Price("MKT"), "IOC")
    market.move(60)
    order = market.das.orders[order_id]
    assert order.status == "Canceled" and 0 < order.filled < 5000
    assert order.filled + (order.canceled or 0) == 5000


def test_an_order_in_a_halt_waits_for_the_reopening() -> None:
    market = Market(halts=(np.array([SECOND]), np.array([30 * SECOND])))
    market.place("B", 100, Price("MKT"))
    market.move(30)
    assert market.fills() == []
    market.move(60)
    assert sum(qty for qty, _ in market.fills()) == 100


def test_a_stop_is_set_off_by_a_print() -> None:
    market = Market()
    market.place("B", 100, Price("STOPMKT", (D("4.03"),)))
    market.move(19)
    assert market.fills() == []
    market.move(60)
    assert market.fills() == [(100, pytest.approx(4.04))]


@pytest.mark.parametrize(("price", "status"), [("4.00", "Rejected"), ("4.05", "Accepted")])
def test_restricted_shorts_must_be_above_the_bid(price: str, status: str) -> None:
    market = Market(restricted={"ABCD": 0})
    order_id = market.place("SS", 100, Price.limit(D(price)))
    assert market.das.orders[order_id].status == status


def test_replace_is_a_new_order_of_what_is_open() -> None:
    market = Market()
    order_id = market.place("B", 300, Price.limit(D("3.50")))
    market.das._replace(Replace(order_id, 200, Price.limit(D("4.10"))))
    market.move(60)
    assert sum(qty for qty, _ in market.fills()) == 200
    assert market.das.orders[order_id].status == "Executed"


def test_unknown_symbols_are_rejected() -> None:
    market = Market()
    order_id = market.das.place_by_hand(NewOrder(1, "B", "XYZ", "SMAT", 1, Price("MKT")))
    assert market.das.orders[order_id].status == "Rejected"


def test_a_desk_trades_on_the_tape_over_tcp(tmp_path: Path) -> None:
    market = Market()
    with market.das, desk(tmp_path, market.das) as runtime:
        until(runtime, lambda: runtime.desk.link.is_ready)
        runtime.put(quoted())
        runtime.put(wanted("a", 700, price="4.05"))
        until(runtime, lambda: len(market.das.orders) == 1)
        market.move(60)
        until(runtime, lambda: runtime.desk.held.get("ABCD") == 700)
        assert runtime.desk.orders[runtime.desk.by_signal["a"]].state == "FILLED"
