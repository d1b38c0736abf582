"""What the server was asked, for tests and reports. Keys are never kept."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Served:
    """One request: method, path, query without its key, status (0: cut off), fault if any."""

    method: str
    path: str
    query: str
    status: int
    fault: str = ""
    headers: dict[str, str] = field(default_factory=dict, compare=False)


class RequestLog:
    """Thread-safe; iterate, index, or count."""

    def __init__(self) -> None:
        self._rows: list[Served] = []
        self._lock = threading.Lock()

    def add(self, served: Served) -> None:
        with self._lock:
            self._rows.append(served)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self):
        return iter(tuple(self._rows))

    def __getitem__(self, index: int) -> Served:
        return self._rows[index]

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()

    def matching(self, text: str) -> list[Served]:
        """Requests whose path contains a text."""
        return [row for row in tuple(self._rows) if text in row.path]

    def statuses(self) -> Counter[int]:
        return Counter(row.status for row in tuple(self._rows))
