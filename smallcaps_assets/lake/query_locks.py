"""What a question in SQL may do to a lake: read it, and nothing else.

Three locks, since each has gaps of its own. DuckDB opens files of the lake's tables only, and
fetches no extension; its configuration can't be changed; and a statement is parsed before it is
run, because DuckDB would also write where it may read. `catalog.py` makes the views.
"""

from __future__ import annotations

import re

import duckdb

from smallcaps_assets.lake.catalog import base_of, literal_glob, sql_text
from smallcaps_assets.lake.errors import RequestError
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES

ALLOWED = (
    "sql answers one statement that reads (SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE,"
    " EXPLAIN) from the lake's tables; --unsafe allows more"
)
_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_READERS = re.compile(
    r"(duckdb|parquet|pragma|read)_\w+|\w+_adjusted|glob|range|generate_series|unnest|repeat"
    r"|repeat_row|json_each|json_tree|summary|histogram|histogram_values|query_table|sniff_csv"
    r"|icu_calendar_names|pg_timezone_names"
)
"""Functions in a FROM that read; others run a hidden statement, log, or take memory addresses."""
# No character of the options may begin a comment, in which the statement could hide.
_EXPLAIN = re.compile(
    r"\s*explain(\s+analyze\b|\s*\(\s*(analyze|format)\b[\w\s,]*\))?\s*(?=[\w(])", re.IGNORECASE
)
_NO_SELECT = "not implemented"
_PARSED = """
select j->>'$.error_type', j->>'$.error_message', json_array_length(j, '$.statements'),
    list_distinct(j->>'$..type'), list_distinct(j->>'$..function.function_name')
from (select json_serialize_sql(?::varchar)::json as j)"""


def lock(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """Confine a connection for good to the files of a lake's tables, and of what is attached."""
    # A pattern is compared with the folders as it is written.
    bases = dict.fromkeys((base_of(lake), literal_glob(base_of(lake))))
    layers = sorted({table.layer for table in TABLES.values()})
    folders = ", ".join(sql_text(f"{base}/{layer}/") for base in bases for layer in layers)
    for setting in (
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        f"allowed_directories = [{folders}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")


def check_reads(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Let a query pass that is one statement and only reads. Raises RequestError for any other.

    DuckDB's own parser says what is in it, also further in: a WITH may hold a COPY.
    """
    explained = _EXPLAIN.match(query)
    inner = query[explained.end() :] if explained else query
    [(kind, error, count, nodes, functions)] = connection.execute(_PARSED, [inner]).fetchall()
    if kind not in (None, _NO_SELECT):
        raise RequestError(error)
    if count == 0:
        raise RequestError('the query is empty; ask for something, as "from daily_bars limit 5"')
    strange = _statement(inner) if kind else _strange(count, nodes, functions)
    if strange:
        raise RequestError(f"{strange} is refused: {ALLOWED}")


def _statement(query: str) -> str:
    """The first statement that is no SELECT."""
    kinds = [statement.type.name for statement in duckdb.extract_statements(query)]
    kind = next(kind for kind in kinds if kind != "SELECT")
    return "PIVOT without IN (...)" if kind == "MULTI" else kind


def _strange(count: int, nodes: list[str], functions: list[str]) -> str:
    """What in a parsed query does more than read; empty when nothing does."""
    if count > 1:
        return f"a query of {count} statements"
    writers = [node for node in nodes if node.endswith("_NODE") and node not in _NODES]
    if writers:
        return f"a {writers[0].partition('_')[0]} in a WITH"
    unknown = [name for name in functions if not _READERS.fullmatch(name)]
    return f"the function {unknown[0]}" if unknown else ""
