"""One stated reaction to each kind of bad input, as docs/desk.md lists them.

Elsewhere: the order's life under repeated and reordered messages in `test_orders.py`, cut lines of
the protocol in `das/test_protocol.py`, a full disk, a torn journal and the clock in
`test_journal.py`, a refused login and the bridge under faults in `das/test_bridge.py`.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.das import commands as c
from smallcaps_assets.desk.das.messages import SymbolStatus
from smallcaps_assets.desk.das.session import Session
from smallcaps_assets.desk.journal import Journal, read
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets_tests.desk.scripted import D, quoted, wanted
from smallcaps_assets_tests.pipeline.desk_session import Silent

T = 10**18


class Bench:
    """A desk with one working buy of 300 ABCD at 4.25, whose id is 7."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.jsonl")
        self.told: list[str] = []
        self.desk = Desk(325)
        self.runtime = Runtime(self.desk, self.journal, Control(folder), lambda: T,
                               self.told.append)  # fmt: skip
        self.runtime.broker = Silent()
        self.hear(e.Link(True), e.Snapshot((), (), ()), quoted(), wanted("a", 300, t=T))
        self.token = self.desk.by_signal["a"]
        self.hear(state("Accepted", 300))

    def hear(self, *events: e.Event, seconds: float = 0) -> None:
        for event in events:
            self.runtime.step(T + int(seconds * SECOND), event)

    @property
    def records(self) -> list[str]:
        return [entry.kind for entry in read(self.journal.path)[0]]

    @property
    def order(self):
        return self.desk.orders[self.token]


TOKEN = 132500000


def state(status: str, left: int, canceled: int = 0) -> e.OrderState:
    return e.OrderState(7, TOKEN, "ABCD", "B", 300, left, canceled, status)


def fill(trade_id: int, qty: int, order_id: int = 7) -> e.Fill:
    return e.Fill(trade_id, order_id, "ABCD", "B", qty, D("4.25"))


@pytest.fixture
def bench(tmp_path: Path):
    made = Bench(tmp_path)
    yield made
    made.journal.close()


def test_a_message_twice_changes_nothing_and_leaves_no_record(bench: Bench) -> None:
    messages = (state("Partial", 200), fill(1, 100), e.Holding("ABCD", 100))
    bench.hear(*messages)
    before, order = bench.records, bench.order
    bench.hear(*messages, *messages)
    assert bench.records == before and bench.order == order


def test_each_order_of_messages_ends_alike(tmp_path: Path) -> None:
    messages = (state("Partial", 200), fill(1, 100), fill(2, 200), state("Executed", 0))
    ends = []
    for number, order in enumerate(itertools.permutations(messages)):
        bench = Bench(tmp_path / str(number))
        bench.hear(*order, e.Holding("ABCD", 300), e.Beat())
        ends.append((bench.order.state, bench.order.filled, bench.desk.net("ABCD")))
        bench.journal.close()
    assert set(ends) == {("FILLED", 300, 300)}


def test_a_fill_without_an_order_counts_and_stops_entries_in_its_symbol(bench: Bench) -> None:
    bench.hear(fill(9, 50, 88), e.Holding("ABCD", 50))
    bench.hear(wanted("b", 10, t=T), e.Beat(), seconds=1)
    assert "b" in bench.desk.by_signal and bench.desk.net("ABCD") == 50
    bench.hear(e.Beat(), wanted("c", 20, t=T + 3 * SECOND), seconds=3)
    assert "c" not in bench.desk.by_signal
    assert "no entries in ABCD: fill of unknown order 88" in bench.told
    bench.hear(e.Accepted("ABCD"), wanted("d", 30, t=T + 3 * SECOND), seconds=3)
    assert "d" in bench.desk.by_signal


