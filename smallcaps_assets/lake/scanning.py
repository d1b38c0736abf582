"""Rows of many partitions, some files at a time, beside writers that replace them.

A file is opened once and read from that opening: polars opens a path more than once, and could take
the footer of one file and the pages of another. Seals are not checked, since only the parts that
are asked for are read; whole files are read by `store.py`. Which partitions are wanted is the
callers' business.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

import polars as pl

from smallcaps_assets.lake.file_identity import check_contract, footer_of, has_version, stamp_in
from smallcaps_assets.lake.paths import partition_folder
from smallcaps_assets.schemas import TABLES

T = TypeVar("T")
R = TypeVar("R")
MOST_FILES = 128
MOST_BYTES = 1 << 26


class Files(Protocol):
    """What of a lake its rows are read from."""

    root: Any
    is_local: bool

    def size(self, name: str, key: str | None = None) -> int:
        """Bytes of a stored partition."""
        ...

    def whole(self, path: Any) -> bytes:
        """A file's bytes."""
        ...

    def each(self, function: Callable[[Any], R], items: Iterable[Any]) -> Iterator[R]:
        """The results of a function that reads the lake, in order."""
        ...


def scan_keys(
    lake: Files,
    name: str,
    keys: Sequence[str],
    wanted: pl.Expr | None = None,
    columns: list[str] | None = None,
    limit: int | None = None,
) -> Iterator[pl.DataFrame]:
    """The wanted rows of some partitions in the order of the keys, in frames of bounded size.

    A partition that is gone by now has no rows. Raises UnknownContractError or DamagedFileError
    for a file that this code can't read.
    """
    for files in _ahead(lambda group: _Opened(lake, name, group), groups(lake, name, keys)):
        with closing(files):
            found = files.read(wanted, columns, limit)
        yield found
        limit = None if limit is None else limit - len(found)
        if limit == 0:
            return


def read_keys(
    lake: Files,
    name: str,
    keys: Sequence[str],
    wanted: pl.Expr | None = None,
    columns: list[str] | None = None,
) -> pl.DataFrame:
    """The wanted rows of a few partitions, all of whose files are open at once."""
    with closing(_Opened(lake, name, keys)) as files:
        return files.read(wanted, columns)


def groups(lake: Files, name: str, keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in groups whose files fit into memory together, judged by the first file."""
    size = 0
    with suppress(FileNotFoundError):
        size = lake.size(name, keys[0] or None) if keys else 0
    count = max(1, min(_most_files(), MOST_BYTES // max(size, 1)))
    yield from (keys[start : start + count] for start in range(0, len(keys), count))


def _most_files() -> int:
    """Files of a group: of two groups at once a quarter of what the system lets a process open."""
    if find_spec("resource") is None:
        return MOST_FILES // 2
    from resource import RLIMIT_NOFILE, getrlimit

    allowed, _ = getrlimit(RLIMIT_NOFILE)
    return min(MOST_FILES, max(1, allowed // 8)) if allowed > 0 else MOST_FILES


class _Opened:
    """The files of some partitions, each opened once."""

    def __init__(self, lake: Files, name: str, keys: Sequence[str]) -> None:
        self._table = TABLES[name]
        self._files = ExitStack()
        self._sources: list[Any] = []
        with ExitStack() as until_all_are_open:
            until_all_are_open.callback(self._files.close)
            for path, found in lake.each(partial(_opened, lake, name), keys):
                if found is not None:
                    self._add(path, self._files.enter_context(found))
            until_all_are_open.pop_all()

    def _add(self, path: Any, source: Any) -> None:
        footer = footer_of(source)
        if not has_version(footer, self._table.version):
            check_contract(path, self._table, stamp_in(footer))
        source.seek(0)
        self._sources.append(source)

    def read(
        self, wanted: pl.Expr | None, columns: list[str] | None, limit: int | None = None
    ) -> pl.DataFrame:
        if not self._sources:
            return self._table.empty().select(columns or pl.all())
        try:
            rows = pl.scan_parquet(self._sources, hive_partitioning=False)
        except TypeError:  # a file that polars can't open once more is something else to it
            told = f"{len(self._sources)} files of {self._table.name}; raise `ulimit -n`"
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), told) from None
        rows = rows if wanted is None else rows.filter(wanted)
        rows = rows if columns is None else rows.select(columns)
        return (rows if limit is None else rows.head(limit)).collect()

    def close(self) -> None:
        self._files.close()


def _opened(lake: Files, name: str, key: str) -> tuple[Any, Any]:
    """The path of a partition, and its file open; none when it is gone."""
    place = f"{partition_folder(TABLES[name], key or None)}/{name}.parquet"
    path: Any = f"{lake.root}/{place}" if lake.is_local else lake.root / place
    try:
        return path, io.FileIO(path) if lake.is_local else io.BytesIO(lake.whole(path))
    except FileNotFoundError:
        return path, None


def _ahead(make: Callable[[T], _Opened], items: Iterable[T]) -> Iterator[_Opened]:
    """What is made of each item; the next is made in a thread while one is used.

    The thread only opens files: polars decodes in its own, which must not wait for each other.
    """
    coming: Future[_Opened] | None = None
    with ThreadPoolExecutor(1, "lake-open") as opener:
        try:
            for item in items:
                ready, coming = coming, opener.submit(make, item)
                if ready is not None:
                    yield ready.result()
            ready, coming = coming, None
            if ready is not None:
                yield ready.result()
        finally:
            if coming is not None and coming.exception() is None:
                coming.result().close()
