"""Files of a lake on a local disk: whole or not at all, durable, and swept after a kill.

A file is written under a temporary name, flushed to the disk and renamed. The writer holds a lock
on it, which the kernel lets go of when the process ends however it ends: a temporary file without
a lock is rubbish, one with a lock is somebody's work, also another process's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp-"


def publish(
    path: Path, data: bytes, replacing: AbstractContextManager[object] | None = None
) -> None:
    """Store a file: a reader sees the old one or the new one, also after a power cut.

    `replacing` is entered when all is written, and left when the new file has taken its place.
    Raises OSError, with the old file as it was, when the place can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path.parent) as (file, name):
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        with replacing or nullcontext():
            name.replace(path)
    _flush_folder(path.parent)


def sweep(root: Path) -> int:
    """Remove the temporary files that nobody is writing. Returns their number."""
    return sum(_remove_unlocked(path) for path in root.rglob(f"{TEMPORARY}*") if path.is_file())


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new locked file, gone at the end unless it was renamed."""
    while True:
        path = folder / f"{TEMPORARY}{os.urandom(8).hex()}"
        with path.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # swept between its making and its lock
            try:
                yield file, path
            finally:
                path.unlink(missing_ok=True)
            return


def _remove_unlocked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


@contextmanager
def alone(path: Path, waits: bool = True) -> Iterator[bool]:
    """Hold a lock file: one process at a time; a killed one lets go.

    Whether it is held: one that does not wait goes on without, while another holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def _flush_folder(folder: Path) -> None:
    """Make a renaming last. A journal writes the entries of new folders above it along."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
