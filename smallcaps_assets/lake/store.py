"""The atomic store: one Parquet file per partition, all or nothing.

A file is replaced in one step, so that a reader sees the old one or the new one, never half of one.
Its footer says which contract, code and settings made it, seals its bytes, and holds no clock: the
same inputs give the same bytes. A file is opened once to be read, and refused when it is damaged or
of another contract. A raw file that is replaced is kept for a while. See `file_identity.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from smallcaps_assets.lake import files
from smallcaps_assets.lake.errors import DamagedFileError
from smallcaps_assets.lake.file_identity import (
    BLANK,
    FOOTER,
    KEEP_DAYS,
    NAME,
    Stamp,
    check_contract,
    footer_length,
    footer_of,
    forget_versions,
    is_intact,
    keep_version,
    seal,
    seal_of,
    stamp_in,
)
from smallcaps_assets.lake.paths import depth, key_of_folder, open_root, partition_folder
from smallcaps_assets.lake.scanning import scan_keys
from smallcaps_assets.schemas import TABLES, ContractError, Table

if TYPE_CHECKING:
    from upath import UPath


LARGEST_EMPTY = 1 << 16  # bytes of a file without rows at most: its footer, of all columns


@dataclass(frozen=True)
class Written:
    """What a write did: rows, bytes and seal of the stored file, its place below the root."""

    table: str
    key: str | None
    rows: int
    bytes: int
    path: str
    seal: str = ""


class Lake:
    """Tables as Parquet files below a root: any location that universal_pathlib opens."""

    def __init__(self, root: str | Path | UPath) -> None:
        self.root = open_root(root)
        self.is_local = isinstance(self.root, Path)
        self._digests: dict[str, tuple[tuple[Any, ...], str]] = {}

    def path(self, name: str, key: str | None = None) -> UPath:
        """Where the partition of a table lies, whether it exists or not."""
        table = TABLES[name]
        return self.root / partition_folder(table, key) / f"{name}.parquet"

    def exists(self, name: str, key: str | None = None) -> bool:
        """Whether the partition is stored."""
        return self.path(name, key).exists()

    def write(self, name: str, key: str | None, frame: pl.DataFrame, stamp: Stamp) -> Written:
        """Validate and store a partition whole, replacing an earlier one; a raw one is kept.

        Raises ContractError, with the stored partition as it was, when the frame breaks the
        table's contract; OSError when the place can't be written.
        """
        table = TABLES[name]
        valid = table.validate(frame)
        data = _encode(table, valid, stamp)
        self.put(name, key, data)
        path = self.path(name, key)
        place = str(path.relative_to(self.root))
        return Written(name, key, len(valid), len(data), place, seal_of(data))

    def put(self, name: str, key: str | None, data: bytes) -> None:
        """Store the bytes of a partition's file; of a raw one the earlier version is kept."""
        path = self.path(name, key)

        def keep() -> None:
            if TABLES[name].layer == "raw":
                keep_version(self.root, path, self.seal(name, key), seal_of(data))

        self._publish(path, data, keep)

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Store a small file beside the tables atomically."""
        self._publish(self.root / relative, data)

    def write_json(self, relative: str, values: dict[str, Any]) -> None:
        """Store a small JSON file beside the tables, such as meta.json, atomically and sealed."""
        text = json.dumps(
            {**values, NAME: BLANK}, indent=2, sort_keys=True, default=str, allow_nan=False
        )
        self._publish(self.root / relative, seal(text.encode() + b"\n"))

    def read(
        self, name: str, key: str | None = None, columns: list[str] | None = None
    ) -> pl.DataFrame:
        """A partition's rows, read from one opening and checked against the file's seal.

        Raises FileNotFoundError naming table and key when it is absent, DamagedFileError when its
        bytes are not those that were written, UnknownContractError when another version wrote them.
        """
        return pl.read_parquet(self._checked(name, key), columns=columns, hive_partitioning=False)

    def read_many(
        self, name: str, keys: Iterable[str | None], columns: list[str] | None = None
    ) -> pl.DataFrame:
        """The rows of those partitions that exist, in the order of the keys."""
        sources: Any = [self._checked(name, key) for key in keys if self.exists(name, key)]
        if not sources:
            return TABLES[name].empty().select(columns or pl.all())
        return pl.read_parquet(sources, columns=columns, hive_partitioning=False)

    def check_contract(self, name: str, key: str | None = None) -> None:
        """Raises UnknownContractError when a stored file is of another version of its contract."""
        check_contract(self.path(name, key), TABLES[name], self.stamp(name, key))

    def read_bytes(self, name: str, key: str | None = None) -> bytes:
        """A partition's file as it is. Raises FileNotFoundError naming table and key."""
        try:
            return self.whole(self.path(name, key))
        except FileNotFoundError:
            absent = f"{name} has no partition {key!r}; materialize it first"
            raise FileNotFoundError(absent) from None

    def scan(self, name: str) -> pl.LazyFrame:
        """All partitions as one lazy frame, in the order of their keys.

        Partitions are listed when it is collected and each file is opened once, so that one that
        is replaced meanwhile is read whole, old or new. Seals are not checked: only the parts of
        the files that are asked for are read.
        """

        def rows(
            columns: list[str] | None, wanted: pl.Expr | None, limit: int | None, _: int | None
        ) -> Iterator[pl.DataFrame]:
            yield from scan_keys(self, name, self.keys(name), wanted, columns, limit)

        return register_io_source(rows, schema=TABLES[name].columns)

    def _checked(self, name: str, key: str | None) -> bytes:
        """A file's bytes from one opening; polars opens a path more than once."""
        data, path = self.read_bytes(name, key or None), self.path(name, key or None)
        if not is_intact(data):
            raise DamagedFileError(
                f"{path} is damaged: its bytes are not those that were written;"
                " `smallcaps verify --repair` marks it, and the next run makes it again"
            )
        check_contract(path, TABLES[name], stamp_in(footer_of(io.BytesIO(data))))
        return data

    def has(self, name: str) -> bool:
        """Whether any partition of a table is stored."""
        if not self.is_local:
            return bool(self.keys(name))
        table = TABLES[name]
        base = self.root / table.layer / name
        return base.exists() and any(True for _ in _folders(str(base), depth(table), name))

    def keys(self, name: str) -> list[str]:
        """Keys of the stored partitions, sorted; `['']` for a stored table without partitions."""
        table = TABLES[name]
        base = self.root / table.layer / name
        if not self.is_local:
            return sorted(key_of_folder(table, folder) for folder in _object_folders(base, name))
        if not base.exists():
            return []
        return sorted(key_of_folder(table, f) for f in _folders(str(base), depth(table), name))

    def stamp(self, name: str, key: str | None = None) -> Stamp | None:
        """The stamp of a stored partition; None when it is absent or not of this project."""
        footer = self._footer_of(name, key)
        return None if footer is None else stamp_in(footer)

    def seal(self, name: str, key: str | None = None) -> str:
        """The seal of a stored partition; empty when it is absent or not of this project."""
        return seal_of(self._footer_of(name, key) or b"")

    def digest(self, name: str, key: str | None = None) -> str:
        """A digest of a stored partition's footer, which changes with its bytes; `absent` if none.

        The footer holds the size, place and extremes of every column chunk, and the seal.
        """
        path = self.path(name, key)
        try:
            stat = path.stat()
        except FileNotFoundError:
            return "absent"
        state = (getattr(stat, "st_mtime_ns", None), stat.st_size, getattr(stat, "st_ino", None))
        known = self._digests.get(str(path))
        if known is None or known[0] != state or state[0] is None:
            known = (state, hashlib.sha256(self._footer_of(name, key) or b"").hexdigest())
            self._digests[str(path)] = known
        return known[1]

    def digests(self, name: str) -> str:
        """The digests of all stored partitions of a table, a line each; empty for none."""
        return "\n".join(self.digest(name, key or None) for key in self.keys(name))

    def rows(self, name: str, key: str | None = None) -> int:
        """Number of rows of a stored partition, from its footer."""
        source = io.BytesIO(b"PAR1" + (self._footer_of(name, key) or b""))
        return pl.scan_parquet(source).select(pl.len()).collect().item()

    def is_empty(self, name: str, key: str | None = None) -> bool:
        """Whether a partition is stored and has no rows; only small files are looked into."""
        try:
            return self.size(name, key) <= LARGEST_EMPTY and not self.rows(name, key)
        except FileNotFoundError:
            return False

    def modified(self, name: str, key: str | None = None) -> float:
        """When a stored partition was written, in seconds since the epoch."""
        return self.path(name, key).stat().st_mtime

    def size(self, name: str, key: str | None = None) -> int:
        """Bytes of a stored partition."""
        return self.path(name, key).stat().st_size

    def sweep(self, keep_days: float = KEEP_DAYS) -> int:
        """Remove temporary files that a killed process left, and replaced versions that are older.

        Returns the number of the temporary files.
        """
        forget_versions(self.root, keep_days)
        return files.sweep(Path(str(self.root))) if self.is_local else 0

    def _footer_of(self, name: str, key: str | None) -> bytes | None:
        """The end of a stored file with its footer; None when it is absent."""
        path = self.path(name, key)
        try:
            if self.is_local:
                with path.open("rb") as file:
                    return footer_of(file)  # type: ignore[arg-type]
            end: Any = path.fs.cat_file(path.path, start=-FOOTER)
            is_short = len(end) == FOOTER < footer_length(end)
            return footer_of(io.BytesIO(self.whole(path) if is_short else end))
        except FileNotFoundError:
            return None

    def whole(self, path: UPath) -> bytes:
        """A file's bytes; of an object by one request, others fail on one that is replaced."""
        if self.is_local:
            return path.read_bytes()
        found: Any = path.fs.cat_file(path.path)
        return found

    def _publish(self, path: UPath, data: bytes, before: Callable[[], None] = lambda: None) -> None:
        if self.is_local:
            files.publish(Path(str(path)), data, before)
        else:
            before()
            path.fs.pipe_file(path.path, data)


def _encode(table: Table, frame: pl.DataFrame, stamp: Stamp) -> bytes:
    if stamp.table != table.name or stamp.version != table.version:
        raise ContractError(f"{table.name}: stamped as {stamp.table} version {stamp.version}")
    buffer = io.BytesIO()
    frame.write_parquet(
        buffer,
        compression="zstd",
        compression_level=3,
        row_group_size=table.row_group_rows,
        metadata={**stamp.as_metadata(), NAME: BLANK},
    )
    return seal(buffer.getvalue())


def _object_folders(base: UPath, name: str) -> Iterator[str]:
    """As `_folders`, from one listing of an object store."""
    for place in base.fs.find(base.path):
        folder, _, file = str(place).rpartition("/")
        if file == f"{name}.parquet":
            yield folder.removeprefix(base.path)


def _folders(base: str, levels: int, name: str, prefix: str = "") -> Iterator[str]:
    if levels == 0:
        if os.path.exists(f"{base}/{name}.parquet"):  # noqa: PTH110 - fifty thousand of them
            yield prefix
        return
    with os.scandir(base) as children:
        for child in children:
            if "=" in child.name:
                yield from _folders(child.path, levels - 1, name, f"{prefix}/{child.name}")
