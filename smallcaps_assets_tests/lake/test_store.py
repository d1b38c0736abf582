"""The atomic store: all or nothing, same bytes for same rows, a footer that tells its making."""

import threading
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.lake import Lake, Stamp
from smallcaps_assets.lake.files import TEMPORARY
from smallcaps_assets.schemas import TABLES, ContractError

KEY = "2024-05-03"
STAMP = Stamp("daily_bars", 1, "abc")


def bars(*tickers: str, close: float = 2.0) -> pl.DataFrame:
    """Daily bars of some tickers."""
    return pl.DataFrame(
        {
            "date": [date(2024, 5, 3)] * len(tickers),
            "ticker": list(tickers),
            "open": 1.5,
            "high": 3.0,
            "low": 1.0,
            "close": close,
            "volume": 100.0,
            "vwap": None,
            "transactions": 3,
        }
    )


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


def test_read_absent_partition_names_table_and_key(lake: Lake):
    with pytest.raises(FileNotFoundError, match="daily_bars has no partition '2024-05-03'"):
        lake.read("daily_bars", KEY)


def test_read_many_skips_absent_and_scan_reads_all(lake: Lake):
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    assert len(lake.read_many("daily_bars", ["2024-05-02", KEY])) == 1
    assert lake.read_many("daily_bars", ["2024-05-02"]).is_empty()
    assert len(lake.scan("daily_bars").collect()) == 1
    assert lake.scan("minute_bars").collect().is_empty()


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
