"""The bridge to DAS over real TCP: login, lists, orders, faults, and every way DAS may differ."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.core import Rules
from smallcaps_assets.desk.das import commands as c
from smallcaps_assets.desk.das import messages as m
from smallcaps_assets.desk.das.broker import PermissionRefusedError, permit
from smallcaps_assets.desk.das.dialect import Dialect
from smallcaps_assets.desk.das.simulator import DasSimulator, Outcome
from smallcaps_assets.desk.journal import read
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.orders import Order, Stage
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets_tests.desk.scripted import Scripted, desk, quoted, until, wanted

D = Decimal


@pytest.fixture
def das() -> Iterator[DasSimulator]:
    with DasSimulator(Scripted()) as simulator:
        yield simulator


def of(runtime: Runtime, signal: str) -> Order:
    return runtime.desk.orders[runtime.desk.by_signal[signal]]


def begin(runtime: Runtime) -> None:
    until(runtime, lambda: runtime.desk.link.is_ready)
    runtime.put(quoted())


def trade(runtime: Runtime, *orders: e.Wanted) -> None:
    """Begin, want some orders, and wait until each is done or rests."""
    begin(runtime)
    for order in orders:
        runtime.put(order)

    def is_told(signal: str) -> bool:
        if signal not in runtime.desk.by_signal:
            return False
        return of(runtime, signal).is_settled or of(runtime, signal).stage == Stage.WORKING

    until(runtime, lambda: all(is_told(order.signal) for order in orders))


def sent(das: DasSimulator, verb: str = "NEWORDER") -> list[str]:
    return [line for line in das.received if line.startswith(verb)]


DIALECTS = {
    "as documented": Dialect(),
    "short lists": Dialect(order_words=15, trade_words=8, position_words=8),
    "old layout": Dialect(order_words=13),
    "signed shorts": Dialect(is_short_signed=True),
    "no end markers": Dialect(has_end_markers=False),
    "no headers": Dialect(has_headers=False),
    "no markers": Dialect(has_headers=False, has_end_markers=False),
    "no banner, LF": Dialect(has_banner=False, line_end="\n", echo=""),
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_short_and_its_cover_whatever_the_dialect(tmp_path: Path, dialect: Dialect) -> None:
    with DasSimulator(Scripted(), dialect) as das:
        das.place_by_hand(c.NewOrder(1, "B", "XYZ", "ARCA", 10, c.Price.limit(D("1.5"))))
        # lists without an end take half a second to be told, which the usual rules allow for
        rules = Rules(sweep_after_fill=SECOND // 5)
        with desk(tmp_path, das, rules=rules) as runtime:
            _short_and_cover(runtime, das)


def _short_and_cover(runtime: Runtime, das: DasSimulator) -> None:
    trade(runtime, wanted("a", 100, "SS"))
    until(runtime, lambda: runtime.desk.held.get("ABCD") == -100)
    runtime.put(wanted("b", 40, "B"))
    until(runtime, lambda: runtime.desk.held.get("ABCD") == runtime.desk.net("ABCD") == -60)
    assert "ABCD" not in runtime.desk.paused
    assert of(runtime, "a").state == "FILLED" and of(runtime, "a").average == D("4.25")
    assert len(sent(das)) == 2
    before = runtime.desk.swept
    until(runtime, lambda: runtime.desk.swept > before)  # lists that come later agree
    assert runtime.desk.held == {"XYZ": 10, "ABCD": -60}


@pytest.mark.parametrize(
    "order", [*itertools.permutations(["act", "order", "trade", "position"])], ids="-".join
)
def test_messages_of_a_fill_in_any_order(order: tuple[str, ...]) -> None:
    """The same state from the same messages, whatever their order; a repetition changes nothing."""
    from smallcaps_assets.desk.core import Desk
    from smallcaps_assets.desk.das.session import _event

    desk = Desk(325)
    desk.handle(0, e.Link(True))
    desk.handle(0, e.Snapshot((), (), ()))
    desk.feed_at = desk.now
    desk.handle(1, wanted("a", 300, "SS", t=1))
    token = desk.by_signal["a"]
    told: dict[str, e.Event] = {
        "act": e.OrderAction(8101, token, "ABCD", "Execute"),
        "order": e.OrderState(8101, token, "ABCD", "SS", 300, 200, 0, "Partial"),
        "trade": _event(m.Trade(5207, "ABCD", "SS", 100, D("4.25"), "ARCA", "09:41:09", 8101)),
        "position": e.Holding("ABCD", -100),
    }
    for t, part in enumerate([*order, *order], 2):
        desk.handle(t, told[part])
    known = desk.orders[token]
    assert (known.stage, known.filled, known.left) == (Stage.PARTIAL, 100, 200)
    assert desk.net("ABCD") == desk.held["ABCD"] == -100 and not desk.paused


def test_rejected_partial_and_cancelled(tmp_path: Path, das: DasSimulator) -> None:
    with desk(tmp_path, das) as runtime:
        trade(runtime, wanted("no", 103), wanted("rests", 112), wanted("parts", 114))
        assert of(runtime, "no").stage == Stage.REJECTED
        until(runtime, lambda: of(runtime, "parts").filled == 114)
        assert len(of(runtime, "parts").fills) == 3
        runtime.put(e.CancelWanted("rests"))
        until(runtime, lambda: of(runtime, "rests").stage == Stage.CANCELED)
        assert of(runtime, "rests").canceled == 112 and len(sent(das, "CANCEL")) == 1


def test_a_fill_that_was_faster_than_the_cancel(tmp_path: Path, das: DasSimulator) -> None:
    with desk(tmp_path, das) as runtime:
        das.matching.cancel = lambda order: [Outcome("fill", 30, D("4.25")), Outcome("cancel")]  # type: ignore[method-assign]
        trade(runtime, wanted("a", 112))
        runtime.put(e.CancelWanted("a"))
        until(runtime, lambda: of(runtime, "a").is_settled)
        assert (of(runtime, "a").filled, of(runtime, "a").canceled) == (30, 82)
        until(runtime, lambda: runtime.desk.held.get("ABCD") == 30)


@pytest.mark.parametrize("replaces", ["open", "total"])
def test_replace_means_open_or_total_shares(tmp_path: Path, replaces: str) -> None:
    """The desk believes the order's record, not what was asked for."""
    dialect = Dialect(replaces=replaces)  # type: ignore[arg-type]
    with DasSimulator(Scripted(), dialect) as das, desk(tmp_path, das) as runtime:
        begin(runtime)
        runtime.put(wanted("a", 101))
        until(runtime, lambda: "a" in runtime.desk.by_signal and of(runtime, "a").filled == 50)
        order_id = of(runtime, "a").order_id
        assert runtime.broker is not None and order_id is not None
        runtime.broker.send(c.Replace(order_id, 80, c.Price.limit(D("4.30"))))
        left = 80 if replaces == "open" else 30
        until(runtime, lambda: of(runtime, "a").left == left)
        assert das.orders[order_id].left == left and of(runtime, "a").filled == 50


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "mute", "timeout", "send_reject"])
def test_an_order_that_nobody_answers_is_settled_from_the_record(
    tmp_path: Path, das: DasSimulator, fault: str
) -> None:
    """Sent once, whatever happens; what DAS has counts."""
    with desk(tmp_path, das) as runtime:
        begin(runtime)
        das.faults["NEWORDER"].append(fault)  # type: ignore[arg-type]
        runtime.put(wanted("a", 100))
        until(runtime, lambda: "a" in runtime.desk.by_signal and of(runtime, "a").is_settled)
        logins = 2 if fault.startswith("drop") else 1
        until(runtime, lambda: das.logins == logins and runtime._inbox.empty()
              and runtime.desk.link.is_ready)  # fmt: skip
        arrived = fault not in ("drop_before", "send_reject")
        assert of(runtime, "a").stage == (Stage.FILLED if arrived else Stage.LOST)
        until(runtime, lambda: runtime.desk.held.get("ABCD", 0) == (100 if arrived else 0))
        assert len(sent(das)) == 1
        runtime.put(wanted("a", 100))  # the same signal again is refused
        runtime.put(wanted("b", 200))
        until(runtime, lambda: "b" in runtime.desk.by_signal)
        assert len({line.split()[1] for line in sent(das)}) == len(sent(das))


