"""The SQL catalog: `catalog.duckdb` beside the tables, with a view for each of them.

Views only, so that the file is small, is made again in a moment and never holds a row: what a query
reads are the Parquet files, of which DuckDB opens those whose partition can match, and in them the
row groups whose ticker can. Names, types and comments come from the schemas. The file is replaced
in one step and opened read-only, so that queries and writers never wait for each other; it is made
again when the schemas, the lake's place or the set of stored tables has changed.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from smallcaps_assets.domain.market.adjustment import PRICE_COLUMNS, VOLUME_COLUMNS
from smallcaps_assets.lake import files
from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.lake.reading import existing_lake
from smallcaps_assets.lake.selection import UNION
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES, Partitioning, Table

FILE = "catalog.duckdb"
_ATTEMPTS = 5
_HIVE = {
    Partitioning.SESSION: {"date": "DATE"},
    Partitioning.YEAR: {"year": "BIGINT"},
    Partitioning.TICKER: {"ticker": "VARCHAR"},
    Partitioning.TICKER_SESSION: {"ticker": "VARCHAR", "date": "DATE"},
}
"""Partitions whose folders name a column as it stands in the files: they can be pruned by it."""
_TYPES = {
    pl.String: "VARCHAR",
    pl.Boolean: "BOOLEAN",
    pl.Date: "DATE",
    pl.Float64: "DOUBLE",
    pl.Int64: "BIGINT",
    pl.Int32: "INTEGER",
    pl.Int16: "SMALLINT",
    pl.Int8: "TINYINT",
}


def connect(root: str | Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a lake's catalog, which is made first if it is out of date.

    It is made in memory for a folder that may only be read, and for the lake of an object store,
    which is read through fsspec. Raises LakeError when there is no lake.
    """
    lake = existing_lake(root)
    if lake.is_local:
        with suppress(LakeError):
            return _connection(lake)
    connection = duckdb.connect()
    if not lake.is_local:
        connection.register_filesystem(lake.root.fs)
    _create(connection, list(statements(lake)))
    return connection


def ask(
    connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[object] = ()
) -> pl.DataFrame:
    """The rows of a query; `values` stand for its parameters `?` or `$1`.

    DuckDB looks up a file's size before it opens it, so that it can miss the footer of one that is
    replaced in between; that is an error of no special kind, upon which it is asked again. Raises
    duckdb.Error.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            answer = connection.sql(query, params=list(values)) if values else connection.sql(query)
            return pl.DataFrame() if answer is None else answer.pl()
        except duckdb.Error as error:
            is_torn = type(error) is duckdb.Error or isinstance(error, duckdb.IOException)
            if not is_torn or attempt == _ATTEMPTS:
                raise


def refresh(lake: Lake) -> Path:
    """Bring the catalog of a local lake up to date; returns its place.

    Raises LakeError when the folder can't be written.
    """
    _connection(lake).close()
    return Path(str(lake.root)) / FILE


def _connection(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection to the catalog of a local lake, which is made first if it is out of date."""
    path, wanted = Path(str(lake.root)) / FILE, list(statements(lake))
    digest = hashlib.sha256("\n".join([duckdb.__version__, *wanted]).encode()).hexdigest()
    stored = _stored(path, digest)
    if stored is not None:
        return stored
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / FILE
        with duckdb.connect(str(made)) as connection:
            is_whole = _create(connection, wanted)
            made_from = digest if is_whole else "to be made again"
            connection.execute("create table made_from as select ? as digest", [made_from])
        try:
            files.publish(path, made.read_bytes())
        except OSError as error:
            raise LakeError(f"{path} can't be written: {error.strerror or error}") from None
    return _attached(path)


def _create(connection: duckdb.DuckDBPyConnection, wanted: Sequence[str]) -> bool:
    """Make the views in one transaction; returns whether all of them can be read.

    One over files of an older contract, which lack columns, says so when it is asked.
    """
    try:
        _execute(connection, wanted)
    except duckdb.BinderException:
        connection.rollback()
        readable = [_readable(statement) for statement in wanted]
        if readable == wanted:
            raise
        _execute(connection, readable)
        return False
    return True


