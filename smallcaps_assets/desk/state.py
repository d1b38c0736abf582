"""What is known of one account on one session, and questions about it; nothing here changes it.

The reducer (`core.py`) keeps it, the risk chain (`checks.py`) looks at it.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from msgspec import Struct

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.das.commands import NewOrder
from smallcaps_assets.desk.das.messages import LocateOrder
from smallcaps_assets.desk.das.words import Line
from smallcaps_assets.desk.events import SIGN, Level
from smallcaps_assets.desk.ledger import Ledger
from smallcaps_assets.desk.limits import SECOND, RateLimits
from smallcaps_assets.desk.orders import STATUS, Order, Stage
from smallcaps_assets.desk.risk_limits import RiskLimits

SEQUENCE = 100_000
"""Tokens of one session."""


class Rules(Struct, frozen=True):
    """Times in ns, shares of one, and how many rejects in a minute stop entries; `route` of
    orders that close by the kill switch; `risk` what orders may come to."""

    most_skew: int = 2 * SECOND
    most_lag: int = 5 * SECOND
    oldest_signal: int = 2 * SECOND
    oldest_feed: int = 30 * SECOND
    oldest_sweep: int = 30 * SECOND
    same_order: int = 2 * SECOND
    silent_order: int = 5 * SECOND
    unsettled: int = 30 * SECOND
    disagreement: int = 2 * SECOND
    sweep_every: int = 10 * SECOND
    sweep_after_fill: int = 2 * SECOND
    close_again: int = 5 * SECOND
    most_rejects: int = 5
    route: str = "SMAT"
    collar: Decimal = Decimal("0.05")
    risk: RiskLimits = RiskLimits()


class DeskState:
    """One account on one session. `origin` (1 to 9) is the first digit of its tokens, `day` the
    session's day of the year."""

    def __init__(self, day: int, origin: int, rules: Rules) -> None:
        self.rules, self.limits = rules, RateLimits()
        self.link = e.Link(is_ready=False, text="not connected yet")
        self.level, self.is_writable = Level.NONE, True
        self.now = self.skew = self.lag = self.feed_at = self.swept = 0
        self.orders: dict[int, Order] = {}
        self._open: dict[int, None] = {}
        self.by_signal: dict[str, int] = {}
        self.by_id: dict[int, int] = {}
        self.foreign: dict[int, e.OrderState] = {}
        self.fills: dict[int, e.Fill] = {}
        self.ledger = Ledger()
        self.peak = Decimal(0)
        self.held: dict[str, int] = {}
        self.initial: dict[str, int] = {}
        self.paused: dict[str, str] = {}
        self.quotes: dict[str, e.Quoted] = {}
        self.facts: dict[tuple[str, str], Line] = {}
        self.told_at: dict[tuple[str, str], int] = {}
        self.locates: dict[int, LocateOrder] = {}
        self.volumes: dict[str, e.Volume] = {}
        self.entries: Counter[str] = Counter()
        self.rejects = self.cancels = 0
        self._first = (origin * 1000 + day) * SEQUENCE
        self._next = self._first

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Orders that may still be filled."""
        found = (self.orders[token] for token in self._open)
        return [o for o in found if symbol in (None, o.command.symbol)]

    def resting(self, symbol: str | None = None) -> list[int]:
        """The broker's ids, or tokens, of all orders that may still be filled, others' too."""
        own = [order.order_id or order.token for order in self.open_orders(symbol)]
        others = (s for s in self.foreign.values() if symbol in (None, s.symbol))
        return own + [s.order_id for s in others if is_live(s)]

    @property
    def tokens_left(self) -> int:
        """How many more orders this session may have."""
        return self._first + SEQUENCE - self._next

    def closing_shares(self, symbol: str) -> int:
        """Shares of open orders against the position, doubtful ones among them."""
        held = self.held.get(symbol, 0)
        lefts = (order.signed_left for order in self.open_orders(symbol))
        return sum(abs(left) for left in lefts if left * held < 0)

    def net(self, symbol: str) -> int:
        """Shares by the fills, the desk's and others', from the position of days before."""
        return self.initial.get(symbol, 0) + self.ledger.net[symbol]

    @property
    def profit(self) -> Decimal:
        """What the session's trades have made so far in USD, open shares at the quote."""
        ledger = self.ledger
        return sum((ledger.profit(s, self.quotes.get(s)) for s in ledger.symbols), Decimal(0))

    def value_of(self, symbol: str) -> Decimal:
        """The price that a share of a symbol counts for: the higher side of its quote, else 0."""
        quote = self.quotes.get(symbol)
        return Decimal(0) if quote is None else max(quote.bid, quote.ask)

    def price_of(self, wanted: e.Wanted | NewOrder) -> Decimal:
        """What a share of an order costs: its last price, else the quote's."""
        return wanted.price.values[-1] if wanted.price.values else self.value_of(wanted.symbol)

    def opening(self, symbol: str | None = None) -> list[Order]:
        """Open orders that make a position larger, of one symbol or of all."""
        return [o for o in self.open_orders(symbol)
                if o.signed_left * self.held.get(o.command.symbol, 0) >= 0]  # fmt: skip

    @property
    def occupied(self) -> set[str]:
        """Symbols with a position at the broker, or with an order that opens one."""
        held = {symbol for symbol, net in self.held.items() if net}
        return held | {order.command.symbol for order in self.opening()}

    def command_of(self, wanted: e.Wanted, token: int) -> NewOrder:
        return NewOrder(token, wanted.side, wanted.symbol, wanted.route, wanted.qty, wanted.price,
                        wanted.options, wanted.tif)  # fmt: skip

    def is_reducing(self, wanted: e.Wanted) -> bool:
        """Whether an order is against the position that the broker reports."""
        return self.held.get(wanted.symbol, 0) * SIGN.get(wanted.side, 0) < 0


def is_live(state: e.OrderState) -> bool:
    return STATUS.get(state.status, Stage.PENDING) < Stage.FILLED
