"""A matching core that follows a script, and a desk on loopback; for tests of the desk only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk, Rules
from smallcaps_assets.desk.das.broker import DasBroker, Permission, permit
from smallcaps_assets.desk.das.commands import Login, NewOrder, Price
from smallcaps_assets.desk.das.messages import Order
from smallcaps_assets.desk.das.simulator import DasSimulator, Outcome
from smallcaps_assets.desk.events import Quoted, Wanted
from smallcaps_assets.desk.journal import Journal
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.runtime import Runtime

D = Decimal
PERMISSION = permit("SIM1", ("SIM1",), True, "SIM1")
LOGIN = Login("TRD1", "simulated", "SIM1")
FAST = Rules(silent_order=SECOND // 2, sweep_after_fill=SECOND // 5, sweep_every=SECOND,
             disagreement=SECOND, close_again=SECOND // 2)  # fmt: skip


class Scripted:
    """Fills an order by its shares modulo ten: 0 wholly, 1 half, 2 not, 3 rejected, 4 in three."""

    def submit(self, order: Order, command: NewOrder) -> Iterable[Outcome]:
        price = order.price or D(5)
        kind, qty = order.qty % 10, order.qty
        if kind == 3:
            return [Outcome("reject", text="No shares to short")]
        parts = {0: [qty], 1: [qty // 2], 4: [1, 2, qty - 3]}.get(kind, [])
        return [Outcome("accept"), *(Outcome("fill", part, price) for part in parts)]

    def cancel(self, order: Order) -> Iterable[Outcome]:
        return [Outcome("cancel")]

    def replace(self, order: Order) -> Iterable[Outcome]:
        return [Outcome("accept")]


def wanted(signal: str, qty: int = 100, side: str = "B", symbol: str = "ABCD", price: str = "4.25",
           t: int | None = None) -> Wanted:  # fmt: skip
    return Wanted(signal, symbol, side, qty, Price.limit(D(price)), t or time.time_ns())


def quoted(symbol: str = "ABCD", bid: str = "4.24", ask: str = "4.26") -> Quoted:
    return Quoted(symbol, D(bid), D(ask), time.time_ns())


def until(runtime: Runtime, is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Run a desk until something is so. Fails when it never is."""
    deadline = time.monotonic() + seconds
    runtime.run(lambda: is_so() or time.monotonic() > deadline)
    assert is_so(), "it never came to be"


@contextmanager
def desk(
    folder: Path, simulator: DasSimulator, permission: Permission | None = PERMISSION,
    rules: Rules = FAST, origin: int = 1, password: str = "simulated",
) -> Iterator[Runtime]:  # fmt: skip
    """A desk connected to a simulator."""
    journal = Journal(folder / "journal.jsonl")
    runtime = Runtime(Desk(325, origin, rules), journal, Control(folder))
    runtime.recover()
    login = Login("TRD1", password, "SIM1")
    broker = DasBroker(simulator.address, login, runtime.put, permission, (0.05, 0.1))
    runtime.broker = broker.start()
    try:
        yield runtime
    finally:
        broker.close()
        journal.close()