def test_a_fill_without_an_order_whose_order_is_named_in_time(bench: Bench) -> None:
    """The other way round: the trade comes first, the order that it is of a second later."""
    bench.hear(wanted("b", 100, t=T), fill(9, 100, 88), e.Holding("ABCD", 100))
    token = bench.desk.by_signal["b"]
    bench.hear(e.OrderState(88, token, "ABCD", "B", 100, 0, 0, "Executed"), seconds=1)
    bench.hear(e.Beat(), seconds=3)
    assert bench.desk.orders[token].filled == 100 and not bench.desk.paused


def test_a_fill_after_the_cancel_counts(bench: Bench) -> None:
    bench.hear(e.CancelWanted("a"), state("Canceled", 0, 300), fill(1, 100),
               e.Holding("ABCD", 100))  # fmt: skip
    assert (bench.order.state, bench.order.filled, bench.order.canceled) == ("CANCELED", 100, 200)
    bench.hear(e.Beat(), seconds=3)
    assert not bench.desk.paused and bench.desk.net("ABCD") == 100


def test_a_clock_that_goes_back_is_told_once_and_time_stands_still(bench: Bench) -> None:
    bench.hear(e.Beat(), e.Beat(), seconds=-3)
    assert bench.told == ["the clock went back by 3.0 s"] and bench.desk.now == T
    bench.hear(wanted("b", 10, t=T), seconds=-2.5)
    bench.hear(wanted("c", 10, t=T), seconds=-1.5)
    assert bench.desk.by_signal.keys() == {"a", "c"}


def test_a_cut_line_is_shown_and_its_list_takes_nothing_away() -> None:
    session = Session(c.Login("T", "p", "A"), 0)
    for line in ("#LOGIN SUCCESSED", "#POS", "%POS ABCD 2 100 4.25 0 0 0 2026/11/20-09:41:09",
                 "#POSEND", "#Order", "#OrderEnd", "#Trade", "#TradeEnd"):  # fmt: skip
        session.receive(line, 1)
    session.sweep(2)
    lists = []
    for rows in (["%POS AB"], ["%POS EFGH 2 5 1 0 0 0 2026/11/20-09:41:09"]):
        events = [
            event for line in ("#POS", *rows, "#POSEND") for event in session.receive(line, 3)
        ]
        lists.append(events)
    assert isinstance(lists[0][0], e.Shown) and "%POS AB" in lists[0][0].text
    assert [events[-1].is_complete for events in lists] == [False, True]  # type: ignore[union-attr]


def test_notes_that_are_not_ascii_are_kept_and_fields_refused(bench: Bench) -> None:
    bench.hear(e.OrderAction(7, TOKEN, "ABCD", "Send_Rej", "keine Stücke – 没有"))
    assert bench.order.reason.endswith("keine Stücke – 没有")
    again = Desk(325)
    for entry in read(bench.journal.path)[0]:
        again.restore(entry.t, entry.kind, entry.data)
    assert again.orders[TOKEN].reason == bench.order.reason
    bench.hear(msgspec.structs.replace(wanted("b", 10, t=T), symbol="ÄBCD"))
    bench.hear(msgspec.structs.replace(wanted("c", 10, t=T), route="SMÄT"))
    assert bench.desk.by_signal.keys() == {"a"}


def test_a_halt_takes_entries_back_and_refuses_new_ones(bench: Bench) -> None:
    bench.hear(e.Told(SymbolStatus("ABCD", {"TA": "H"})), wanted("b", 10, t=T))
    assert bench.order.request == "cancel" and "b" not in bench.desk.by_signal


def test_a_crossed_quote_is_passed_over_and_the_last_grows_old(bench: Bench) -> None:
    before = bench.desk.quotes["ABCD"]
    bench.hear(quoted(bid="4.30", ask="4.20"), seconds=1)
    assert bench.desk.quotes["ABCD"] == before


@pytest.mark.parametrize("price", ["4.251", "0.99995", "0"])
def test_a_price_off_its_tick_is_refused_before_it_is_sent(bench: Bench, price: str) -> None:
    bench.hear(wanted("b", 10, price=price, t=T))
    [told] = [x.data for x in read(bench.journal.path)[0] if x.data.get("signal") == "b"]
    assert told["refused"] == "line" and "not on a tick" in told["checks"]["line"]
