"""A broker in this process on a feed as it comes: what the backtest's rules would have filled.

The rules are those of `kernels.fills`, whose steps `take` and `meet` work an order quote by quote
and print by print; what comes later is not known. Everything of one instant is taken together:

    advance(t)      orders that were live before t begin, immediate ones end
    meet(t, ...)    halts, prints, quotes of t meet the orders at work

so that a whole tape, fed instant by instant, fills what `TapeMatching` fills on it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from msgspec import Struct

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.broker import NotConnectedError
from smallcaps_assets.desk.das.commands import (
    LIMIT,
    Cancel,
    CancelAll,
    CancelSymbol,
    NewOrder,
    Price,
)
from smallcaps_assets.desk.das.messages import Order
from smallcaps_assets.desk.das.simulator import Outcome
from smallcaps_assets.desk.das.words import Line
from smallcaps_assets.desk.events import SIGN
from smallcaps_assets.domain.execution import rules as market_rules
from smallcaps_assets.domain.execution.fills import MILLISECOND, SECOND
from smallcaps_assets.domain.execution.modelled import MINUTES_OF_RANGE
from smallcaps_assets.domain.execution.risk import may_sell_short
from smallcaps_assets.domain.execution.rules import (
    TIER_2,
    follow_reference,
    luld_band,
    new_reference,
)
from smallcaps_assets.domain.execution.sizing import whole
from smallcaps_assets.domain.guards import grown, read_only
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.kernels import fills as kernel
from smallcaps_assets.kernels.minutes import MINUTE
from smallcaps_assets.settings import TradingRules

MARKETABLE, PASSIVE, STOP = "marketable", "passive", "stop"
_OPEN_BAND = (0.0, math.inf)


class Quote(Struct, frozen=True):
    """A best bid and ask with their sizes in shares."""

    time: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float

    @property
    def is_whole(self) -> bool:
        """Two sides that are not crossed."""
        return self.bid > 0 and self.bid_size > 0 and self.ask >= self.bid and self.ask_size > 0


class Printed(Struct, frozen=True):
    """A print that has volume; `kind` as of `KINDS`."""

    price: float
    size: float
    kind: int


class Terms(Struct, frozen=True):
    """How an order is worked: ns of its latency, of the oldest quote it may meet when it is live,
    and after which it is cancelled (None: never); what share of the minute's volume it may take
    (0: any); whether it waits for the end of a halt; and whether it is MARKETABLE or PASSIVE, else
    as the quote is when it is live."""

    latency: int
    oldest_quote: int = 60 * SECOND
    window: int | None = None
    participation: float = 0.0
    is_patient: bool = True
    kind: str = ""


class _Minute(Struct):
    """A minute with prices: its number and place in the session, and the ranges before it."""

    number: int
    place: int
    high: float
    low: float
    ranges_before: float

    @property
    def ranges(self) -> float:
        """The sum of the ranges up to and with it."""
        return self.ranges_before + (self.high - self.low)


class Book:
    """One symbol's market up to now: the quote in force, halts, bands, volume of the minute."""

    def __init__(
        self, hours: SessionHours, previous_close: float | None, is_restricted: bool = False,
        tier: int = TIER_2,
    ) -> None:  # fmt: skip
        self.hours, self.previous_close, self.tier = hours, previous_close, tier
        self.restricted_from = 0 if is_restricted else kernel.NEVER
        self.quote: Quote | None = None
        self.usable: Quote | None = None
        self.volume, self.last = 0.0, math.nan
        self.halts: list[list[int]] = []  # start, end, re-opening print
        self._minute: deque[tuple[int, float]] = deque([(0, 0.0)])
        self._minutes: deque[_Minute] = deque(maxlen=MINUTES_OF_RANGE + 1)
        self._reference, self._first = new_reference(), math.nan
        self._times, self._prices = np.empty(0, np.int64), np.empty(0)
        self._count = 0

    def halt(self, time: int, is_halted: bool) -> None:
        """Trading stops, or goes on; what changes nothing is passed over."""
        is_open = bool(self.halts) and self.halts[-1][1] == kernel.NEVER
        if is_halted and not is_open:
            self.halts.append([time, kernel.NEVER, kernel.NEVER])
        elif not is_halted and is_open:
            self.halts[-1][1] = max(time, self.halts[-1][0])

    def is_halted(self, time: int) -> bool:
        """Whether a halt covers an instant up to now, [start, end)."""
        return any(start <= time < end for start, end, _ in reversed(self.halts))

    def show(self, quote: Quote) -> None:
        """A quote comes into force."""
        self.quote = quote
        if quote.is_whole and not self.is_halted(quote.time):
            self.usable = quote

    @property
    def is_usable(self) -> bool:
        """Whether the quote in force can be traded on."""
        return self.quote is not None and self.quote is self.usable

    def trade(self, time: int, prints: Sequence[Printed]) -> list[tuple[float, Printed]]:
        """The prints of an instant; each with its size as the volume tells it."""
        sized = []
        for one in prints:
            before, self.volume = self.volume, self.volume + one.size
            sized.append((self.volume - before, one))
        self._minute.append((time, self.volume))
        while len(self._minute) > 1 and self._minute[1][0] <= time - MINUTE:
            self._minute.popleft()
        forming = [one.price for one in prints if one.kind > kernel.FLOW]
        if forming:
            self._form(time, forming)
        return sized

    def _form(self, time: int, prices: list[float]) -> None:
        """Prices that form at an instant: of the last minute, the bands and the restriction."""
        for halt in self.halts:
            if halt[1] <= time and halt[2] == kernel.NEVER:
                halt[2] = time
        self.last, number = prices[-1], time // MINUTE
        high, low = max(prices), min(prices)
        minute = self._minutes[-1] if self._minutes else _Minute(0, 0, 0.0, 0.0, 0.0)
        if minute.number != number:
            minute = _Minute(number, minute.place + 1, high, low, minute.ranges)
            self._minutes.append(minute)
        minute.high, minute.low = max(minute.high, high), min(minute.low, low)
        if not self.hours.open <= time < self.hours.close:
            return
        close = self.previous_close
        if self.restricted_from == kernel.NEVER:
            given = (np.full(len(prices), time), np.array(prices))
            span = (self.hours.open, self.hours.close)
            self.restricted_from = market_rules.restricted_from(*given, span, close)
        self._refer(time, prices)

    def _refer(self, time: int, prices: list[float]) -> None:
        """Move the reference of the bands; prints before its window are forgotten."""
        state = self._reference
        first = int(state["first"][0])
        if first > 1024 and 2 * first > self._count:
            self._count -= first
            for array in (self._times, self._prices):
                array[: self._count] = array[first : first + self._count].copy()
            state["first"] = 0
            state["next"] -= first
        end = self._count + len(prices)
        self._times, self._prices = grown(self._times, end), grown(self._prices, end)
        self._times[self._count : end], self._prices[self._count : end] = time, prices
        self._count = end
        reopenings = np.array([h[2] for h in self.halts if h[2] != kernel.NEVER], np.int64)
        given = [read_only(a) for a in (self._times[:end], self._prices[:end], reopenings)]
        _, found = follow_reference(given, state, self.hours)
        if math.isnan(self._first) and found.size:
            self._first = float(found[0])

    def band(self, time: int) -> tuple[float, float]:
        """Prices between which the symbol may trade at an instant up to now."""
        reference = float(self._reference["price"][0])
        if math.isnan(reference) or time >= self.hours.close:
            return _OPEN_BAND
        close = self.previous_close or self._first
        is_amended = self.hours.date >= market_rules.AMENDED
        span = (self.hours.open, self.hours.close)
        found = luld_band(reference, close, time, self.tier, span, is_amended)
        return found.lower, found.upper

    def minute_volume(self, time: int) -> float:
        """Volume of the minute up to an instant, which is now."""
        before = 0.0
        for moment, total in self._minute:
            if moment > time - MINUTE:
                break
            before = total
        return self.volume - before

    def average_range(self, time: int) -> float | None:
        """As `modelled.average_ranges`, at an instant which is now; None before the first."""
        ended = [minute for minute in self._minutes if (minute.number + 1) * MINUTE <= time]
        if not ended:
            return None
        count = min(ended[-1].place, MINUTES_OF_RANGE)
        return (ended[-1].ranges - ended[-count].ranges_before) / count