def _execute(connection: duckdb.DuckDBPyConnection, wanted: Sequence[str]) -> None:
    connection.begin()
    for statement in wanted:
        connection.execute(statement)
    connection.commit()


def _readable(statement: str) -> str:
    """The statement itself; where a table's view can't be made, one that refuses to be read."""
    view, _, rows = statement.removeprefix("create view ").partition(" as ")
    if view in {*TABLES, UNION} and rows:
        with duckdb.connect() as scratch:
            try:
                scratch.execute(statement)
            except duckdb.BinderException:
                return _refusing(view)
    return statement


def statements(lake: Lake) -> Iterator[str]:
    """The SQL that makes the catalog of a lake as it is now."""
    for table in TABLES.values():
        rows = _rows(lake, table) if lake.has(table.name) else _nothing(table)
        yield f"create view {table.name} as {rows}"
        yield f"comment on view {table.name} is {sql_text(table.meaning)}"
        yield from _comments(table, table.name)
    yield from _union(lake)
    yield from _hourly()
    yield from _adjusted()


def _stored(path: Path, digest: str) -> duckdb.DuckDBPyConnection | None:
    """A connection to the stored catalog, if it can be read and was made from what the digest is
    of."""
    if not path.exists():
        return None
    with ExitStack() as unless_current, suppress(duckdb.Error):
        connection = unless_current.enter_context(_attached(path))
        if connection.execute("select digest from made_from").fetchall() == [(digest,)]:
            unless_current.pop_all()
            return connection
    return None


