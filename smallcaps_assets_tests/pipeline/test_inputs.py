"""What puts a stored partition out of date, and what does not."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import SESSION_TABLES
from smallcaps_assets_tests.pipeline.bench import make_sessions, reference, workspace

EARLY, LATE = "2024-10-03", "2024-10-08"


def stored(root: Path) -> Workspace:
    work = workspace(root)
    outcomes = [*reference(work), *make_sessions(work, list(SESSION_TABLES)).values()]
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    return work


def add_split(work: Workspace, day: date) -> None:
    """As a later reading of the year's splits would have it."""
    ticker = work.lake.read("universe", EARLY)["ticker"][0]
    splits = work.lake.read("splits", "2024")
    row = pl.DataFrame(
        {
            "year": [2024],
            "ticker": [ticker],
            "execution_date": [day],
            "split_from": [20.0],
            "split_to": [1.0],
        },
        schema=splits.schema,
    )
    work.lake.write("splits", "2024", pl.concat([splits, row]), work.stamp("splits", "2024"))


def test_sessions_given_a_later_split_expected_the_earlier_ones_stay(tmp_path: Path) -> None:
    work = stored(tmp_path)
    before = work.lake.path("daily_metrics", EARLY).read_bytes()
    add_split(work, date(2024, 10, 7))
    for table in ("universe", "daily_metrics", "watchlist"):
        assert work.is_complete(table, EARLY), table
    assert not work.is_complete("universe", LATE)
    assert not work.is_complete("daily_metrics", LATE)
    make_sessions(work, ["universe", "daily_metrics"], [EARLY], is_resumed=False)
    assert work.lake.path("daily_metrics", EARLY).read_bytes() == before


def test_sessions_given_a_split_of_the_day_expected_out_of_date(tmp_path: Path) -> None:
    work = stored(tmp_path)
    add_split(work, date(2024, 10, 3))
    assert not work.is_complete("daily_metrics", EARLY)


def test_sessions_given_a_decision_expected_that_one_out_of_date_and_made_by_it(
    tmp_path: Path,
) -> None:
    work = stored(tmp_path)
    ticker = work.lake.read("daily_metrics", EARLY)["ticker"][0]
    decisions = tmp_path / "suspects.csv"
    decisions.write_text(f"ticker,date,verdict\n{ticker},{EARLY},split\nNOPE,{EARLY},real\n")
    keys = work.lake.keys("daily_metrics")
    assert [key for key in keys if not work.is_complete("daily_metrics", key)] == [EARLY]
    made = make_sessions(work, ["daily_metrics"], [EARLY])["daily_metrics", EARLY]
    row = made.preview.row(0, named=True) if made.preview is not None else {}
    assert (row["suspect_decision"], row["is_suspect_at_open"]) == ("split", True)
    (finding,) = (found for found in made.findings if found.name == "decisions")
    assert "1 of them" in finding.found and "NOPE" in finding.found
    assert not work.is_complete("watchlist", LATE)  # follow_up and runners look back
    make_sessions(work, list(SESSION_TABLES))
    decisions.unlink()
    assert [key for key in keys if not work.is_complete("daily_metrics", key)] == [EARLY]


def test_sessions_given_the_same_actions_written_anew_expected_complete(tmp_path: Path) -> None:
    work = stored(tmp_path)
    reference(work)
    assert all(work.is_complete(table, LATE) for table in SESSION_TABLES)


def test_actions_of_the_year_given_a_later_session_expected_asked_for_again(tmp_path: Path) -> None:
    season = {"season": 7}
    work = workspace(tmp_path, sandbox=season)
    reference(work)
    assert work.is_current("splits", "2024") and work.is_current("dividends", "2024")
    later = workspace(tmp_path, sandbox={**season, "end": "2024-10-10"})
    assert not later.is_current("splits", "2024") and not later.is_current("dividends", "2024")
    weekend, year = ("2024-10-13", "2025-02-03")
    friday = workspace(tmp_path / "b", sandbox={**season, "end": "2024-10-11"})
    reference(friday)
    for end, is_current in ((weekend, True), (year, False)):
        then = workspace(tmp_path / "b", sandbox={**season, "end": end})
        assert then.is_current("splits", "2024") is is_current
