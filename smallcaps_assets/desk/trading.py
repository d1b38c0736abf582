"""A strategy at work: decisions become orders, fills become positions with barriers, trades end.

What to trade, how many shares and why not is the backtest's own: `signals.wanted`, the account's
sizes and its book of risks. Exits follow the rules of a backtest's trade: a take profit rests from
the last entry fill on; a stop that a print sets off, the time, or the end of the day takes it back
and crosses the spread.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from msgspec import Struct

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.checks import Check
from smallcaps_assets.desk.das.commands import Price
from smallcaps_assets.desk.paper import Book, PaperBroker, Printed
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets.desk.scanner import Decision, Key
from smallcaps_assets.desk.state import DeskState
from smallcaps_assets.domain.execution.account import Account
from smallcaps_assets.domain.execution.fills import LAST_EXIT, SECOND
from smallcaps_assets.domain.execution.risk import FLATTENED, Position
from smallcaps_assets.domain.execution.signals import Logistic, Month, sample_of, wanted
from smallcaps_assets.domain.execution.slippage import signal_of
from smallcaps_assets.domain.execution.trades import STEP, Leg, Trade
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.models.events import BAR_AGE, LOOK_BACK, OWN_FEATURES, event_types
from smallcaps_assets.domain.models.scoring import Scorers, predict
from smallcaps_assets.kernels import fills as kernel
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.schemas.model_columns import PATTERNS
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import Strategy

PASSIVE = ("PostOnly",)
NEVER = 2**62
_DAY = 86_400 * 1e9
_LOOK_BACK = LOOK_BACK // timedelta(microseconds=1) * 1000


class Facts(Struct, frozen=True):
    """Features beside the tape: a row from each of some times on, UTC ns. `events` has for each row
    when the event was from which the days are counted, by the name of the feature."""

    times: tuple[int, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    events: tuple[Mapping[str, int], ...] = ()

    def at(self, time: int) -> Mapping[str, Any]:
        """The features at an instant; none before the first."""
        place = bisect_right(self.times, time) - 1
        if place < 0:
            return {}
        days = {name: (time - event) / _DAY for name, event in self.events[place].items()}
        return {**self.rows[place], **days}


class Company(Struct, frozen=True):
    """What is known of a ticker beside its tape; nothing is traded before `eligible_from`, UTC
    ns."""

    rule: str | None = None
    eligible_from: int = 0
    facts: Facts = Facts()


@dataclass(frozen=True)
class Chooser:
    """What a strategy wants of a decision, by the backtest's own function."""

    strategy: Strategy
    seed: int
    companies: Mapping[str, Company]
    models: Scorers | None = None
    logistic: Logistic | None = None

    def __call__(self, decision: Decision) -> list[dict[str, Any]]:
        """Sides that are wanted, with score, pattern, rule and source."""
        company = self.companies.get(decision.ticker)
        if company is None or decision.t0 < company.eligible_from:
            return []
        if decision.sample != sample_of(self.strategy):
            return []
        event = event_row(decision, company)
        scores = None
        if self.models is not None and self.strategy.asks_models:
            target = "meta" if self.strategy.has_meta else self.strategy.target
            scores = predict(event, self.models, [target])
        month = Month({decision.sample: event}, scores, self.logistic)
        return wanted(self.strategy, month, self.seed)[0].to_dicts()


def event_row(decision: Decision, company: Company) -> pl.DataFrame:
    """A decision as a row of its sample, as strategies and models take it."""
    types = {**event_types(decision.sample), "t0": INSTANT, "selection_rule": pl.String()}
    bar, values = decision, dict.fromkeys(types)
    values |= {"ticker": decision.ticker, "event_id": decision.event_id, "t0": decision.t0}
    if decision.sample == PATTERNS:
        values |= {name: decision.row[column] for name, column in OWN_FEATURES.items()}
        bar = decision.bar
        if bar is not None and decision.t0 - bar.t0 <= _LOOK_BACK:
            values[BAR_AGE] = (decision.t0 - bar.t0) / 1e9
        else:
            bar = None
    if bar is not None:
        known = {**company.facts.at(bar.t0), **bar.row}
        values |= {name: known.get(name) for name in CATALOGUE}
    values |= {"date": decision.day, "selection_rule": company.rule}
    return pl.from_dicts([values], schema=types)  # ten times as fast as of columns


