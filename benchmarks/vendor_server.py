"""A vendor for benchmarks: fixed trades and bars over HTTP on loopback, in a process of its own.

It speaks as much of the API as `client.py` asks for, as fast as the standard library's server can,
with a latency and a hidden request limit on demand.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from datetime import time as clock_time
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from smallcaps_assets.domain.market.calendar import new_york_ns, sessions

DAY = date(2021, 2, 5)
MONTH = (date(2021, 2, 1), date(2021, 2, 28))
LEVEL = 6
_COLUMNS = (
    "conditions,correction,decimal_size,exchange,id,participant_timestamp,price,"
    "sequence_number,sip_timestamp,size,tape,trf_id,trf_timestamp"
)


@dataclass(frozen=True)
class Offer:
    """What the server has, and how it behaves.

    `limit` gives the requests allowed in a second, t seconds after the first request.
    """

    trades: int = 49_999
    bars: int = 49_999
    last: date = MONTH[1]
    latency: float = 0.0
    limit: Callable[[float], float] | None = None


@dataclass
class Vendor:
    """The answers; made once, the same every time."""

    offer: Offer
    accepted: Any
    refused: Any
    started: float = 0.0
    times: deque[float] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)
    cache: dict[Any, bytes] = field(default_factory=dict)

    @cached_property
    def instants(self) -> list[int]:
        """Times of the trades of a day, ascending, in nanoseconds."""
        rng, count = np.random.default_rng(1), self.offer.trades
        gaps = rng.integers(1, 20_000_000_000_000 // count * 2, count)
        return (new_york_ns(DAY, clock_time(9, 30)) + np.cumsum(gaps)).tolist()

    def trade(self, number: int) -> dict[str, Any]:
        """A trade as JSON has it."""
        instant, venue = self.instants[number], (4, 8, 10, 11, 12, 19)[number % 6]
        conditions = ([], [37], [12, 37], [14, 41], [12], [14, 37, 41])[number * 7 % 6]
        size = (100, 1, 5, 200, 300, 1000, 17)[number * 13 % 7]
        row: dict[str, Any] = {"conditions": conditions} if conditions else {}
        row |= {
            "decimal_size": f"{size}.0",
            "exchange": venue,
            "id": str(52_983_525_027_888 + number),
        }
        row |= {
            "participant_timestamp": instant - 20_000,
            "price": 2 + number * 31 % 9_973 / 10_000,
        }
        row |= {"sequence_number": 1_000 + 3 * number, "sip_timestamp": instant}
        row |= {"size": size, "tape": 3}
        return row | ({"trf_id": 202, "trf_timestamp": instant - 500} if venue == 4 else {})

    def allows(self) -> bool:
        """Whether a request is within the hidden limit of the last second."""
        with self.lock:
            now = time.monotonic()
            self.started = self.started or now
            while self.times and self.times[0] <= now - 1:
                self.times.popleft()
            limit = self.offer.limit
            is_allowed = limit is None or len(self.times) < limit(now - self.started)
            if is_allowed:
                self.times.append(now)
            counter = self.accepted if is_allowed else self.refused
            counter.value += 1
            return is_allowed

    def answer(self, path: str, is_csv: bool) -> tuple[bytes, str]:
        """Body and content encoding."""
        parts, query = urlsplit(path), dict(parse_qsl(urlsplit(path).query))
        name = parts.path.split("/")
        if name[2] == "aggs":
            return self.bars(name[4], name[8]), ""
        first = bisect_left(self.instants, int(query.get("timestamp.gte", 0)))
        key = (is_csv, first, int(query.get("limit", 1_000)))
        if key not in self.cache:
            self.cache[key] = gzip.compress(self.page(*key), LEVEL)
        return self.cache[key], "gzip"

    def page(self, is_csv: bool, first: int, limit: int) -> bytes:
        """A page of trades from a row on."""
        rows = [self.trade(n) for n in range(first, min(first + limit, self.offer.trades))]
        if not is_csv:
            return json.dumps({"status": "OK", "request_id": "r", "results": rows}).encode()
        return "\n".join([_COLUMNS, *map(_csv_line, rows), ""]).encode()

    def bars(self, ticker: str, start: str) -> bytes:
        """Minute bars of one ticker; the rows are the same for all."""
        if "bars" not in self.cache:
            self.cache["bars"] = json.dumps(_bars(self.offer.bars, self.offer.last)).encode()
        head = {"ticker": ticker, "adjusted": False, "status": "OK", "request_id": "r"}
        rows = self.cache["bars"] if "-" in start else b"[]"
        return json.dumps(head).encode()[:-1] + b', "results": ' + rows + b"}"


def _csv_line(row: dict[str, Any]) -> str:
    conditions = ",".join(map(str, row.get("conditions", ())))
    values = {**row, "conditions": f'"{conditions}"', "correction": 0}
    return ",".join(str(values.get(name, "")) for name in _COLUMNS.split(","))


def _bars(count: int, last: date) -> list[dict[str, Any]]:
    """Bars spread over the sessions up to the last day, as many on each."""
    days = sessions(MONTH[0], last)
    each = -(-count // len(days))
    found = []
    for day in days:
        start = new_york_ns(day, clock_time(4)) // 1_000_000
        for minute in range(min(each, count - len(found))):
            price = 2 + minute % 97 / 1_000
            row = {"v": 1_000.5 + minute, "vw": price, "o": price, "c": price + 0.001}
            row |= {"h": price + 0.002, "l": price - 0.002, "t": start, "n": 1 + minute % 50}
            found.append(row | {"t": start + 60_000 * minute})
    return found


@contextmanager
def served(offer: Offer) -> Iterator[tuple[str, Callable[[], tuple[int, int]]]]:
    """The URL of a server, and a function that tells how many requests it accepted and refused."""
    context = multiprocessing.get_context("fork")
    accepted, refused = context.Value("q", 0), context.Value("q", 0)
    server = _Server(("127.0.0.1", 0), _handler(Vendor(offer, accepted, refused)))
    process = context.Process(target=server.serve_forever, daemon=True)
    process.start()
    try:
        yield (
            f"http://127.0.0.1:{server.server_port}",
            lambda: (accepted.value, refused.value),
        )
    finally:
        process.terminate()
        process.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def _handler(vendor: Vendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            time.sleep(vendor.offer.latency)
            if not vendor.allows():
                self._send(429, b'{"status": "ERROR", "error": "too many requests"}', "")
                return
            is_csv = "csv" in self.headers.get("Accept", "")
            self._send(200, *vendor.answer(self.path, is_csv))

        def _send(self, status: int, body: bytes, encoding: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if encoding:
                self.send_header("Content-Encoding", encoding)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None: ...

    return Handler
