"""A tiny HTTP server on loopback that plays a script of good and bad answers.

For tests of `sources` only: it knows nothing of the API. An answer is a `Reply`, or a function of
the request that makes one; what was asked is kept in `asked`.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """An answer. `cut` leaves that many bytes off the end, under intact `framing`."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_gzip: bool = False
    cut: int = 0
    framing: str = "length"
    stall: float = 0.0
    reset_after: int | None = None


MISSING: Any = object()


def ok(results: Any = MISSING, **envelope: Any) -> Reply:
    """A JSON page; `None` gives `"results": null`, nothing gives no key at all."""
    page = {"status": "OK", "request_id": "r1", **envelope}
    if results is not MISSING:
        page["results"] = results
    return Reply(json.dumps(page).encode(), is_gzip=True)


def csv(text: str, **options: Any) -> Reply:
    """A CSV page."""
    return Reply(text.encode(), headers={"Content-Type": "text/csv"}, **options)


Script = Reply | Callable[[Asked], Reply]


class Loopback:
    """Serves `script` in order, its last entry again and again."""

    def __init__(self, *script: Script) -> None:
        self.asked: list[Asked] = []
        self._script, self._lock = list(script), threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Loopback:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next_reply(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            entry = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        return entry(asked) if callable(entry) else entry

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                asked = Asked(parts.path, query, dict(self.headers.items()))
                _play(self, loopback.next_reply(asked))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                asked = Asked(self.path, {}, dict(self.headers.items()), body)
                _play(self, loopback.next_reply(asked))

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _play(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    body = gzip.compress(reply.body, 1, mtime=0) if reply.is_gzip else reply.body
    body = body[: len(body) - reply.cut]
    if reply.stall:
        time.sleep(reply.stall)
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if reply.is_gzip:
        handler.send_header("Content-Encoding", "gzip")
    try:
        _send(handler, reply, body)
    except OSError:
        handler.close_connection = True


def _send(handler: BaseHTTPRequestHandler, reply: Reply, body: bytes) -> None:
    if reply.framing == "length":
        handler.send_header("Content-Length", str(len(body)))
    elif reply.framing == "chunked":
        handler.send_header("Transfer-Encoding", "chunked")
    else:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    handler.end_headers()
    if reply.reset_after is not None:
        handler.wfile.write(body[: reply.reset_after])
        handler.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()
        handler.close_connection = True
    elif reply.framing == "chunked":
        half = len(body) // 2
        for part in (body[:half], body[half:]):
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n" if part else b"")
        handler.wfile.write(b"0\r\n\r\n")
    else:
        handler.wfile.write(body)
