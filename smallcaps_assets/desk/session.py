"""A session on a feed: messages become instants, instants decisions, fills and orders.

    message ─ scanner ─┐                        the clock is that of the messages, so that a session
    message ─ scanner ─┴─ instant ─ trader      at any pace, and one that is read from a tape, goes
                                   └ broker     the same way

Messages of one instant are taken together: what had come due before, stops, fills, decisions. A
message that is older than the instant meets orders as if it came now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.core import Rules
from smallcaps_assets.desk.paper import Printed, Quote
from smallcaps_assets.desk.scanner import Decision, Scanner
from smallcaps_assets.desk.trading import Trader

RULES = Rules(oldest_sweep=2**62, same_order=-1)
"""The paper broker's word needs no asking again; an account trades what it likes twice."""


class Traded(Struct, frozen=True):
    """A print of the feed; `time` in UTC ns, `size` in shares."""

    symbol: str
    time: int
    price: float
    size: float
    exchange: int = 0
    conditions: tuple[int, ...] = ()
    tape: int = 0
    correction: int = 0


class Shown(Struct, frozen=True):
    """A best bid and ask of the feed, sizes in shares."""

    symbol: str
    time: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    conditions: tuple[int, ...] = ()


class Halted(Struct, frozen=True):
    """Trading in a symbol stops, or goes on."""

    symbol: str
    time: int
    is_halted: bool


Message = Traded | Shown | Halted


class _Instant:
    """What has come of one symbol at the present instant."""

    def __init__(self) -> None:
        self.quotes: list[Quote] = []
        self.prints: list[Printed] = []
        self.halts: list[bool] = []


class Session:
    """Feeds a trader. `decided` is told of each decision and the sides that were wanted."""

    def __init__(
        self, scanner: Scanner, trader: Trader,
        decided: Callable[[Decision], None] = lambda decision: None,
    ) -> None:  # fmt: skip
        self.scanner, self.trader, self._decided = scanner, trader, decided
        self.now = 0
        self.messages = self.late = 0
        self._instants: dict[str, _Instant] = {}
        self._decisions: list[Decision] = []

    def take(self, messages: Sequence[Message]) -> None:
        """Messages in the order of their arrival; those of unknown symbols are passed over."""
        for message in messages:
            scan = self.scanner.scans.get(message.symbol)
            if scan is None:
                continue
            self.messages += 1
            self.late += message.time < self.now
            self.reach(message.time)
            instant = self._instants.setdefault(message.symbol, _Instant())
            if isinstance(message, Traded):
                m = message
                self._decisions += scan.trade(
                    m.time, m.price, m.size, m.exchange, m.conditions, m.tape, m.correction
                )
                if scan.kind:
                    instant.prints.append(Printed(m.price, m.size, scan.kind))
            elif isinstance(message, Shown):
                m = message
                sides = (m.bid, m.bid_size, m.ask, m.ask_size)
                if scan.quote(m.time, *sides, m.conditions):
                    instant.quotes.append(Quote(self.now, *sides))
            else:
                (scan.halt if message.is_halted else scan.resume)(message.time)
                instant.halts.append(message.is_halted)

    def reach(self, time: int) -> None:
        """The clock comes to a time; what has come before is settled first. It never goes back."""
        if time <= self.now:
            return
        self.settle()
        self.now = time
        self._decisions += self.scanner.reach(time)

    def settle(self) -> None:
        """What has come of the present instant meets orders, then the strategy."""
        if not self._instants and not self._decisions:
            return
        trader, instants, self._instants = self.trader, self._instants, {}
        trader.advance(self.now)
        for symbol, instant in instants.items():
            if instant.halts:
                trader.books[symbol].halt(self.now, instant.halts[-1])
            if instant.prints:
                trader.prints(symbol, instant.prints)
            quotes, prints = instant.quotes, instant.prints
            trader.broker.matching.meet(self.now, symbol, quotes, prints, instant.halts)
        trader.settle()
        decisions, self._decisions = self._decisions, []
        for decision in decisions:
            self._decided(decision)
            trader.decide(decision)
        trader.settle()

    def beat(self) -> None:
        """Time passes for the desk."""
        self.trader.tell(e.Beat())

    def state(self) -> Mapping[str, Any]:
        """What a dashboard shows."""
        trader = self.trader
        book, desk = trader.account.book, trader.runtime.desk
        values = {name: trader.value(held) for name, held in trader.held.items()}
        positions = [
            {"symbol": held.ticker, "shares": held.side * held.shares, "average": held.average,
             "last": trader.books[held.ticker].last, "profit": values[name],
             "take_profit": held.profit, "stop": held.stop, "since": held.entry[0][0]}
            for name, held in trader.held.items() if held.entry
        ]  # fmt: skip
        orders = [
            {"symbol": o.command.symbol, "side": o.command.side, "shares": o.left,
             "price": " ".join(o.command.price.words()), "state": o.state, "purpose": o.purpose}
            for o in desk.open_orders()
        ]  # fmt: skip
        limits = book.limits
        open_profit = sum(value or 0.0 for value in values.values())
        return {
            "time": self.now,
            "equity": book.equity,
            "realised": book.day_profit,
            "open": open_profit,
            "positions": positions,
            "orders": orders,
            "used": {
                "positions": (len(book.open), limits.max_positions),
                "day_loss": (max(-(book.day_profit + open_profit), 0.0), limits.max_day_loss),
            },
            "halts": [s for s, b in trader.books.items() if b.is_halted(self.now)],
            "kill_switch": desk.level.name.lower(),
            "trades": len(trader.trades),
            "signals": len(trader.refused),
            "messages": self.messages,
            "late": self.late,
        }