class _Work(Struct):
    """An order at work; `orders` is its record of `kernels.fills.ORDER`."""

    order_id: int
    symbol: str
    side: int
    price: Price
    terms: Terms
    live: int
    orders: Any
    is_short: bool = False
    kind: str = ""
    until: int = kernel.NEVER
    is_waiting: bool = False
    """For a re-opening print."""

    @property
    def due(self) -> int:
        return self.until if self.kind else self.live

    @property
    def left(self) -> int:
        return int(self.orders["shares"][0] - self.orders["filled"][0])


class FeedMatching:
    """Implements `simulator.Matching` on a feed. `clock` is its time in UTC ns, `terms` how an
    order is worked."""

    def __init__(
        self, books: Mapping[str, Book], clock: Callable[[], int],
        terms: Callable[[Order, NewOrder], Terms],
    ) -> None:  # fmt: skip
        self.books, self._clock, self._terms = books, clock, terms
        self._works: dict[str, dict[int, _Work]] = {}
        self._told: list[tuple[int, int, int, Outcome]] = []
        self._count = 0

    # As in Matching

    def submit(self, order: Order, command: NewOrder) -> Iterable[Outcome]:
        """Accepted, or rejected where nothing is known of the symbol."""
        if order.symbol not in self.books:
            return [Outcome("reject", text="no market for the symbol")]
        terms = self._terms(order, command)
        self._begin(order, SIGN[command.side], command.price, terms, command.side == "SS")
        return [Outcome("accept")]

    def cancel(self, order: Order) -> Iterable[Outcome]:
        """The rest is cancelled."""
        self._works.get(order.symbol, {}).pop(order.order_id, None)
        return [Outcome("cancel")]

    def replace(self, order: Order) -> Iterable[Outcome]:
        """The open shares at the new price, as a new order that comes now."""
        work = self._works.get(order.symbol, {}).pop(order.order_id, None)
        if work is not None:
            price = Price("MKT") if order.price is None else Price.limit(order.price)
            self._begin(order, work.side, price, work.terms, work.is_short)
        return []

    def due(self) -> Iterator[tuple[int, int, Outcome]]:
        """What has happened and was not told: times, order ids and outcomes, in order of time."""
        while self._told:
            time, _, order_id, outcome = heapq.heappop(self._told)
            yield time, order_id, outcome

    # The feed

    def advance(self, time: int) -> None:
        """The clock comes to an instant, before anything of it."""
        for works in self._works.values():
            for work in list(works.values()):
                if work.kind == "" and not work.is_waiting and work.live < time:
                    self._go_live(work)
                if work.kind and work.until < time:
                    self._end(work, work.until, Outcome("cancel"))

    @property
    def next_due(self) -> int:
        """When the next order is live or ends by itself."""
        works = [work for works in self._works.values() for work in works.values()]
        return min((w.due for w in works if not w.is_waiting), default=kernel.NEVER)

    def meet(
        self, time: int, symbol: str, quotes: Sequence[Quote], prints: Sequence[Printed],
        halts: Sequence[bool] = (),
    ) -> None:  # fmt: skip
        """Everything of one symbol at an instant to which the clock has come."""
        book = self.books[symbol]
        for is_halted in halts:
            book.halt(time, is_halted)
        sized = book.trade(time, prints) if prints else []
        works = [work for work in self._works.get(symbol, {}).values() if work.live < time]
        for work in works:
            if work.is_waiting:
                self._reopen(work, book)
        band = book.band(time) if works else _OPEN_BAND
        if sized and not book.is_halted(time):
            self._meet_prints(time, works, sized, band)
        for quote in quotes:
            book.show(quote)
            if book.is_usable:
                for work in works:
                    if work.kind == MARKETABLE and work.live < time:
                        self._take(work, time, quote, band)

    def _meet_prints(
        self, time: int, works: Iterable[_Work], prints: Iterable[tuple[float, Printed]],
        band: tuple[float, float],
    ) -> None:  # fmt: skip
        for size, one in prints:
            for work in works:
                if work.kind == PASSIVE and one.kind == kernel.PRICE and work.left:
                    shares = int(kernel.meet_one(work.orders, one.price, size, *band))
                    self._fill(work, time, shares, float(work.orders["limit"][0]))
                elif work.kind == STOP and one.kind > kernel.FLOW:
                    self._trigger(work, time, one.price)

    # Orders

    def _begin(self, order: Order, side: int, price: Price, terms: Terms, is_short: bool) -> None:
        record = np.zeros(1, kernel.ORDER)
        record["side"], record["shares"], record["seen_price"] = side, order.left, np.nan
        limited = price.kind == LIMIT
        record["limit"] = float(price.values[0]) if limited else np.inf * side
        live = self._clock() + terms.latency
        work = _Work(order.order_id, order.symbol, side, price, terms, live, record, is_short)
        self._works.setdefault(order.symbol, {})[order.order_id] = work

    def _go_live(self, work: _Work) -> None:
        """The instant at which it meets the market has come."""
        book, terms, live = self.books[work.symbol], work.terms, work.live
        if book.is_halted(live):
            if not terms.is_patient:
                self._end(work, live, Outcome("reject", text="halt"))
                return
            work.is_waiting = True
            self._reopen(work, book)
            return
        refusal = self._refusal(work, book)
        if refusal:
            self._end(work, live, Outcome("reject", text=refusal))
            return
        if terms.window is not None:
            work.until = live + terms.window
        if work.price.kind.startswith("STOP"):
            work.kind = STOP
            return
        limit, usable = float(work.orders["limit"][0]), book.usable
        far = (usable.ask if work.side > 0 else usable.bid) if usable else np.inf * work.side
        is_marketable = work.price.kind != LIMIT or (limit - far) * work.side >= 0
        work.kind = terms.kind or (MARKETABLE if is_marketable else PASSIVE)
        if work.kind == MARKETABLE:
            self._stand(work, book)
        else:
            self._queue(work, book)

    def _refusal(self, work: _Work, book: Book) -> str:
        """Why an order can't be live; the share of the minute's volume makes it smaller."""
        limit = float(work.price.values[-1]) if work.price.values else 0.0
        bid = book.usable.bid if book.usable else 0.0
        is_restricted = work.live >= book.restricted_from
        is_lower = is_restricted and work.terms.kind == MARKETABLE
        if work.is_short and (is_lower or not may_sell_short(limit, bid, is_restricted)):
            return "ssr"
        if work.terms.participation:
            most = whole(work.terms.participation * book.minute_volume(work.live))
            if most < 1:
                return "no_volume"
            work.orders["shares"] = min(int(work.orders["shares"][0]), most)
        return ""

    def _reopen(self, work: _Work, book: Book) -> None:
        """An order that waits for the end of the halt it fell into."""
        held = [halt for halt in book.halts if halt[0] <= work.live < halt[1]]
        if held and held[-1][2] != kernel.NEVER:
            work.live, work.is_waiting = held[-1][2] + work.terms.latency, False

    def _stand(self, work: _Work, book: Book) -> None:
        """A marketable order meets the quote in force, if it may be met at all."""
        quote, usable, live = book.quote, book.usable, work.live
        if usable is None:
            return
        if book.is_usable and quote and live - quote.time <= work.terms.oldest_quote:
            self._take(work, live, usable, book.band(live))
        else:
            is_buy = work.side > 0
            work.orders["seen_price"] = usable.ask if is_buy else usable.bid
            work.orders["seen_size"] = usable.ask_size if is_buy else usable.bid_size

    def _queue(self, work: _Work, book: Book) -> None:
        """What is ahead of a passive order: what is shown at its price, all if that is unknown."""
        quote, record = book.quote, work.orders
        record["queue"] = np.inf
        if book.is_usable and quote and work.live - quote.time <= work.terms.oldest_quote:
            price, size = (
                (quote.bid, quote.bid_size) if work.side > 0 else (quote.ask, quote.ask_size)
            )
            is_there = abs(price - float(record["limit"][0])) <= kernel.TOLERANCE * price
            record["queue"] = size if is_there else 0.0

    def _trigger(self, work: _Work, time: int, price: float) -> None:
        """A stop that a print sets off is marketable after its latency."""
        stop, latency = float(work.price.values[0]), work.terms.latency
        if (stop - price) * work.side <= kernel.TOLERANCE * stop:
            terms = Terms(latency, work.terms.oldest_quote)
            work.price, work.terms, work.kind = Price("MKT"), terms, ""
            work.live, work.is_short = time + latency, False

    def _take(self, work: _Work, time: int, quote: Quote, band: tuple[float, float]) -> None:
        is_buy = work.side > 0
        price, size = (quote.ask, quote.ask_size) if is_buy else (quote.bid, quote.bid_size)
        if work.left:
            self._fill(work, time, int(kernel.take_one(work.orders, price, size, *band)), price)

    def _fill(self, work: _Work, time: int, shares: int, price: float) -> None:
        if shares > 0:
            outcome = Outcome("fill", int(shares), Decimal(str(price)))
            if work.left:
                self._tell(time, work.order_id, outcome)
            else:
                self._end(work, time, outcome)

    def _end(self, work: _Work, time: int, outcome: Outcome) -> None:
        self._works[work.symbol].pop(work.order_id, None)
        self._tell(time, work.order_id, outcome)

    def _tell(self, time: int, order_id: int, outcome: Outcome) -> None:
        self._count += 1
        heapq.heappush(self._told, (time, self._count, order_id, outcome))


