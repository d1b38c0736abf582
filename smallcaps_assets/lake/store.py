"""The atomic store: one Parquet file per partition, all or nothing.

A file is written under a temporary name in its own folder, flushed and renamed, so that a reader
sees the old file or the new one, never half of one. Its footer says which contract, code and
settings made it, and holds no clock: the same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from upath import UPath

from smallcaps_assets import __version__
from smallcaps_assets.lake.paths import depth, key_of_folder, partition_folder
from smallcaps_assets.lake.scope import Scope
from smallcaps_assets.schemas import TABLES, ContractError, Table

TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class Stamp:
    """What a file's footer says about its making.

    `scope` says which tickers are in it, see `Scope`. `inputs` is a digest of the files that it was
    made from; another digest means that they have changed since. `source` names the flat file that
    raw rows came from, with its ETag.
    """

    table: str
    version: int
    config: str
    scope: str = str(Scope())
    inputs: str = ""
    source: str = ""
    code: str = __version__

    def as_metadata(self) -> dict[str, str]:
        """Key-value metadata of the Parquet footer."""
        return {f"smallcaps_{name}": str(value) for name, value in self.__dict__.items()}

    @staticmethod
    def of(metadata: dict[str, str]) -> Stamp | None:
        """The stamp in a footer, or None when the file is not of this project."""
        values = {
            name.removeprefix("smallcaps_"): value
            for name, value in metadata.items()
            if name.startswith("smallcaps_")
        }
        if not {"table", "version", "config"} <= values.keys():
            return None
        return Stamp(**{**values, "version": int(values["version"])})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Written:
    """What a write did: rows and bytes of the stored file, and its place below the root."""

    table: str
    key: str | None
    rows: int
    bytes: int
    path: str


class Lake:
    """Tables as Parquet files below a root: any location that universal_pathlib opens."""

    def __init__(self, root: str | Path | UPath) -> None:
        self.root = UPath(root)
        self._is_local = isinstance(self.root, Path)
        self._digests: dict[str, tuple[tuple[int | None, int], str]] = {}

    def path(self, name: str, key: str | None = None) -> UPath:
        """Where the partition of a table lies, whether it exists or not."""
        table = TABLES[name]
        return self.root / partition_folder(table, key) / f"{name}.parquet"

    def exists(self, name: str, key: str | None = None) -> bool:
        """Whether the partition is stored."""
        return self.path(name, key).exists()

    def write(self, name: str, key: str | None, frame: pl.DataFrame, stamp: Stamp) -> Written:
        """Validate and store a partition whole, replacing an earlier one.

        Raises ContractError, with the stored partition as it was, when the frame breaks the
        table's contract; OSError when the place can't be written.
        """
        table = TABLES[name]
        valid = table.validate(frame)
        path = self.path(name, key)
        data = _encode(table, valid, stamp)
        self._publish(path, data)
        return Written(name, key, len(valid), len(data), str(path.relative_to(self.root)))

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Store a small file beside the tables, such as meta.json, atomically."""
        self._publish(self.root / relative, data)

    def read(
        self, name: str, key: str | None = None, columns: list[str] | None = None
    ) -> pl.DataFrame:
        """A partition's rows. Raises FileNotFoundError naming table and key when it is absent."""
        path = self.path(name, key)
        if not path.exists():
            raise FileNotFoundError(f"{name} has no partition {key!r}; materialize it first")
        return pl.read_parquet(self._source(path), columns=columns, hive_partitioning=False)

    def read_many(
        self, name: str, keys: Iterable[str], columns: list[str] | None = None
    ) -> pl.DataFrame:
        """The rows of those partitions that exist, in the order of the keys."""
        paths = [path for key in keys if (path := self.path(name, key)).exists()]
        if not paths:
            return TABLES[name].empty().select(columns or pl.all())
        sources: Any = [self._source(path) for path in paths]
        return pl.read_parquet(sources, columns=columns, hive_partitioning=False)

    def scan(self, name: str) -> pl.LazyFrame:
        """All partitions as one lazy frame, with the hive folders used for pruning."""
        pattern = "/".join(["*=*"] * depth(TABLES[name]) + [f"{name}.parquet"])
        base = self.root / TABLES[name].layer / name
        if next(iter(self.keys(name)), None) is None:
            return TABLES[name].empty().lazy()
        return pl.scan_parquet(f"{base}/{pattern}", hive_partitioning=False)

    def keys(self, name: str) -> list[str]:
        """Keys of the stored partitions, sorted; `['']` for a stored table without partitions."""
        table = TABLES[name]
        base = self.root / table.layer / name
        if not base.exists():
            return []
        return sorted(key_of_folder(table, f) for f in _folders(base, depth(table), name))

    def stamp(self, name: str, key: str | None = None) -> Stamp | None:
        """The stamp of a stored partition; None when it is absent or not of this project."""
        path = self.path(name, key)
        try:
            return Stamp.of(pl.read_parquet_metadata(self._source(path)))
        except (FileNotFoundError, pl.exceptions.PolarsError):
            return None

    def digest(self, name: str, key: str | None = None) -> str:
        """A digest of a stored partition's footer, which changes with its rows; `absent` if none.

        The footer holds the size, place and extremes of every column chunk.
        """
        path = self.path(name, key)
        try:
            stat = path.stat()
        except FileNotFoundError:
            return "absent"
        state = (getattr(stat, "st_mtime_ns", None), stat.st_size)
        known = self._digests.get(str(path))
        if known is None or known[0] != state or state[0] is None:
            known = (state, _footer_digest(path))
            self._digests[str(path)] = known
        return known[1]

    def rows(self, name: str, key: str | None = None) -> int:
        """Number of rows of a stored partition, from its footer."""
        source = self._source(self.path(name, key))
        return pl.scan_parquet(source).select(pl.len()).collect().item()

    def modified(self, name: str, key: str | None = None) -> float:
        """When a stored partition was written, in seconds since the epoch."""
        return self.path(name, key).stat().st_mtime

    def size(self, name: str, key: str | None = None) -> int:
        """Bytes of a stored partition."""
        return self.path(name, key).stat().st_size

    def sweep(self) -> int:
        """Remove temporary files that a killed process left. Returns their number."""
        if not self._is_local:
            return 0
        left = [path for path in Path(str(self.root)).rglob(f"{TEMPORARY}*") if path.is_file()]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    @staticmethod
    def _source(path: UPath) -> io.BytesIO:
        """A file's bytes from one opening.

        polars opens a path more than once and fails on one that is replaced in between.
        """
        return io.BytesIO(path.read_bytes())

    def _publish(self, path: UPath, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._is_local:
            _replace(Path(str(path)), data)
        else:
            path.write_bytes(data)


def _encode(table: Table, frame: pl.DataFrame, stamp: Stamp) -> bytes:
    if stamp.table != table.name or stamp.version != table.version:
        raise ContractError(f"{table.name}: stamped as {stamp.table} version {stamp.version}")
    buffer = io.BytesIO()
    frame.write_parquet(
        buffer,
        compression="zstd",
        compression_level=3,
        row_group_size=table.row_group_rows,
        metadata=stamp.as_metadata(),
    )
    return buffer.getvalue()


def _footer_digest(path: UPath) -> str:
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, os.SEEK_END)
        return hashlib.sha256(file.read(length)).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _folders(base: UPath, levels: int, name: str, prefix: str = "") -> Iterator[str]:
    if levels == 0:
        if (base / f"{name}.parquet").exists():
            yield prefix
        return
    for child in base.iterdir():
        if "=" in child.name:
            yield from _folders(child, levels - 1, name, f"{prefix}/{child.name}")
