"""The vendor's WebSocket on loopback: login, subscriptions, a session at speed x n, faults.

Each frame is a JSON array of objects, which `stream_rows.py` has made; statuses have `status` and
`message`. The session starts with the first subscription. A client that does not read fast enough
is closed, and what was sent meanwhile is not sent again, as at the vendor.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from smallcaps_assets.sandbox.config import DEFAULT_KEY, SandboxConfigError

PATH = "/stocks"
FRAME = 400  # objects; with some 250 bytes each well below a client's default of 1 MiB
SPAN = 5  # ms of the session that share a frame, when it runs slower than it can
FAULTS = {
    "gap": "so many objects are not sent",
    "duplicate": "so many objects are sent twice",
    "out_of_order": "so many objects are sent in reverse",
    "slow_consumer": "every client is told that it is too slow, and closed; so many objects pass",
    "abnormal_close": "every connection breaks; so many objects pass",
    "normal_close": "every connection is closed in order; so many objects pass",
    "auth_failed": "so many logins are refused",
}
_FAULT = re.compile(r"(\w+)@(\d+)(?:\*(\d+))?")
Row = tuple[int, str, str]


@dataclass(frozen=True)
class StreamFault:
    """Trouble from the object with the number `at` on, for `count` objects."""

    kind: str
    at: int
    count: int = 1


def parse_stream_fault(text: str) -> StreamFault:
    """A fault from `kind@object[*count]`. Raises SandboxConfigError that lists what is valid."""
    found = _FAULT.fullmatch(text.strip())
    if found is None or found[1] not in FAULTS:
        raise SandboxConfigError(
            f"cannot read the fault {text!r}; write kind@object[*count], with a kind out of"
            f" {', '.join(FAULTS)}"
        )
    return StreamFault(found[1], int(found[2]), int(found[3] or 1))


@dataclass(eq=False)
class _Client:
    connection: ServerConnection
    queue: asyncio.Queue[str]
    topics: set[str] = field(default_factory=set)

    def wants(self, topic: str) -> bool:
        event = topic.partition(".")[0]
        return not self.topics.isdisjoint((topic, f"{event}.*", "*"))


class StreamServer:
    """Serves rows of `stream_rows` on 127.0.0.1, in a thread. Use as a context manager.

    `speed` is a factor on the session's own pace; None as fast as clients read; 0 only what `step`
    lets go. `buffer` frames may wait for a client.
    """

    def __init__(
        self,
        rows: pl.DataFrame,
        speed: float | None = 1.0,
        key: str = DEFAULT_KEY,
        faults: Iterable[str] = (),
        port: int = 0,
        buffer: int = 1000,
    ) -> None:
        self._rows: list[Row] = list(rows.select("at", "topic", "json").iter_rows())
        self._speed, self._key, self._port, self._buffer = speed, key, port, buffer
        self._faults = [parse_stream_fault(text) for text in faults]
        self._clients: list[_Client] = []
        self._loop = asyncio.new_event_loop()
        self._granted = 0
        self._next = 0
        self._logins = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._stop: asyncio.Event | None = None
        self._moved: asyncio.Event | None = None
        self.is_finished = threading.Event()

    @property
    def feed(self) -> str:
        """Host and port, as the vendor's client takes it."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> StreamServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def step(self, count: int) -> None:
        """Let so many more objects go; with speed 0."""

        def grant() -> None:
            assert self._moved is not None
            self._granted += count
            self._moved.set()

        self._loop.call_soon_threadsafe(grant)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop, self._moved = asyncio.Event(), asyncio.Event()
        async with serve(self._talk, "127.0.0.1", self._port, compression=None) as server:
            self._port = _port_of(server)
            self._ready.set()
            play = asyncio.create_task(self._play())
            await self._stop.wait()
            play.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await play

    async def _talk(self, connection: ServerConnection) -> None:
        """One client, from its welcome to its end."""
        await connection.send(_status("connected", "Connected Successfully"))
        client = _Client(connection, asyncio.Queue(self._buffer))
        writer = asyncio.create_task(self._write(client))
        try:
            async for text in connection:
                if not await self._obey(client, text):
                    break
        except ConnectionClosed:
            pass
        finally:
            if client in self._clients:
                self._clients.remove(client)
            writer.cancel()

    async def _obey(self, client: _Client, text: str | bytes) -> bool:
        """Carry out one action; False ends the connection."""
        assert self._moved is not None
        try:
            told: dict[str, Any] = json.loads(text)
            action, params = told["action"], str(told["params"])
        except (ValueError, KeyError, TypeError):
            await client.connection.send(_status("error", "invalid message"))
            return True
        if action == "auth":
            return await self._log_in(client, params)
        if client not in self._clients:
            await client.connection.send(_status("auth_timeout", "not authenticated"))
            return False
        topics = {topic.strip() for topic in params.split(",") if topic.strip()}
        is_new = action == "subscribe"
        client.topics = client.topics | topics if is_new else client.topics - topics
        word = "subscribed to" if is_new else "unsubscribed to"
        statuses = [{"ev": "status", "status": "success", "message": f"{word}: {topic}"}
                    for topic in sorted(topics)]  # fmt: skip
        await client.connection.send(json.dumps(statuses))
        self._moved.set()
        return True

    async def _log_in(self, client: _Client, key: str) -> bool:
        self._logins += 1
        refused = sum(fault.count for fault in self._faults if fault.kind == "auth_failed")
        if key != self._key or self._logins <= refused:
            await client.connection.send(_status("auth_failed", "authentication failed"))
            return False
        await client.connection.send(_status("auth_success", "authenticated"))
        self._clients.append(client)
        return True

    async def _write(self, client: _Client) -> None:
        """Send what waits for a client, at the client's pace."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.connection.send(await client.queue.get())

    async def _play(self) -> None:
        """The session, from the first subscription to its end."""
        clock = self._loop.time
        began, first = 0.0, self._rows[0][0] if self._rows else 0
        while self._next < len(self._rows):
            await self._has_listener()
            began = began or clock()
            due = self._due()
            if self._speed:
                wait = began + (self._rows[self._next][0] - first) / 1000 / self._speed - clock()
                await asyncio.sleep(max(wait, 0))
            fault = next((f for f in self._faults if self._next <= f.at < due), None)
            if fault is None or fault.kind == "auth_failed":
                await self._send(self._rows[self._next : due])
                self._next = due
            else:
                await self._send(self._rows[self._next : fault.at])
                self._faults.remove(fault)
                await self._spoil(fault)
        self.is_finished.set()

    async def _has_listener(self) -> None:
        """Wait for a subscription, and where the session goes by step for a step."""
        assert self._moved is not None
        while not any(c.topics for c in self._clients) or (
            self._speed == 0 and self._granted <= self._next
        ):
            self._moved.clear()
            await self._moved.wait()

    def _due(self) -> int:
        """The object up to which the next frame goes."""
        end = min(self._next + FRAME, len(self._rows))
        if self._speed == 0:
            return min(end, self._granted)
        if self._speed is None:
            return end
        last = self._rows[self._next][0] + SPAN * self._speed
        while self._rows[end - 1][0] > last:
            end -= 1
        return end

    async def _spoil(self, fault: StreamFault) -> None:
        """One fault, on the rows from its own on."""
        end = fault.at + fault.count
        rows = self._rows[fault.at : end]
        self._next = min(end, len(self._rows))
        if fault.kind == "duplicate":
            await self._send([row for row in rows for _ in range(2)])
        elif fault.kind == "out_of_order":
            await self._send(rows[::-1])
        elif fault.kind != "gap":
            await self._hang_up(fault.kind)

    async def _hang_up(self, kind: str) -> None:
        for client in self._clients:
            while not client.queue.empty():  # what was sent before has still arrived
                await asyncio.sleep(0)
            if kind == "normal_close":
                await client.connection.close(1000)
            elif kind == "slow_consumer":
                await self._close_slow(client)
            else:
                await asyncio.sleep(0.02)
                client.connection.transport.abort()
        self._clients.clear()

    async def _close_slow(self, client: _Client) -> None:
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            text = _status("slow_consumer", "disconnected: you are not reading fast enough")
            await asyncio.wait_for(client.connection.send(text), 0.5)
            await asyncio.wait_for(client.connection.close(1008), 0.5)
        client.connection.transport.abort()

    async def _send(self, rows: list[Row]) -> None:
        """A frame to each client that wants something of it. Those that are full are closed."""
        for client in list(self._clients):
            objects = [text for _, topic, text in rows if client.wants(topic)]
            if not objects:
                continue
            frame = f"[{','.join(objects)}]"
            if self._speed is None:
                await client.queue.put(frame)
            elif client.queue.full():
                self._clients.remove(client)
                await self._close_slow(client)
            else:
                client.queue.put_nowait(frame)
        await asyncio.sleep(0)


def _status(status: str, message: str) -> str:
    return json.dumps([{"ev": "status", "status": status, "message": message}])


def _port_of(server: Server) -> int:
    return next(iter(server.sockets)).getsockname()[1]
