"""One ticker's day of ticks over REST, paged by keyset: complete, in order, each row once.

Pages are asked for from the last timestamp on, rows already held dropped, which works for CSV,
five times cheaper to read than JSON. A CSV cut at the end of a row looks complete, so the end of
a day is always confirmed by a JSON page, which can't be cut unnoticed. What a row is, and what
its columns become, is in `trades.py` and `quotes.py`; lists with a cursor are in `pages.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from functools import partial
from typing import Any

import polars as pl

from smallcaps_assets.domain.market import calendar
from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.emptiness import confirmed
from smallcaps_assets.sources.http.page_cache import Pages
from smallcaps_assets.sources.http.transport import Answer, Request, Transport
from smallcaps_assets.sources.polygon import pages

LIMIT = 50_000
CSV = "text/csv"
PAGES = "pages"


@dataclass(frozen=True)
class Feed:
    """One kind of ticks: /v3/{name}/{ticker}.

    `types` are the columns and their polars types as CSV has them, `required` those that are
    always filled, `key` what tells two rows apart. JSON has `lists` as arrays, CSV as texts with
    commas; `texts` are numbers that JSON quotes.
    """

    name: str
    row_type: type[Any]
    types: Mapping[str, Any]
    required: Sequence[str]
    key: Sequence[str]
    lists: Sequence[str] = ()
    texts: Sequence[str] = ()

    def read(self, answer: Answer) -> tuple[pl.DataFrame, bool | None]:
        """The rows of a page, and whether it is the last; None if that can't be seen."""
        if answer.is_json:
            found, rows = decode.listing(answer, self.row_type)
            return self.frame(rows), not found.next_url and len(rows) < LIMIT
        if answer.request.accept == CSV and not answer.body.strip():
            return self.empty(), None  # believed only after JSON has said so too
        page = decode.csv_frame(answer.body, self.types, self.required, answer.problem)
        return self._keyed(page), None

    def frame(self, rows: Sequence[Any]) -> pl.DataFrame:
        """Rows of JSON in the columns that CSV has."""
        for name in self.lists:
            for row in rows:
                ids = getattr(row, name)
                setattr(row, name, ",".join(map(str, ids)) if ids else None)
        found = decode.frame(rows, {**self.types, **dict.fromkeys(self.texts, pl.String)})
        numbers = [pl.col(name).cast(self.types[name], strict=False) for name in self.texts]
        return self._keyed(found.with_columns(numbers))

    def empty(self) -> pl.DataFrame:
        """No rows."""
        return pl.DataFrame(schema=dict(self.types))

    def _keyed(self, found: pl.DataFrame) -> pl.DataFrame:
        """Nulls would make equal rows differ."""
        blank = {name: "" if self.types[name] == pl.String else 0 for name in self.key}
        return found.with_columns(pl.col(name).fill_null(value) for name, value in blank.items())


@dataclass
class Tape:
    """The rows of a day as far as they have come.

    `bound` is the last timestamp held, `tied` the rows held at that very timestamp.
    """

    feed: Feed
    start: int
    end: int
    bound: int = field(init=False)
    frames: list[pl.DataFrame] = field(default_factory=list)
    tied: pl.DataFrame = field(init=False)
    _saved: int = 0

    def __post_init__(self) -> None:
        self.bound = self._saved_bound = self.start
        self.tied = self.feed.empty().select(self.feed.key)

    def add(self, page: pl.DataFrame) -> int:
        """Take the rows not yet held; returns how many."""
        fresh = self._without_held(self._first_of_each(page))
        if fresh.is_empty():
            return 0
        last = int(fresh["sip_timestamp"][-1])
        tied = fresh.filter(pl.col("sip_timestamp") == last).select(self.feed.key)
        self.tied = tied if last > self.bound else pl.concat([self.tied, tied])
        self.bound = last
        self.frames.append(fresh)
        return fresh.height

    def rows(self) -> pl.DataFrame:
        """Everything held."""
        return pl.concat(self.frames) if self.frames else self.feed.empty()

    def save(self, kept: Pages) -> None:
        """Keep what came since the last time, under the name of the bound that it follows."""
        if self.bound > self._saved_bound:
            fresh = pl.concat(self.frames[self._saved :])
            kept.add(str(self._saved_bound), {PAGES: fresh})
            self._saved, self._saved_bound = len(self.frames), self.bound

    def restore(self, pages_by_bound: dict[str, pl.DataFrame]) -> None:
        """Take up kept pages as far as each follows the one before."""
        while (page := pages_by_bound.get(str(self.bound))) is not None and self.add(page):
            self._saved, self._saved_bound = len(self.frames), self.bound

    def _first_of_each(self, page: pl.DataFrame) -> pl.DataFrame:
        """The rows without repetitions; most pages have none, which is cheap to see."""
        if page["sequence_number"].n_unique() == page.height:
            return page
        return page.filter(pl.struct(self.feed.key).is_first_distinct())

    def _without_held(self, page: pl.DataFrame) -> pl.DataFrame:
        """Only rows at the very bound can have come before."""
        at_bound = pl.col("sip_timestamp") == self.bound
        again = page.filter(at_bound)
        if again.is_empty() or self.tied.is_empty():
            return page
        new = again.join(self.tied, on=self.feed.key, how="anti", maintain_order="left")
        return pl.concat([new, page.filter(~at_bound)])

    def check(self, answer: Answer, times: pl.Series) -> None:
        """Raises BadAnswer when a page's timestamps are out of order or not those asked for."""
        if not times.is_sorted():
            raise answer.problem(BadAnswer, f"the {self.feed.name} do not ascend")
        if len(times) and (times[0] < self.bound or times[-1] >= self.end):
            raise answer.problem(BadAnswer, f"{self.feed.name} outside the time asked for")


