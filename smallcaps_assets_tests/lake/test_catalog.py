"""The SQL catalog: what its views say and read, when it is made again, and beside whom."""

from __future__ import annotations

import itertools
import re
import threading
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.market.adjustment import adjust_bars
from smallcaps_assets.domain.ticks.intervals import coarser_bars
from smallcaps_assets.lake import Lake, LakeError, scan
from smallcaps_assets.lake.catalog import FILE, ask, connect, refresh
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.lake.desk_lake import DAYS, bars, desk_lake, stamp

ODD = "it's a [lake]*?"
"""A folder whose name means something in SQL and in globs."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake not to be changed."""
    return desk_lake(tmp_path_factory.mktemp("desk") / ODD)


@pytest.fixture
def own(tmp_path: Path) -> Lake:
    """A lake to change."""
    return desk_lake(tmp_path / "lake")


def frame(root: Path, query: str) -> pl.DataFrame:
    with connect(root) as connection:
        return ask(connection, query)


def plan(root: Path, query: str) -> str:
    """What a query really read, as DuckDB tells it."""
    with connect(root) as connection:
        return connection.execute(f"explain analyze {query}").fetchall()[0][1]


def test_every_table_has_a_view_with_its_columns_and_comments(lake: Lake) -> None:
    with connect(lake.root) as connection:
        views = connection.execute(
            "select view_name, comment from duckdb_views() where not internal"
        ).fetchall()
        columns = connection.execute(
            "select table_name, column_name, comment from duckdb_columns() where not internal"
        ).fetchall()
        unmade = pl.DataFrame(connection.sql("select * from trades"))
    told = dict(views)
    known = {(table, column): comment for table, column, comment in columns}
    for name, table in TABLES.items():
        assert told[name] == table.meaning
        for column, declared in table.schema.columns().items():
            assert known[name, column].startswith(declared.description or "")
    assert known["daily_bars", "close"] == "last eligible price (USD per share)"
    assert {"hourly_bars", "ml_dataset_union"} <= told.keys()
    assert unmade.is_empty()
    assert unmade.cast(TABLES["trades"].columns).schema == TABLES["trades"].columns


@pytest.mark.parametrize("name", ["daily_bars", "minute_bars", "tickers", "adjustment_factors"])
def test_view_gives_the_rows_of_the_table(lake: Lake, name: str) -> None:
    keys = list(TABLES[name].key)
    stored = lake.scan(name).collect().sort(keys)
    found = frame(lake.root, f"select * from {name}").sort(keys)
    assert found.columns == stored.columns
    assert found.cast(stored.schema).equals(stored)


def test_adjusted_bars_are_those_of_the_domain(lake: Lake) -> None:
    owners = lake.scan("tickers").select("date", "ticker", "identity").collect()
    factors = lake.read("adjustment_factors")
    for name in ("daily_bars", "minute_bars"):
        keys = list(TABLES[name].key)
        raw = lake.scan(name).collect().join(owners, on=["date", "ticker"], how="left")
        expected = adjust_bars(raw, factors, DAYS[2]).drop("identity").sort(keys)
        found = frame(lake.root, f"select * from {name}_adjusted('{DAYS[2]}')").sort(keys)
        assert found.cast(expected.schema).equals(expected)
        assert found["volume"].to_list() != raw["volume"].to_list()
    earlier = frame(lake.root, f"select * from daily_bars_adjusted('{DAYS[1]}')")
    assert earlier["close"].unique().to_list() == [2.0]
    assert earlier["date"].max() == DAYS[1]


def test_hourly_bars_are_those_of_the_domain(lake: Lake) -> None:
    keys = ["ticker", "window_start"]
    expected = coarser_bars(lake.scan("minute_bars").collect(), "1h").sort(keys)
    found = frame(lake.root, "select * from hourly_bars").sort(keys).select(expected.columns)
    assert expected.height == 20
    assert_frame_equal(found.cast(expected.schema), expected)
    adjusted = frame(lake.root, f"select * from hourly_bars_adjusted('{DAYS[2]}')")
    whole = expected.filter(pl.col("ticker") == "OLD")["close"].item(0)
    first = adjusted.filter(pl.col("ticker") == "OLD").sort("window_start")["close"].item(0)
    assert first == pytest.approx(20 * whole)


