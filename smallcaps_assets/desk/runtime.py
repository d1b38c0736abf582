"""Runs a desk: takes events from its inbox, and carries out actions in their order.

The only place where the desk meets the clock, the journal and the broker. Before a command is
sent, the journal is flushed to the disk; when it can't be, nothing is sent and what rests at the
broker stays.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.broker import Broker, NotConnectedError
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.events import Action, Event, Level, Record, Send
from smallcaps_assets.desk.journal import Journal

BEAT = 0.25  # seconds between two looks at the clock and the kill switch


class Runtime:
    """A desk at work. `put` may be called from any thread, the rest from one."""

    def __init__(
        self,
        desk: Desk,
        journal: Journal,
        control: Control,
        clock: Callable[[], int] = time.time_ns,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.desk, self.journal, self.control = desk, journal, control
        self.broker: Broker | None = None
        self._clock, self._tell = clock, tell
        self._inbox: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self._accepted: dict[str, int] = control.read().accepted
        self._beat_at = self._flushed_at = 0.0
        self._thrown_at = 0  # a switch read as lower counts only if it was reset after this

    def recover(self) -> None:
        """Take up what the journal holds. Orders are only believed once the broker has spoken."""
        for entry in self.journal.entries:
            self.desk.restore(entry.t, entry.kind, entry.data)
        t = self._clock()
        told = {
            "orders": len(self.desk.orders),
            "torn": self.journal.torn.decode("utf-8", "replace"),
        }
        self.journal.append(t, "start", told)
        if self.journal.torn:
            self._tell(f"the journal's last line was torn and is cut off: {told['torn']!r}")
        self.journal.flush()

    def put(self, event: Event) -> None:
        """Take an event, which came now."""
        self._inbox.put((self._clock(), event))

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until `is_over`, which is asked after each event and beat."""
        while not is_over():
            try:
                t, event = self._inbox.get(timeout=BEAT / 2)
                self.step(t, event)
            except queue.Empty:
                pass
            if time.monotonic() - self._beat_at >= BEAT:
                self.beat()

    def beat(self) -> None:
        """Look at the switch, let time pass, and flush what acknowledgements have left."""
        self._beat_at = time.monotonic()
        t = self._clock()
        state = self.control.read()
        level = state.level if state.at >= self._thrown_at else max(state.level, self.desk.level)
        self._thrown_at = max(self._thrown_at, state.at)
        if level != self.desk.level:
            self.step(t, e.Killed(level, state.reason))
            self.control.hear(level)
        for symbol, at in state.accepted.items():
            if self._accepted.get(symbol) != at:
                self.step(t, e.Accepted(symbol))
        self._accepted = state.accepted
        if self.desk.level == Level.HARD and self.broker is not None:
            self.broker.drop_writes()
        self.step(t, e.Beat())
        if self._beat_at - self._flushed_at >= 1:
            self._flushed_at = self._beat_at
            self._write(self.journal.flush)

    def step(self, t: int, event: Event) -> None:
        """Handle one event and what follows from it at once."""
        pending = deque([event])
        while pending:
            for action in self.desk.handle(t, pending.popleft()):
                pending.extend(self._carry_out(t, action))
        self._write(self.journal.push)

    def _carry_out(self, t: int, action: Action) -> Iterator[Event]:
        if isinstance(action, Record):
            self.journal.append(t, action.kind, action.data)
            if action.kind == "alert":
                self._tell(action.data["text"])
        elif isinstance(action, Send):
            yield from self._send(action)
        elif isinstance(action, e.Raise):
            self._thrown_at = t
            with contextlib.suppress(OSError):  # in memory it is thrown in any case
                self.control.throw(action.level, action.reason, t)
        elif self.broker is not None:
            self.broker.sweep()

    def _send(self, send: Send) -> Iterator[Event]:
        """Flush, then send: what the broker may know of is in the journal first."""
        sent: Event | None = None
        if not self._write(self.journal.flush):
            error = "the journal can't be written"
            sent = None if send.token is None else e.NotSent(send.token, error)
        else:
            sent = self._hand_over(send)
        if sent is not None:
            yield sent

    def _hand_over(self, send: Send) -> Event | None:
        token = send.token
        try:
            if self.broker is None:
                raise NotConnectedError("there is no broker")
            self.broker.send(send.command)
        except NotConnectedError as error:
            text = f"not sent: {send.command.line()}: {error}"
            return e.Shown(text) if token is None else e.NotSent(token, str(error))
        except OSError as error:
            text = f"unsure whether sent: {send.command.line()}: {error}"
            return e.Shown(text) if token is None else e.Sent(token, str(error))
        return None if token is None else e.Sent(token)

    def _write(self, write: Callable[[], None]) -> bool:
        """Push or flush the journal; the desk learns when that begins or ceases to fail."""
        try:
            write()
        except OSError as error:
            if self.desk.is_writable:
                told = f"nothing is sent while the journal can't be written: {error}"
                self._announce(e.JournalState(False, told))
            return False
        if not self.desk.is_writable:
            self._announce(e.JournalState(True, "the journal can be written again"))
        return True

    def _announce(self, state: e.JournalState) -> None:
        for action in self.desk.handle(self._clock(), state):
            list(self._carry_out(self._clock(), action))