class PaperBroker:
    """Implements `Broker` over a matching core on the feed. What it has to say is in `answers`,
    each with its instant, in order; the session that feeds it hands them to the desk."""

    def __init__(
        self, books: Mapping[str, Book], clock: Callable[[], int], rules: PaperRules
    ) -> None:
        self._clock, self._rules = clock, rules
        self.matching = FeedMatching(books, clock, self._terms_of)
        self.answers: deque[tuple[int, e.Event]] = deque()
        self.held: dict[str, int] = {}
        self._orders: dict[int, _Resting] = {}
        self._fills: list[e.Fill] = []
        self._count = 0
        self._is_shut = False

    def send(self, command: Line) -> None:
        """As in Broker. Commands that need no answer here are passed over."""
        if self._is_shut:
            raise NotConnectedError("nothing can be sent any more")
        if isinstance(command, NewOrder):
            self._place(command)
        elif isinstance(command, Cancel):
            self._cancel([command.order_id])
        elif isinstance(command, CancelAll | CancelSymbol):
            symbol = getattr(command, "symbol", None)
            self._cancel([n for n, o in self._orders.items() if symbol in (None, o.command.symbol)])

    def sweep(self) -> None:
        """As in Broker."""
        orders = tuple(order.told() for order in self._orders.values())
        holdings = tuple(e.Holding(symbol, net) for symbol, net in self.held.items())
        self._say(self._clock(), e.Snapshot(orders, tuple(self._fills), holdings))

    def drop_writes(self) -> None:
        """As in Broker."""
        self._is_shut = True

    def close(self) -> None:
        """As in Broker."""
        self._is_shut = True

    def settle(self) -> None:
        """Say what the matching core has decided since."""
        for time, order_id, outcome in self.matching.due():
            self._apply(time, order_id, outcome)

    def _terms_of(self, order: Order, command: NewOrder) -> Terms:
        """An entry; what closes a position and only adds to the market; and what crosses it."""
        if self.held.get(command.symbol, 0) * SIGN[command.side] >= 0:
            return self._rules.entry
        return self._rules.resting if "PostOnly" in command.options else self._rules.exit

    def _place(self, command: NewOrder) -> None:
        self._count += 1
        order = self._orders[self._count] = _Resting(self._count, command, command.qty)
        for outcome in self.matching.submit(order.line(), command):
            self._apply(self._clock(), order.order_id, outcome)

    def _cancel(self, order_ids: Sequence[int]) -> None:
        for order_id in order_ids:
            order = self._orders.get(order_id)
            if order is not None and order.is_live:
                for outcome in self.matching.cancel(order.line()):
                    self._apply(self._clock(), order_id, outcome)

    def _apply(self, time: int, order_id: int, outcome: Outcome) -> None:
        order = self._orders[order_id]
        if not order.is_live:
            return
        if outcome.kind == "fill":
            self._fill(time, order, outcome)
        order.status = {
            "accept": "Accepted", "reject": "Canceled", "cancel": "Canceled",
            "fill": "Partial" if order.left else "Executed",
        }[outcome.kind]  # fmt: skip
        if outcome.text:
            symbol = order.command.symbol
            act = e.OrderAction(order_id, order.command.token, symbol, "Canceled", outcome.text)
            self._say(time, act)
        self._say(time, order.told())
        if outcome.kind == "fill":
            symbol = order.command.symbol
            self._say(time, e.Holding(symbol, self.held[symbol]))

    def _fill(self, time: int, order: _Resting, outcome: Outcome) -> None:
        command = order.command
        self._count += 1
        fill = e.Fill(self._count, order.order_id, command.symbol, command.side, outcome.qty,
                      outcome.price)  # fmt: skip
        order.left -= outcome.qty
        self._fills.append(fill)
        self.held[command.symbol] = self.held.get(command.symbol, 0) + fill.signed
        self._say(time, fill)

    def _say(self, time: int, event: e.Event) -> None:
        self.answers.append((time, event))


