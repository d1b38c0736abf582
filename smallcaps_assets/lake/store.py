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
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from smallcaps_assets.lake import files
from smallcaps_assets.lake.errors import ConflictError, DamagedFileError
from smallcaps_assets.lake.file_identity import (
    BLANK,
    KEEP_DAYS,
    NAME,
    Stamp,
    check_contract,
    footer_of,
    forget_versions,
    is_intact,
    keep_version,
    seal,
    seal_of,
    stamp_in,
)
from smallcaps_assets.lake.objects import ABSENT, THREADS, Entry, Objects, objects_of
from smallcaps_assets.lake.paths import depth, key_of_folder, open_root, partition_folder
from smallcaps_assets.lake.scanning import scan_keys
from smallcaps_assets.schemas import TABLES, ContractError, Table

if TYPE_CHECKING:
    from upath import UPath


T = TypeVar("T")
R = TypeVar("R")
LOCKS = "state/locks"
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
    """Tables as Parquet files below a root: a folder, or a prefix of a bucket.

    A write may say which file it is to replace, by its seal: `over`, empty for none. Where another
    process has put another one there meanwhile, ConflictError is raised and nothing is written.
    """

    def __init__(self, root: str | Path | UPath) -> None:
        self.root = open_root(root)
        self.is_local = isinstance(self.root, Path)
        self._digests: dict[str, tuple[Any, str]] = {}

    @property
    def objects(self) -> Objects:
        """The requests to the object store of a lake that is not local."""
        return objects_of(self.root.fs)

    def place(self, name: str, key: str | None = None) -> str:
        """Where the partition of a table lies below the root, whether it exists or not."""
        return f"{partition_folder(TABLES[name], key)}/{name}.parquet"

    def path(self, name: str, key: str | None = None) -> UPath:
        """Where the partition of a table lies, whether it exists or not."""
        return self.root / self.place(name, key)

    def exists(self, name: str, key: str | None = None) -> bool:
        """Whether the partition is stored."""
        return self.entry(self.place(name, key)) is not None

    def entry(self, place: str) -> Entry | None:
        """What is known of the file at a place below the root; None when there is none."""
        if not self.is_local:
            return self.objects.entry(self._object(place))
        try:
            stat = os.stat(f"{self.root}/{place}")  # noqa: PTH116 - fifty thousand of them
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Entry(stat.st_size, stat.st_mtime, (stat.st_mtime_ns, stat.st_size, stat.st_ino))

    def read_file(self, place: str) -> bytes:
        """The bytes of a file below the root. Raises FileNotFoundError."""
        return self.whole(self.root / place)

    def remove_file(self, place: str) -> None:
        """Remove a file below the root, if there is one."""
        if self.is_local:
            (self.root / place).unlink(missing_ok=True)
        else:
            self.objects.remove(self._object(place))

    def files_below(self, folder: str) -> list[str]:
        """The places of all files below a folder, sorted; none when there is no such folder."""
        if not self.is_local:
            base = f"{self._object('')}"
            found = self.objects.entries(self._object(folder))
            return sorted(path.removeprefix(base) for path in found)
        paths = (self.root / folder).rglob("*")
        return sorted(path.relative_to(self.root).as_posix() for path in paths if path.is_file())

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results of a function that reads the lake, in order; of objects many at once."""
        if self.is_local:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(THREADS, thread_name_prefix="objects") as pool:
            yield from pool.map(function, items)

    def write(
        self, name: str, key: str | None, frame: pl.DataFrame, stamp: Stamp, over: str | None = None
    ) -> Written:
        """Validate and store a partition whole, replacing an earlier one; a raw one is kept.

        Raises ContractError, with the stored partition as it was, when the frame breaks the
        table's contract; OSError when the place can't be written; ConflictError.
        """
        table = TABLES[name]
        valid = table.validate(frame)
        data = _encode(table, valid, stamp)
        self.put(name, key, data, over)
        return Written(name, key, len(valid), len(data), self.place(name, key), seal_of(data))

    def put(self, name: str, key: str | None, data: bytes, over: str | None = None) -> None:
        """Store the bytes of a partition's file; of a raw one the earlier version is kept."""
        self._publish(self.place(name, key), data, over, keeps=TABLES[name].layer == "raw")

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Store a small file beside the tables atomically."""
        self._publish(relative, data)

    def write_json(self, relative: str, values: dict[str, Any], over: str | None = None) -> None:
        """Store a small JSON file beside the tables, such as meta.json, atomically and sealed.

        Raises ConflictError.
        """
        text = json.dumps(
            {**values, NAME: BLANK}, indent=2, sort_keys=True, default=str, allow_nan=False
        )
        self._publish(relative, seal(text.encode() + b"\n"), over)

    def read(
        self, name: str, key: str | None = None, columns: list[str] | None = None
    ) -> pl.DataFrame:
        """A partition's rows, read from one opening and checked against the file's seal.

        Raises FileNotFoundError naming table and key when it is absent, DamagedFileError when its
        bytes are not those that were written, UnknownContractError when another version wrote them.
        """
        return pl.read_parquet(self._checked(name, key), columns=columns, hive_partitioning=False)

    def read_sealed(self, name: str, key: str | None = None) -> tuple[pl.DataFrame, str]:
        """As `read`, with the seal of the file, by which a write may say what it replaces."""
        data = self._checked(name, key)
        return pl.read_parquet(data, hive_partitioning=False), seal_of(data)

    def read_many(
        self, name: str, keys: Iterable[str | None], columns: list[str] | None = None
    ) -> pl.DataFrame:
        """The rows of those partitions that exist, in the order of the keys."""
        found = self.each(lambda key: self._checked_if_any(name, key), keys)
        sources: Any = [data for data in found if data is not None]
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

    def _checked_if_any(self, name: str, key: str | None) -> bytes | None:
        try:
            return self._checked(name, key)
        except FileNotFoundError:
            return None

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
            folders = _folders_of(self.files_below(f"{table.layer}/{name}"), table)
            return sorted(key_of_folder(table, folder) for folder in folders)
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
        place = self.place(name, key)
        if self.is_local:
            entry = self.entry(place)
            state, footer = (entry and entry.tag), None
        else:
            footer = self._object_footer(place)
            state = footer and footer[1]
        if state is None:
            return "absent"
        known = self._digests.get(place)
        if known is None or known[0] != state:
            end = footer[0] if footer else self._footer_of(name, key) or b""
            known = (state, hashlib.sha256(end).hexdigest())
            self._digests[place] = known
        return known[1]

    def digests(self, name: str) -> str:
        """The digests of all stored partitions of a table, a line each; empty for none."""
        return "\n".join(self.each(lambda key: self.digest(name, key or None), self.keys(name)))

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
        return self._stored(name, key).modified

    def size(self, name: str, key: str | None = None) -> int:
        """Bytes of a stored partition."""
        return self._stored(name, key).size

    def _stored(self, name: str, key: str | None) -> Entry:
        place = self.place(name, key)
        entry = self.entry(place)
        if entry is None:
            raise FileNotFoundError(f"{self.root / place} is not stored")
        return entry

    def sweep(self, keep_days: float = KEEP_DAYS) -> int:
        """Remove temporary files that a killed process left, and replaced versions that are older.

        Returns the number of the temporary files.
        """
        forget_versions(self.root, keep_days)
        return files.sweep(Path(str(self.root))) if self.is_local else 0

    def _footer_of(self, name: str, key: str | None) -> bytes | None:
        """The end of a stored file with its footer; None when it is absent."""
        place = self.place(name, key)
        if not self.is_local:
            found = self._object_footer(place)
            return found and found[0]
        try:
            with (self.root / place).open("rb") as file:
                return footer_of(file)  # type: ignore[arg-type]
        except FileNotFoundError:
            return None

    def _held_object(self, path: str) -> tuple[bytes, str] | None:
        """What holds the seal of a stored object, and its tag."""
        if path.endswith(".parquet"):
            return self.objects.footer(path)
        try:
            return self.objects.read(path)
        except FileNotFoundError:
            return None

    def _object(self, place: str) -> str:
        """The path of an object in its store: bucket, prefix and place."""
        return f"{self.root.path.rstrip('/')}/{place}"

    def _object_footer(self, place: str) -> tuple[bytes, str] | None:
        """The footer of an object, and its tag; None when it is absent."""
        return self.objects.footer(self._object(place))

    def whole(self, path: UPath) -> bytes:
        """A file's bytes; of an object by one request, others fail on one that is replaced."""
        return path.read_bytes() if self.is_local else self.objects.read(path.path)[0]

    def _publish(
        self, place: str, data: bytes, over: str | None = None, keeps: bool = False
    ) -> None:
        """Store a file; `keeps` the earlier version. Raises ConflictError, see `over` above."""
        if self.is_local:
            is_guarded = over is not None or place.endswith(".parquet")
            replacing = self._replacing(place, data, over, keeps) if is_guarded else None
            files.publish(Path(f"{self.root}/{place}"), data, replacing)
        elif over is None and not keeps:
            self.objects.write(self._object(place), data)
        else:
            self._replace_object(place, data, over, keeps)

    @contextmanager
    def _replacing(self, place: str, data: bytes, over: str | None, keeps: bool) -> Iterator[None]:
        """No other process replaces the file meanwhile."""
        lock = place.partition("=")[0].replace("/", ".")
        path = self.root / place
        with files.alone(Path(f"{self.root}/{LOCKS}/{lock}.lock")):
            if over is not None or keeps:
                old = _seal_on_disk(path)
                if over is not None and (old or ABSENT) != over:
                    raise ConflictError(path)
                if keeps and old is not None:
                    keep_version(self.root, path, old, seal_of(data))
            yield

    def _replace_object(self, place: str, data: bytes, over: str | None, keeps: bool) -> None:
        """Store an object in place of the one that is there, which is kept or must have a seal."""
        path, store = self._object(place), self.objects
        while True:
            held = self._held_object(path)
            old, tag = (seal_of(held[0]), held[1]) if held else (ABSENT, ABSENT)
            if over is not None and old != over:
                raise ConflictError(self.root / place)
            try:
                if keeps and held:
                    keep_version(self.root, self.root / place, old, seal_of(data), tag=tag)
                return store.write(path, data, tag)
            except ConflictError:
                if over is not None:
                    raise ConflictError(self.root / place) from None


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


def _seal_on_disk(path: UPath) -> str | None:
    """The seal of a file; empty for one without, None when there is none."""
    try:
        with path.open("rb") as file:
            is_table = path.suffix == ".parquet"
            return seal_of(footer_of(file) if is_table else file.read())  # type: ignore[arg-type]
    except FileNotFoundError:
        return None


def _folders_of(places: Iterable[str], table: Table) -> Iterator[str]:
    """The hive folders of a table's files among some places."""
    base = f"{table.layer}/{table.name}"
    for place in places:
        folder, _, file = place.rpartition("/")
        if file == f"{table.name}.parquet":
            yield folder.removeprefix(base)


def _folders(base: str, levels: int, name: str, prefix: str = "") -> Iterator[str]:
    if levels == 0:
        if os.path.exists(f"{base}/{name}.parquet"):  # noqa: PTH110 - fifty thousand of them
            yield prefix
        return
    with os.scandir(base) as children:
        for child in children:
            if "=" in child.name:
                yield from _folders(child.path, levels - 1, name, f"{prefix}/{child.name}")