@dataclass
class Held:
    """A position on its way: executions as time, shares, price, mid and reason."""

    signal: str
    row: dict[str, Any]
    is_entering: bool = True
    entry: list[tuple[int, int, float, float, str]] = field(default_factory=list)
    exit: list[tuple[int, int, float, float, str]] = field(default_factory=list)
    resting: str = ""
    closing: str = ""
    profit: float = math.nan
    stop: float = math.nan
    orders: int = 0
    covered: int = 0
    position: Position | None = None

    @property
    def side(self) -> int:
        return self.row["side"]

    @property
    def ticker(self) -> str:
        return self.row["ticker"]

    @property
    def shares(self) -> int:
        """Those held now, without sign."""
        return sum(x[1] for x in self.entry) - sum(x[1] for x in self.exit)

    @property
    def average(self) -> float:
        return sum(x[1] * x[2] for x in self.entry) / sum(x[1] for x in self.entry)


class Trader:
    """One strategy on one account. `clock` is the session's, in UTC ns."""

    def __init__(
        self, account: Account, chooser: Chooser, books: Mapping[str, Book], hours: SessionHours,
        most_value: float = math.inf,
    ) -> None:  # fmt: skip
        self.account, self.chooser, self.books, self.hours = account, chooser, books, hours
        self.rules, self._most_value = account.rules, most_value
        self.held: dict[str, Held] = {}
        self.trades: list[dict[str, Any]] = []
        self.refused: dict[str, str] = {}
        self.wanted: list[tuple[Key, int]] = []
        self.is_stopping = False
        self.now = 0
        self._answers: dict[str, str] = {}
        self._owner: dict[str, tuple[Held, str]] = {}
        self._timers: list[tuple[int, int, Callable[[int], None]]] = []
        self._count = self._marked = 0
        self._located: dict[str, int] = {}
        account.book.begin_session(account.limits(account.book.equity, hours.close))

    def connect(self, runtime: Runtime, broker: PaperBroker) -> None:
        """Where orders go. Everything the desk hears goes through `tell`."""
        self.runtime, self.broker = runtime, broker
        runtime.broker = broker

    @property
    def check(self) -> Check:
        """The account's word on an entry, for the risk chain."""

        def ask(desk: DeskState, one: e.Wanted) -> tuple[bool, str]:
            refused = self._answers.get(one.signal, "")
            return not refused, refused or "taken"

        return Check(12, "account", ask)

    # The session's instants

    def advance(self, time: int) -> None:
        """The clock comes to an instant, before anything of it."""
        while self._timers and self._timers[0][0] < time:
            due, _, act = heapq.heappop(self._timers)
            self._work_until(due)
            act(due)
        self._work_until(time)

    def _work_until(self, time: int) -> None:
        """Orders that come to life or end before a time, each at its instant."""
        matching = self.broker.matching
        while (due := matching.next_due) < time:
            self.now = max(self.now, due)
            matching.advance(due + 1)
            self.settle()
        self.now = max(self.now, time)

    def settle(self) -> None:
        """Hear what the broker has to say."""
        self.broker.settle()
        while self.broker.answers:
            time, answer = self.broker.answers.popleft()
            self.runtime.step(time, answer)
            self._heard(time, answer)

    def tell(self, event: e.Event) -> None:
        """Something for the desk, now, and what follows."""
        self.runtime.step(self.now, event)
        self.settle()

    def _at(self, time: int, act: Callable[[int], None]) -> None:
        self._count += 1
        heapq.heappush(self._timers, (time, self._count, act))

    # Entries

    def decide(self, decision: Decision) -> None:
        """Ask the strategy and the account, and send what they want."""
        self.account.book.advance(self.now)
        for chosen in self.chooser(decision):
            self.wanted.append((decision.key, chosen["side"]))
            if self.is_stopping:
                continue
            row = {**chosen, "t0": decision.t0, "price": math.nan, "mid": math.nan}
            row |= {"ticker": decision.ticker, "sample": decision.sample, "date": self.hours.date}
            self._enter(row)

    def _enter(self, row: dict[str, Any]) -> None:
        signal = signal_of(row)
        book = self.books[row["ticker"]]
        refused = self._market_refusal(row, book)
        row["refusal"] = refused
        refused, shares = self._judged(row, book)
        self._answers[signal] = refused or ""
        self.refused[signal] = refused or ""
        side = e.OPENING[row["side"]]
        is_passive = self.rules.entry == "passive"
        price = Price("MKT")
        if not math.isnan(row["price"]):
            far = row["price"] * (1.0 + row["side"] * self.rules.entry_slack)
            limit = row["price"] if is_passive else kernel.on_tick(far, -row["side"])
            price = Price.limit(Decimal(str(limit)))
        if book.usable is not None:
            self.tell(_quoted(row["ticker"], book, self.now))
        held = Held(signal, row)
        if refused is None:
            self.held[signal], self._owner[signal] = held, (held, "")
        options = PASSIVE if is_passive else ()
        mid = None if math.isnan(row["mid"]) else Decimal(str(row["mid"]))
        self.tell(e.Wanted(signal, row["ticker"], side, max(shares, 1), price, row["t0"],
                           options=options, pattern=row["pattern"] or "", mid=mid))  # fmt: skip
        if refused is None and signal not in self.runtime.desk.by_signal:
            self.refused[signal] = "risk chain"
            del self.held[signal]
        elif refused is None and signal in self.held:
            self._hold(held)

    def _market_refusal(self, row: dict[str, Any], book: Book) -> str | None:
        """Why the market allows no entry at the decision; else its price and mid go into the
        row."""
        row["trailing_volume"] = book.minute_volume(self.now)
        row["atr"] = book.average_range(row["t0"])
        if book.is_halted(self.now):
            return "halt"
        if not book.is_usable or book.usable is None:
            return "no_price"
        if self.now - book.usable.time > self.rules.entry_quote_age * SECOND:
            return "stale_quote"
        is_buy, is_passive = row["side"] > 0, self.rules.entry == "passive"
        row["price"] = book.usable.ask if is_buy != is_passive else book.usable.bid
        row["mid"] = (book.usable.bid + book.usable.ask) / 2.0
        return None

    def _judged(self, row: dict[str, Any], book: Book) -> tuple[str | None, int]:
        """The account's refusal, or the shares it wants; those of the minute's volume are counted
        by the broker, when the order is live."""
        refused = self.account.refusal(row)
        if refused is not None:
            return refused, 0
        size, refused = self.account.size({**row, "trailing_volume": 1e12}, self._located)
        return refused, min(size, int(self._most_value / row["price"] * (1 + kernel.TOLERANCE)))

    def _hold(self, held: Held) -> None:
        """The order is out: its place is taken until it has closed again."""

        def close_at(time: int) -> float:
            self._close(held, FLATTENED)
            return held.position.mark(time) if held.position else 0.0

        held.position = Position(held.signal, held.row["t0"], NEVER, 0.0, [], [], held.ticker,
                                 close_at=close_at)  # fmt: skip
        self.account.book.add(held.position)
        if held.side < 0:
            shares = self._located.get(held.ticker, 0)
            self._located[held.ticker] = shares + self._wanted_shares(held)
        if not self._marked:
            self._marked = self.now // STEP * STEP + STEP
            self._at(self._marked, self._mark)

    def _wanted_shares(self, held: Held) -> int:
        desk = self.runtime.desk
        return desk.orders[desk.by_signal[held.signal]].qty

    # Exits

    def prints(self, symbol: str, prints: Sequence[Printed]) -> None:
        """Prints of an instant, before they meet the orders at rest: a stop comes first."""
        for held in self._open(symbol):
            near = held.stop * (1.0 + held.side * kernel.TOLERANCE)
            for one in prints:
                if one.kind > kernel.FLOW and (one.price - near) * held.side <= 0.0:
                    self._close(held, "stop")
                    break

    def _open(self, symbol: str) -> Iterator[Held]:
        """Positions in a symbol with barriers that are not closing yet."""
        if self.books[symbol].is_halted(self.now):
            return
        for held in list(self.held.values()):
            if held.ticker == symbol and held.covered and not held.closing:
                yield held

    def _cover(self, held: Held, time: int) -> None:
        """Barriers from the average of the fills so far; a take profit rests at one of them."""
        average, rules = held.average, self.rules
        held.profit = kernel.on_tick(average * (1.0 + held.side * rules.take_profit), held.side)
        held.stop = kernel.on_tick(average * (1.0 - held.side * rules.stop_loss), -held.side)
        if not held.covered:
            timeout = held.row["t0"] + int(rules.timeout_seconds * SECOND)
            last = self.hours.close - LAST_EXIT
            reason = "time" if timeout <= last else "session"
            self._at(max(min(timeout, last), time), lambda _: self._close(held, reason))
        held.covered = sum(x[1] for x in held.entry)
        self._take_back(held)
        if not held.closing:
            self._rest(held)

    def _rest(self, held: Held) -> None:
        """The take profit."""
        price = Price.limit(Decimal(str(held.profit)))
        held.resting = self._exit(held, price, "take_profit", PASSIVE)

    def _take_back(self, held: Held) -> None:
        if held.resting:
            self.tell(e.CancelWanted(held.resting))
            held.resting = ""

    def _close(self, held: Held, reason: str) -> None:
        """Cross the spread with what is left, once."""
        if held.closing or held.signal not in self.held:
            return
        held.closing = reason
        if held.is_entering:
            self.tell(e.CancelWanted(held.signal))
        self._take_back(held)
        if held.shares:
            self._exit(held, Price("MKT"), reason)

    def _exit(self, held: Held, price: Price, reason: str, options: tuple[str, ...] = ()) -> str:
        held.orders += 1
        signal = f"{held.signal}-exit-{held.orders}"
        self._owner[signal] = (held, reason)
        side = "S" if held.side > 0 else "B"
        self.tell(e.Wanted(signal, held.ticker, side, held.shares, price, self.now,
                           options=options, purpose=reason,
                           pattern=held.row["pattern"] or ""))  # fmt: skip
        return signal

    # What the broker says

    def _heard(self, time: int, event: e.Event) -> None:
        if isinstance(event, e.Fill):
            self._filled(time, event)
        elif isinstance(event, e.OrderAction) and event.text:
            held, reason = self._of(event.order_id)
            if held is not None and not reason:
                self.refused[held.signal] = event.text
        elif isinstance(event, e.OrderState):
            self._ended(event)
        elif isinstance(event, e.Holding):
            for held in [h for h in self.held.values() if h.ticker == event.symbol]:
                self._review(held, time)

    def _of(self, order_id: int) -> tuple[Held | None, str]:
        desk = self.runtime.desk
        order = desk.orders.get(desk.by_id.get(order_id, 0))
        signal = "" if order is None else order.signal
        if signal.startswith("flatten-"):  # the kill switch closes
            symbol = order.command.symbol if order else ""
            found = [h for h in self.held.values() if h.ticker == symbol]
            return (found[0], FLATTENED) if found else (None, "")
        return self._owner.get(signal, (None, ""))

    def _filled(self, time: int, fill: e.Fill) -> None:
        held, reason = self._of(fill.order_id)
        if held is None:
            return
        usable = self.books[fill.symbol].usable
        price = float(fill.price)
        mid = (usable.bid + usable.ask) / 2.0 if usable else price
        part = held.exit if reason else held.entry
        part.append((time, fill.qty, price, mid, reason))

    def _ended(self, state: e.OrderState) -> None:
        """An entry that has come to its end."""
        held, reason = self._of(state.order_id)
        if held is None or state.status in ("Accepted", "Partial"):
            return
        if reason:
            return
        held.is_entering = False
        if not held.entry:
            self.refused[held.signal] = self.refused[held.signal] or "no_fill"
            self._forget(held, 0.0)
        elif not held.shares:
            self._book(held)

    def _review(self, held: Held, time: int) -> None:
        """A position has changed: new barriers, or its end."""
        entered = sum(x[1] for x in held.entry)
        if not held.shares and entered and (not held.is_entering or held.closing):
            self._book(held)
        elif entered > held.covered and not held.closing:
            self._cover(held, time)

    def _book(self, held: Held) -> None:
        """A position has closed: its trade, as the backtest tells one."""
        row = {**held.row, "lows": [None], "highs": [None], "are_halted": [False]}
        entered = sum(x[1] for x in held.entry)
        trade = Trade(row, entered, _leg(held.entry), _leg(held.exit), 0, self.rules,
                      self.hours.date)  # fmt: skip
        self.trades.append({"signal": held.signal, "ticker": held.ticker, "side": held.side,
                            **trade.told()})  # fmt: skip
        self._forget(held, trade.net)

    def _forget(self, held: Held, profit: float) -> None:
        self.held.pop(held.signal, None)
        if held.position is not None:
            held.position.exit, held.position.profit = self.now, profit
            self.account.book.advance(self.now)
            self._keep_open()

    # Marks

    def _mark(self, time: int) -> None:
        """What closing each position would bring now, for the limits of the day and the account."""
        self._marked = time + STEP if self.held else 0
        if self._marked:
            self._at(self._marked, self._mark)
        for held in list(self.held.values()):
            self._mend(held)
            value = self.value(held)
            if held.position is not None and value is not None:
                held.position.mark_times.append(time)  # type: ignore[attr-defined]
                held.position.marks.append(value)  # type: ignore[attr-defined]
                held.position.worst = min(held.position.worst, value)
        self.account.book.advance(time)
        self._keep_open()

    def _mend(self, held: Held) -> None:
        """Send an exit again that the risk chain refused, or that somebody has cancelled."""
        desk = self.runtime.desk
        if not held.shares or not held.covered or desk.open_orders(held.ticker) or desk.level:
            return
        if held.closing:
            self._exit(held, Price("MKT"), held.closing)
        else:
            self._rest(held)

    def _keep_open(self) -> None:
        """What the book has flattened is open until it is filled."""
        for held in self.held.values():
            if held.position is not None and held.position.reason == FLATTENED:
                held.position.exit, held.position.profit = NEVER, 0.0

    def value(self, held: Held) -> float | None:
        """Profit of a position if it were closed at the quote, without fees; None without one."""
        usable = self.books[held.ticker].usable
        if usable is None or not held.entry:
            return None
        price = usable.bid if held.side > 0 else usable.ask
        cash = sum(x[1] * x[2] for x in held.exit) - sum(x[1] * x[2] for x in held.entry)
        return held.side * (cash + held.shares * price)

    # The end

    def stop(self, how: str) -> None:
        """Nothing more is opened: `keep` leaves all as it is, `cancel` cancels what rests, and
        `flatten` closes what is open too."""
        self.is_stopping = True
        for held in list(self.held.values()):
            if how == "flatten":
                self._close(held, FLATTENED)
            elif how == "cancel":
                self._take_back(held)
                if held.is_entering:
                    self.tell(e.CancelWanted(held.signal))

    @property
    def is_flat(self) -> bool:
        return not any(held.shares or held.is_entering for held in self.held.values())


def _leg(parts: Sequence[tuple[int, int, float, float, str]]) -> Leg:
    times, shares, prices, mids, reasons = zip(*parts, strict=True)
    return Leg(times, shares, prices, mids, reasons)


def _quoted(symbol: str, book: Book, now: int) -> e.Quoted:
    usable = book.usable
    assert usable is not None
    return e.Quoted(symbol, Decimal(str(usable.bid)), Decimal(str(usable.ask)), now)
