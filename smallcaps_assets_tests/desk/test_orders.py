"""An order's life under late, repeated and reordered messages."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.desk.das.commands import NewOrder, Price
from smallcaps_assets.desk.events import Fill, OrderAction, OrderState
from smallcaps_assets.desk.orders import Order, Stage

D = Decimal
Heard = OrderState | OrderAction | Fill
COMMAND = NewOrder(7, "B", "ABCD", "ARCA", 300, Price.limit(D("4.25")))
ORDER = Order(7, COMMAND, "s", "entry", 0, qty=300).with_sent(1, "")


def state(status: str, left: int, canceled: int = 0) -> OrderState:
    return OrderState(81, 7, "ABCD", "B", 300, left, canceled, status)


def act(action: str) -> OrderAction:
    return OrderAction(81, 7, "ABCD", action)


def fill(trade_id: int, qty: int, price: str = "4.25") -> Fill:
    return Fill(trade_id, 81, "ABCD", "B", qty, D(price))


def told(order: Order, *events: OrderState | OrderAction | Fill) -> Order:
    for event in events:
        if isinstance(event, OrderState):
            order = order.with_state(event)
        else:
            order = order.with_fill(event) if isinstance(event, Fill) else order.with_action(event)
    return order


def test_the_usual_life() -> None:
    order = told(ORDER, act("Sending"), state("Accepted", 300), fill(1, 100), fill(2, 200, "4.24"))
    assert (order.state, order.filled, order.left) == ("FILLED", 300, 0)
    assert order.average == (100 * D("4.25") + 200 * D("4.24")) / 300
    assert order.is_settled


def test_a_late_accept_revives_nothing() -> None:
    order = told(ORDER, state("Canceled", 0, 300), state("Accepted", 300), act("Accept"))
    assert (order.state, order.canceled, order.left) == ("CANCELED", 300, 0)


def test_a_fill_after_the_cancel_counts_and_once() -> None:
    order = told(ORDER, act("Canceling"), act("Canceled"), fill(1, 100), fill(1, 100))
    assert (order.state, order.filled, order.canceled) == ("CANCELED", 100, 200)
    assert told(order, state("Canceled", 0, 200)).is_settled


def test_executed_waits_for_its_trades() -> None:
    order = told(ORDER, state("Executed", 0))
    assert order.is_done and not order.is_settled
    assert told(order, fill(1, 300)).is_settled


@pytest.mark.parametrize("action", ["Send_Rej", "TimeOut"])
def test_doubtful_until_the_record_speaks(action: str) -> None:
    order = told(ORDER, act(action))
    assert (order.state, order.is_done, order.left) == ("UNKNOWN", False, 300)
    assert told(order, state("Accepted", 300)).state == "WORKING"
    assert told(order, state("Rejected", 300)).state == "REJECTED"


def test_cancel_and_replace_are_pending_until_answered() -> None:
    working = told(ORDER, state("Accepted", 300))
    assert told(working, act("Canceling")).state == "CANCEL_PENDING"
    assert told(working, act("Replacing")).state == "REPLACE_PENDING"
    for answer in ("CancelRej", "ReplaceRej", "Replaced"):
        assert told(working, act("Canceling"), act(answer)).state == "WORKING"


def test_lost_counts_as_closed_until_the_broker_names_it() -> None:
    lost = ORDER.lost("not at the broker")
    assert (lost.state, lost.left) == ("LOST", 0)
    assert told(lost, state("Accepted", 300)).state == "WORKING"
    assert told(lost, fill(1, 300)).state == "FILLED"


def test_unknown_status_is_live_and_old_layout_has_no_cancelled() -> None:
    assert told(ORDER, state("Frobnicated", 300)).state == "PENDING"
    old = OrderState(81, None, "ABCD", "B", 300, 200, None, "Canceled")
    assert told(ORDER, fill(1, 100), old).is_settled


EVENTS = st.one_of(
    st.sampled_from(["Sending", "Accept", "Canceling", "Execute", "Send_Rej", "TimeOut"]).map(act),
    st.builds(fill, st.integers(1, 3), st.just(100)),
    st.sampled_from([state("Sending", 300), state("Accepted", 300), state("Partial", 200)]),
)


@given(st.permutations([*range(6)]), st.lists(EVENTS, max_size=6))
def test_all_orders_of_messages_end_alike(order: list[int], late: list[Heard]) -> None:
    """Three fills and the last record, in any order, with any late messages behind them."""
    life = [act("Accept"), state("Accepted", 300), fill(1, 100), fill(2, 100), fill(3, 100),
            state("Executed", 0)]  # fmt: skip
    end = told(ORDER, *(life[i] for i in order), *late)
    assert (end.stage, end.filled, end.left) == (Stage.FILLED, 300, 0) and end.is_settled


@given(st.lists(EVENTS, max_size=12))
def test_stages_only_move_forward(events: list[Heard]) -> None:
    order = ORDER
    for event in events:
        after = told(order, event)
        assert after.stage >= order.stage and after.filled >= order.filled
        assert told(after, event) == after
        order = after
