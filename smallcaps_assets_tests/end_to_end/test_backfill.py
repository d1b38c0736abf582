"""`smallcaps backfill` on the small lake makes what is requested, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.schemas import TICK_CHAIN
from smallcaps_assets_tests.end_to_end.command import (
    Finished,
    changed_tables,
    digests,
    listing,
    smallcaps,
)


def backfill(lake: Path, *arguments: str) -> Finished:
    return smallcaps("backfill", "--lake", lake, *arguments, cwd=lake.parent)


def written(before: dict[str, tuple[int, int]], root: Path) -> set[str]:
    """Parquet files that are new or were written again."""
    after = listing(root)
    return {p for p in after if p.endswith(".parquet") and after[p] != before.get(p)}


def test_date_range_of_one_table_makes_those_sessions_again(own_lake: Path) -> None:
    before, bytes_before = listing(own_lake), digests(own_lake)
    done = backfill(own_lake, "daily_bars", "--from", "2024-12-10", "--to", "2024-12-12")
    assert (done.status, done.error) == (0, "")
    assert written(before, own_lake) == {
        f"raw/daily_bars/date=2024-12-{day}/daily_bars.parquet" for day in (10, 11, 12)
    }
    assert digests(own_lake) == bytes_before


def test_one_ticker_in_a_session_leaves_the_bytes_of_the_others(own_lake: Path) -> None:
    bytes_before, before = digests(own_lake), listing(own_lake)
    day = "2024-12-20"
    ticker = Lake(own_lake).read("minute_bars", day)["ticker"][0]
    done = backfill(own_lake, "minute_bars", "--from", day, "--to", day, "--tickers", ticker)
    assert (done.status, done.error) == (0, "")
    assert changed_tables(before, own_lake) == {"minute_bars"}
    assert digests(own_lake) == bytes_before


def test_table_that_the_main_job_leaves_out_is_made_when_it_is_named(own_lake: Path) -> None:
    day, lake = "2024-12-20", Lake(own_lake)
    assert not lake.exists("facility_short_volume", day)
    done = backfill(own_lake, "facility_short_volume", "--keys", day)
    assert (done.status, done.error) == (0, "")
    assert lake.exists("facility_short_volume", day)


def test_scattered_ticker_sessions_go_in_one_run(own_lake: Path) -> None:
    keys = Lake(own_lake).keys("trades")
    some = [keys[0], keys[-1]]
    before = listing(own_lake)
    done = backfill(own_lake, "tick_chain", "--keys", ",".join(some))
    assert (done.status, done.error) == (0, "")
    assert "1 runs" in done.out
    assert len(written(before, own_lake)) == len(TICK_CHAIN) * len(some)


def test_missing_partitions_of_all_tables_are_made_and_nothing_else(own_lake: Path) -> None:
    lake, bytes_before = Lake(own_lake), digests(own_lake)
    gone = [
        Path(str(lake.path("watchlist", lake.keys("watchlist")[4]))),
        Path(str(lake.path("sample_weights", lake.keys("sample_weights")[1]))),
    ]
    for path in gone:
        path.unlink()
    before = listing(own_lake)
    dry = backfill(own_lake, "--missing", "--dry-run")
    assert dry.status == 0 and "2 partitions; nothing was made" in dry.out
    assert written(before, own_lake) == set()
    done = backfill(own_lake, "--missing")
    assert (done.status, done.error) == (0, "")
    assert written(before, own_lake) == {path.relative_to(own_lake).as_posix() for path in gone}
    assert digests(own_lake) == bytes_before
    assert "nothing to do" in backfill(own_lake, "--missing").out
    assert "nothing to do" in backfill(own_lake, "--failed").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "backfill what?"),
        (["dayly_bars"], "unknown table 'dayly_bars'"),
        (["trades", "--keys", "NOPE_2024-12-20"], "no partition 'NOPE_2024-12-20'"),
        (["trades", "--keys", "@nowhere.txt"], "name a readable file"),
        (["daily_bars", "--from", "2024-12-25", "--to", "2024-12-25"], "no session"),
    ],
)
def test_bad_request_is_refused_in_one_line(
    small_lake: Path, arguments: list[str], message: str
) -> None:
    done = backfill(small_lake, *arguments)
    assert done.status == 2
    assert message in done.error and done.error.count("\n") == 1
