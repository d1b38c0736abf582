"""Partitions that came out empty although rows are expected, and when they were read.

`empties.json` beside `lake.json` holds them; nothing of it is in the Parquet files, whose bytes
know no clock. An empty is confirmed when it was read on two days. Until then it is due again on
each later day: a run reads it once more. An empty partition without an entry, of an older version
or of a lake whose file is lost, has not been looked at twice, and is due.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.lake.errors import ConflictError
from smallcaps_assets.lake.file_identity import seal_of
from smallcaps_assets.lake.scope import Scope
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES

FILE = "empties.json"
Place = tuple[str, str]
_HELD: dict[str, dict[Place, Empty]] = {}
_LOCK = threading.RLock()


def today_in_new_york() -> date:
    """The date by which days of reading are told apart."""
    return datetime.now(NEW_YORK).date()


@dataclass(frozen=True)
class Empty:
    """A partition, or `tickers` of one, that was first and last read as empty on two days.

    Without days it was never noted.
    """

    table: str
    key: str
    first: date | None = None
    last: date | None = None
    tickers: tuple[str, ...] = ()

    @property
    def is_confirmed(self) -> bool:
        """Whether it was read on two days."""
        return self.first is not None and self.last is not None and self.first < self.last

    @property
    def scope(self) -> Scope:
        """What of the partition is empty."""
        return Scope.only(self.tickers)

    def is_due(self, today: date) -> bool:
        """Whether it is to be read again: not confirmed, and not read today."""
        return not self.is_confirmed and (self.last is None or self.last < today)

    def describe(self) -> str:
        """One line: what is empty, and how far that is known."""
        some = ", ".join(self.tickers[:5]) + (" and others" if len(self.tickers) > 5 else "")
        what = " ".join(filter(None, (self.table, self.key, some)))
        if self.is_confirmed:
            return f"{what}: confirmed, read on {self.first} and {self.last}"
        read = f"read on {self.last}" if self.last else "never read again"
        return f"{what}: unconfirmed, {read}; a run on another day reads it again"


class Empties:
    """The empties of one lake; all objects of a process share what they know of it."""

    def __init__(self, lake: Lake, today: Callable[[], date] = today_in_new_york) -> None:
        self._lake, self._today = lake, today
        with _LOCK:
            _HELD[str(lake.root)] = self._read()[0]

    def find(self, table: str, key: str | None) -> Empty | None:
        """The empty of a partition, noted or not; None when it holds what it should."""
        noted = _HELD[str(self._lake.root)].get((table, key or ""))
        if noted is not None or not TABLES[table].expects_rows:
            return noted
        return Empty(table, key or "") if self._lake.is_empty(table, key) else None

    def due(self, table: str, key: str | None) -> Scope:
        """What of a stored partition is to be read again now."""
        found = self.find(table, key)
        return found.scope if found and found.is_due(self._today()) else Scope.nothing()

    def note(self, table: str, key: str | None, read: Scope, empty: Scope) -> None:
        """Remember that `read` of a partition was read today and `empty` of it came out empty."""
        place, root = (table, key or ""), str(self._lake.root)
        with _LOCK:
            if empty == Scope.nothing() and place not in _HELD[root]:
                return
            while True:
                held, seal = self._read()
                now = self._noted(held.pop(place, None), Empty(*place), read, empty)
                if now is not None:
                    held[place] = now
                with suppress(ConflictError):
                    self._write(held, seal)
                    return

    def noted(self) -> list[Empty]:
        """The noted empties of what is stored, by table and key."""
        found = [entry for _, entry in sorted(_HELD[str(self._lake.root)].items())]
        return [empty for empty in found if self._lake.exists(empty.table, empty.key or None)]

    def all(self) -> list[Empty]:
        """Every empty of what is stored, by table and key."""
        found = []
        for table in TABLES:
            noted = {key for name, key in _HELD[str(self._lake.root)] if name == table}
            if noted or TABLES[table].expects_rows:
                find = partial(self.find, table)
                found += self._lake.each(find, [key or None for key in self._lake.keys(table)])
        return [empty for empty in found if empty is not None]

    def _noted(self, before: Empty | None, place: Empty, read: Scope, empty: Scope) -> Empty | None:
        today = self._today()
        if empty.is_all:
            tickers: tuple[str, ...] = ()
        else:
            unread = {t for t in before.tickers if t not in read} if before else set()
            tickers = tuple(sorted(unread | empty.tickers))
            if not tickers:
                return None
        is_known = before is not None and before.scope.covers(Scope.only(tickers))
        first = before.first if before is not None and is_known else None
        return Empty(place.table, place.key, first or today, today, tickers)

    def _read(self) -> tuple[dict[Place, Empty], str | None]:
        """What the file holds, and its seal, none when it can't be read; nothing when it is absent
        or damaged: all is read again then."""
        try:
            data = self._lake.read_file(FILE)
        except OSError as error:
            return {}, "" if isinstance(error, FileNotFoundError) else None
        try:
            found = [_parsed(value) for value in json.loads(data)["empties"]]
        except (ValueError, KeyError, TypeError):
            found = []
        known = {(empty.table, empty.key): empty for empty in found if empty.table in TABLES}
        return known, seal_of(data)

    def _write(self, held: dict[Place, Empty], over: str | None) -> None:
        ordered = [held[place] for place in sorted(held)]
        values = {"format": 1, "empties": [vars(empty) for empty in ordered]}
        self._lake.write_json(FILE, values, over)
        _HELD[str(self._lake.root)] = held


def _parsed(value: dict[str, str]) -> Empty:
    days = (date.fromisoformat(value["first"]), date.fromisoformat(value["last"]))
    return Empty(value["table"], value["key"], *days, tuple(value["tickers"]))
