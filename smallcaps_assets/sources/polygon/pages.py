"""Lists that the vendor hands out in pages with a cursor.

Only the cursor is taken from `next_url`; it is joined to our own host and path, so the key goes
nowhere else and a proxy or the sandbox works alike. Endpoints that page by time are in `bars.py`
and `keyset.py`; when an empty page is believed, in `emptiness.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.emptiness import confirmed
from smallcaps_assets.sources.http.transport import Answer, Request, Transport

MOST_OF_ONE = 12
S = TypeVar("S")


def cursor_params(answer: Answer, next_url: str, given: Mapping[str, str]) -> dict[str, str]:
    """The query of the next page: ours, overridden by that of `next_url`, without keys."""
    query = dict(parse_qsl(next_url.partition("?")[2].partition("#")[0]))
    query.pop("apiKey", None)
    if not query.get("cursor"):
        raise answer.problem(BadAnswer, "next_url without a cursor")
    # The cursor holds the whole query; our own parameters beside it would contradict it.
    kept = {name: given[name] for name in ("limit",) if name in given}
    return kept | query


def walk(
    transport: Transport,
    request: Request,
    row_type: type[S],
    check: Callable[[Answer, list[S]], None] = lambda answer, page_rows: None,
) -> Iterator[list[S]]:
    """The pages of a list, each validated, by `check` too.

    Raises BadAnswer when a cursor comes twice or a page followed by another is empty: the list
    would never end; and when an announced page has no list at all: it would end too early.
    """
    seen: set[str] = set()

    def read(answer: Answer) -> tuple[list[S], dict[str, str] | None]:
        found, page_rows = decode.listing(answer, row_type)
        check(answer, page_rows)
        if seen and found.results is None:
            raise answer.problem(BadAnswer, "an announced page came without results")
        if not found.next_url:
            return page_rows, None
        params = cursor_params(answer, found.next_url, request.params)
        if params["cursor"] in seen:
            raise answer.problem(BadAnswer, "a cursor came twice; the list goes in circles")
        if not page_rows:
            raise answer.problem(BadAnswer, "an empty page announces another one")
        return page_rows, params

    while True:
        ask = partial(transport.fetch, request, read)
        page_rows, params = confirmed(transport, request, ask, lambda page: not page[0])
        yield page_rows
        if params is None:
            return
        seen.add(params["cursor"])
        request = replace(request, params=params, expects_rows=True)


def market_wide(answer: Answer, page_rows: Sequence[Any]) -> None:
    """Raises BadAnswer when a page about the whole market knows one ticker only."""
    if len(page_rows) > MOST_OF_ONE and len({row.ticker for row in page_rows}) == 1:
        raise answer.problem(BadAnswer, "all rows of a market-wide list are of one ticker")


def collect(transport: Transport, request: Request, row_type: type[S]) -> list[S]:
    """All rows of a list about the market."""
    found = walk(transport, request, row_type, market_wide)
    return [row for page_rows in found for row in page_rows]