def test_what_others_do_is_shown_and_not_touched(tmp_path: Path, das: DasSimulator) -> None:
    with desk(tmp_path, das) as runtime:
        begin(runtime)
        by_hand = das.place_by_hand(c.NewOrder(1, "B", "EFGH", "ARCA", 52, c.Price("MKT")))
        das.place_by_hand(c.NewOrder(1, "B", "IJKL", "ARCA", 50, c.Price.limit(D("2.5"))))
        until(runtime, lambda: {"EFGH", "IJKL"} <= set(runtime.desk.paused))
        until(runtime, lambda: runtime.desk.held.get("IJKL") == 50)
        assert by_hand in runtime.desk.foreign
        runtime.put(wanted("x", 100, symbol="IJKL"))
        runtime.put(wanted("y", 100))
        until(runtime, lambda: "y" in runtime.desk.by_signal)
        assert "x" not in runtime.desk.by_signal and not sent(das, "CANCEL")
        assert das.orders[by_hand].status == "Accepted"
        runtime.control.accept("IJKL", 1)
        until(runtime, lambda: "IJKL" not in runtime.desk.paused)


def test_the_position_at_the_broker_wins(tmp_path: Path, das: DasSimulator) -> None:
    with desk(tmp_path, das) as runtime:
        trade(runtime, wanted("a", 100))
        until(runtime, lambda: runtime.desk.held.get("ABCD") == 100)
        das.positions["ABCD"] = m.Position("ABCD", 2, 70, D("4.25"), 0, D(0), D(0), "x")
        until(runtime, lambda: "ABCD" in runtime.desk.paused)
        assert runtime.desk.held["ABCD"] == 70
        assert runtime.desk.paused["ABCD"] == "ABCD: 70 at the broker, fills say 100"
        runtime.put(wanted("out", 100, "S"))  # closes no more than DAS has
        runtime.put(wanted("less", 70, "S"))
        until(runtime, lambda: "less" in runtime.desk.by_signal)
        assert "out" not in runtime.desk.by_signal


