"""The vendor's WebSocket: trades, quotes, bars and halts as they happen, and what went missing.

A thread reads and decodes, so that the server never finds its client slow; who uses the feed takes
batches in order of arrival. After a broken connection what was missed is fetched over REST, and so
is a minute whose prints do not add up to its bar. A print that came already is dropped; one that
is older than the newest of its ticker keeps its place in the order of arrival and is marked late.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec
import polars as pl
from msgspec import Struct
from pydantic import SecretStr
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from smallcaps_assets.sources.errors import SourceError, Unauthorized

BACK_OFF = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds
_REMEMBERED = 20_000  # prints, to know which came already
_POLL = 0.25
MINUTE, MS = 60_000, 1_000_000


class _Message(Struct, tag_field="ev", frozen=True, gc=False):
    """An object of a frame."""


class Print(_Message, tag="T", frozen=True, gc=False):
    """A trade; t in ms of SIP time, q grows by ticker with gaps."""

    sym: str
    p: float
    s: float
    t: int
    x: int = 0
    i: str = ""
    z: int = 0
    c: tuple[int, ...] = ()
    q: int = 0
    ds: str | None = None
    trfi: int | None = None
    trft: int | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        return self.sym, self.t, self.q, self.x, self.i

    @property
    def size(self) -> float:
        """Shares, with their fraction where there is one."""
        return float(self.ds) if self.ds is not None else self.s


class Nbbo(_Message, tag="Q", frozen=True, gc=False):
    """A best bid and ask; a side without an offer is missing or zero. Sizes as the vendor has
    them, round lots or shares."""

    sym: str
    t: int
    bp: float = 0.0
    bs: float = 0.0
    ap: float = 0.0
    as_: float = msgspec.field(default=0.0, name="as")
    bx: int = 0
    ax: int = 0
    c: int = 0
    i: tuple[int, ...] = ()
    q: int = 0
    z: int = 0

    @property
    def key(self) -> tuple[Any, ...]:
        return self.sym, self.t, self.q, self.bx, self.ax


class _Bar(_Message, frozen=True, gc=False):
    sym: str
    v: float
    s: int
    e: int
    o: float
    c: float
    h: float
    l: float  # noqa: E741
    av: float = 0.0
    op: float | None = None
    vw: float | None = None
    a: float | None = None
    z: float | None = None


class SecondBar(_Bar, tag="A", frozen=True, gc=False):
    """A bar of a second, s to e in ms."""


class MinuteBar(_Bar, tag="AM", frozen=True, gc=False):
    """A bar of a minute."""


class Band(_Message, tag="LULD", frozen=True, gc=False):
    """Price bands; indicator 17 is a halt, 18 a resumption, of Nasdaq-listed names."""

    T: str
    t: int
    h: float = 0.0
    l: float = 0.0  # noqa: E741
    i: tuple[int, ...] = ()
    q: int = 0
    z: int = 0


class Status(_Message, tag="status", frozen=True, gc=False):
    """The server's word on the connection."""

    status: str
    message: str = ""


Message = Print | Nbbo | SecondBar | MinuteBar | Band | Status
_frames = msgspec.json.Decoder(list[Message])
_objects = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(Message)


class Batch(Struct, frozen=True):
    """Messages that came together at `at`, UTC ns; those of `late` are older than one before.

    `is_filled` when they were missed and fetched over REST.
    """

    at: int
    messages: tuple[Message, ...]
    late: frozenset[int] = frozenset()
    is_filled: bool = False


class History(Protocol):
    """Where what was missed is fetched: the REST client."""

    def trades_between(self, ticker: str, start: int, end: int) -> pl.DataFrame: ...

    def quotes_between(self, ticker: str, start: int, end: int) -> pl.DataFrame: ...


