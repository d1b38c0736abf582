"""One pace for all machines that work under one key, kept in PostgreSQL.

A row per pace, which each request locks for the millisecond in which it takes its slot. Moments are
of the server's clock, so that the machines' own need not agree. A machine that stops in between
loses its lock after some seconds. While the server can't be reached no request goes out.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from smallcaps_assets.sources.errors import SourceUnavailable

_DRIVER = "+psycopg2"
_OPTIONS = (
    "-c synchronous_commit=off -c idle_in_transaction_session_timeout=5000 -c lock_timeout=10000"
)
_MAKE = """
create table if not exists smallcaps_pace (
    name text primary key, state text not null default ''
) with (fillfactor = 10)"""
_ADD = "insert into smallcaps_pace (name) values (%s) on conflict do nothing"
_LOCK = """
select state, extract(epoch from clock_timestamp())::float8 from smallcaps_pace
where name = %s for update"""
_CHANGE = "update smallcaps_pace set state = %s where name = %s"


def pace_name(host: str, key: str) -> str:
    """What the pace of a key at a host is kept under; the key can't be told from it."""
    return f"{host} {hashlib.sha256(key.encode()).hexdigest()[:12]}"


class SharedPace:
    """A pace in the database at `address`, for the threads of one process, which take turns."""

    def __init__(self, address: str, name: str) -> None:
        self._address, self._name = address.replace(_DRIVER, "", 1), name
        self._connection: Any = None
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"SharedPace({self._name!r})"

    @contextmanager
    def held(self) -> Iterator[dict[str, Any]]:
        """The row, locked: `text` and `now`; the text is stored when the block ends well.

        Raises SourceUnavailable when the server can't be reached; nothing is stored then.
        """
        import psycopg2

        with self._turn:
            try:
                stored = self._row()
                yield stored
                self._execute(_CHANGE, (stored["text"], self._name))
                self._connection.commit()
            except psycopg2.Error as failure:
                self._close()
                told = " ".join(str(failure).split()) if failure.pgcode else "it can't be reached"
                raise SourceUnavailable(
                    f"the pace that machines share in PostgreSQL: {told}",
                    remedy="start the server that DAGSTER_POSTGRES_URL names",
                ) from None
            except BaseException:
                self._close()
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            self._close()

    def _row(self) -> dict[str, Any]:
        if self._connection is None:
            self._connect()
        text, now = self._execute(_LOCK, (self._name,))
        return {"text": text, "now": now}

    def _connect(self) -> None:
        import psycopg2

        self._connection = psycopg2.connect(self._address, connect_timeout=5, options=_OPTIONS)
        try:
            self._execute(_MAKE)
        except psycopg2.errors.UniqueViolation:  # another process has just made it
            self._connection.rollback()
        self._execute(_ADD, (self._name,))
        self._connection.commit()

    def _execute(self, statement: str, values: tuple[str, ...] = ()) -> Any:
        """The first row of a statement's answer, if it has one."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone() if cursor.description else None

    def _close(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
        self._connection = None
