"""What is made of stored files, kept until they change."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Generic, TypeVar

from smallcaps_assets.lake import Lake

T = TypeVar("T")


class FileCache(Generic[T]):
    """What `make` makes of a table's files, for all threads of a process.

    A file is read anew when its digest has changed. Of the files of all lakes the last `most` that
    were made are held.
    """

    def __init__(self, table: str, make: Callable[[Lake, str | None], T], most: int = 600) -> None:
        self._table, self._make, self._most = table, make, most
        self._held: dict[tuple[str, str | None], tuple[str, T]] = {}
        self._lock = RLock()

    def get(self, lake: Lake, key: str | None = None) -> T | None:
        """What is made of a partition; None while it is not stored."""
        place, digest = (str(lake.root), key), lake.digest(self._table, key)
        if digest == "absent":
            return None
        with self._lock:
            held = self._held.get(place)
            if held is None or held[0] != digest:
                self._held.pop(place, None)
                while len(self._held) >= self._most:
                    self._held.pop(next(iter(self._held)))
                held = self._held[place] = (digest, self._make(lake, key))
        return held[1]