def test_a_refused_login_is_not_tried_again(tmp_path: Path, das: DasSimulator) -> None:
    with desk(tmp_path, das, password="wrong") as runtime:
        until(runtime, lambda: runtime.desk.link.is_refused)
        time.sleep(0.3)
        runtime.put(wanted("a"))
        runtime.beat()
        assert das.logins == 1 and not runtime.desk.orders


def test_without_permission_nothing_that_changes_anything_is_sent(
    tmp_path: Path, das: DasSimulator
) -> None:
    with desk(tmp_path, das, permission=None) as runtime:
        begin(runtime)
        runtime.put(wanted("a"))
        until(runtime, lambda: "a" in runtime.desk.by_signal)
        assert of(runtime, "a").reason == "never sent: this session only watches"
        assert not sent(das)


@pytest.mark.parametrize(
    ("account", "is_live", "typed"), [("A", False, "A"), ("B", True, "B"), ("A", True, "yes")]
)
def test_permission_needs_flag_list_and_typing(account: str, is_live: bool, typed: str) -> None:
    assert permit("A", ("A",), True, "A").account == "A"
    with pytest.raises(PermissionRefusedError):
        permit(account, ("A",), is_live, typed)


def test_a_frozen_platform_and_a_lost_order_server(tmp_path: Path, das: DasSimulator) -> None:
    with desk(tmp_path, das) as runtime:
        begin(runtime)
        das.say("#OrderServer:Lost Connection")
        until(runtime, lambda: not runtime.desk.link.is_ready)
        runtime.put(wanted("a"))
        das.say("#OrderServer:Connect:Successful")
        until(runtime, lambda: runtime.desk.link.is_ready)
        assert "a" not in runtime.desk.by_signal
        das.say("%ORDER 8101 1325", "%OrderAct caf\u00e9", "$LDLU ABCD 3.81 4.66")
        until(runtime, lambda: ("Bands", "ABCD") in runtime.desk.facts)
    kinds = [entry.kind for entry in read(tmp_path / "journal.jsonl")[0]]
    assert kinds.count("shown") >= 2  # the cut and the strange line


