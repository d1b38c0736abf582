"""What faults do to answers: the ASGI layer around the routes, which also keeps the request log.

Which requests are hit is decided in faults.py.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from smallcaps_assets.sandbox.server.answers import (
    VENDOR_BASE,
    Answer,
    ApiError,
    compress,
    not_entitled,
)
from smallcaps_assets.sandbox.server.faults import Fault, FaultPlan
from smallcaps_assets.sandbox.server.flatfiles import BUCKET, FlatFiles
from smallcaps_assets.sandbox.server.requestlog import RequestLog, Served

STALL_SECONDS = 30.0
_TOO_MANY = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to "
    f"continue. {VENDOR_BASE}/pricing"
)
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body></body></html>"


_PRICES = ("price", "bid_price", "ask_price", "o", "h", "l", "c")


class CutConnectionError(Exception):
    """Raised to make the server drop a connection whose answer has begun."""


def _refusal(fault: Fault) -> Answer | None:
    """The answer of a fault that replaces the whole answer."""
    retry = {} if fault.seconds is None else {"Retry-After": f"{fault.seconds:g}"}
    refusals: dict[str, Callable[[], Answer]] = {
        "429": lambda: Answer(ApiError(429, _TOO_MANY).answer().body, 429, headers=retry),
        "429_empty": lambda: Answer(b"", 429),
        "500": lambda: ApiError(500, "Internal server error").answer(),
        "502": lambda: Answer(_BAD_GATEWAY, 502, "text/html"),
        "503": lambda: Answer(b"", 503),
        "401": lambda: ApiError(401, "Unknown API Key").answer(),
        "403": lambda: not_entitled().answer(),
    }
    make = refusals.get(fault.kind)
    return None if make is None else make()


def _duplicated(rows: list[Any]) -> list[Any]:
    return [copy for i, row in enumerate(rows) for copy in ([row, row] if i % 7 == 3 else [row])]


def _shuffled(rows: list[Any]) -> list[Any]:
    """The second half first."""
    middle = len(rows) // 2
    return rows[middle:] + rows[:middle]


_OF_ROWS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "duplicate_rows": _duplicated,
    "out_of_order": _shuffled,
}


def _negative(row: dict[str, Any]) -> dict[str, Any]:
    return {k: -v if k in _PRICES and v else v for k, v in row.items()}


def _spoil_envelope(content: dict[str, Any], fault: Fault, url: str) -> dict[str, Any]:
    """A copy of a decoded JSON answer with the fault in it."""
    # Snapshots have their rows under other names.
    name = next((k for k in ("tickers", "ticker") if isinstance(content.get(k), list | dict)), "")
    name = name or "results"
    rows = content.get(name)
    spoiled = dict(content)
    if fault.kind == "null_results":
        spoiled[name] = None
    elif fault.kind == "missing_results":
        spoiled.pop(name, None)
    elif fault.kind == "wrong_ticker":
        spoiled["ticker"] = "WRONG"
        if isinstance(rows, list):
            spoiled[name] = [r | {"ticker": "WRONG"} if "ticker" in r else r for r in rows]
    elif fault.kind == "cursor_loop":
        spoiled["next_url"] = VENDOR_BASE + url
    elif fault.kind == "foreign_next_url":
        spoiled["next_url"] = "https://elsewhere.example.org" + url
    elif isinstance(rows, list):
        change = _OF_ROWS.get(fault.kind, lambda found: found)
        spoiled[name] = [_negative(r) for r in rows] if fault.kind == "corrupt" else change(rows)
    return spoiled


def _spoil_csv(body: bytes, fault: Fault) -> bytes:
    """The same for tables without an envelope; faults of envelopes do nothing."""
    lines = body.decode().splitlines(keepends=True)
    if not lines:
        return body
    head, rows = lines[0], lines[1:]
    rows = _OF_ROWS.get(fault.kind, lambda found: found)(rows)
    if fault.kind == "corrupt":
        names = head.strip().split(",")
        known = next((c for c in ("price", "ask_price", "c", "close") if c in names), names[-1])
        at = names.index(known) - len(names)
        rows = [_negative_cell(row, at) for row in rows]
    return (head + "".join(rows)).encode()


def _negative_cell(row: str, at: int) -> str:
    """Negate one cell, counted from the right: quoted lists stand further left."""
    cells = row.rstrip("\n").split(",")
    cells[at] = cells[at] and "-" + cells[at]
    return ",".join(cells) + "\n"


def spoil(body: bytes, media_type: str, fault: Fault, url: str) -> bytes:
    """An uncompressed body with a fault of content in it."""
    if media_type.startswith("text/csv"):
        return _spoil_csv(body, fault)
    if not media_type.startswith("application/json"):
        return body
    content = msgspec.json.decode(body)
    if not isinstance(content, dict):
        return body
    return msgspec.json.encode(_spoil_envelope(content, fault, url))


class _Captured:
    """An answer of the routes, held back to be changed."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes, whole: int) -> None:
    """Send an answer that declares `whole` bytes; drop the connection when there are fewer."""
    declared = headers | {"content-length": str(whole)}
    raw = [(k.encode(), v.encode()) for k, v in declared.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    is_cut = len(body) < whole
    await send({"type": "http.response.body", "body": body, "more_body": is_cut})
    if is_cut:
        # Give the bytes time to leave before the connection goes.
        await asyncio.sleep(0.02)
        raise CutConnectionError


class FaultyApp:
    """The routes with faults around them and a log of what was served."""

    def __init__(self, inner: ASGIApp, plan: FaultPlan, log: RequestLog, files: FlatFiles) -> None:
        self._inner = inner
        self._plan = plan
        self._log = log
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        query = scope["query_string"].decode()
        fault = self._plan.pick(scope["path"], query)
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if fault is None:
                await self._inner(scope, receive, noting)
            else:
                await self._strike(fault, scope, receive, noting)
        finally:
            shown = "&".join(p for p in query.split("&") if p and not p.startswith("apiKey="))
            headers = {k.decode(): v.decode() for k, v in scope["headers"] if k in _LOGGED}
            kind = "" if fault is None else fault.kind
            row = Served(scope["method"], scope["path"], shown, status, kind, headers)
            self._log.append(row)

    async def _strike(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(fault)
        if refusal is not None:
            headers = {"content-type": refusal.media_type, **refusal.headers}
            await _send(send, refusal.status, headers, refusal.body, len(refusal.body))
            return
        if fault.kind == "stall":
            await asyncio.sleep(STALL_SECONDS if fault.seconds is None else fault.seconds)
        if fault.kind == "replaced_file":
            self._files.replace(scope["path"].removeprefix(f"/{BUCKET}/"))
        if fault.kind in ("stall", "replaced_file"):
            await self._inner(scope, receive, send)
            return
        captured = _Captured()
        await self._inner(scope, receive, captured.send)
        await self._send_spoiled(captured, fault, scope, send)

    async def _send_spoiled(
        self, answer: _Captured, fault: Fault, scope: Scope, send: Send
    ) -> None:
        body, headers = answer.body, answer.headers
        if fault.kind == "reset":
            await _send(send, answer.status, headers, body[: len(body) // 2], len(body))
            return
        if fault.kind == "cut_gzip":
            cut = body[: max(len(body) * 3 // 5, 1)]
            await _send(send, answer.status, headers, cut, len(cut))
            return
        is_gzip = headers.get("content-encoding") == "gzip"
        plain = zlib.decompress(body, wbits=31) if is_gzip else body
        query = scope["query_string"].decode()
        url = scope["path"] + (f"?{query}" if query else "")
        spoiled = spoil(plain, headers.get("content-type", ""), fault, url)
        body = compress(spoiled) if is_gzip else spoiled
        await _send(send, answer.status, headers, body, len(body))


_LOGGED = (b"accept", b"accept-encoding", b"range", b"user-agent")
