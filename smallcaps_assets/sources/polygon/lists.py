"""Lists that the vendor answers page by page, as frames: declared, requested and checked alike.

A list is declared as a `ListEndpoint`: its path, its columns and what it is ordered by; the shape
of a row and the checks of every page follow. The lists themselves are in `short_data.py` and
`fundamentals.py`; how pages follow each other, in `pages.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgspec
import polars as pl

from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.transport import LARGEST_BODY, Answer, Request, Transport
from smallcaps_assets.sources.polygon import pages

_PYTHON: dict[Any, Any] = {
    pl.String: str,
    pl.Float64: int | float,
    pl.Int64: int | float,
    pl.Date: date,
    pl.List(pl.String): list[str],
}


@dataclass(frozen=True)
class ListEndpoint:
    """One list: `columns` are its fields and their polars types, `key` those that every row has.

    `order` is the field asked to ascend, `subject` the one that names the ticker or tickers.
    """

    path: str
    columns: Mapping[str, Any]
    key: Sequence[str]
    order: str
    limit: int
    subject: str = "ticker"

    @cached_property
    def row_type(self) -> type[Any]:
        """A struct of the columns; a date that is none does not fit."""
        filled = [(name, _PYTHON[self.columns[name]]) for name in self.key]
        others = [
            (name, _PYTHON[dtype] | None, None)
            for name, dtype in self.columns.items()
            if name not in self.key
        ]
        return msgspec.defstruct("ListRow", [*filled, *others], gc=False)

    def ask(
        self, transport: Transport, ticker: str | None, span: tuple[date, date] | None = None
    ) -> pl.DataFrame:
        """All rows of a ticker, or of the market, with `order` in `span`, both dates included.

        In the order of `order`, then of the other keys; each row once. Raises BadAnswer when rows
        stay of another ticker, outside the dates or out of order.
        """
        params = {"sort": f"{self.order}.asc", "limit": str(self.limit)}
        scope = self.path
        if ticker is not None:
            params[self.subject] = ticker
        if span is not None:
            params |= {f"{self.order}.gte": str(span[0]), f"{self.order}.lte": str(span[1])}
            scope = f"{self.path} {span[0]} {span[1]}"
        check = self._check(ticker, span)
        # A statement has forty figures, so that a page of them is larger than one of trades.
        request = Request(
            self.path,
            params,
            scope=scope,
            largest=LARGEST_BODY // 2,
            expects_rows=ticker is None,
        )
        rows = collect_in_order(transport, request, self.row_type, self.order, check)
        found = decode.frame(rows, self.columns).unique(maintain_order=True)
        return found.sort(self.order, *(name for name in self.key if name != self.order))

    def _check(
        self, ticker: str | None, span: tuple[date, date] | None
    ) -> Callable[[Answer, list[Any]], None]:
        def check(answer: Answer, rows: list[Any]) -> None:
            if ticker is not None:
                refuse_others(answer, ticker, (getattr(row, self.subject) for row in rows))
            elif self.subject == "ticker":
                pages.market_wide(answer, rows)
            if span is not None:
                times = [getattr(row, self.order) for row in rows]
                refuse_outside(answer, self.order, times, *span)

        return check


def collect_in_order(
    transport: Transport,
    request: Request,
    row_type: type[Any],
    order: str,
    check: Callable[[Answer, list[Any]], None],
) -> list[Any]:
    """All rows of a list; raises BadAnswer when `order` descends, over the border of pages too."""
    held: list[Any] = []

    def check_page(answer: Answer, rows: list[Any]) -> None:
        values = [getattr(row, order) for row in [*held[-1:], *rows]]
        if any(later < sooner for sooner, later in pairwise(values)):
            raise answer.problem(BadAnswer, f"the rows do not ascend by {order}")
        check(answer, rows)

    for rows in pages.walk(transport, request, row_type, check_page):
        held.extend(rows)
    return held


def refuse_others(answer: Answer, ticker: str, named: Any) -> None:
    """Raises BadAnswer when a row is not about `ticker`; `named` are tickers or lists of them."""
    for subject in named:
        if ticker != subject and ticker not in (subject if isinstance(subject, list) else ()):
            raise answer.problem(BadAnswer, f"a row about {subject!r} came for {ticker!r}")


def refuse_outside(answer: Answer, name: str, values: Sequence[Any], first: Any, last: Any) -> None:
    """Raises BadAnswer when a value is not between `first` and `last`, both included."""
    strange = [value for value in values if not first <= value <= last]
    if strange:
        found = f"{name} {strange[0]} came, {first} to {last} was asked for"
        raise answer.problem(BadAnswer, found)
