"""The atomic store: all or nothing, same bytes for same rows, a footer that tells its making."""

import fcntl
import threading
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.lake import Lake, Stamp, UnknownContractError
from smallcaps_assets.lake.files import TEMPORARY
from smallcaps_assets.schemas import TABLES, ContractError
from smallcaps_assets_tests.lake.frames import KEY, STAMP, bars


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_write_then_read_gives_the_rows_sorted_by_key(lake: Lake):
    written = lake.write("daily_bars", KEY, bars("B", "A"), STAMP)
    assert (written.rows, written.path) == (2, "raw/daily_bars/date=2024-05-03/daily_bars.parquet")
    assert lake.read("daily_bars", KEY)["ticker"].to_list() == ["A", "B"]
    assert lake.keys("daily_bars") == [KEY]
    assert lake.stamp("daily_bars", KEY) == STAMP
    assert lake.size("daily_bars", KEY) == written.bytes


def test_write_twice_gives_the_same_bytes(lake: Lake):
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP)
    first = lake.path("daily_bars", KEY).read_bytes()
    digest = lake.digest("daily_bars", KEY)
    lake.write("daily_bars", KEY, bars("B", "A"), STAMP)
    assert lake.path("daily_bars", KEY).read_bytes() == first
    assert lake.digest("daily_bars", KEY) == digest


def test_digest_follows_the_rows(lake: Lake):
    assert lake.digest("daily_bars", KEY) == "absent"
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    before = lake.digest("daily_bars", KEY)
    lake.write("daily_bars", KEY, bars("A", close=2.5), STAMP)
    assert lake.digest("daily_bars", KEY) != before


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (bars("A").drop("close"), "column 'close' is missing"),
        (bars("A", close=-1.0), "close"),
        (bars("A").with_columns(low=pl.lit(9.0)), "is_range_ordered"),
        (bars("A", "A"), "primary_key"),
        (bars("A").with_columns(volume=pl.lit("many")), "volume"),
    ],
)
def test_write_broken_contract_is_refused_and_keeps_what_was_there(
    lake: Lake, frame: pl.DataFrame, words: str
):
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    before = lake.path("daily_bars", KEY).read_bytes()
    with pytest.raises(ContractError, match=words):
        lake.write("daily_bars", KEY, frame, STAMP)
    assert lake.path("daily_bars", KEY).read_bytes() == before
    assert not list(Path(lake.root).rglob(f"{TEMPORARY}*"))


def test_write_under_readers_is_never_seen_half(lake: Lake):
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.append(len(lake.read("daily_bars", KEY)))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        names = [f"T{n}" for n in range(1 + number % 2)]
        lake.write("daily_bars", KEY, bars(*names), STAMP)
    stop.set()
    reader.join()
    assert seen
    assert set(seen) <= {1, 2}


def test_sweep_removes_what_a_killed_process_left(lake: Lake):
    folder = lake.path("daily_bars", KEY).parent
    Path(folder).mkdir(parents=True)
    (Path(folder) / f"{TEMPORARY}123-abcd").write_bytes(b"half")
    assert lake.sweep() == 1
    assert lake.keys("daily_bars") == []


def test_sweep_leaves_what_is_being_written(lake: Lake):
    path = Path(lake.root) / f"{TEMPORARY}of-another"
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lake.sweep() == 0 and path.exists()
    assert lake.sweep() == 1 and not path.exists()


@pytest.mark.parametrize(("known", "words"), [(2, "smallcaps migrate"), (0, "update the project")])
def test_read_of_another_contract_is_refused_and_says_what_to_do(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, known: int, words: str
):
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    monkeypatch.setitem(TABLES, "daily_bars", replace(TABLES["daily_bars"], version=known))
    with pytest.raises(UnknownContractError, match=words):
        lake.read("daily_bars", KEY)
    with pytest.raises(UnknownContractError, match=words):
        lake.scan("daily_bars").collect()


def test_read_absent_partition_names_table_and_key(lake: Lake):
    with pytest.raises(FileNotFoundError, match="daily_bars has no partition '2024-05-03'"):
        lake.read("daily_bars", KEY)


def test_read_many_skips_absent_and_scan_reads_all(lake: Lake):
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    assert len(lake.read_many("daily_bars", ["2024-05-02", KEY])) == 1
    assert lake.read_many("daily_bars", ["2024-05-02"]).is_empty()
    assert len(lake.scan("daily_bars").collect()) == 1
    assert lake.scan("minute_bars").collect().is_empty()


def test_scan_gives_what_is_asked_of_it(lake: Lake):
    for day in range(1, 41):
        key = f"2024-{1 + day // 28:02}-{1 + day % 28:02}"
        frame = bars("A", "B", close=1 + day / 40).with_columns(date=pl.lit(key).str.to_date())
        lake.write("daily_bars", key, frame, STAMP)
    rows = lake.scan("daily_bars")
    assert rows.select(pl.len()).collect().item() == 80
    assert rows.collect().equals(lake.read_many("daily_bars", lake.keys("daily_bars")))
    assert rows.head(3).collect().height == 3
    found = rows.filter(pl.col("ticker") == "B", pl.col("close") > 1.9).select("date").collect()
    assert found.columns == ["date"] and found.height == 4


def test_scan_under_a_writer_sees_each_file_whole(lake: Lake):
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.append(len(lake.scan("daily_bars").filter(pl.col("close") > 0).collect()))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        lake.write("daily_bars", KEY, bars(*[f"T{n}" for n in range(1 + number % 2)]), STAMP)
    stop.set()
    reader.join()
    assert seen and set(seen) <= {1, 2}


def test_case_sensitive_tickers_are_two_partitions(lake: Lake):
    stamp, empty = Stamp("ticker_history", 1, "abc"), TABLES["ticker_history"].empty()
    lake.write("ticker_history", "BCpC", empty, stamp)
    lake.write("ticker_history", "BCPC", empty, stamp)
    assert lake.keys("ticker_history") == ["BCPC", "BCpC"]


def test_stamp_of_a_foreign_file_is_none(lake: Lake):
    path = Path(lake.path("daily_bars", KEY))
    path.parent.mkdir(parents=True)
    bars("A").write_parquet(path)
    assert lake.stamp("daily_bars", KEY) is None
    assert lake.stamp("daily_bars", "2024-05-02") is None