def test_silence_of_the_platform_is_noticed() -> None:
    from smallcaps_assets.desk.das.session import SILENT, Session

    session = Session(c.Login("T", "p", "A"), 0)
    lines = ("#Welcome", "#LOGIN SUCCESSED", "#POS", "#POSEND", "#Order", "#OrderEnd", "#Trade",
             "#TradeEnd")  # fmt: skip
    events = [event for line in lines for event in session.receive(line, 1)]
    assert events[-1] == e.Link(True, "")
    assert e.Link(False, "silent for 10 s") in session.tick(SILENT + 2)
    assert c.Echo() in session.outbox
    assert session.receive("ECHO", SILENT + 3) == [e.Link(True, "")]


def test_lists_that_stay_away_are_no_empty_lists() -> None:
    from smallcaps_assets.desk.das.session import Session

    session = Session(c.Login("T", "p", "A"), 0)
    session.receive("#LOGIN SUCCESSED", 1)
    assert not session.tick(10**9) and session.outbox[-1] == c.Get("TRADES")
    assert not session.tick(3 * 10**9)
    session.receive("%POS ABCD 2 100 4.25 0 0 0 2026/11/20-09:41:09", 4 * 10**9)
    [snapshot] = session.tick(5 * 10**9)
    assert isinstance(snapshot, e.Snapshot) and snapshot.holdings and snapshot.orders is None
    assert not snapshot.is_complete


def test_an_end_without_a_list_takes_nothing_away() -> None:
    from smallcaps_assets.desk.das.session import Session

    session = Session(c.Login("T", "p", "A"), 0)
    for line in ("#LOGIN SUCCESSED", "#POSEND", "#OrderEnd", "#TradeEnd"):
        session.receive(line, 1)
    [holding] = session.receive("%POS ABCD 2 100 4.25 0 0 0 2026/11/20-09:41:09", 2)
    assert holding == e.Holding("ABCD", 100, D("4.25")) and session.receive("#POSEND", 3) == []
    session.sweep(4)
    session.receive("%POS ABCD 2 100 4.25 0 0 0 2026/11/20-09:41:09", 5)
    [snapshot] = session.receive("#POSEND", 6)
    assert isinstance(snapshot, e.Snapshot) and snapshot.holdings == (holding,)


def test_locates_and_facts_are_asked_and_answered(tmp_path: Path, das: DasSimulator) -> None:
    das.facts["SHORTINFO", "ABCD"] = m.ShortInfo("ABCD", False, 0, True, D(0), D(100), False)
    with desk(tmp_path, das) as runtime:
        begin(runtime)
        assert runtime.broker is not None
        for command in (c.Get("SHORTINFO", "ABCD"), c.LocateInquire("ABCD", 300),
                        c.LocateNew("ABCD", 300, "LOC1", 7)):  # fmt: skip
            runtime.broker.send(command)
        until(runtime, lambda: ("LocateOrder", "ABCD") in runtime.desk.facts)
        offer = runtime.desk.facts["LocatePrice", "ABCD"]
        assert isinstance(offer, m.LocatePrice) and offer.size == 300
