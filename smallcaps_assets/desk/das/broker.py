"""The bridge to DAS over TCP: one connection, read by a thread, made anew when it ends.

A refused login is not tried again. Without a `Permission` the session is read-only: it logs in to
watch, and no command that changes something leaves it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

from msgspec import Struct

from smallcaps_assets.desk.broker import NotConnectedError
from smallcaps_assets.desk.das.commands import Login, Quit, is_mutating, shown
from smallcaps_assets.desk.das.session import Session
from smallcaps_assets.desk.das.words import Line, Lines
from smallcaps_assets.desk.events import Event, Link

BACK_OFF = (2.0, 4.0, 8.0, 16.0, 30.0)
_TIMEOUT, _POLL = 5.0, 0.1


class PermissionRefusedError(ValueError):
    """Live orders were asked for without all that they need."""


class Permission(Struct, frozen=True):
    """That orders may be sent for an account; made by `permit` alone."""

    account: str


def permit(account: str, allowed: tuple[str, ...], is_live: bool, typed: str) -> Permission:
    """Permission to send orders: the flag, the account on the list, and its name typed by a person.

    Raises PermissionRefusedError naming what is missing.
    """
    if not is_live:
        raise PermissionRefusedError("orders are not sent without --live")
    if account not in allowed:
        listed = ", ".join(allowed) or "none"
        raise PermissionRefusedError(
            f"account {account!r} is not among desk.accounts ({listed}); add it there"
        )
    if typed != account:
        raise PermissionRefusedError(f"typed {typed!r}, not the account {account!r}; nothing sent")
    return Permission(account)


class DasBroker:
    """Implements `Broker`. What DAS says goes to `put` as events, from a thread of its own, and to
    `hear` as it came."""

    def __init__(
        self,
        address: tuple[str, int],
        login: Login,
        put: Callable[[Event], None],
        permission: Permission | None = None,
        back_off: tuple[float, ...] = BACK_OFF,
        clock: Callable[[], int] = time.time_ns,
        hear: Callable[[str], None] = lambda line: None,
    ) -> None:
        is_permitted = permission is not None and permission.account == login.account
        self._permission = permission if is_permitted else None
        watch = 0 if self._permission else 1
        self._login = Login(login.trader, login.password, login.account, watch)
        self._address, self._put, self._back_off, self._clock = address, put, back_off, clock
        self._hear = hear
        self._socket: socket.socket | None = None
        self._session: Session | None = None
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._has_dropped = False
        self._thread = threading.Thread(target=self._live, name="das", daemon=True)

    def start(self) -> DasBroker:
        """Connect, and go on connecting, in the background."""
        self._thread.start()
        return self

    def send(self, command: Line) -> None:
        """As in Broker; the line is checked once more before it is written."""
        line = command.line()
        if is_mutating(command) and self._permission is None:
            raise NotConnectedError("this session only watches")
        with self._writing:
            if self._socket is None or self._has_dropped:
                raise NotConnectedError("no connection" if not self._has_dropped else "dropped")
            try:
                self._socket.sendall(f"{line}\r\n".encode("ascii"))
            except OSError:  # half a line may be there, to which the next would be joined
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                raise

    def sweep(self) -> None:
        """As in Broker; a connection that is down has its lists sent anew when it is back."""
        session = self._session
        for command in session.sweep(self._clock()) if session is not None else ():
            with contextlib.suppress(OSError):
                self.send(command)

    def drop_writes(self) -> None:
        with self._writing:
            if not self._has_dropped and self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
            self._has_dropped = True

    def close(self) -> None:
        """Say goodbye and end; what rests at the broker stays."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self.send(Quit())
        with self._writing:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT)

    def _live(self) -> None:
        attempt = 0
        while not self._ended.is_set():
            session = Session(self._login, self._clock())
            was_ready = self._connect(session)
            if session.is_refused or self._has_dropped:
                return
            attempt = 0 if was_ready else attempt + 1
            self._ended.wait(self._back_off[min(attempt, len(self._back_off) - 1)])

    def _connect(self, session: Session) -> bool:
        """One connection, to its end. Whether it was ever ready."""
        try:
            with socket.create_connection(self._address, _TIMEOUT) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._writing:
                    self._socket, self._session = connection, session
                return self._read(connection, session)
        except OSError as error:
            self._put(Link(False, f"{self._address[0]}:{self._address[1]}: {error}"))
            return False
        finally:
            with self._writing:
                self._socket = self._session = None

    def _read(self, connection: socket.socket, session: Session) -> bool:
        lines, was_ready = Lines(), False
        while not self._ended.is_set() and not session.is_refused:
            if select.select([connection], [], [], _POLL)[0]:
                data = connection.recv(1 << 16)
                if not data:
                    raise ConnectionError(f"closed by DAS{_cut(lines)}")
                for text in lines.feed(data):
                    if not text.upper().startswith("LOGIN"):  # an echo, with the password in it
                        self._hear(text)
                    was_ready |= self._tell(session.receive(text, self._clock()))
            was_ready |= self._tell(session.tick(self._clock()))
            while session.outbox:
                self.send(session.outbox.pop(0))
        return was_ready

    def _tell(self, events: list[Event]) -> bool:
        for event in events:
            self._put(event)
        return any(isinstance(event, Link) and event.is_ready for event in events)

    def __repr__(self) -> str:
        return f"DasBroker({self._address}, {shown(self._login)!r})"


def _cut(lines: Lines) -> str:
    rest = lines.cut()
    return f", in the middle of {rest!r}" if rest else ""
