"""A session of the desk against a broker that tells what it is told to; for tests only."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.das.commands import Price
from smallcaps_assets.desk.das.words import Line
from smallcaps_assets.desk.journal import Journal
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets.domain.market.calendar import session_hours

D = Decimal
MS = 1_000_000


class Silent:
    """A broker that takes everything and says nothing."""

    def send(self, command: Line) -> None: ...

    def sweep(self) -> None: ...

    def drop_writes(self) -> None: ...

    def close(self) -> None: ...


class DeskSession:
    """A desk's session with a clock of its own, an hour after the open; `close` ends it."""

    def __init__(
        self, root: Path, day: date, name: str = "journal.jsonl", origin: int = 1, folder: str = ""
    ) -> None:
        self.now = session_hours(day).open + 3600 * 1000 * MS
        self.desk = Desk(day.timetuple().tm_yday, origin)
        journal = Journal(root / (folder or str(day)) / name)
        self.runtime = Runtime(self.desk, journal, Control(root), lambda: self.now)
        self.runtime.recover()
        self.runtime.broker = Silent()
        self.hear(e.Link(True), e.Snapshot((), (), ()))
        self._trades = 900

    def hear(self, *events: e.Event, after_ms: int = 0) -> None:
        self.now += after_ms * MS
        for event in events:
            self.runtime.step(self.now, event)

    def quote(self, symbol: str, bid: str, ask: str) -> None:
        self.hear(e.Quoted(symbol, D(bid), D(ask), self.now))

    def want(self, signal: str, symbol: str, qty: int, price: str, **more: str) -> int | None:
        """An order that is wanted 3 ms after its signal; its token, None when it is refused."""
        side = more.pop("side", "B")
        known = self.now
        self.now += 3 * MS
        self.hear(e.Wanted(signal, symbol, side, qty, Price.limit(D(price)), known, **more))
        return self.desk.by_signal.get(signal)

    def fill(self, token: int, qty: int, price: str, is_last: bool = True) -> e.Fill:
        """The broker acknowledges 20 ms later and fills after another 30."""
        order, order_id = self.desk.orders[token], token % 1000
        c = order.command
        left = c.qty - order.filled
        state = e.OrderState(order_id, token, c.symbol, c.side, c.qty, left, 0, "Accepted")
        self.hear(state, after_ms=20)
        self._trades += 1
        told = e.Fill(self._trades, order_id, c.symbol, c.side, qty, D(price), "10:30:01",
                      "SMAT", "-", D("0.3"))  # fmt: skip
        status = "Executed" if is_last else "Partial"
        done = e.OrderState(order_id, token, c.symbol, c.side, c.qty, left - qty, 0, status)
        self.hear(told, done, after_ms=30)
        self.hear(e.Holding(c.symbol, self.desk.net(c.symbol)))
        return told

    def close(self, *listed: e.Fill) -> None:
        """The broker's list of trades, if there is one, and the end."""
        if listed:
            self.hear(e.Snapshot(fills=listed))
        self.runtime.journal.close()
