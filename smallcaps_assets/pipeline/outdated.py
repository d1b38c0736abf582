"""Which stored partitions are out of date: made of other files, settings or contracts than today's.

Many partitions share the files that they are made from, so that each file is looked at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from smallcaps_assets.lake.still import StillLake
from smallcaps_assets.pipeline.workspace import Workspace


def at_once(work: Workspace) -> Workspace:
    """The workspace for looking at many partitions while nothing is written."""
    if isinstance(work.lake, StillLake):
        return work
    return replace(work, lake=StillLake(work.lake))


def outdated(work: Workspace, table: str, keys: Iterable[str]) -> list[str]:
    """Those of some partitions that are not, or not as they would be made now."""
    still = at_once(work)
    return keys_where(still, lambda key: not still.is_complete(table, key or None), keys)


def keys_where(work: Workspace, is_so: Callable[[str], bool], keys: Iterable[str]) -> list[str]:
    """Those of some keys of which something is so; of an object store many are asked at once."""
    asked: Sequence[str] = list(keys)
    found = work.lake.each(is_so, asked)
    return [key for key, holds in zip(asked, found, strict=True) if holds]