class Stream:
    """A subscription that lasts: `put` gets every batch, from a thread of its own.

    `counts` tells of a print whether it is in the volume of bars; without it minutes are not
    checked against their prints. `problem` is empty while all is well; a refused key is final.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr,
        topics: Iterable[str],
        put: Callable[[Batch], None],
        history: History | None = None,
        counts: Callable[[Print], bool] | None = None,
        clock: Callable[[], int] = time.time_ns,
        back_off: tuple[float, ...] = BACK_OFF,
    ) -> None:
        self._url, self._key, self._topics = url, key, tuple(topics)
        self._put, self._history, self._counts = put, history, counts
        self._clock, self._back_off = clock, back_off
        self.received: Counter[str] = Counter()
        """By event, and what was duplicate, late, unreadable, filled, or a gap; `unfilled` are gaps
        of a ticker that could not be fetched."""
        self.problem, self.last_at, self.is_refused = "not connected yet", 0, False
        self._frames: queue.SimpleQueue[tuple[int, bytes | None]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._seen: set[tuple[Any, ...]] = set()
        self._order: deque[tuple[Any, ...]] = deque()
        self._newest: dict[tuple[str, str], int] = {}
        self._volumes: Counter[tuple[str, int]] = Counter()
        self._has_missed = False
        self._threads = [
            threading.Thread(target=target, name="stream", daemon=True)
            for target in (self._live, self._tell_all)
        ]

    def start(self) -> Stream:
        """Connect, and go on connecting, in the background."""
        for thread in self._threads:
            thread.start()
        return self

    def close(self) -> None:
        """End; what has come already is told first."""
        self._ended.set()
        for thread in self._threads:
            thread.join(10)

    def age(self) -> float:
        """Seconds since anything came; infinite before."""
        return (self._clock() - self.last_at) / 1e9 if self.last_at else float("inf")

    # Reading

    def _live(self) -> None:
        attempt = 0
        while not self._ended.is_set() and not self.is_refused:
            try:
                with connect(self._url, compression=None, max_size=None) as connection:
                    self._log_in(connection)
                    attempt, self.problem = 0, ""
                    self._read(connection)
            except Unauthorized as refusal:
                self.is_refused, self.problem = True, str(refusal)
            except (OSError, WebSocketException) as error:
                self.problem = f"{type(error).__name__}: {error}".rstrip(": ")
            wait = self._back_off[min(attempt, len(self._back_off) - 1)]
            attempt += 1
            self._ended.wait(0 if self.is_refused else wait)
        self._frames.put((0, None))

    def _log_in(self, connection: ClientConnection) -> None:
        """The handshake, frame by frame. Raises Unauthorized for a refused key."""
        self._expect(connection, "connected")
        connection.send(_action("auth", self._key.get_secret_value()))
        self._expect(connection, "auth_success")
        if self._newest:
            self._frames.put((0, b""))  # from here on something was missed
        connection.send(_action("subscribe", ",".join(self._topics)))

    def _expect(self, connection: ClientConnection, status: str) -> None:
        found = _frames.decode(connection.recv(timeout=10))[0]
        told = found if isinstance(found, Status) else Status("nothing")
        if told.status == "auth_failed":
            raise Unauthorized("the key was refused", remedy="check the key of the live feed")
        if told.status != status:
            raise ConnectionError(f"{told.status}: {told.message}, not {status}")

    def _read(self, connection: ClientConnection) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                frame = connection.recv(timeout=_POLL, decode=False)
                self.last_at = self._clock()
                self._frames.put((self.last_at, bytes(frame)))

    # Telling

    def _tell_all(self) -> None:
        while True:
            at, frame = self._frames.get()
            if frame is None:
                return
            if frame:
                self._tell(at, self._decode(frame))
            else:
                self._has_missed = True

    def _decode(self, frame: bytes) -> list[Message]:
        """The objects of a frame; of a damaged or unknown one the others."""
        try:
            return _frames.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return list(self._readable(frame))

    def _readable(self, frame: bytes) -> Iterator[Message]:
        try:
            objects = _objects.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            objects = [msgspec.Raw(b"")]
        for text in objects:
            try:
                yield _object.decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.received["unreadable"] += 1

    def _tell(self, at: int, messages: list[Message]) -> None:
        times = [m.t for m in messages if isinstance(m, Print | Nbbo)]
        if self._has_missed and times:
            self._has_missed = False
            self.received["gap"] += 1
            for event, ticker in sorted(self._newest):
                self._fill(event, ticker, self._newest[event, ticker], min(times))
        told, late = [], set()
        for message in messages:
            self.received[message.__struct_config__.tag] += 1  # type: ignore[index]
            if isinstance(message, MinuteBar):
                self._check_minute(at, message, told, late)
            if isinstance(message, Status):
                self._heed(message)
            elif self._is_new(message):
                if self._is_late(message):
                    late.add(len(told))
                told.append(message)
        if told:
            self._put(Batch(at, tuple(told), frozenset(late)))

    def _heed(self, status: Status) -> None:
        """Statuses that are no good news; the server closes by itself."""
        if status.status not in ("connected", "auth_success", "success"):
            self.problem = f"{status.status}: {status.message}"

    def _is_new(self, message: Message) -> bool:
        """False for a print or quote that came already."""
        if not isinstance(message, Print | Nbbo):
            return True
        key = (type(message), *message.key)
        if key in self._seen:
            self.received["duplicate"] += 1
            return False
        self._seen.add(key)
        self._order.append(key)
        if len(self._order) > _REMEMBERED:
            self._seen.discard(self._order.popleft())
        if isinstance(message, Print) and self._counts is not None and self._counts(message):
            self._volumes[message.sym, message.t // MINUTE] += message.size  # type: ignore[assignment]
        return True

    def _is_late(self, message: Message) -> bool:
        """Whether a newer one of its ticker and kind came before."""
        if not isinstance(message, Print | Nbbo):
            return False
        name = "T" if isinstance(message, Print) else "Q", message.sym
        newest = self._newest.get(name, 0)
        self._newest[name] = max(newest, message.t)
        self.received["late"] += message.t < newest
        return message.t < newest

    def _check_minute(self, at: int, bar: MinuteBar, told: list[Message], late: set[int]) -> None:
        """Fetch a minute whose prints do not add up to its bar; what came before is told first."""
        found = self._volumes.pop((bar.sym, bar.s // MINUTE), 0)
        if self._counts is None or ("T", bar.sym) not in self._newest or found >= int(bar.v):
            return
        if told:
            self._put(Batch(at, tuple(told), frozenset(late)))
            told.clear()
            late.clear()
        self.received["gap"] += 1
        for event in ("T", "Q"):
            if (event, bar.sym) in self._newest:
                self._fill(event, bar.sym, bar.s, bar.e)

    def _fill(self, event: str, ticker: str, start: int, end: int) -> None:
        """Fetch what was missed of one ticker, from `start` to before `end`, ms, and tell it."""
        if self._history is None or start >= end:
            return
        try:
            if event == "T":
                rows = self._history.trades_between(ticker, start * MS, end * MS)
                found: list[Message] = [_print(ticker, row) for row in rows.to_dicts()]
            else:
                rows = self._history.quotes_between(ticker, start * MS, end * MS)
                found = [_nbbo(ticker, row) for row in rows.to_dicts()]
        except SourceError as error:
            self.problem = f"what was missed of {ticker} can't be fetched: {error}"
            self.received["unfilled"] += 1  # which lasts, as the problem's text does not
            return
        fresh = tuple(message for message in found if self._is_new(message))
        for message in fresh:
            self._is_late(message)
        self.received["filled"] += len(fresh)
        if fresh:
            self._put(Batch(self._clock(), fresh, is_filled=True))


def _action(action: str, params: str) -> str:
    return msgspec.json.encode({"action": action, "params": params}).decode()


def _ids(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in (text or "").strip("[] ").split(",") if part.strip())


def _print(ticker: str, row: dict[str, Any]) -> Print:
    """A trade of REST as the stream has it."""
    ms = {name: row[name] and row[name] // MS for name in ("sip_timestamp", "trf_timestamp")}
    decimal = row.get("decimal_size")
    return Print(ticker, row["price"], row["size"] or 0.0, ms["sip_timestamp"], row["exchange"],
                 row["id"] or "", row["tape"] or 0, _ids(row["conditions"]),
                 row["sequence_number"], None if decimal is None else str(decimal),
                 row["trf_id"] or None, ms["trf_timestamp"] or None)  # fmt: skip


def _nbbo(ticker: str, row: dict[str, Any]) -> Nbbo:
    """A quote of REST as the stream has it."""
    return Nbbo(ticker, row["sip_timestamp"] // MS, row["bid_price"] or 0.0, row["bid_size"] or 0.0,
                row["ask_price"] or 0.0, row["ask_size"] or 0.0, row["bid_exchange"] or 0,
                row["ask_exchange"] or 0, (*_ids(row["conditions"]), 0)[0],
                _ids(row["indicators"]), row["sequence_number"], row["tape"] or 0)  # fmt: skip
