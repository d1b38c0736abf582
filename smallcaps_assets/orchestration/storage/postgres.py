"""Dagster's PostgreSQL storage, with kept connections and quick states of partitioned checks.

The stock event log opens a connection for each statement. Here a few are kept for each process and
tried before use, so that a restarted server is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import StringSource
from dagster._config import UserConfigSchema
from dagster._core.events.log import EventLogEntry
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql

from smallcaps_assets.orchestration.storage.batches import Batches, Numbered
from smallcaps_assets.orchestration.storage.check_states import CheckStates

_KEPT, _MOST = 2, 20
_LOCK = 0x736D616C6C636170
_NEW_IDS = """
select nextval(pg_get_serial_sequence('event_logs', 'id')) from generate_series(1, :count)
"""


class PostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules of one instance; named in its dagster.yaml."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._event_log_storage = EventLog(postgres_url)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """The address alone."""
        return {"postgres_url": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PostgresStorage:
        """The storage of a dagster.yaml."""
        return cls(config_value["postgres_url"], inst_data)


class EventLog(Batches, CheckStates, PostgresEventLogStorage):
    """The event log with a pool of connections."""

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url)
        self._engine.dispose()
        self._engine = _engine(postgres_url)

    @contextmanager
    def _alone(self) -> Iterator[Any]:
        """Batches follow each other, since a reader asks for what has a higher id than the last.

        One that was numbered before another and committed after it would never be seen.
        """
        with self.index_transaction() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection

    def _number(self, connection: Any, events: Sequence[EventLogEntry]) -> Numbered:
        found = connection.execute(text(_NEW_IDS), {"count": len(events)}).scalars()
        return list(zip(sorted(found), events, strict=True))

    def _is_indexed(self, event: EventLogEntry) -> bool:
        return True

    def _insert(self, table: Any) -> Any:
        return postgresql.insert(table)

    def _copy(self, numbered: Numbered, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """All events are in one table."""

    def dispose(self) -> None:
        """Let go of every connection; a server that is shut down waits for them."""
        super().dispose()
        self._engine.dispose()


def _engine(address: str) -> Any:
    return create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT,
        max_overflow=_MOST - _KEPT,
        pool_pre_ping=True,
    )
