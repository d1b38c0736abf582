"""Which partitions of two lakes, or of two versions of one, differ, and how.

Files with the same seal are the same, so only those that differ are read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from smallcaps_assets.domain.quality.changes import Changes, changes
from smallcaps_assets.lake.file_identity import versions
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES


@dataclass(frozen=True)
class Difference:
    """How the partition of one lake differs from that of another; `what` is one line."""

    table: str
    key: str
    what: str
    rows: Changes | None = None

    def __str__(self) -> str:
        return f"{self.table} {self.key}".strip() + f": {self.what}"


Track = Callable[[Sequence[tuple[str, str]]], Iterable[tuple[str, str]]]


def compare(
    old: Lake, new: Lake, tables: Iterable[str], track: Track = iter
) -> Iterator[Difference]:
    """The partitions that differ between two lakes, in the order of tables and keys.

    `track` goes over all tables and keys that are compared, and may tell how far it is.
    """
    stored = {table: (set(old.keys(table)), set(new.keys(table))) for table in tables}
    places = [(table, key) for table in stored for key in sorted(set.union(*stored[table]))]
    for table, key in track(places):
        before, after = stored[table]
        if key not in after:
            yield Difference(table, key, "only in the first lake")
        elif key not in before:
            yield Difference(table, key, "only in the second lake")
        elif (found := _compare_stored(old, new, table, key)) is not None:
            yield found


def compare_versions(lake: Lake, table: str, key: str) -> Iterator[Difference]:
    """What each replacement of a raw partition changed, oldest first."""
    path = lake.path(table, key or None)
    kept = versions(lake.root, path)
    files = [version.path.read_bytes() for version in kept] + [lake.read_bytes(table, key or None)]
    for version, old, new in zip(kept, files, files[1:], strict=False):
        what = _rows(old, new, table)
        yield Difference(table, key, f"replaced {version.name}: {what}", what)


def _compare_stored(old: Lake, new: Lake, table: str, key: str) -> Difference | None:
    name = key or None
    if old.seal(table, name) == new.seal(table, name):
        return None
    rows = _rows(old.read_bytes(table, name), new.read_bytes(table, name), table)
    if rows:
        return Difference(table, key, str(rows), rows)
    stamps = (old.stamp(table, name), new.stamp(table, name))
    told = [stamp.as_metadata() if stamp else {} for stamp in stamps]
    names = sorted(n for n in {**told[0], **told[1]} if told[0].get(n) != told[1].get(n))
    fields = ", ".join(name.removeprefix("smallcaps_") for name in names) or "encoding"
    return Difference(table, key, f"the same rows, another {fields}", rows)


def _rows(old: bytes, new: bytes, table: str) -> Changes:
    """What became of the rows; columns that one side lacks are left out."""
    before, after = (pl.read_parquet(io.BytesIO(d), hive_partitioning=False) for d in (old, new))
    both = [name for name in before.columns if name in after.columns]
    key = [name for name in TABLES[table].key if name in both]
    return changes(before.select(both), after.select(both), key)
