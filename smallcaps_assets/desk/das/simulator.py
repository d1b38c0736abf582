"""DAS on loopback: a TCP server that speaks its protocol over a matching core behind an interface.

It keeps orders, trades and positions across connections, as DAS does, differs as its `Dialect`
says, and misbehaves on request. What fills and at which price is the matching core's business.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from smallcaps_assets.desk.das import commands as c
from smallcaps_assets.desk.das import messages as m
from smallcaps_assets.desk.das.dialect import Dialect
from smallcaps_assets.desk.das.words import Line, LineError, Lines
from smallcaps_assets.desk.events import SIGN

_LIVE = ("Hold", "Sending", "Accepted", "Partial", "Triggered")
_LISTED = {"POSITIONS": "POS", "ORDERS": "Order", "TRADES": "Trade", "LOCATES": "SLOrder"}
_WORDS = {"B": "Buy", "S": "Sell", "SS": "Shrt"}


class Outcome(Struct, frozen=True):
    """What the matching core decides of an order; `qty` and `price` are of an execution."""

    kind: Literal["accept", "reject", "fill", "cancel", "cancel_reject"]
    qty: int = 0
    price: Decimal = Decimal(0)
    text: str = ""
    liquidity: str = "-"
    fee: Decimal = Decimal(0)


class Matching(Protocol):
    """A matching core. Fills that come later go to `DasSimulator.apply`."""

    def submit(self, order: m.Order, command: c.NewOrder) -> Iterable[Outcome]:
        """Outcomes of a new order at once."""
        ...

    def cancel(self, order: m.Order) -> Iterable[Outcome]:
        """Outcomes of the wish to cancel: a cancel, a refusal, or a fill that was faster."""
        ...

    def replace(self, order: m.Order) -> Iterable[Outcome]:
        """Outcomes of an order whose shares or price were changed."""
        ...


Fault = Literal["drop_before", "drop_after", "send_reject", "timeout", "mute", "half"]


class DasSimulator:
    """A server on 127.0.0.1. Use as a context manager.

    `received` is every line that came but logins; `faults[verb]` are taken one per such command:
    the connection ends before or after the command counts, it is answered by Send_Rej or TimeOut
    and yet counts (or not), nothing is answered, or the answer is cut in the middle of a line.
    """

    def __init__(
        self,
        matching: Matching,
        dialect: Dialect | None = None,
        account: str = "SIM1",
        password: str = "simulated",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.dialect, self.account, self._password = dialect or Dialect(), account, password
        self.matching, self._wall = matching, wall
        self.received: list[str] = []
        self.logins = 0
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.orders: dict[int, m.Order] = {}
        self.trades: list[m.Trade] = []
        self.positions: dict[str, m.Position] = {}
        self.locates: dict[int, m.LocateOrder] = {}
        self.facts: dict[tuple[str, str], Line] = {}
        """Answers to GET by (what, symbol), such as ("SHORTINFO", "ABCD")."""
        self.is_frozen = self._is_mute = False
        self._ids = 1000
        self._lock = threading.RLock()
        self._clients: dict[socket.socket, bool] = {}
        self._server = socket.create_server(("127.0.0.1", 0))
        self._is_over = False

    @property
    def address(self) -> tuple[str, int]:
        return self._server.getsockname()[:2]

    def __enter__(self) -> DasSimulator:
        threading.Thread(target=self._accept, name="das-simulator", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.disconnect()

    def disconnect(self) -> None:
        """End every connection, as a platform that is closed."""
        with self._lock:
            for client in list(self._clients):
                _hang_up(client)
            self._clients.clear()

    def net(self, symbol: str) -> int:
        """Shares held, negative when short."""
        return self.positions[symbol].net if symbol in self.positions else 0

    def say(self, *texts: str) -> None:
        """Send lines to every client that is logged in."""
        with self._lock:
            for client in [s for s, is_in in self._clients.items() if is_in]:
                self._write(client, *texts)

    def apply(self, order_id: int, outcomes: Iterable[Outcome]) -> None:
        """Let outcomes happen to an order, and tell."""
        with self._lock:
            for outcome in outcomes:
                self._happen(order_id, outcome)

    def place_by_hand(self, command: c.NewOrder) -> int:
        """An order from the montage, which is not the desk's. Its id."""
        with self._lock:
            return self._new_order(replace(command, token=0), "MONTAGE")

    # Connections

    def _accept(self) -> None:
        while not self._is_over:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._clients[client] = False
            if self.dialect.has_banner:
                banner = "#Welcome to DAS Command API", "#Please login to continue."
                self._write(client, *banner)
        lines = Lines()
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                for text in lines.feed(data):
                    while self.is_frozen and not self._is_over:
                        time.sleep(0.01)
                    with self._lock:
                        if client in self._clients:
                            self._obey(client, text)
        with self._lock:
            self._clients.pop(client, None)
        _hang_up(client)

    def _write(self, client: socket.socket, *texts: str) -> None:
        if self._is_mute:
            return
        end = self.dialect.line_end
        with contextlib.suppress(OSError):
            client.sendall("".join(text + end for text in texts).encode())

    def _obey(self, client: socket.socket, text: str) -> None:
        """One command, with the fault that is planned for it."""
        verb = text.partition(" ")[0].upper()
        if verb != "LOGIN":
            self.received.append(text)
        fault = self.faults[verb].popleft() if self.faults[verb] else None
        if fault == "drop_before":
            return self._drop(client)
        try:
            command = c.parse_command(text)
        except LineError as problem:
            return self._write(client, str(problem))
        if fault in ("send_reject", "timeout", "mute", "half"):
            return self._misbehave(client, command, fault)
        self._answer(client, command)
        return self._drop(client) if fault == "drop_after" else None

    def _drop(self, client: socket.socket) -> None:
        self._clients.pop(client, None)
        _hang_up(client)

    def _misbehave(self, client: socket.socket, command: Line, fault: Fault) -> None:
        """TimeOut and a mute server take the order all the same; Send_Rej does not."""
        if fault == "half":
            self._write(client, "%ORDER 8101 1325")
            return self._drop(client)
        if fault != "send_reject":
            self._is_mute = True
            self._answer(client, command)
            self._is_mute = False
        if fault != "mute" and isinstance(command, c.NewOrder):
            action = "Send_Rej" if fault == "send_reject" else "TimeOut"
            act = m.OrderAct(0, action, _word(command.side), command.symbol, command.qty, None,
                             command.route, self._time(), "no answer", command.token)  # fmt: skip
            self._write(client, act.line())
        return None

    # Commands

    def _answer(self, client: socket.socket, command: Line) -> None:
        if isinstance(command, c.Login):
            return self._log_in(client, command)
        if not self._clients.get(client) and not isinstance(command, c.Quit | c.Echo):
            return self._write(client, "#Please login to continue.")
        if isinstance(command, c.NewOrder):
            self._new_order(command, "CMDAPI")
        elif isinstance(command, c.Cancel):
            self._cancel([command.order_id])
        elif isinstance(command, c.CancelAll | c.CancelSymbol):
            symbol = getattr(command, "symbol", None)
            self._cancel([i for i, o in self.orders.items() if symbol in (None, o.symbol)])
        elif isinstance(command, c.Replace):
            self._replace(command)
        elif isinstance(command, c.LocateNew):
            self._locate(command)
        else:
            self._write(client, *self._told(command))
        return None

    def _log_in(self, client: socket.socket, login: c.Login) -> None:
        self.logins += 1
        if (login.password, login.account) != (self._password, self.account):
            return self._write(client, "ERROR:INVALID PASSWORD")
        self._clients[client] = True
        lists = [line for kind in ("POS", "Order", "Trade") for line in self._list(kind)]
        return self._write(client, "#LOGIN SUCCESSED", "#OrderServer:Logon:Successful", *lists)

    def _told(self, command: Line) -> list[str]:
        """Lines that answer a question."""
        if isinstance(command, c.Get | c.Refresh | c.Subscribe):
            return self._look_up(command)
        if isinstance(command, c.Echo):
            return [self.dialect.echo] if self.dialect.echo and command.mode is None else []
        if isinstance(command, c.CountClients):
            return [f"Client {len(self._clients)}"]
        if isinstance(command, c.LocateInquire):
            price, size = Decimal("0.01"), command.shares
            return [m.LocatePrice(1, command.symbol, price, size, "LOC1", "", self.account).line()]
        return []

    def _look_up(self, command: c.Get | c.Refresh | c.Subscribe) -> list[str]:
        if isinstance(command, c.Get):
            what = command.what
        else:
            what = "POSITIONS" if isinstance(command, c.Refresh) else "LV1"
        if kind := _LISTED.get(what.upper()):
            return self._list(kind)
        fact = self.facts.get((what.upper(), getattr(command, "symbol", None) or ""))
        return [] if fact is None else [fact.line()]

    def _list(self, kind: str) -> list[str]:
        rows: Iterable[Line] = {
            "POS": self.positions.values(),
            "Order": self.orders.values(),
            "Trade": self.trades,
            "SLOrder": self.locates.values(),
        }[kind]
        head = [m.BlockStart(kind).line()] if self.dialect.has_headers else []
        end = [m.BlockEnd(kind).line()] if self.dialect.has_end_markers else []
        return [*head, *(self._text(row) for row in rows), *end]

    # Orders

    def _new_id(self) -> int:
        self._ids += 1
        return self._ids

    def _new_order(self, command: c.NewOrder, source: str) -> int:
        kind, values = command.price.kind, command.price.values
        shown = {"LMT": "L", "MKT": "M"}.get(kind, f"{kind}: {' '.join(map(str, values))}")
        order = m.Order(
            self._new_id(), command.token, command.symbol, command.side, shown, command.qty,
            command.qty, 0, values[-1] if values else None, command.route, "Sending", self._time(),
            "0", self.account, "TRD1", source, command.tif, "N/A",
        )  # fmt: skip
        self.orders[order.order_id] = order
        self.say(self._act(order, "Sending"), self._text(order))
        self.apply(order.order_id, self.matching.submit(order, command))
        return order.order_id

    def _cancel(self, order_ids: Iterable[int]) -> None:
        for order in [self.orders[i] for i in order_ids if i in self.orders]:
            if order.status in _LIVE:
                self.say(self._act(order, "Canceling"))
                self.apply(order.order_id, self.matching.cancel(order))

    def _replace(self, command: c.Replace) -> None:
        order = self.orders.get(command.order_id)
        if order is None or order.status not in _LIVE:
            return
        filled = order.filled
        left = command.qty if self.dialect.replaces == "open" else max(command.qty - filled, 0)
        price = command.price.values[-1] if command.price.values else None
        after = replace(order, left=left, qty=filled + left + (order.canceled or 0), price=price)
        self.orders[order.order_id] = after
        self.say(self._act(after, "Replaced"), self._text(after))
        self.apply(order.order_id, self.matching.replace(after))

    def _locate(self, command: c.LocateNew) -> None:
        found = m.LocateOrder(self._new_id(), command.symbol, command.shares, 0, command.shares,
                              command.price or Decimal("0.01"), "Located", command.route,
                              self._time(), Decimal(0), command.token, "")  # fmt: skip
        self.locates[found.locate_id] = found
        self.say(found.line())

    def _happen(self, order_id: int, outcome: Outcome) -> None:
        order = self.orders[order_id]
        if outcome.kind == "fill" and order.left:
            return self._fill(order, outcome)
        if outcome.kind == "cancel_reject":
            return self.say(self._act(order, "CancelRej", outcome.text))
        if order.status not in _LIVE or outcome.kind == "fill":
            return None
        status, action, left = {
            "accept": ("Accepted", "Accept", order.left),
            "reject": ("Rejected", "Send_Rej", 0),
            "cancel": ("Canceled", "Canceled", 0),
        }[outcome.kind]
        gone = order.left - left
        after = replace(order, status=status, left=left, canceled=(order.canceled or 0) + gone)
        self.orders[order_id] = after
        return self.say(self._act(after, action, outcome.text), self._text(after))

    def _fill(self, order: m.Order, outcome: Outcome) -> None:
        qty = min(outcome.qty, order.left)
        left = order.left - qty
        after = replace(order, left=left, status="Partial" if left else "Executed")
        trade = m.Trade(self._new_id(), order.symbol, order.side, qty, outcome.price, order.route,
                        self._time(), order.order_id, outcome.liquidity, outcome.fee,
                        Decimal(0))  # fmt: skip
        self.orders[order.order_id] = after
        self.trades.append(trade)
        self.positions[order.symbol] = position = self._position(trade)
        act = self._act(replace(order, price=outcome.price), "Execute", qty=qty)
        told = {"act": act, "order": self._text(after), "trade": self._text(trade),
                "position": self._text(position)}  # fmt: skip
        self.say(*(told[part] for part in self.dialect.of_a_fill))

    def _position(self, trade: m.Trade) -> m.Position:
        old = self.positions.get(trade.symbol)
        net = (old.net if old else 0) + SIGN[trade.side] * trade.qty
        initial = (old.initial_qty, old.initial_price) if old else (0, Decimal(0))
        kind = m.SHORT if net < 0 else 2
        created = time.strftime("%Y/%m/%d-", time.localtime(self._wall())) + trade.time
        return m.Position(trade.symbol, kind, abs(net), trade.price, *initial, Decimal(0), created,
                          Decimal(0))  # fmt: skip

    # Lines

    def _time(self) -> str:
        return time.strftime("%H:%M:%S", time.localtime(self._wall()))

    def _act(self, order: m.Order, action: str, notes: str = "", qty: int = 0) -> str:
        shares, now = qty or order.qty, self._time()
        return m.OrderAct(order.order_id, action, _word(order.side), order.symbol, shares,
                          order.price, order.route, now, notes, order.token).line()  # fmt: skip

    def _text(self, row: Line) -> str:
        """A row in the dialect's layout."""
        dialect, words = self.dialect, row.line().split(" ")
        if isinstance(row, m.Order):
            if dialect.order_words == 13:
                return replace(row, token=None, canceled=None, source=None, tif=None,
                               preference=None).line()  # fmt: skip
            return " ".join(words if dialect.order_words == 18 else words[:-3])
        if isinstance(row, m.Position) and dialect.is_short_signed:
            words[3] = str(row.net)
        width = {m.Trade: dialect.trade_words, m.Position: dialect.position_words}
        return " ".join(words[: width.get(type(row), len(words)) + 1])


def _word(side: str) -> str:
    return _WORDS.get(side, side)


def _hang_up(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    client.close()
