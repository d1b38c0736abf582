"""A session with DAS as lines in, events and lines out: login, lists, heartbeat. Without a socket.

A list (positions, orders, trades) is gathered from its header, or from when it was asked for, and
told as a whole at its end marker, or after half a second without a row where there is none. One
that had neither header nor end is told as incomplete: what it lacks is not gone. The session is
ready once all three have come and neither DAS nor its order server has fallen silent.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.das import commands as c
from smallcaps_assets.desk.das import messages as m
from smallcaps_assets.desk.das.words import Line, LineError
from smallcaps_assets.desk.limits import SECOND

QUIET, UNANSWERED = SECOND // 2, 5 * SECOND
ECHO_EVERY, SILENT, LOGIN_AFTER = 3 * SECOND, 10 * SECOND, SECOND
_LISTS = {"POS": ("holdings", "POSITIONS"), "Order": ("orders", "ORDERS"),
          "Trade": ("fills", "TRADES")}  # fmt: skip
_KIND = {m.Position: "POS", m.Order: "Order", m.Trade: "Trade", m.WatchTrade: "Trade"}
_FACTS = (
    *(m.Bands, m.SymbolStatus, m.ShortInfo, m.BuyingPower, m.AccountInfo, m.RouteStatus),
    *(m.LocatePrice, m.LocateOrder, m.LocateAvailable, m.LocateReuse, m.LocateCharge),
)


class _List(msgspec.Struct):
    """Rows of a list so far; `at` is when the last came, or the list was begun."""

    at: int
    rows: list[Line] = msgspec.field(default_factory=list)
    has_header: bool = False


class Session:
    """One connection from its first line to its last; `outbox` is what has to be sent."""

    def __init__(self, login: c.Login, t: int) -> None:
        self.outbox: list[Line] = []
        self.is_refused = False
        self._login: c.Login | None = login
        self._begun = self._heard = self._echoed = t
        self._staged: dict[str, _List] = {}
        self._complete: set[str] = set()
        self._asked: int | None = None
        self._order_server, self._is_ready = True, False
        self._quotes: dict[str, e.Quoted] = {}

    def receive(self, text: str, t: int) -> list[e.Event]:
        """What a line tells."""
        self._heard = t
        message = m.parse(text)
        if self._login is not None and type(message) is m.Notice:
            self._log_in()
        return [*self._take(message, t), *self._readiness("")]

    def tick(self, t: int) -> list[e.Event]:
        """What the passing of time brings; call it several times a second."""
        if self._login is not None and t - self._begun >= LOGIN_AFTER:
            self._log_in()
        if t - self._echoed >= ECHO_EVERY and self._login is None and not self.is_refused:
            self._echoed = t
            self.outbox.append(c.Echo())
        found = list(self._quiet(t))
        text = f"silent for {(t - self._heard) / SECOND:.0f} s" if t - self._heard > SILENT else ""
        return [*found, *self._readiness(text)]

    def sweep(self, t: int) -> list[Line]:
        """The commands that ask for all lists; what comes from here on is gathered."""
        for kind in _LISTS:
            self._staged.setdefault(kind, _List(t))
        return [c.Get(what) for _, what in _LISTS.values()]

    def _log_in(self) -> None:
        assert self._login is not None
        self.outbox += [self._login, c.Echo("OFF")]
        self._login = None

    def _take(self, message: Line, t: int) -> Iterator[e.Event]:
        kind = _KIND.get(type(message))
        if kind is not None and (kind in self._staged or not self._is_ready):
            staged = self._staged.setdefault(kind, _List(t))
            staged.rows.append(message)
            staged.at = t
        elif kind is not None:
            yield _event(message)
        elif isinstance(message, m.BlockStart) and message.kind in _LISTS:
            self._staged[message.kind] = _List(t, has_header=True)
        elif isinstance(message, m.BlockEnd) and message.kind in _LISTS:
            if message.kind in self._staged or message.kind not in self._complete:
                yield self._finish(message.kind, True)
        elif isinstance(message, m.LoginRefused):
            self.is_refused = True
            yield e.Link(False, message.text, is_refused=True)
        elif isinstance(message, m.ServerState):
            if message.server == "OrderServer":
                self._order_server = message.is_up
            yield e.Shown(message.line())
        elif isinstance(message, m.LoginAccepted):
            self._asked = None
        else:
            yield from self._tell(message, t)

    def _tell(self, message: Line, t: int) -> Iterator[e.Event]:
        if isinstance(message, m.OrderAct):
            yield e.OrderAction(message.order_id, message.token, message.symbol, message.action,
                                message.notes.strip())  # fmt: skip
        elif isinstance(message, m.Quote):
            yield from self._quoted(message, t)
        elif isinstance(message, _FACTS):
            yield e.Told(message)
        elif isinstance(message, m.Unreadable):
            yield e.Shown(f"unreadable ({message.reason}): {message.text}")
        elif isinstance(message, m.Refused | m.InternalMessage):
            yield e.Shown(message.line())

    def _quoted(self, patch: m.Quote, t: int) -> Iterator[e.Event]:
        """The whole quote after a patch of it; unreadable numbers leave it as it was."""
        before = self._quotes.get(patch.symbol) or e.Quoted(patch.symbol, c.Decimal(0),
                                                            c.Decimal(0), t)  # fmt: skip
        try:
            bid, ask = patch.value("B"), patch.value("A")
        except LineError as problem:
            yield e.Shown(f"unreadable ({problem}): {patch.line()}")
            return
        bid, ask = before.bid if bid is None else bid, before.ask if ask is None else ask
        self._quotes[patch.symbol] = e.Quoted(patch.symbol, bid, ask, t)
        yield self._quotes[patch.symbol]

    def _finish(self, kind: str, is_complete: bool) -> e.Event:
        """A list has ended; a complete one replaces what was held."""
        self._complete.add(kind)
        staged = self._staged.pop(kind, None)
        rows = tuple(_event(row) for row in staged.rows) if staged is not None else ()
        lists = e.Snapshot(is_complete=is_complete)
        return msgspec.structs.replace(lists, **{_LISTS[kind][0]: rows})

    def _quiet(self, t: int) -> Iterator[e.Event]:
        """Silence ends lists that have no end marker; those that never began are asked for once.

        A list that stays away is no empty one: the session does not become ready without it.
        """
        for kind, staged in list(self._staged.items()):
            if t - staged.at >= QUIET and (staged.rows or staged.has_header):
                yield self._finish(kind, staged.has_header)
            elif t - staged.at >= UNANSWERED:
                del self._staged[kind]
        missing = [what for kind, (_, what) in _LISTS.items() if kind not in self._complete]
        may_ask = self._asked is None and self._login is None and not self.is_refused
        if missing and may_ask and t - self._heard >= QUIET:
            self._asked = t
            self.outbox += [c.Get(what) for what in missing]

    def _readiness(self, silence: str) -> Iterator[e.Event]:
        missing = [what for kind, (_, what) in _LISTS.items() if kind not in self._complete]
        problem = silence or (f"no list of {', '.join(missing)} yet" if missing else "")
        problem = problem or ("" if self._order_server else "DAS has lost its order server")
        if (not problem) != self._is_ready and not self.is_refused:
            self._is_ready = not problem
            yield e.Link(self._is_ready, problem)


def _event(row: Line) -> e.Event:
    """A row of a list, or of the same kind by itself, as the desk's event."""
    if isinstance(row, m.Order):
        return e.OrderState(row.order_id, row.token, row.symbol, row.side, row.qty, row.left,
                            row.canceled, row.status, row.source in (None, "CMDAPI"))  # fmt: skip
    if isinstance(row, m.Position):
        initial = -abs(row.initial_qty) if row.kind == m.SHORT else row.initial_qty
        return e.Holding(row.symbol, row.net, row.average, initial)
    assert isinstance(row, m.Trade | m.WatchTrade)
    liquidity, fee = (row.liquidity or "", row.fee) if isinstance(row, m.Trade) else ("", None)
    return e.Fill(row.trade_id, row.order_id, row.symbol, row.side, row.qty, row.price, row.time,
                  row.route, liquidity, fee)  # fmt: skip
