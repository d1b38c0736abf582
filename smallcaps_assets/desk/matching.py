"""A matching core on a recorded tape: what the simulator of DAS, or a paper broker, fills and when.

The fill rules are those of the backtest (`domain.execution.fills`): a marketable order takes what
is shown, and waits for the next change; a resting one fills on prints. The tape ends in the
future, and what an order will get is known when it comes, but told only once the clock is there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

import numpy as np
from msgspec import Struct

from smallcaps_assets.desk.das.commands import LIMIT, NewOrder, Price
from smallcaps_assets.desk.das.messages import Order
from smallcaps_assets.desk.das.simulator import Outcome
from smallcaps_assets.desk.events import SIGN
from smallcaps_assets.domain.execution.fills import (
    SECOND,
    Filled,
    FillTape,
    marketable_fill,
    passive_fill,
    stop_exit,
)
from smallcaps_assets.domain.execution.rules import may_sell_short
from smallcaps_assets.kernels import fills as kernel

IMMEDIATE = ("IOC", "FOK")


class _Due(Struct, order=True):
    """Something that will happen to an order at a time, unless it is cancelled before."""

    at: int
    number: int
    order_id: int
    version: int
    kind: str
    qty: int = 0
    price: float = 0.0


class TapeMatching:
    """Implements `simulator.Matching`. `clock` is the session's time in UTC ns.

    `tapes` are by symbol; an order is live `latency` ns after it came, in a halt that long after
    the re-opening print. Shorts are restricted from the times in `restricted` on.
    """

    def __init__(
        self,
        tapes: Mapping[str, FillTape],
        clock: Callable[[], int],
        latency: int = SECOND // 4,
        restricted: Mapping[str, int] | None = None,
    ) -> None:
        self._tapes, self._clock, self._latency = tapes, clock, latency
        self._restricted = restricted or {}
        self._due: list[_Due] = []
        self._commands: dict[int, NewOrder] = {}
        self._versions: dict[int, int] = {}
        self._count = 0

    def submit(self, order: Order, command: NewOrder) -> Iterable[Outcome]:
        """Accepted, or rejected where nothing can trade it."""
        live = self._live(order.symbol)
        if live is None:
            return [Outcome("reject", text="no market for the symbol")]
        if command.side == "SS" and not self._may_short(order.symbol, command.price, live):
            return [Outcome("reject", text="short sale restriction: price it above the bid")]
        self._commands[order.order_id] = command
        self._work(order.order_id, order.symbol, order.left, command.price, live)
        return [Outcome("accept")]

    def cancel(self, order: Order) -> Iterable[Outcome]:
        """The rest is cancelled; what was due by now has happened before."""
        self._versions[order.order_id] = self._versions.get(order.order_id, 0) + 1
        return [Outcome("cancel")]

    def replace(self, order: Order) -> Iterable[Outcome]:
        """The open shares at the new price, as a new order that comes now."""
        self.cancel(order)
        live = self._live(order.symbol)
        if live is not None:
            limit = order.price
            price = Price("MKT") if limit is None else Price.limit(limit)
            self._work(order.order_id, order.symbol, order.left, price, live)
        return []

    def due(self) -> Iterator[tuple[int, Outcome]]:
        """What has happened by now and was not told: order ids and outcomes, in order of time."""
        now = self._clock()
        while self._due and self._due[0].at <= now:
            due = heapq.heappop(self._due)
            if due.version == self._versions.get(due.order_id, 0):
                price = Decimal(str(due.price))
                yield due.order_id, Outcome(due.kind, due.qty, price)  # type: ignore[arg-type]

    def _live(self, symbol: str) -> int | None:
        """When an order that comes now is live; None where trading does not begin again."""
        if symbol not in self._tapes:
            return None
        starts, ends, reopenings = self._tapes[symbol].arrays[10:13]
        asked = self._clock() + self._latency
        live = int(kernel.after_halts(starts, ends, reopenings, asked, self._latency))
        return None if live == kernel.NEVER else live

    def _may_short(self, symbol: str, price: Price, live: int) -> bool:
        is_restricted = live >= self._restricted.get(symbol, kernel.NEVER)
        bid, _ = self._quote(symbol, live)
        limit = float(price.values[-1]) if price.values else 0.0
        return may_sell_short(limit, bid, is_restricted)

    def _quote(self, symbol: str, at: int) -> tuple[float, float]:
        """Bid and ask of the last usable quote; nothing can be bought or sold without one."""
        times, bids, _, asks, _, usable = self._tapes[symbol].arrays[:6]
        found = np.flatnonzero(usable[: np.searchsorted(times, at, "right")])
        return (float(bids[found[-1]]), float(asks[found[-1]])) if found.size else (0.0, np.inf)

    def _work(self, order_id: int, symbol: str, shares: int, price: Price, live: int) -> None:
        """Find what an order gets, and note when."""
        command = self._commands[order_id]
        side = SIGN[command.side]
        for time, qty, at in self._filled(symbol, side, shares, price, live, command.tif).fills:
            self._note(time, order_id, "fill", qty, at)
        if command.tif in IMMEDIATE:
            self._note(live + SECOND, order_id, "cancel")

    def _filled(
        self, symbol: str, side: int, shares: int, price: Price, live: int, tif: str
    ) -> Filled:
        tape, window = self._tapes[symbol], SECOND if tif in IMMEDIATE else None
        if price.kind.startswith("STOP"):
            found = stop_exit(tape, -side, shares, float(price.values[0]), live, self._latency)
            return found.exit
        if price.kind != LIMIT:
            return marketable_fill(tape, side, shares, live, None, window)
        limit, (bid, ask) = float(price.values[0]), self._quote(symbol, live)
        is_marketable = limit >= ask if side > 0 else limit <= bid
        work = marketable_fill if is_marketable else passive_fill
        return work(tape, side, shares, live=live, limit=limit, window=window)

    def _note(self, at: int, order_id: int, kind: str, qty: int = 0, price: float = 0.0) -> None:
        self._count += 1
        version = self._versions.get(order_id, 0)
        heapq.heappush(self._due, _Due(at, self._count, order_id, version, kind, qty, price))
