"""Answers kept on disk until the partition made from them is stored.

A killed download goes on from its last page instead of from the beginning. One small SQLite file
per partition, in write-ahead mode: a page is there whole or not at all. Pages older than a day are
not trusted, the vendor may have corrected them; nor are damaged ones, they are asked for again. The
lake's own files are not kept here.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

LONGEST_KEPT = 86_400.0  # seconds
_SUFFIXES = ("", "-wal", "-shm")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE = """
CREATE TABLE IF NOT EXISTS pages
    (part TEXT, leaf TEXT, body BLOB, digest BLOB, PRIMARY KEY (leaf, part))
"""


class Pages:
    """The pages of one partition: frames by part (a ticker) and leaf (a session).

    Safe to use from many threads; two processes on one partition see each other's pages. Without
    a path the pages live in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._file: sqlite3.Connection | None = None

    def add(self, part: str, leaves: Mapping[str, pl.DataFrame]) -> None:
        """Keep the pages of a part together: all of them or none."""
        bodies = [(leaf, _packed(frame)) for leaf, frame in leaves.items()]
        rows = [(part, leaf, body, _digest(body)) for leaf, body in bodies]
        with self._lock, self._opened() as file:
            file.executemany("INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)", rows)

    def names(self) -> set[tuple[str, str]]:
        """Parts and leaves of which there are pages."""
        return {(part, leaf) for part, leaf in self._rows("SELECT part, leaf FROM pages")}

    def frames(self, leaf: str) -> dict[str, pl.DataFrame]:
        """The pages of a leaf by part, in the order of the parts' names."""
        query = "SELECT part, body, digest FROM pages WHERE leaf = ? ORDER BY part"
        rows = self._rows(query, leaf)
        return {part: _unpacked(body) for part, body, digest in rows if digest == _digest(body)}

    def forget(self, leaf: str) -> None:
        """Drop the pages of a leaf; the file goes with the last of them."""
        if not self._is_there():
            return
        with self._lock, self._opened() as file:
            file.execute("DELETE FROM pages WHERE leaf = ?", (leaf,))
            (left,) = file.execute("SELECT count(*) FROM pages").fetchone()
        if not left:
            self.drop()

    def drop(self) -> None:
        """Forget all pages: what is made from them is stored."""
        self.close()
        if self._path is not None:
            for suffix in _SUFFIXES:
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and keep its pages."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _is_there(self) -> bool:
        return self._file is not None or (self._path is not None and self._path.exists())

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        if not self._is_there():
            return []
        try:
            with self._lock, self._opened() as file:
                return file.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                raise
            self.drop()
            return []

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The file in a transaction, opened at its first use."""
        if self._file is None:
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            file = sqlite3.connect(self._path or ":memory:", timeout=60, check_same_thread=False)
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = NORMAL")
            file.execute(_TABLE)
            self._file = file
        with self._file as file:
            yield file


@dataclass(frozen=True)
class CachedPages:
    """What a partition is made from, to be dropped once it is stored: a leaf, or all pages."""

    pages: Pages
    leaf: str | None = None

    def drop(self) -> None:
        """Remove it from the cache."""
        if self.leaf is None:
            self.pages.drop()
        else:
            self.pages.forget(self.leaf)


class PageCache:
    """A folder with the pages of partitions that are under way."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pages(self, *names: str) -> Pages:
        """The pages of a partition named by its table, ticker, day or month."""
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
        path = self._folder / f"{digest}.sqlite"
        if self._is_old(path):
            Pages(path).drop()
        return Pages(path)

    def sweep(self) -> int:
        """Remove pages that are too old to be trusted. Returns the number of partitions."""
        old = [path for path in self._folder.glob("*.sqlite") if self._is_old(path)]
        for path in old:
            Pages(path).drop()
        return len(old)

    def _is_old(self, path: Path) -> bool:
        files = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
        written = [file.stat().st_mtime for file in files if file.exists()]
        return bool(written) and time.time() - max(written) > LONGEST_KEPT


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def _packed(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def _unpacked(body: bytes) -> pl.DataFrame:
    return pl.read_ipc(io.BytesIO(body))
