"""Answers in the vendor's envelope: JSON, CSV, errors and compression.

Routes return an Answer and know nothing of HTTP libraries; app.py turns it into a response.
Large tables are written by polars, small ones by msgspec.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl
from isal import igzip

from smallcaps_assets.sandbox.config import SandboxError
from smallcaps_assets.sandbox.market import Row

VENDOR_BASE = "https://api.massive.com"
MINIMUM_TO_COMPRESS = 600
_counter = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of one response."""

    body: bytes
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(SandboxError):
    """A refusal in the vendor's words."""

    def __init__(self, status: int, text: str, kind: str = "ERROR", key: str = "error") -> None:
        super().__init__(text)
        self.status = status
        self.content = {"status": kind, "request_id": request_id(), key: text}

    def answer(self) -> Answer:
        return Answer(msgspec.json.encode(self.content), self.status)


def not_found(text: str) -> ApiError:
    return ApiError(404, text, kind="NOT_FOUND", key="message")


def not_entitled() -> ApiError:
    text = f"You are not entitled to this data. Please upgrade your plan at {VENDOR_BASE}/pricing"
    return ApiError(403, text, kind="NOT_AUTHORIZED", key="message")


def request_id() -> str:
    """32 hex digits, a new one for each answer."""
    return hashlib.md5(str(next(_counter)).encode(), usedforsecurity=False).hexdigest()


def compress(body: bytes, level: int = 1) -> bytes:
    """Gzip without a clock in its header, so that equal content is equal bytes."""
    return igzip.compress(body, compresslevel=level, mtime=0)


def envelope(rows_json: bytes, count: int, fields: Row, next_url: str | None = None) -> Answer:
    """The envelope around an encoded array; `results` is left out when there are no rows."""
    head = {**fields, "status": "OK", "request_id": request_id()}
    if next_url is not None:
        head["next_url"] = next_url
    body = msgspec.json.encode(head)
    if count:
        body = body[:-1] + b',"results":' + rows_json + b"}"
    return Answer(body)


def json_answer(content: Any) -> Answer:
    return Answer(msgspec.json.encode(content))


def rows_answer(rows: Sequence[Row], next_url: str | None, **fields: Any) -> Answer:
    """Envelope of the v3 endpoints: `results` is an array, empty when there is nothing."""
    head = {"results": list(rows), "status": "OK", "request_id": request_id(), **fields}
    if next_url is not None:
        head["next_url"] = next_url
    return json_answer(head)


def csv_answer(frame: pl.DataFrame) -> Answer:
    """A CSV table without an envelope, its columns by name."""
    return Answer(frame.select(sorted(frame.columns)).write_csv().encode(), media_type="text/csv")


def frame_json(frame: pl.DataFrame, texts: Sequence[str] = (), arrays: Sequence[str] = ()) -> bytes:
    """Rows as a JSON array; null cells have no key. The first column must never be null.

    texts: columns to quote. arrays: columns of comma lists that become arrays of numbers.
    """
    joined = json_rows(frame, texts, arrays).str.join(",").item() if frame.height else ""
    return b"[" + (joined or "").encode() + b"]"


def json_rows(frame: pl.DataFrame, texts: Sequence[str], arrays: Sequence[str]) -> pl.Series:
    """Each row as the text of a JSON object; as `frame_json`."""
    pieces: list[pl.Expr] = []
    for i, name in enumerate(frame.columns):
        comma = "," if i else "{"
        cell = pl.col(name).cast(pl.String)
        if name in texts:
            cell = pl.concat_str(pl.lit('"'), cell, pl.lit('"'))
        elif name in arrays:
            cell = pl.concat_str(pl.lit("["), cell, pl.lit("]"))
        pieces.append(pl.concat_str(pl.lit(f'{comma}"{name}":'), cell))
    row = pl.concat_str(*pieces, pl.lit("}"), ignore_nulls=True)
    return frame.select(row.alias("row")).to_series()
