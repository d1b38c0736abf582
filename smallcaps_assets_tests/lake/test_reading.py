"""`lake.scan`: the rows asked for, adjusted as of a day, beside writers; refusals that teach."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets import lake
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.lake.desk_lake import DAYS, bars, desk_lake, stamp


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake not to be changed."""
    return Path(str(desk_lake(tmp_path_factory.mktemp("desk") / "lake").root))


def closes(rows: pl.LazyFrame) -> list[tuple[date, str, float]]:
    return rows.select("date", "ticker", "close").collect().rows()


def test_scan_gives_the_tickers_and_days_asked_for(root: Path) -> None:
    one = lake.scan("daily_bars", "BCpC", "2024-12-13", root=root)
    assert closes(one) == [(DAYS[1], "BCpC", 2.0), (DAYS[2], "BCpC", 2.0)]
    some = lake.scan("daily_bars", ["GEVO", "OLD"], end=DAYS[0], root=root)
    assert closes(some) == [(DAYS[0], "GEVO", 2.0), (DAYS[0], "OLD", 2.0)]
    every = lake.scan("daily_bars", root=root)
    assert every.collect_schema() == TABLES["daily_bars"].columns
    assert every.collect().height == 10


def test_scan_takes_the_lake_of_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLCAPS_LAKE_ROOT", str(root))
    assert lake.scan("tickers", "GEVO").collect().height == 3


def test_adjusted_bars_are_on_the_basis_of_the_last_day_asked_for(root: Path) -> None:
    seen = lake.scan("daily_bars", ["OLD", "NEW"], adjusted=True, root=root)
    assert closes(seen) == [
        (DAYS[0], "OLD", 40.0),
        (DAYS[1], "NEW", 40.0),
        (DAYS[2], "NEW", 2.0),
        (DAYS[2], "OLD", 2.0),
    ]
    assert seen.collect()["volume"].to_list() == [5.0, 5.0, 100.0, 100.0]
    before = lake.scan("daily_bars", ["OLD", "NEW"], end=DAYS[1], adjusted=True, root=root)
    assert [close for _, _, close in closes(before)] == [2.0, 2.0]
    later = lake.scan("daily_bars", "NEW", end=DAYS[1], adjusted=True, as_of=DAYS[2], root=root)
    assert closes(later) == [(DAYS[1], "NEW", 40.0)]
    assert lake.scan("daily_bars", adjusted=True, as_of=DAYS[1], root=root).collect().height == 6


def test_adjusted_scan_filters_by_what_it_gives(root: Path) -> None:
    rows = lake.scan("daily_bars", adjusted=True, root=root)
    dear = rows.filter(pl.col("close") > 10, pl.col("ticker") != "OLD").select("ticker", "volume")
    assert dear.collect().rows() == [("NEW", 5.0)]
    assert rows.head(2).collect().height == 2
    assert rows.filter(pl.col("date") == DAYS[2]).select(pl.len()).collect().item() == 4


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"table": "dayly_bars"}, "unknown table 'dayly_bars'; choose from tickers, "),
        ({"tickers": "BCPC"}, "unknown ticker 'BCPC': no list from 2024-12-12 to 2024-12-16"),
        ({"start": "2024-13-01"}, "start '2024-13-01' is no date; write it as YYYY-MM-DD"),
        ({"start": DAYS[2], "end": DAYS[0]}, "start 2024-12-16 is after end 2024-12-12"),
        ({"start": "2025-01-02"}, "the lake holds 3 partitions, 2024-12-12 to 2024-12-16"),
        ({"table": "trades"}, "has no trades; make it with `smallcaps run`"),
        ({"table": "news"}, "has no news; make it with `smallcaps backfill news`"),
        ({"as_of": DAYS[0]}, "as_of 2024-12-12 is for adjusted=True"),
        ({"table": "tickers", "adjusted": True}, "tickers can't be adjusted; choose from daily"),
        ({"adjusted": True, "as_of": DAYS[0], "end": DAYS[1]}, "as_of 2024-12-12 is before"),
        ({"root": "nowhere"}, "lake nowhere is empty; fill it with `smallcaps run`"),
    ],
)
def test_scan_refuses_what_the_lake_has_not(root: Path, asked: dict, told: str) -> None:
    request = {"table": "daily_bars", "root": root, **asked}
    with pytest.raises(lake.LakeError) as refused:
        lake.scan(**request)
    assert told in str(refused.value)


def test_scan_beside_a_writer_sees_each_file_whole(tmp_path: Path) -> None:
    written, is_over = desk_lake(tmp_path / "lake"), threading.Event()

    def replace() -> None:
        close = 2.0
        while not is_over.is_set():
            close = 3.0 if close == 2.0 else 2.0
            many = [f"T{n}" for n in range(3000 if close == 3.0 else 10)]
            day = bars(DAYS[0], *many, "GEVO", close=min(close, 3.0))
            written.write("daily_bars", DAYS[0].isoformat(), day, stamp("daily_bars"))

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(60):
            found = closes(lake.scan("daily_bars", "GEVO", end=DAYS[0], root=tmp_path / "lake"))
            assert found in ([(DAYS[0], "GEVO", 2.0)], [(DAYS[0], "GEVO", 3.0)])
    finally:
        is_over.set()
        writer.join()


def test_scans_joined_on_one_thread_do_not_wait_for_each_other(root: Path) -> None:
    code = (
        "import os; os.environ['POLARS_MAX_THREADS'] = '1'\n"
        "from smallcaps_assets import lake\n"
        f"scan = lambda table: lake.scan(table, root={str(root)!r})\n"
        "both = scan('daily_bars').join(scan('tickers'), on=['date', 'ticker'])\n"
        "print(both.join(scan('minute_bars'), on=['date', 'ticker']).collect().height)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("900\n", "")