def test_reading_is_pruned_by_partition_and_row_group(own: Lake) -> None:
    many = [f"T{n:04}" for n in range(3000)]
    key = DAYS[0].isoformat()
    own.write("daily_bars", key, bars(DAYS[0], *many), stamp("daily_bars"))
    by_day = plan(own.root, f"select * from daily_bars where date = '{key}'")
    assert "Scanning Files: 1/3" in by_day and "Row Groups Scanned: 3 / 3" in by_day
    one = plan(own.root, f"select * from daily_bars where date = '{key}' and ticker = 'T0001'")
    assert "Scanning Files: 1/3" in one and "Row Groups Scanned: 1 / 3" in one
    query = f"select * from hourly_bars_adjusted('{DAYS[2]}') where date = '{DAYS[1]}'"
    read = re.findall(r"Scanning Files: (\d/\d)", plan(own.root, f"{query} and ticker = 'GEVO'"))
    assert read == ["1/3", "1/3"]


def test_catalog_is_made_again_only_when_something_has_changed(own: Lake) -> None:
    first = refresh(own).stat()
    own.write("daily_bars", DAYS[0].isoformat(), bars(DAYS[0], "A"), stamp("daily_bars"))
    assert refresh(own).stat().st_ino == first.st_ino
    assert frame(own.root, "select * from splits").is_empty()
    split = {"year": 2024, "ticker": "NEW", "execution_date": DAYS[2], "split_from": 20.0}
    own.write("splits", "2024", pl.DataFrame({**split, "split_to": 1.0}), stamp("splits"))
    assert frame(own.root, "select ticker from splits").rows() == [("NEW",)]
    assert refresh(own).stat().st_ino != first.st_ino
    moved = Path(str(own.root)).rename(Path(str(own.root)).with_name("moved"))
    assert frame(moved, "select * from splits").height == 1
    (moved / FILE).write_bytes(b"no database")
    assert frame(moved, "select * from splits").height == 1


def test_catalog_can_be_opened_by_anybody(lake: Lake) -> None:
    path = refresh(lake)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.sql("select * from daily_bars_adjusted('2024-12-16')").fetchall()


def test_queries_beside_a_writer_neither_fail_nor_wait(own: Lake) -> None:
    is_over, key = threading.Event(), DAYS[0].isoformat()
    frames = [bars(DAYS[0], *(f"T{n}" for n in range(count)), "GEVO") for count in (3000, 10)]

    def replace() -> None:
        for rows in itertools.cycle(frames):
            if is_over.wait(0.005):
                return
            own.write("daily_bars", key, rows, stamp("daily_bars"))

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        with connect(own.root) as connection:
            query = "select count(*), sum(close) from daily_bars where date = ?"
            for number in range(60):
                count, total = ask(connection, query, [DAYS[0]]).row(0)
                assert count in (4, 11, 3001) and total == 2.0 * count
                if number % 3 == 0:
                    refresh(own)
    finally:
        is_over.set()
        writer.join()


def test_catalog_is_not_written_by_a_query(lake: Lake) -> None:
    with connect(lake.root) as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("create table mine as select 1")


def test_lake_of_an_object_store_is_asked_in_memory(endpoint: str) -> None:
    made = desk_lake("s3://desk/lake")
    rows = frame(made.root, "select close from daily_bars where ticker = 'BCpC'")  # type: ignore[arg-type]
    assert rows.height == 3
    assert not (made.root / FILE).exists()
    assert scan("daily_bars", "BCpC", root=made.root).collect().height == 3  # type: ignore[arg-type]


def test_folder_without_a_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="is empty; fill it with `smallcaps run`"):
        connect(tmp_path)


def test_damaged_file_is_named_by_the_error(own: Lake) -> None:
    refresh(own)
    own.write("splits", "2024", TABLES["splits"].empty(), stamp("splits"))
    Path(str(own.path("splits", "2024"))).write_bytes(b"damaged")
    with pytest.raises(duckdb.Error, match=r"splits\.parquet"):
        refresh(own)
