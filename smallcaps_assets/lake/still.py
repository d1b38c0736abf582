"""A lake at one moment, for looking at many partitions: each file is looked at once.

Of an object store whole tables are listed by one request, so that only the footers are asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from smallcaps_assets.lake.failures import FOLDER as FAILURES
from smallcaps_assets.lake.objects import Entry
from smallcaps_assets.lake.store import Lake

T = TypeVar("T")


class _Once:
    """Values made once, for threads that may ask for the same one at the same time."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    def get(self, what: Hashable, make: Callable[[], T]) -> T:
        """The value; what `make` raises is raised to all that wait, and made again later."""
        with self._lock:
            is_first = what not in self._made
            found = self._made.setdefault(what, Future())
        if is_first:
            try:
                found.set_result(make())
            except BaseException as error:
                self.forget(what)
                found.set_exception(error)
                raise
        return found.result()

    def forget(self, what: Hashable) -> None:
        """Make a value anew when it is next asked for."""
        with self._lock:
            self._made.pop(what, None)


class StillLake(Lake):
    """A lake at one moment: the digest of a file is found once, however often it is asked for.

    What is written through it is seen at once.
    """

    def __init__(self, lake: Lake) -> None:
        super().__init__(lake.root)
        self._once = _Once()

    def digest(self, name: str, key: str | None = None) -> str:
        """As `Lake.digest`, when it was first asked for."""
        return self._once.get(self.place(name, key), lambda: Lake.digest(self, name, key))

    def digests(self, name: str) -> str:
        """As `Lake.digests`, when they were first asked for."""
        return self._once.get(name, lambda: Lake.digests(self, name))

    def entry(self, place: str) -> Entry | None:
        """As `Lake.entry`; of an object store from the listing of its table."""
        if self.is_local:
            return super().entry(place)
        folder = _folder(place)
        if not folder:
            return self._once.get(("entry", place), lambda: Lake.entry(self, place))
        return self._listed(folder).get(self._object(place))

    def read_file(self, place: str) -> bytes:
        """As `Lake.read_file`; what is not listed is not asked for."""
        if not self.is_local and self.entry(place) is None:
            raise FileNotFoundError(f"{self.root / place} is not stored")
        return super().read_file(place)

    def files_below(self, folder: str) -> list[str]:
        """As `Lake.files_below`; of an object store from the listing of its table."""
        if self.is_local or _folder(f"{folder}/") != folder:
            return super().files_below(folder)
        base = self._object("")
        return sorted(path.removeprefix(base) for path in self._listed(folder))

    def _object_footer(self, place: str) -> tuple[bytes, str] | None:
        entry = self.entry(place)
        return entry and self.objects.footer(self._object(place), entry.tag)

    def _listed(self, folder: str) -> dict[str, Entry]:
        return self._once.get(("list", folder), lambda: self.objects.entries(self._object(folder)))

    def _publish(
        self, place: str, data: bytes, over: str | None = None, keeps: bool = False
    ) -> None:
        super()._publish(place, data, over, keeps)
        parts = place.split("/")
        table = parts[1] if parts[1:] else ""
        for what in (place, table, ("entry", place), ("list", _folder(place))):
            self._once.forget(what)


def _folder(place: str) -> str:
    """The folder of a table, or of its failures, that a place is below; empty for another place."""
    parts = place.split("/")
    depth = 4 if place.startswith(FAILURES) else 2 if parts[0] in ("raw", "processed") else 0
    return "/".join(parts[:depth]) if depth and len(parts) > depth else ""
