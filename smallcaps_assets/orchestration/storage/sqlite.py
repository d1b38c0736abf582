"""Dagster's SQLite storage, at a pace that suits thousands of partitions in a run.

The stock event log makes an engine, opens a connection, flushes the disk and closes it for each of
the three to six statements of an event, 8 to 12 ms of processor time in all. Here an engine and its
connection are kept per database file, and `synchronous = NORMAL` lets a commit only append to the
write-ahead log. A killed process loses nothing by it; after a power cut the last events may be
missing, and `smallcaps run` reports such partitions at its next start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from threading import RLock
from typing import Any

from dagster._core.event_api import EventHandlerFn
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.polling_event_watcher import SqlPollingEventWatcher
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine, event, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import StaticPool

from smallcaps_assets.orchestration.storage.batches import Batches, Numbered
from smallcaps_assets.orchestration.storage.check_states import CheckStates

_BUSY_SECONDS = 60
_MOST_HELD = 16


class SqliteStorage(DagsterSqliteStorage):
    """Runs, events and schedules of one instance; named in its dagster.yaml."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(str(Path(base_dir) / "history" / "runs"))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> SqliteStorage:
        """The storage of a dagster.yaml."""
        return cls(config_value["base_dir"], inst_data)


class EventLog(Batches, CheckStates, SqliteEventLogStorage):
    """The event log with one kept connection per database file."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)
        self._db_lock = RLock()  # a batch goes to the index and to its runs' files
        with self.index_connection():  # makes the tables of an empty file, which a look does not
            pass
        self._watcher = SqlPollingEventWatcher(self)

    def watch(self, run_id: str, cursor: str | None, callback: EventHandlerFn) -> None:
        """Tell a page of the web server of a run's events as they come.

        The stock log watches for writes to the database file. Here they go to the write-ahead log,
        and to the file only much later.
        """
        self._watcher.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: EventHandlerFn) -> None:
        """Tell it no more."""
        self._watcher.unwatch_run(run_id, handler)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with self.index_connection() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def _number(self, connection: Connection, events: Sequence[EventLogEntry]) -> Numbered:
        newest = connection.execute(select(func.max(SqlEventLogStorageTable.c.id))).scalar()
        return list(enumerate(events, (newest or 0) + 1))

    def _is_indexed(self, event: EventLogEntry) -> bool:
        return event.is_dagster_event

    def _insert(self, table: Any) -> Any:
        return sqlite.insert(table)

    def _copy(self, numbered: Numbered, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """Each run has a file of its own with all of its events."""
        for run, events in groupby(numbered, lambda one: one[1].run_id):
            told = [
                {**(rows.get(number) or self._event_to_row(event)), "id": None}
                for number, event in events
            ]
            with self.run_connection(run) as connection:
                connection.execute(SqlEventLogStorageTable.insert(), told)

    def has_table(self, table_name: str) -> bool:
        """Whether the index database has a table; one that is there stays there."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def dispose(self) -> None:
        """Let go of every connection."""
        self._watcher.close()
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    def _engine(self, shard: str) -> Engine:
        """The engine of a database file; the least recently used ones are let go."""
        if shard not in self._engines:
            self._engines[shard] = _engine(self.conn_string_for_shard(shard))
        self._engines.move_to_end(shard)
        while len(self._engines) > _MOST_HELD:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]


def _engine(address: str) -> Engine:
    """One connection, which threads take in turn under the storage's lock."""
    engine = create_engine(
        address,
        poolclass=StaticPool,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = NORMAL"))
    return engine
