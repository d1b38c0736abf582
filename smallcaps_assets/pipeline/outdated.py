"""Which stored partitions are out of date: made of other files, settings or contracts than today's.

Many partitions share the files that they are made from, so that each file is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.workspace import Workspace


class StillLake(Lake):
    """A lake at one moment: the digest of a file is found once, however often it is asked for."""

    def __init__(self, lake: Lake) -> None:
        super().__init__(lake.root)
        self._found: dict[tuple[str, str | None], str] = {}
        self._of_tables: dict[str, str] = {}

    def digest(self, name: str, key: str | None = None) -> str:
        """As `Lake.digest`, when it was first asked for."""
        place = (name, key)
        if place not in self._found:
            self._found[place] = super().digest(name, key)
        return self._found[place]

    def digests(self, name: str) -> str:
        """As `Lake.digests`, when they were first asked for."""
        if name not in self._of_tables:
            self._of_tables[name] = super().digests(name)
        return self._of_tables[name]


def at_once(work: Workspace) -> Workspace:
    """The workspace for looking at many partitions while nothing is written."""
    if isinstance(work.lake, StillLake):
        return work
    return replace(work, lake=StillLake(work.lake))


def outdated(work: Workspace, table: str, keys: Iterable[str]) -> list[str]:
    """Those of some partitions that are not, or not as they would be made now."""
    still = at_once(work)
    return [key for key in keys if not still.is_complete(table, key or None)]
