"""Parameters, filters, cursors and pages of the reference endpoints.

A cursor is the query of the next page in base64url without padding, as at the vendor: stateless,
without a key, with a `page_marker` that names the last row served.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlencode

from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.server.answers import VENDOR_BASE, ApiError

Params = Mapping[str, str]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda a, b: a == b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def encode_cursor(params: Params) -> str:
    query = urlencode(sorted(params.items()))
    return base64.urlsafe_b64encode(query.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> dict[str, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        query = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise ApiError(400, "The cursor could not be decoded.") from error
    return dict(parse_qsl(query, keep_blank_values=True))


def resolve(params: Params) -> dict[str, str]:
    """The parameters of a request: those of its cursor when it has one, and never the key."""
    known = {k: v for k, v in params.items() if k != "apiKey"}
    cursor = known.pop("cursor", None)
    return known if cursor is None else known | decode_cursor(cursor)


def limit_of(params: Params, default: int, maximum: int) -> int:
    """The page size; the vendor refuses what exceeds the maximum."""
    text = params.get("limit", "") or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= maximum:
        raise ApiError(400, f"'limit' must be a number from 1 to {maximum}, not '{text}'.")
    return int(text)


def date_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ApiError(400, "Could not parse the date.") from error


def flag_of(params: Params, name: str, default: bool) -> bool:
    text = params.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise ApiError(400, f"'{name}' must be true or false, not '{text}'.")
    return text == "true"


def _typed(text: str, like: Any) -> Any:
    if isinstance(like, bool):
        return text.lower() == "true"
    if isinstance(like, (int, float)):
        return float(text)
    return text


def _matches(row: Row, field: str, operator: str, text: str) -> bool:
    value = row.get(field)
    if value is None:
        return False
    if isinstance(value, list):
        return bool(set(value) & set(text.split(",") if operator == "any_of" else [text]))
    if operator == "any_of":
        return value in [_typed(part, value) for part in text.split(",")]
    return _COMPARE[operator](value, _typed(text, value))


def filtered(rows: Sequence[Row], params: Params, fields: Sequence[str]) -> list[Row]:
    """Rows that pass `field`, `field.gt`, `.gte`, `.lt`, `.lte` and `.any_of`.

    A list passes when it holds the value, or any of the values.
    """
    found = list(rows)
    for key, text in params.items():
        field, _, operator = key.partition(".")
        if field in fields and text and (operator in _COMPARE or operator == "any_of"):
            found = [row for row in found if _matches(row, field, operator, text)]
    return found


def sorted_by(rows: Sequence[Row], text: str, columns: Sequence[str]) -> list[Row]:
    """Rows in the order of a list of column.direction."""
    found = list(rows)
    for part in reversed(text.split(",")):
        key, _, direction = part.partition(".")
        if key not in columns:
            raise ApiError(400, f"'{key}' is not a column to sort by.")
        found.sort(key=lambda row, k=key: row[k], reverse=direction == "desc")
    return found


def marker(row: Row, name: str) -> str:
    """`value|hash`: the hash tells rows with one value apart."""
    digest = hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()
    return f"{row[name]}|{digest}"


def page(
    rows: Sequence[Row], params: Params, limit: int, path: str, name: str
) -> tuple[Sequence[Row], str | None]:
    """One page of ordered rows and the URL of the next one. `name`: the marker's column."""
    start = 0
    last = params.get("page_marker")
    if last is not None:
        value = last.rpartition("|")[0]
        hits = [i for i, r in enumerate(rows) if str(r[name]) == value and marker(r, name) == last]
        if not hits:
            raise ApiError(400, "The cursor does not fit this request.")
        start = hits[0] + 1
    chosen = rows[start : start + limit]
    if start + limit >= len(rows):
        return chosen, None
    following = {**params, "limit": str(limit), "page_marker": marker(chosen[-1], name)}
    return chosen, f"{VENDOR_BASE}{path}?cursor={encode_cursor(following)}"
