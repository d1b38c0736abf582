"""`smallcaps sql` on a small lake: what it answers, refuses, and allows when it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallcaps_assets_tests.end_to_end.command import Finished, digests, smallcaps
from smallcaps_assets_tests.lake.desk_lake import desk_lake

DAY = "raw/daily_bars/date=2024-12-12/daily_bars.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake in `data`; the lake is not to be changed."""
    folder = tmp_path_factory.mktemp("sql")
    desk_lake(folder / "data")
    (folder / "mine.txt").write_text("not the lake's")
    return folder


def sql(folder: Path, *arguments: str) -> Finished:
    return smallcaps("sql", *arguments, cwd=folder)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (f"copy (select 1 as a) to 'data/{DAY}'", "COPY is refused"),
        (f"explain analyze copy (select 1 as a) to 'data/{DAY}'", "COPY is refused"),
        (f"with t as (copy (select 1) to 'data/{DAY}') from t", "a COPY in a WITH is refused"),
        ("copy (select 1) to 'x.csv'", "COPY is refused"),
        ("install httpfs", "LOAD is refused"),
        ("set threads = 1", "SET is refused"),
        ("create table mine as select 1", "CREATE is refused"),
        ("pivot daily_bars on ticker using sum(volume)", "PIVOT without IN (...) is refused"),
        ("select 1; select 2", "a query of 2 statements is refused"),
        ("from arrow_scan(1, 2, 3)", "the function arrow_scan is refused"),
        ("from read_text('mine.txt')", "mine.txt"),
    ],
)
def test_more_than_reading_the_lake_is_refused(folder: Path, query: str, told: str) -> None:
    before = digests(folder)
    done = sql(folder, query)
    assert (done.status, done.out) == (2, "") and done.error.count("\n") == 1
    assert done.error.startswith("smallcaps: SQL: ") and told in done.error
    assert "sql answers one statement that reads" in done.error and "--unsafe" in done.error
    assert digests(folder) == before and not (folder / "x.csv").exists()


@pytest.mark.parametrize("query", ["", " ", "-- nothing"])
def test_query_without_a_statement_is_refused(folder: Path, query: str) -> None:
    done = sql(folder, "--", query)
    assert done.status == 2 and "SQL: the query is empty; ask for something" in done.error


def test_unsafe_query_may_do_what_duckdb_can(folder: Path) -> None:
    read = sql(folder, "--unsafe", "--json", "select content from read_text('mine.txt')")
    assert json.loads(read.out) == [{"content": "not the lake's"}]
    made = sql(folder, "--unsafe", "copy (from daily_bars) to 'bars.csv'")
    assert made.status == 0 and (folder / "bars.csv").read_text().count("\n") == 11


def test_explained_query_is_shown(folder: Path) -> None:
    done = sql(folder, "--csv", "explain analyze select * from daily_bars where ticker = ?", "GEVO")
    assert done.status == 0 and "analyzed_plan" in done.out
