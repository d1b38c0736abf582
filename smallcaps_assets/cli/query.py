"""`smallcaps sql`: queries on a lake, also while others write to it."""

from __future__ import annotations

import atexit
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import duckdb
import polars as pl

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import show_rows
from smallcaps_assets.cli.setup import UserError, settings_of
from smallcaps_assets.lake import Lake, RequestError
from smallcaps_assets.lake.catalog import ask, connect
from smallcaps_assets.lake.query_locks import ALLOWED, check_reads, lock


def run_sql(
    options: LakeOptions,
    query: str,
    values: tuple[str, ...],
    is_json: bool,
    is_csv: bool,
    is_unsafe: bool,
) -> int:
    """Run a query on the catalog; `values` stand for its parameters `?` or `$1`.

    It can only read, and only the lake, unless it `is_unsafe`.
    """
    root = settings_of(options).lake.root
    with connect(root) as connection, ThreadPoolExecutor(1) as worker:
        connection.execute(f"set enable_progress_bar = {sys.stdout.isatty()}")
        if not is_unsafe:
            _confine(connection, root, query)
        asked = worker.submit(_ask, connection, query, values)
        try:
            rows = asked.result()
        except KeyboardInterrupt:
            connection.interrupt()  # a query in this thread would not notice the signal
            # DuckDB 2.0 complains of leftover objects when an interrupted process exits.
            atexit.register(os._exit, 130)
            raise
    if isinstance(rows, str):
        raise UserError(f"SQL: {rows}")
    show_rows(rows, "", is_json, is_csv)
    return 0


def _confine(connection: duckdb.DuckDBPyConnection, root: str, query: str) -> None:
    """Lock the connection, and refuse a query that does more than read."""
    lock(connection, Lake(root))
    try:
        check_reads(connection, query)
    except RequestError as error:
        raise UserError(f"SQL: {error}") from None


def _ask(
    connection: duckdb.DuckDBPyConnection, query: str, values: tuple[str, ...]
) -> pl.DataFrame | str:
    """The rows, or why there are none; a stored exception would keep the connection open."""
    try:
        return ask(connection, query, values)
    except duckdb.PermissionException as error:
        return f"{error}; {ALLOWED}"
    except duckdb.Error as error:
        return str(error).partition("LINE 1:")[0]
