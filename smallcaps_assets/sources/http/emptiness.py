"""When "nothing" is believed.

A vendor under load answers `results: null` by mistake, twice in a row as well, and the same for an
unknown ticker or a quiet day. What a request says of itself decides (`Request.expects_rows`):

* A list about the whole market, a further page that the one before has announced, and the trades of
  a ticker that other lists show trading are expected to hold something. They are read a second time
  `polygon.empty_seconds` later, and only an answer that is empty again is believed.
* A list about one ticker, or of this moment, may well be empty: a second look at once is enough.
  The minutes of tickers that have daily bars are read again later all the same, in `minutes.py`.

An announced page without any list (null or missing, not empty) is no end of it, see `pages.py`.
That a stored partition came out empty is remembered in the lake (`lake/empties.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from smallcaps_assets.sources.http.transport import Request, Transport

T = TypeVar("T")


def confirmed(
    transport: Transport, request: Request, ask: Callable[[], T], is_empty: Callable[[T], bool]
) -> T:
    """`ask()`, or when that is empty a second `ask()`, after a pause if rows are expected."""
    found = ask()
    if not is_empty(found):
        return found
    if request.expects_rows:
        transport.pause_for_nothing(request.path)
    return ask()
