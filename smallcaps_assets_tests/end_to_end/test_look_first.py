"""`smallcaps run --until` and `--period`: a part of the graph, equal to that part of the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.schemas import lineage
from smallcaps_assets_tests.end_to_end.command import (
    SMALL_MARKET,
    digests,
    run_again,
    settings,
    smallcaps,
)


def test_until_a_table_makes_what_it_comes_from_and_density_tells_the_cost_of_ticks(
    small_lake: Path, periods: Path, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    options = (*settings(SMALL_MARKET), "--config", periods)
    done = run_again(
        lake, *options, "--until", "watchlist", "--period", "after_christmas", "--tickers", ""
    )
    assert (done.status, done.out) == (2, "")  # refused before anything is made
    assert not lake.exists()
    done = run_again(lake, *options, "--until", "watchlist", "--period", "after_christmas")
    assert (done.status, done.error) == (0, ""), done.out
    assert "sessions 2024-12-27 to 2024-12-30 (the sessions within" in done.out
    assert "stopped after watchlist, as requested" in done.out
    stored = {table for table in lineage("watchlist") if Lake(lake).has(table)}
    assert stored == lineage("watchlist")
    made, whole = digests(lake), digests(small_lake)
    of_the_last = {path: whole[path] for path in made if "date=2024-12-30" in path}
    assert {Path(path).stem for path in of_the_last} == lineage("watchlist") - {
        *("splits", "dividends", "ticker_details"),
    }
    assert {Path(path).stem for path in made} == stored
    cost = smallcaps("density", "--lake", lake, cwd=tmp_path)
    assert cost.status == 0 and "what their ticks would cost" in cost.out
    assert "after_christmas" in cost.out and cost.error == ""
    stricter = smallcaps(
        "density", "--lake", lake, "--set", "selection.min_change=0.3", cwd=tmp_path
    )
    told = " watchlists were made with other rules"
    assert stricter.status == 0 and told in stricter.error
    again = run_again(lake, "--until", "watchlist", "--period", "after_christmas")
    assert "nothing to do" in again.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--until", "facility_short_volume"),
            "--until 'facility_short_volume' is not made by `run`; choose from tickers, ",
        ),
        (("--until", "x"), "--until 'x' is not made by `run`; choose from tickers, "),
        (("--period", "x"), "unknown period 'x'; choose from before_christmas, after_christmas"),
        (("--period", "x", "--to", "2024-12-31"), "leave --from and --to out"),
    ],
)
def test_part_that_there_is_not_is_refused(
    tmp_path: Path, periods: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = run_again(tmp_path / "lake", "--config", periods, *arguments)
    assert done.status == 2 and told in done.error
    assert not (tmp_path / "lake").exists()


def test_backfill_begins_a_lake(small_lake: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    days = ("--from", "2024-12-21", "--to", "2024-12-25")
    done = smallcaps(
        "backfill", "--lake", lake, *settings(SMALL_MARKET), "daily_bars", *days, cwd=tmp_path
    )
    assert (done.status, done.error) == (0, ""), done.out
    told = "sessions 2024-12-23 to 2024-12-24 (the sessions within 2024-12-21 to 2024-12-25)"
    assert told in done.out
    made, whole = digests(lake), digests(small_lake)
    assert set(made) == {
        f"raw/daily_bars/date=2024-12-{day}/daily_bars.parquet" for day in (23, 24)
    }
    assert all(whole[path] == digest for path, digest in made.items())
