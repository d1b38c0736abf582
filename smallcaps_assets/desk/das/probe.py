"""The first day with DAS: find out, one confirmed step at a time, what no manual tells.

Orders are of one or two shares at a price far from the market, which the person gives, and each
step that sends one is confirmed by itself; whatever rests is cancelled at the end. The answers
are kept as they came, so that `dialect.py` can be set by them.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from msgspec import Struct

from smallcaps_assets.desk.broker import NotConnectedError
from smallcaps_assets.desk.das import commands as c
from smallcaps_assets.desk.das import messages as m
from smallcaps_assets.desk.das.broker import DasBroker
from smallcaps_assets.desk.das.words import Line

QUIET = 2.0  # seconds without a line after which an answer is complete


class Step(Struct, frozen=True):
    """One thing to find out; `commands` may use the last order's id."""

    name: str
    question: str
    commands: Callable[[int], tuple[Line, ...]]
    sends_orders: bool = False


class Finding(Struct, frozen=True):
    """What was sent and what came, line by line."""

    name: str
    sent: tuple[str, ...]
    received: tuple[str, ...]


class Probe:
    """Steps over one connection, whose lines `hear` takes from the broker's thread."""

    def __init__(
        self,
        symbol: str,
        far: Decimal,
        route: str,
        token: int,
        confirm: Callable[[str], bool],
        quiet: float = QUIET,
    ) -> None:
        self._symbol, self._far, self._route = symbol, far, route
        self._token, self._confirm, self._quiet = token, confirm, quiet
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._last_id = 0
        self._mine: set[int] = set()

    def hear(self, line: str) -> None:
        """Take a raw line of the server."""
        self._lines.put(line)

    def run(self, broker: DasBroker) -> Iterator[Finding]:
        """Findings step by step; what is not confirmed is left out. Cancels what rests."""
        try:
            yield Finding("login", (), tuple(self._collect()))
            for step in self.steps():
                commands = step.commands(self._last_id)
                text = "\n".join(command.line() for command in commands)
                if self._confirm(f"{step.name}: {step.question}\n{text}"):
                    yield self._take(broker, step.name, commands)
        finally:
            for order_id in sorted(self._mine):
                broker.send(c.Cancel(order_id))

    def steps(self) -> list[Step]:
        """In their order: questions that change nothing first."""
        symbol = self._symbol

        def ask(*commands: Line) -> Callable[[int], tuple[Line, ...]]:
            return lambda last: commands

        return [
            Step("routes", "which names do routes have?", ask(c.Get("RouteStatus"))),
            Step("echo", "what answers a heartbeat, how many clients are there?",
                 ask(c.Echo(), c.CountClients())),
            Step("lists", "how many words have orders, trades and positions; has a short one a"
                 " minus?", ask(c.Get("ORDERS"), c.Get("TRADES"), c.Refresh())),
            Step("status", "what answers with and without a symbol?",
                 ask(c.Subscribe(symbol, "Lv1"), c.Get("SymStatus"), c.Get("SymStatus", symbol),
                     c.Get("LDLU"), c.Get("LDLU", symbol), c.Get("SHORTINFO", symbol))),
            Step("locates", "how many offers does an inquiry get?",
                 ask(c.LocateInquire(symbol, 100))),
            Step("limit", "in which order do messages come, is the clock New York's?",
                 ask(self._order(c.Price.limit(self._far))), True),
            Step("replace", "are its shares the open ones or all; is it still good before the"
                 " open?", self._replace, True),
            Step("cancel", "what comes after a cancel?", lambda last: (c.Cancel(last),), True),
            Step("stop", "how is a stop limit for extended hours printed?",
                 ask(self._order(c.Price("STOPLMTP", (self._far, self._far)), side="S")), True),
            Step("post only", "does the route take PostOnly?",
                 ask(self._order(c.Price.limit(self._far), options=("PostOnly",))), True),
            Step("reject", "what are the words of a rejection?",
                 ask(self._order(c.Price.limit(self._far), route="NOROUTE")), True),
        ]  # fmt: skip

    def _order(
        self, price: c.Price, side: str = "B", options: tuple[str, ...] = (), route: str = ""
    ) -> c.NewOrder:
        self._token += 1
        chosen = route or self._route
        return c.NewOrder(self._token, side, self._symbol, chosen, 1, price, options)

    def _replace(self, last: int) -> tuple[Line, ...]:
        return (c.Replace(last, 2, c.Price.limit(self._far)),)

    def _take(self, broker: DasBroker, name: str, commands: Iterable[Line]) -> Finding:
        lines = []
        for command in commands:
            try:
                broker.send(command)
            except NotConnectedError as error:
                lines.append(f"not sent: {error}")
        lines += self._collect()
        return Finding(name, tuple(command.line() for command in commands), tuple(lines))

    def _collect(self) -> Iterator[str]:
        """Lines until there is silence; remembers which orders are the probe's."""
        deadline = time.monotonic() + 5 * self._quiet
        while time.monotonic() < deadline:
            try:
                line = self._lines.get(timeout=self._quiet)
            except queue.Empty:
                return
            self._note(m.parse(line))
            yield line

    def _note(self, message: Line) -> None:
        if isinstance(message, m.Order) and message.token is not None and (
            0 <= self._token - message.token < 100
        ):  # fmt: skip
            self._last_id = message.order_id
            is_live = message.status not in ("Canceled", "Rejected", "Executed", "Closed")
            (self._mine.add if is_live else self._mine.discard)(message.order_id)