def _attached(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection of its own; DuckDB would share one to the same path, of the file before."""
    connection = duckdb.connect()
    connection.execute(f"attach {sql_text(str(path))} as catalog (read_only)")
    connection.execute("use catalog")
    return connection


# Views of tables ---------------------------------------------------------------------------------
def _rows(lake: Lake, table: Table, key: str = "*") -> str:
    """All rows of a table; of ml_dataset those of the periods, since the union repeats them."""
    columns = ", ".join(map(_name, table.columns))
    rows = f"select {columns} from {_files(lake, table, key)}"
    if table.partitioning is Partitioning.PERIOD and key == "*":
        return f"{rows} where filename not like '%/period=union/%'"
    return rows


def _files(lake: Lake, table: Table, key: str = "*") -> str:
    """The table function over the files of a table."""
    hive = _HIVE.get(table.partitioning, {})
    levels = {Partitioning.NONE: "", Partitioning.TICKER_SESSION: "*/*/"}
    folders = levels.get(table.partitioning, f"{key}/")
    place = (
        f"{literal_glob(base_of(lake))}/{table.layer}/{table.name}/{folders}{table.name}.parquet"
    )
    options = f"hive_partitioning = {'true' if hive else 'false'}"
    if hive:
        types = ", ".join(f"{name}: {kind}" for name, kind in hive.items())
        options += f", hive_types = {{{types}}}"
    if table.partitioning is Partitioning.PERIOD:
        options += ", filename = true"
    return f"read_parquet({sql_text(place)}, {options})"


def base_of(lake: Lake) -> str:
    """The lake's place as it stands in the views."""
    return str(Path(str(lake.root)).resolve() if lake.is_local else lake.root)


def _nothing(table: Table) -> str:
    """A view without rows, with the columns that there will be."""
    columns = (f"null::{_type(kind)} as {_name(name)}" for name, kind in table.columns.items())
    return f"select {', '.join(columns)} where false"


def _refusing(view: str) -> str:
    """A view with the columns of its table that raises an error when it is read."""
    table = TABLES["ml_dataset" if view == UNION else view]
    reason = f"{view} is stored in an older contract; run `smallcaps migrate`, then `smallcaps run`"
    rows = _nothing(table).removesuffix("false")
    return f"create view {view} as {rows} error({sql_text(reason)})::boolean"


def _comments(table: Table, view: str) -> Iterator[str]:
    for name, column in table.schema.columns().items():
        unit = (column.metadata or {}).get("unit")
        meaning = f"{table.says(name)}{f' ({unit})' if unit else ''}"
        yield f"comment on column {view}.{_name(name)} is {sql_text(meaning)}"


def _type(kind: Any) -> str:
    if isinstance(kind, pl.List):
        return f"{_type(kind.inner)}[]"
    return "TIMESTAMPTZ_NS" if isinstance(kind, pl.Datetime) else _TYPES[type(kind)]


def _name(column: str) -> str:
    """A quoted column; some are words of SQL."""
    return f'"{column}"'


def sql_text(value: str) -> str:
    """A SQL literal; these statements take no parameters."""
    return "'" + value.replace("'", "''") + "'"


def literal_glob(path: str) -> str:
    """A path in a glob that matches only itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


# Views of several tables -------------------------------------------------------------------------
def _union(lake: Lake) -> Iterator[str]:
    table = TABLES["ml_dataset"]
    is_stored = lake.exists(table.name, "union")
    rows = _rows(lake, table, "period=union") if is_stored else _nothing(table)
    yield f"create view {UNION} as {rows}"
    yield f"comment on view {UNION} is 'All periods in one, with the time decay over all of them.'"
    yield from _comments(table, UNION)


_HOURLY = """create {what}
select date, ticker,
    date_trunc('hour', window_start::timestamptz)::timestamptz_ns as window_start,
    arg_min(open, window_start) as open, max(high) as high, min(low) as low,
    arg_max(close, window_start) as close, sum(volume) as volume,
    case when count(vwap) = count(*) and sum(volume) > 0
        then sum(vwap * volume) / sum(volume) end as vwap,
    sum(transactions)::bigint as transactions
from {minutes}
group by all"""


def _hourly() -> Iterator[str]:
    """Clock hours, which are the same in UTC and New York."""
    yield _HOURLY.format(what="view hourly_bars as", minutes="minute_bars")
    yield "comment on view hourly_bars is 'Unadjusted bars of clock hours, from minute_bars.'"
    for name in ("date", "ticker", "open", "high", "low", "close", "volume", "transactions"):
        meaning = TABLES["minute_bars"].says(name)
        yield f"comment on column hourly_bars.{name} is {sql_text(meaning)}"


_FACTORS = """
events as (
    select identity, effective_date, product(product(split_factor)) over (
        partition by identity order by effective_date desc
    ) as factor
    from adjustment_factors
    where effective_date <= as_of and split_factor <> 1
    group by identity, effective_date
)"""


def _adjusted() -> Iterator[str]:
    """Bars on the share basis of a day, as `adjust_bars` of the domain makes them."""
    for name in ("daily_bars", "minute_bars"):
        yield _macro(name, list(TABLES[name].columns))
    yield _HOURLY.format(
        what="macro hourly_bars_adjusted(as_of) as table", minutes="minute_bars_adjusted(as_of)"
    )


def _macro(name: str, columns: list[str]) -> str:
    applied = dict.fromkeys(PRICE_COLUMNS, "*") | dict.fromkeys(VOLUME_COLUMNS, "/")
    shown = ", ".join(
        f"b.{c} {applied[c]} coalesce(e.factor, 1) as {c}" if c in applied else f"b.{c}"
        for c in columns
    )
    return f"""create macro {name}_adjusted(as_of) as table
with {_FACTORS.strip()},
owned as (
    select b.*, coalesce(t.identity, b.ticker) as identity
    from {name} b left join tickers t on t.date = b.date and t.ticker = b.ticker
    where b.date <= as_of
)
select {shown}
from owned b asof left join events e
    on e.identity = b.identity and b.date < e.effective_date"""
