"""What a question in SQL can't do to a lake, on a disk and in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from smallcaps_assets.lake import Lake, LakeError, RequestError
from smallcaps_assets.lake.catalog import ask, connect, literal_glob
from smallcaps_assets.lake.query_locks import check_reads, lock
from smallcaps_assets_tests.lake.desk_lake import DAYS, desk_lake

ODD = "it's a [lake]*?"
DISK, S3 = "disk", "s3"


class Desk:
    """A lake, a locked connection to it, and a file beside it that is nobody's business."""

    def __init__(self, lake: Lake, outside: Any) -> None:
        self.lake, self.outside = lake, outside
        self.outside.write_text("a secret")
        self.connection = connect(str(lake.root))
        lock(self.connection, lake)

    def ask(self, query: str) -> pl.DataFrame:
        """What `smallcaps sql` does with a query."""
        check_reads(self.connection, self.placed(query))
        return ask(self.connection, self.placed(query))

    def run(self, query: str) -> object:
        """The query without a look at what it does: the first two locks alone."""
        return self.connection.execute(self.placed(query))

    def placed(self, query: str) -> str:
        """A query with the places that it means: {lake}, {files} of it, {outside}."""
        root = str(self.lake.root).replace("'", "''")
        outside = str(self.outside).replace("'", "''")
        named = query.replace("{lake}", root).replace("{files}", literal_glob(root))
        return named.replace("{outside}", outside)

    def files(self) -> dict[str, bytes]:
        """Every file of the lake and beside it, but the catalog."""
        root = self.outside.parent
        found = {str(path): path for path in root.rglob("*") if path.is_file()}
        return {n: p.read_bytes() for n, p in found.items() if not n.endswith("catalog.duckdb")}


@pytest.fixture(scope="module", params=[DISK, S3])
def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """On the disk in a folder whose name means something in SQL and in globs."""
    if request.param == S3:
        request.getfixturevalue("endpoint")
        lake = desk_lake("s3://desk/a/lake")
    else:
        lake = desk_lake(tmp_path_factory.mktemp("locks") / ODD)
    made = Desk(lake, lake.root.parent / "outside.txt")
    before = made.files()
    yield made
    made.connection.close()
    assert made.files() == before


READING = [
    "select count(*) as n from daily_bars",
    "from daily_bars select count(*) as n",
    "with b as (from daily_bars) select count(*) as n from b",
    "select count(*) as n from daily_bars_adjusted('2024-12-16')",
    "with recursive t as (select 1 as n union all select n + 1 from t where n < 10) select 10 as n",
    "select count(*) as n from hourly_bars_adjusted('2024-12-16') where false"
    " union select 10 order by n desc",
    "select count(*) as n from read_parquet('{files}/raw/daily_bars/*/*.parquet')",
    "values (10)",
]


@pytest.mark.parametrize("query", READING)
def test_reading_statement_is_answered(desk: Desk, query: str) -> None:
    assert desk.ask(query).item(0, 0) == 10


@pytest.mark.parametrize(
    "query",
    [
        "describe daily_bars",
        "describe select 1",
        "show tables",
        "summarize daily_bars",
        "explain select * from daily_bars",
        "EXPLAIN ANALYZE select * from daily_bars",
        "explain (analyze, format json) select 1",
        "select * from duckdb_views()",
        "pivot daily_bars on ticker in ('GEVO') using sum(volume) group by date",
        "select * from range(3), json_each('{}')",
        "select 'copy (select 1) to x' as text -- copy\n;",
    ],
)
def test_statement_that_looks_at_the_catalog_is_answered(desk: Desk, query: str) -> None:
    assert desk.ask(query).width


WRITING = [
    "copy (select 1) to '{lake}/raw/daily_bars/date=2024-12-12/daily_bars.parquet'",
    "copy (select 1) to '{outside}'",
    "explain analyze copy (select 1) to '{lake}/raw/x.csv'",
    "explain analyze copy (select 1) to '{outside}'",
    "EXPLAIN (ANALYZE, FORMAT JSON) copy (select 1) to '{lake}/raw/x.csv'",
    "explain /* a */ analyze -- b\n copy (select 1) to '{lake}/raw/x.csv'",
    "explain (format json -- ) select 1 /*\n) copy (select 1) to '{lake}/raw/x.csv' -- */",
    "with t as (copy (select 1) to '{lake}/raw/x.csv') from t",
    "explain analyze with t as (copy (select 1) to '{lake}/raw/x.csv') from t",
    "with t as (insert into made_from values ('x') returning *) from t",
    "from query('with t as (copy (select 1) to ''{lake}/raw/x.csv'') from t')",
    "select 1; copy (select 1) to '{lake}/raw/x.csv'",
    "export database '{lake}/raw/x'",
    "export database '{outside}.x'",
    "import database '{lake}/raw/x'",
    "attach '{lake}/raw/x.duckdb'",
    "attach '{outside}.duckdb'",
    "attach ':memory:' as m",
    "install httpfs",
    "load httpfs",
    "set threads = 1",
    "set variable a = 1",
    "reset allowed_directories",
    "use memory",
    "pragma database_list",
    "pragma enable_profiling = 'json'",
    "call enable_logging(storage = 'file', storage_path = '{lake}/raw/log')",
    "from enable_logging(storage = 'file', storage_path = '{lake}/raw/log')",
    "from force_checkpoint()",
    "from arrow_scan(1, 2, 3)",
    "create table t as select 1",
    "create temp view v as select 1",
    "create secret (type s3)",
    "drop view daily_bars",
    "insert into made_from values ('x')",
    "update made_from set digest = ''",
    "delete from made_from",
    "vacuum",
    "checkpoint",
    "begin",
    "prepare p as select 1",
]