class KeysetPages:
    """The endpoint of one feed over one transport."""

    def __init__(self, transport: Transport, feed: Feed) -> None:
        self._transport, self._feed = transport, feed

    def day(
        self, ticker: str, day: date, kept: Pages | None = None, is_traded: bool = False
    ) -> pl.DataFrame:
        """Rows of one ticker on one New York day, in the columns of the feed.

        All pages but the last are put into `kept` as they come, and what is there already is not
        asked for again. A day of a ticker that `is_traded` is not believed to be empty at once.
        Raises BadAnswer when the pages stay out of order or outside the day.
        """
        start = calendar.new_york_ns(day, time(0))
        end = calendar.new_york_ns(day + timedelta(days=1), time(0))
        return self.between(ticker, start, end, f"{self._feed.name} {day}", kept, is_traded)

    def between(
        self,
        ticker: str,
        start: int,
        end: int,
        scope: str,
        kept: Pages | None = None,
        is_traded: bool = False,
    ) -> pl.DataFrame:
        """Rows of one ticker from `start` to before `end`, UTC ns; otherwise as `day`."""
        tape = Tape(self._feed, start, end)
        if kept is not None:
            tape.restore(kept.frames(PAGES))
        while self._advance(ticker, tape, scope, is_traded):
            if kept is not None:
                tape.save(kept)
        return tape.rows()

    def _advance(self, ticker: str, tape: Tape, scope: str, is_traded: bool) -> bool:
        """Ask for the next page; whether there may be more."""
        request = replace(self._request(ticker, tape, scope), expects_rows=is_traded)
        page, is_last = self._page(replace(request, accept=CSV), tape)
        fresh = tape.add(page)
        if fresh and is_last:
            return False
        if page.height >= LIMIT or is_last is False:
            if fresh and page["sip_timestamp"][0] < page["sip_timestamp"][-1]:
                return True
            return self._walk(request, tape)
        params = self._request(ticker, tape, scope).params
        return self._confirm(replace(request, params=params), tape)

    def _confirm(self, request: Request, tape: Tape) -> bool:
        """Whether JSON knows of more rows."""
        ask = partial(self._page, request, tape)
        page, is_last = confirmed(self._transport, request, ask, lambda page: page[0].is_empty())
        fresh = tape.add(page)
        if not fresh and is_last is False:
            return self._walk(request, tape)
        return fresh > 0 and not is_last

    def _walk(self, request: Request, tape: Tape) -> bool:
        """Follow the cursor: a full page of one timestamp leaves the keyset nowhere to go."""

        def check(answer: Answer, rows: Sequence[Any]) -> None:
            tape.check(answer, pl.Series([row.sip_timestamp for row in rows], dtype=pl.Int64))

        for rows in pages.walk(self._transport, request, self._feed.row_type, check):
            tape.add(self._feed.frame(rows))
        return False

    def _page(self, request: Request, tape: Tape) -> tuple[pl.DataFrame, bool | None]:
        def read(answer: Answer) -> tuple[pl.DataFrame, bool | None]:
            page, is_last = self._feed.read(answer)
            tape.check(answer, page["sip_timestamp"])
            if answer.is_json and page.is_empty() and tape.frames:
                held = f"the {self._feed.name} at the time asked for, which came before, are gone"
                raise answer.problem(BadAnswer, held)
            return page, is_last

        return self._transport.fetch(request, read)

    def _request(self, ticker: str, tape: Tape, scope: str) -> Request:
        return Request(
            f"/v3/{self._feed.name}/{ticker}",
            {
                "timestamp.gte": str(tape.bound),
                "timestamp.lt": str(tape.end),
                "order": "asc",
                "sort": "timestamp",
                "limit": str(LIMIT),
            },
            scope=scope,
        )
