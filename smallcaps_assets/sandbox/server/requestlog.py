"""What the server was asked, for tests and reports. Keys are never kept."""

from __future__ import annotations

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


class RequestLog(list[Served]):
    """In the order in which they ended."""

    def matching(self, text: str) -> list[Served]:
        """Requests whose path contains a text."""
        return [row for row in self.copy() if text in row.path]
