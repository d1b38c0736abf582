"""The desk's state and what it does about each event: a reducer without clock, files or sockets.

`Desk.handle` takes an event and the instant at which it came and returns actions in the order in
which they are to be carried out; the same events give the same actions. Its records, handed to
`Desk.restore` one by one, bring its state back after a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.checks import Chain
from smallcaps_assets.desk.das.commands import (
    Cancel,
    CancelAll,
    CancelSymbol,
    NewOrder,
    Price,
    Subscribe,
    parse_command,
)
from smallcaps_assets.desk.das.messages import LocateOrder, SymbolStatus
from smallcaps_assets.desk.das.words import on_tick
from smallcaps_assets.desk.events import Action, Level, Record, Send
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.orders import TO_READ, Order, OrderAction, Stage
from smallcaps_assets.desk.state import SEQUENCE, DeskState, Rules, is_live
from smallcaps_assets.domain.execution.risk import is_day_lost, is_drawn_down


class Desk(DeskState):
    """The reducer over one account's state; see there for `day` and `origin`."""

    def __init__(
        self, day: int, origin: int = 1, rules: Rules | None = None, chain: Chain | None = None
    ) -> None:
        super().__init__(day, origin, rules or Rules())
        self.chain = chain or Chain()
        self._fills_of: dict[int, list[e.Fill]] = {}
        self._listed: dict[str, Any] = {}
        self._owner_due: dict[int, int] = {}
        self._disagree: dict[str, int] = {}
        self._sweep_due: int | None = None
        self._asked = 0
        self._rejects: list[int] = []
        self._subscribed: set[str] = set()
        self._has_to_cancel = False
        self._cancelled: dict[str, int] = {}
        self._handlers: dict[type, Callable[[Any], Iterator[Action]]] = {
            e.Wanted: self._on_wanted,
            e.CancelWanted: self._on_cancel_wanted,
            e.Sent: self._on_sent,
            e.NotSent: self._on_not_sent,
            e.OrderState: self._on_order_state,
            e.OrderAction: self._on_order_action,
            e.Fill: self._on_fill,
            e.Holding: self._on_holding,
            e.Snapshot: self._on_snapshot,
            e.Link: self._on_link,
            e.Quoted: self._on_quoted,
            e.Volume: self._on_volume,
            e.Lag: self._on_lag,
            e.Beat: self._on_beat,
            e.Killed: self._on_killed,
            e.JournalState: self._on_journal,
            e.Accepted: self._on_accepted,
            e.Told: self._on_told,
            e.Shown: self._on_shown,
        }

    def handle(self, t: int, event: e.Event) -> list[Action]:
        """What to do about an event that came at `t`, UTC ns.

        A clock that goes back is alerted, and time stands still until it has caught up.
        """
        actions: list[Action] = []
        if t < self.now - SECOND // 2 and self.skew == 0:
            actions.append(_alert(f"the clock went back by {(self.now - t) / SECOND:.1f} s"))
        self.skew = max(self.now - t, 0)
        self.now = max(self.now, t)
        return actions + list(self._handlers[type(event)](event))

    # What the strategy and people want

    def _on_wanted(self, wanted: e.Wanted) -> Iterator[Action]:
        verdicts = self.chain.judge(self, wanted)
        is_good = verdicts[-1].is_good
        checks = {v.name: v.value for v in verdicts}
        refused = "" if is_good else verdicts[-1].name
        told = {**_plain(wanted), "checks": checks, "refused": refused}
        yield Record("decision", {**told, **self._quote_of(wanted.symbol)})
        if is_good:
            yield from self._place(wanted)

    def _quote_of(self, symbol: str) -> dict[str, str]:
        """Bid and ask as they stand, for a record."""
        quote = self.quotes.get(symbol)
        return {} if quote is None else {"bid": str(quote.bid), "ask": str(quote.ask)}

    def _place(self, wanted: e.Wanted) -> Iterator[Action]:
        token, self._next = self._next, self._next + 1
        command = self.command_of(wanted, token)
        order = Order(token, command, wanted.signal, wanted.purpose, self.now, qty=wanted.qty)
        yield self._keep(order)
        yield Send(command, token)
        self.limits.note(command, self.now)

    def _put(self, order: Order) -> None:
        """The order as it is now."""
        self.orders[order.token] = order
        if order.is_done:
            self._open.pop(order.token, None)
        else:
            self._open[order.token] = None

    def _keep(self, order: Order) -> Record:
        """Remember a new order, and its record."""
        self._put(order)
        self.by_signal[order.signal] = order.token
        self.entries[order.command.symbol] += order.purpose == "entry"
        return Record("intent", {"token": order.token, "signal": order.signal,
                                 "purpose": order.purpose, "created": order.created,
                                 "line": order.command.line()})  # fmt: skip

    def _on_cancel_wanted(self, wanted: e.CancelWanted) -> Iterator[Action]:
        order = self.orders.get(self.by_signal.get(wanted.signal, 0))
        if order is not None and not order.is_done and not order.request:
            yield from self._cancel(order)

    def _cancel(self, order: Order) -> Iterator[Action]:
        """Ask for a cancel; without an id as soon as it is known."""
        self._put(msgspec.structs.replace(order, request="cancel"))
        if order.order_id is not None:
            command = Cancel(order.order_id)
            if self.limits.room(command, self.now, self.level >= Level.CANCEL) <= 0:
                self._put(order)
                yield _alert(f"too many cancels: order {order.token} is not cancelled yet")
                return
            self.cancels += 1
            yield Record("cancel", {"token": order.token, "line": command.line()})
            yield Send(command)
            self.limits.note(command, self.now)

    def _on_accepted(self, accepted: e.Accepted) -> Iterator[Action]:
        if self.paused.pop(accepted.symbol, None):
            yield Record("accepted", _plain(accepted))

    # What the broker says

    def _on_sent(self, sent: e.Sent) -> Iterator[Action]:
        yield Record("sent", _plain(sent))
        self._put(self.orders[sent.token].with_sent(self.now, sent.error))
        if sent.error:
            yield _alert(f"order {sent.token} may or may not have been sent: {sent.error}")

    def _on_not_sent(self, sent: e.NotSent) -> Iterator[Action]:
        yield Record("lost", {"token": sent.token, "reason": f"never sent: {sent.error}"})
        self._put(self.orders[sent.token].lost(f"never sent: {sent.error}"))
        yield _alert(f"order {sent.token} was not sent: {sent.error}")

    def _on_order_state(self, state: e.OrderState) -> Iterator[Action]:
        order = self._order_of(state)
        if order is None:
            yield from self._show_foreign(state)
            return
        after = order.with_state(state)
        if after == order:
            return
        yield Record("order", _plain(state))
        self.by_id[state.order_id] = order.token
        self._put(after)
        if order.stage == Stage.LOST and not after.is_done:
            yield _alert(f"order {order.token} was held for lost and is {state.status} after all")
        if after.stage == Stage.REJECTED and order.stage != Stage.REJECTED:
            yield from self._count_reject()
        yield from self._attach(state.order_id)
        if after.request == "cancel" and order.order_id is None and not after.is_done:
            yield from self._cancel(after)

    def _show_foreign(self, state: e.OrderState) -> Iterator[Action]:
        """Somebody else's order is shown and never touched; while it rests, no entry beside it."""
        if self.foreign.get(state.order_id) != state:
            self.foreign[state.order_id] = state
            yield Record("foreign_order", _plain(state))
            if is_live(state):
                yield from self._pause(state.symbol, f"unknown order {state.order_id}")

    def _order_of(self, state: e.OrderState | OrderAction) -> Order | None:
        """Ours by token, else by id. A number that belongs to another symbol is no token of ours,
        nor is that of an order entered by hand."""
        token = state.token if state.token in self.orders else self.by_id.get(state.order_id)
        order = self.orders.get(token) if token is not None else None
        if order is None:
            return None
        is_same = state.symbol == order.command.symbol and order.order_id in (None, state.order_id)
        is_by_hand = isinstance(state, e.OrderState) and not state.is_from_api
        return order if is_same and not is_by_hand else None

    def _on_order_action(self, act: OrderAction) -> Iterator[Action]:
        order = self._order_of(act)
        yield Record("act" if order else "foreign_act", _plain(act))
        if order is None:
            return
        self._put(order.with_action(act))
        if act.order_id:
            self.by_id[act.order_id] = order.token
        if act.action in TO_READ:
            yield _alert(f"order {order.token}: {act.action} {act.text}".rstrip())
            yield from self._sweep()
        yield from self._attach(act.order_id)

    def _on_fill(self, fill: e.Fill) -> Iterator[Action]:
        if fill.trade_id in self.fills:
            return
        yield Record("fill", {**_plain(fill), **self._quote_of(fill.symbol)})
        self.fills[fill.trade_id] = fill
        self._fills_of.setdefault(fill.order_id, []).append(fill)
        self.ledger.add(fill)
        self._note_peak()
        self._owner_due.setdefault(fill.order_id, self.now + self.rules.disagreement)
        self._sweep_due = self.now + self.rules.sweep_after_fill
        self._compare(fill.symbol)
        yield from self._attach(fill.order_id)

    def _attach(self, order_id: int) -> Iterator[Action]:
        """Give an order the fills that came for its id, perhaps before it was known."""
        order = self.orders.get(self.by_id.get(order_id, 0))
        if order is None:
            return
        self._owner_due.pop(order_id, None)
        for fill in self._fills_of.get(order_id, ()):
            if fill.trade_id not in order.fills:
                was_done, order = order.is_done, order.with_fill(fill)
                if was_done and order.canceled + order.filled > order.qty:
                    yield _alert(f"order {order.token} was filled beyond its {order.qty} shares")
                yield from self._check_price(order, fill)
        self._put(order)

    def _check_price(self, order: Order, fill: e.Fill) -> Iterator[Action]:
        """A fill worse than its limit throws the switch."""
        price = order.command.price
        if price.kind == "LMT" and (fill.price - price.values[0]) * fill.signed > 0:
            yield from self._throw(f"trade {fill.trade_id} at {fill.price} is beyond the limit"
                                   f" {price.values[0]} of order {order.token}")  # fmt: skip

    def _on_holding(self, holding: e.Holding) -> Iterator[Action]:
        before = self.held.get(holding.symbol, 0), self.initial.get(holding.symbol, 0)
        if (holding.net, holding.initial) != before:
            yield Record("position", _plain(holding))
        self.held[holding.symbol] = holding.net
        self.initial[holding.symbol] = holding.initial
        self._compare(holding.symbol)

    def _compare(self, symbol: str) -> None:
        """Note since when the broker's position is not that of the fills."""
        if self.held.get(symbol, 0) == self.net(symbol):
            self._disagree.pop(symbol, None)
        else:
            self._disagree.setdefault(symbol, self.now)

    def _on_snapshot(self, lists: e.Snapshot) -> Iterator[Action]:
        """What complete lists lack is gone. Orders and fills before the positions."""
        for state in lists.orders or ():
            yield from self._on_order_state(state)
        for fill in lists.fills or ():
            yield from self._on_fill(fill)
        if lists.fills is not None and lists.is_complete:
            yield from self._note_list(lists.fills)
        if lists.orders is not None:
            self._raise_tokens(lists.orders)
            if lists.is_complete:
                yield from self._absent(lists.orders)
        if lists.holdings is not None:
            self.swept = self.now
            named = {holding.symbol for holding in lists.holdings}
            gone = [e.Holding(symbol, 0) for symbol in self.held if symbol not in named]
            for holding in (*lists.holdings, *(gone if lists.is_complete else ())):
                yield from self._on_holding(holding)

    def _note_list(self, listed: tuple[e.Fill, ...]) -> Iterator[Action]:
        """What the broker's whole list of trades says of ours, for the reconciliation of the day;
        written when it says something new."""
        theirs = {fill.trade_id: fill for fill in listed}
        told = {
            "count": len(theirs),
            "missing": [trade_id for trade_id in self.fills if trade_id not in theirs],
            "differing": [_plain(f) for i, f in theirs.items()
                          if _executed(f) != _executed(self.fills[i])],
        }  # fmt: skip
        if told != self._listed:
            self._listed = told
            yield Record("trades", told)

    def _raise_tokens(self, orders: tuple[e.OrderState, ...]) -> None:
        """Go on after the highest token of the day, should the journal have been lost."""
        ours = (s.token for s in orders if s.token is not None)
        highest = max((t for t in ours if 0 <= t - self._first < SEQUENCE), default=-1)
        self._next = max(self._next, highest + 1)

    def _absent(self, listed: tuple[e.OrderState, ...]) -> Iterator[Action]:
        """Orders that the complete list lacks: an intent was never sent; one that was sent is lost
        if a second list lacks it too, as a list may have been on its way already."""
        ids, tokens = {s.order_id for s in listed}, {s.token for s in listed}
        for order in self.open_orders():
            if order.token in tokens or order.order_id in ids:
                continue
            if order.stage == Stage.INTENT or order.absences:
                reason = "never sent" if order.stage == Stage.INTENT else "not at the broker"
                self._put(order.lost(reason))
                yield Record("lost", {"token": order.token, "reason": reason})
                yield _alert(f"order {order.token} ({order.command.line()}) is {reason}")
            elif order.is_unsure or self.now - order.sent > self.rules.silent_order:
                doubted = order.doubted("missing in the broker's list")
                self._put(msgspec.structs.replace(doubted, absences=1))
                self._sweep_due = self.now + self.rules.sweep_after_fill

    def _on_link(self, link: e.Link) -> Iterator[Action]:
        """Without a link nothing is known: what was under way is unsure until it is back."""
        yield Record("link", _plain(link))
        self.link = link
        self._has_to_cancel |= link.is_ready and self.level >= Level.CANCEL
        if not link.is_ready:
            for order in self.open_orders():
                if order.stage > Stage.INTENT:
                    self._put(order.doubted("connection lost"))
        if link.is_refused:
            yield _alert(f"login refused, not tried again: {link.text}")

    def _on_quoted(self, quote: e.Quoted) -> Iterator[Action]:
        """A crossed quote is passed over: the last good one stands and grows old."""
        self.feed_at = self.now
        if not (quote.bid and quote.ask and quote.bid > quote.ask):
            self.quotes[quote.symbol] = quote
        yield from ()

    def _on_lag(self, lag: e.Lag) -> Iterator[Action]:
        self.lag = lag.ns
        yield from ()

    def _on_volume(self, volume: e.Volume) -> Iterator[Action]:
        self.volumes[volume.symbol] = volume
        yield from ()

    def _on_told(self, told: e.Told) -> Iterator[Action]:
        """The newest fact of its kind, by symbol where it has one. In a halt entries are taken
        back, what protects stays."""
        message = told.message
        key = type(message).__name__, getattr(message, "symbol", "")
        self.facts[key], self.told_at[key] = message, self.now
        if isinstance(message, LocateOrder):
            self.locates[message.locate_id] = message
        yield Record("told", {"line": message.line()})
        if isinstance(message, SymbolStatus) and message.is_halted:
            for order in self.open_orders(message.symbol):
                if order.purpose == "entry" and not order.request:
                    yield from self._cancel(order)

    def _on_shown(self, shown: e.Shown) -> Iterator[Action]:
        yield Record("shown", _plain(shown))

    def _on_journal(self, state: e.JournalState) -> Iterator[Action]:
        self.is_writable = state.is_writable
        yield _alert(state.text)

    # What time brings

    def _on_beat(self, beat: e.Beat) -> Iterator[Action]:
        yield from self._unanswered()
        yield from self._unowned()
        yield from self._disagreements()
        yield from self._losses()
        is_due = self._sweep_due is not None and self.now >= self._sweep_due
        if is_due or self.now - self._asked >= self.rules.sweep_every:
            yield from self._sweep()
        if self.link.is_ready and self.level != Level.HARD:
            yield from self._protect()

    def _unanswered(self) -> Iterator[Action]:
        for order in self.open_orders():
            if order.stage == Stage.SENT and not order.is_unsure and (
                self.now - order.sent > self.rules.silent_order
            ):  # fmt: skip
                self._put(order.doubted("no answer"))
                yield _alert(f"order {order.token} has no answer")
                yield from self._sweep()
            elif order.is_unsure and self.now - order.sent > self.rules.unsettled:
                yield from self._throw(f"order {order.token} is unknown: {order.reason}")

    def _unowned(self) -> Iterator[Action]:
        """Fills of orders that nobody has named: somebody else trades this account."""
        due = [order_id for order_id, at in self._owner_due.items() if at <= self.now]
        for order_id in due:
            del self._owner_due[order_id]
            symbol = self._fills_of[order_id][0].symbol
            yield from self._pause(symbol, f"fill of unknown order {order_id}")

    def _disagreements(self) -> Iterator[Action]:
        """The broker's position wins; the difference is shown and stops entries in the symbol."""
        for symbol in list(self._disagree):
            self._compare(symbol)
            since = self.now - self._disagree.get(symbol, self.now)
            if since > self.rules.disagreement and symbol not in self.paused:
                told = f"{symbol}: {self.held.get(symbol, 0)} at the broker, fills say"
                yield from self._pause(symbol, f"{told} {self.net(symbol)}")
                yield from self._sweep()
            if since > self.rules.unsettled:
                yield from self._throw(f"position of {symbol} is not settled")

    def _note_peak(self) -> None:
        """The highest equity so far; after a restart that at the fills of before."""
        risk = self.rules.risk
        self.peak = max(self.peak, risk.peak, risk.equity + self.profit)

    def _losses(self) -> Iterator[Action]:
        """A loss that ends the day, or a drawdown that ends all, throws the switch."""
        risk = self.rules.risk
        if risk.account is None:
            return
        profit = self.profit
        self._note_peak()
        level = max(risk.on_loss, Level.SOFT)
        if is_day_lost(float(profit), risk.account):
            yield from self._throw(f"the session has lost {-profit:.2f} USD", level)
        if is_drawn_down(float(risk.equity + profit), float(self.peak), risk.account):
            told = f"equity is {risk.equity + profit:.2f} USD, its highest was {self.peak:.2f}"
            yield from self._throw(told, level)

    def _sweep(self) -> Iterator[Action]:
        if self.link.is_ready and self.now - self._asked >= SECOND:
            self._asked, self._sweep_due = self.now, None
            yield e.Sweep()

    def _pause(self, symbol: str, reason: str) -> Iterator[Action]:
        if symbol not in self.paused:
            self.paused[symbol] = reason
            yield Record("mismatch", {"symbol": symbol, "reason": reason})
            yield _alert(f"no entries in {symbol}: {reason}")

    def _count_reject(self) -> Iterator[Action]:
        self.rejects += 1
        self._rejects = [t for t in self._rejects if t > self.now - 60 * SECOND] + [self.now]
        if len(self._rejects) >= self.rules.most_rejects:
            yield from self._throw(f"{len(self._rejects)} rejects in a minute")

    def _throw(self, reason: str, level: Level = Level.SOFT) -> Iterator[Action]:
        """Stop entries; more than that is for a person, or for a loss that ends the day."""
        if self.level < level:
            self._has_to_cancel |= self.level < Level.CANCEL <= level
            self.level = level
            yield Record("kill", {"level": level.name, "reason": reason})
            yield e.Raise(level, reason)
            done = {Level.SOFT: "entries stopped", Level.CANCEL: "all cancelled"}
            yield _alert(f"{done.get(level, 'all closed')}: {reason}")

    # The kill switch

    def _on_killed(self, killed: e.Killed) -> Iterator[Action]:
        before, self.level = self.level, killed.level
        if killed.level != before:
            yield Record("kill", {"level": killed.level.name, "reason": killed.reason})
            yield _alert(f"kill switch at {killed.level.name}: {killed.reason}")
        is_raised = before < Level.CANCEL <= killed.level
        self._has_to_cancel = killed.level >= Level.CANCEL and (is_raised or self._has_to_cancel)

    def _protect(self) -> Iterator[Action]:
        """What the switch asks for, as soon as there is a connection."""
        if self._has_to_cancel:
            self._has_to_cancel = False
            yield from self._send_cancel(CancelAll(), "")
            self._sweep_due = self.now
        last_exit = self.rules.risk.last_exit
        if self.level >= Level.FLATTEN:
            yield from self._flatten({s: net for s, net in self.held.items() if net})
        elif last_exit is not None and self.now >= last_exit:
            yield from self._flatten(self._own_positions())

    def _own_positions(self) -> dict[str, int]:
        """What is held of the session's own trades; others' shares and doubtful ones stay."""
        found = {}
        for symbol, net in self.ledger.net.items():
            held = self.held.get(symbol, 0)
            if net * held > 0 and symbol not in self.paused:
                found[symbol] = net if abs(net) < abs(held) else held
        return found

    def _flatten(self, positions: Mapping[str, int]) -> Iterator[Action]:
        """Close what is held, symbol by symbol, once nothing rests in it any more."""
        for symbol, net in positions.items():
            if not self.resting(symbol):
                yield from self._close(symbol, net)
                continue
            yield from self._sweep()
            newest = max((order.created for order in self.open_orders(symbol)), default=0)
            last = max(newest, self._cancelled.get(symbol, 0), self._cancelled.get("", 0))
            if self.now - last > self.rules.close_again:
                yield from self._send_cancel(CancelSymbol(symbol), symbol)

    def _send_cancel(self, command: CancelAll | CancelSymbol, symbol: str) -> Iterator[Action]:
        self._cancelled[symbol] = self.now
        self.limits.note(command, self.now)
        yield Send(command)

    def _close(self, symbol: str, net: int) -> Iterator[Action]:
        quote = self.quotes.get(symbol)
        doubtful_until = self._disagree.get(symbol, -2 * SECOND) + self.rules.disagreement + SECOND
        if self.now < doubtful_until:  # a fill's position may still be on its way
            yield from self._sweep()
            return
        price = quote and self._collared(quote, net)
        if not price:
            if symbol not in self._subscribed:
                self._subscribed.add(symbol)
                yield Send(Subscribe(symbol, "Lv1"))
                yield _alert(f"no quote of {symbol} to close {net} shares by; asked for one")
            return
        signal = f"flatten-{symbol}-{self._next}"
        side = "S" if net > 0 else "B"
        wanted = e.Wanted(signal, symbol, side, abs(net), Price.limit(price), self.now,
                          self.rules.route, purpose="flatten")  # fmt: skip
        yield from self._on_wanted(wanted)

    def _collared(self, quote: e.Quoted, net: int) -> Decimal | None:
        """A marketable limit at most the collar beyond the quote, on its tick."""
        side = quote.bid if net > 0 else quote.ask
        if side <= 0:
            return None
        collar = min(self.rules.collar, self.rules.risk.collar_at(self.now) or self.rules.collar)
        raw = side * (1 - collar if net > 0 else 1 + collar)
        return on_tick(raw, is_up=net > 0)

    # After a kill

    def restore(self, t: int, kind: str, data: Mapping[str, Any]) -> None:
        """Take up one record of the journal, in order. Nothing is sent."""
        self.now = max(self.now, t)
        if kind == "intent":
            command = parse_command(data["line"])
            assert isinstance(command, NewOrder)
            self._keep(Order(data["token"], command, data["signal"], data["purpose"],
                             data["created"], qty=command.qty))  # fmt: skip
            self._next = max(self._next, data["token"] + 1)
        elif kind == "lost":
            self._put(self.orders[data["token"]].lost(data["reason"]))
        elif kind == "mismatch":
            self.paused[data["symbol"]] = data["reason"]
            for order_id in list(self._owner_due):  # told already
                if self._fills_of[order_id][0].symbol == data["symbol"]:
                    del self._owner_due[order_id]
        elif kind == "cancel":
            order = self.orders[data["token"]]
            self.cancels += 1
            self._put(msgspec.structs.replace(order, request="cancel"))
        elif kind in _RESTORED:
            event = msgspec.convert({**data, "type": _RESTORED[kind].__name__}, _RESTORED[kind])
            list(self._handlers[type(event)](event))


_RESTORED: dict[str, type[e.Event]] = {
    "sent": e.Sent,
    "order": e.OrderState,
    "act": OrderAction,
    "fill": e.Fill,
    "foreign_order": e.OrderState,
    "position": e.Holding,
    "accepted": e.Accepted,
}


def _plain(event: e.Event) -> dict[str, Any]:
    return {k: v for k, v in msgspec.to_builtins(event).items() if k != "type"}


def _executed(fill: e.Fill) -> tuple[str, int, Decimal]:
    return fill.symbol, fill.signed, fill.price


def _alert(text: str) -> Record:
    return Record("alert", {"text": text})
