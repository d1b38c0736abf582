"""Dagster's PostgreSQL storage, with kept connections and quick states of partitioned checks.

The stock event log opens a connection for each statement. Here a few are kept for each process and
tried before use, so that a restarted server is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import StringSource
from dagster._config import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from sqlalchemy import create_engine

from smallcaps_assets.orchestration.storage.check_states import CheckStates

_KEPT, _MOST = 2, 20


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


class EventLog(CheckStates, PostgresEventLogStorage):
    """The event log with a pool of connections."""

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url)
        self._engine.dispose()
        self._engine = _engine(postgres_url)

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