class PaperRules(Struct, frozen=True):
    """How a paper broker works entries, exits that cross the spread, and those that rest."""

    entry: Terms
    exit: Terms
    resting: Terms

    @classmethod
    def of(cls, rules: TradingRules) -> PaperRules:
        """Those of the backtest. What rests to close a position is live as soon as it is there."""
        latency = rules.latency_ms * MILLISECOND
        oldest = [int(age * SECOND) for age in (rules.entry_quote_age, rules.exit_quote_age)]
        window = int(rules.entry_seconds * SECOND)
        given = (latency, oldest[0], window, rules.participation)
        entry = Terms(*given, is_patient=False, kind=rules.entry)
        return cls(entry, Terms(latency, oldest[1]), Terms(0, oldest[1], kind=PASSIVE))


class _Resting(Struct):
    """An order at the broker."""

    order_id: int
    command: NewOrder
    left: int
    status: str = "Accepted"

    @property
    def is_live(self) -> bool:
        return self.status in ("Accepted", "Partial")

    def told(self) -> e.OrderState:
        c = self.command
        canceled = self.left if self.status == "Canceled" else 0
        left = self.left if self.is_live else 0
        return e.OrderState(
            self.order_id, c.token, c.symbol, c.side, c.qty, left, canceled, self.status
        )

    def line(self) -> Order:
        """As the matching core takes it."""
        c = self.command
        price = c.price.values[0] if c.price.values else None
        return Order(self.order_id, c.token, c.symbol, c.side, c.price.kind, c.qty, self.left, 0,
                     price, c.route, self.status, "", "", "", "")  # fmt: skip
