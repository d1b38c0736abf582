"""The desk's journal: one line of JSON per record, only ever appended, flushed before sending.

Each record has a number one above the last, the instant at which it was made (UTC ns) and its
kind. A kill leaves at most a torn last line, which the next start cuts off and reports.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

_REMEDY = "move the file away and start anew from the broker's records"
_encoder = msgspec.json.Encoder()


class JournalError(ValueError):
    """A journal that can't be used: damaged, or another desk's."""


class Entry(Struct, frozen=True):
    """One record."""

    seq: int
    t: int
    kind: str
    data: dict[str, Any]


_decoder = msgspec.json.Decoder(Entry)


def read(path: Path) -> tuple[list[Entry], bytes]:
    """The records of a journal and its torn last line, empty when it is whole.

    Raises JournalError naming the line for damage anywhere else.
    """
    *lines, torn = path.read_bytes().split(b"\n") if path.exists() else [b""]
    return list(_entries(path, lines)), torn


def _entries(path: Path, lines: list[bytes]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        try:
            entry = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise JournalError(f"{path}, line {number}: {error}; {_REMEDY}") from None
        if entry.seq != number:
            raise JournalError(f"{path}, line {number}: it is record {entry.seq}; {_REMEDY}")
        yield entry


class Journal:
    """A journal that is open for writing, by one process.

    `entries` are its records at opening, `torn` what a kill left of a last line. Raises
    JournalError when another process has it open.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.entries, self.torn = read(path)
        except BlockingIOError:
            os.close(self._file)
            raise JournalError(f"{path} is in use: another desk runs this session") from None
        except JournalError:
            os.close(self._file)
            raise
        self._size = os.fstat(self._file).st_size - len(self.torn)
        os.ftruncate(self._file, self._size)
        self._pending = bytearray()
        self._next = len(self.entries) + 1
        sync_folder(path.parent)

    def append(self, t: int, kind: str, data: Mapping[str, Any]) -> None:
        """Take a record, made at `t` UTC ns. It is not on the disk before `flush`."""
        self._pending += _encoder.encode(Entry(self._next, t, kind, dict(data))) + b"\n"
        self._next += 1

    def push(self) -> None:
        """Hand what is pending to the system, which survives the end of this process.

        Raises OSError when it can't be written, whole lines or nothing: it stays pending.
        """
        if not self._pending:
            return
        try:
            written = os.write(self._file, self._pending)
            if written < len(self._pending):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += written
        self._pending.clear()

    def flush(self) -> None:
        """Hand everything to the disk. Raises as `push`."""
        self.push()
        os.fsync(self._file)

    def close(self) -> None:
        """Flush what can be and let go of the file."""
        try:
            self.flush()
        finally:
            os.close(self._file)


def is_open(path: Path) -> bool:
    """Whether some process writes this journal."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def sync_folder(folder: Path) -> None:
    """Make the names of new files in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