@pytest.mark.parametrize("query", WRITING)
def test_statement_that_does_more_than_read_is_refused(desk: Desk, query: str) -> None:
    """That nothing was written is looked at when all of them have been tried."""
    with pytest.raises(RequestError, match="--unsafe|syntax error"):
        desk.ask(query)


def test_query_kept_as_json_is_refused(desk: Desk) -> None:
    """DuckDB can run a statement from its parsed form, which no parser sees."""
    hidden = "with t as (copy (select 1) to ''{lake}/raw/x.csv'') from t"
    with pytest.raises(RequestError, match="json_execute_serialized_sql"):
        desk.ask(f"from json_execute_serialized_sql(json_serialize_sql('{hidden}'))")


@pytest.mark.parametrize("query", ["", "  ", ";", "-- nothing"])
def test_empty_query_is_refused(desk: Desk, query: str) -> None:
    with pytest.raises(RequestError, match="the query is empty"):
        desk.ask(query)


def test_query_that_is_no_sql_is_refused(desk: Desk) -> None:
    for query in ("selec 1", "explain analyze selec 1"):
        with pytest.raises(RequestError, match="syntax error"):
            desk.ask(query)


@pytest.mark.parametrize(
    "query",
    [
        "from read_text('{outside}')",
        "from read_csv('{outside}')",
        "from read_blob('/etc/passwd')",
        "from read_text('file:///etc/passwd')",
        "from glob('/etc/*')",
        "from read_text('{lake}/lake.json')",
        "from sniff_csv('/etc/passwd')",
        "from read_csv('http://127.0.0.1:1/x')",
        "from read_text('s3://desk/b.txt')",
    ],
)
def test_file_of_another_place_is_not_read(desk: Desk, query: str) -> None:
    with pytest.raises(duckdb.PermissionException):
        desk.ask(query)


@pytest.mark.parametrize("query", ["from '/etc/passwd'", "from frame", "select getenv('HOME')"])
def test_nothing_of_the_process_is_read(desk: Desk, query: str) -> None:
    frame = pl.DataFrame({"a": [1]})
    assert frame.height
    with pytest.raises(duckdb.CatalogException):
        desk.ask(query)


def test_folder_above_the_tables_is_not_reached(desk: Desk) -> None:
    for query in ("from read_text('{lake}/raw/../lake.json')", "from glob('{lake}/raw/../*')"):
        found = 0
        try:
            found = desk.ask(query).height
        except duckdb.PermissionException:
            continue
        assert found == 0  # `..` is a name like any other in an object store


@pytest.mark.parametrize(
    "query",
    [
        "set enable_external_access = true",
        "set lock_configuration = false",
        "set allowed_directories = ['/']",
        "set autoinstall_known_extensions = true",
        "reset enable_external_access",
        "copy (select 1) to '{outside}'",
        "export database '{outside}.x'",
        "attach '{outside}.duckdb'",
        "install httpfs",
        "load httpfs",
    ],
)
def test_locks_of_the_connection_hold_by_themselves(desk: Desk, query: str) -> None:
    with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException, duckdb.Error)):
        desk.run(query)


def test_no_extension_is_fetched(desk: Desk) -> None:
    """It would be as soon as a query needs one."""
    names = ["autoinstall_known_extensions", "autoload_known_extensions"]
    query = f"select name, value from duckdb_settings() where name in {tuple(names)}"
    assert desk.ask(query).sort("name").rows() == [(name, "false") for name in names]


def test_lake_without_a_folder_of_tables_can_be_locked(tmp_path: Path) -> None:
    lake = desk_lake(tmp_path)
    for day in DAYS:
        lake.path("daily_bars", day.isoformat()).unlink()
    with connect(tmp_path) as connection:
        lock(connection, lake)
        assert ask(connection, "select * from daily_bars").is_empty()


def test_folder_without_a_lake_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="is empty"):
        connect(tmp_path)
