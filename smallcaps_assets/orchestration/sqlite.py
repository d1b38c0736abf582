"""Dagster's SQLite event log, at a pace that suits thousands of partitions in a run.

Dagster opens a connection per event. Each commit then flushes the disk, and each close, being the
last, copies the write-ahead log back and flushes again, while the partitions' own files are being
flushed beside it. With `synchronous = NORMAL` a commit only appends to the log, and a connection
held open keeps the copying for later. A killed process loses nothing by it; after a power cut the
last events may be missing, and `smallcaps run` reports such partitions at its next start.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict

from sqlalchemy import event
from sqlalchemy.engine import Engine

_MOST_HELD = 16
_LOCK = threading.Lock()
_HELD: OrderedDict[str, sqlite3.Connection] = OrderedDict()


def ease_commits() -> None:
    """Apply to every SQLite connection that this process opens from now on; repeatable."""
    if not event.contains(Engine, "connect", _on_connect):
        event.listen(Engine, "connect", _on_connect)


def _on_connect(connection: object, _record: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.execute("PRAGMA synchronous = NORMAL")
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    if path:
        _hold(path)


def _hold(path: str) -> None:
    """Keep one idle connection to a database; the least recently used are let go."""
    with _LOCK:
        if path not in _HELD:
            _HELD[path] = sqlite3.connect(path, check_same_thread=False)
            _HELD[path].execute("PRAGMA schema_version").fetchone()
        _HELD.move_to_end(path)
        while len(_HELD) > _MOST_HELD:
            _HELD.popitem(last=False)[1].close()
