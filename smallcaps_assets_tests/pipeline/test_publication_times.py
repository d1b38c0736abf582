"""Which session can be asked for, and which should be there, by the clock of New York."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from smallcaps_assets.orchestration.partitions import Partitions
from smallcaps_assets.pipeline.publication_times import newest_begun, newest_expected

CUTS = Partitions(date(2024, 10, 1), date(2025, 1, 10), ())


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2024-11-27T18:14", "2024-11-26"),
        ("2024-11-27T18:15", "2024-11-27"),
        ("2024-11-28T20:00", "2024-11-27"),  # Thanksgiving
        ("2024-12-01T20:00", "2024-11-29"),  # a Sunday after a half day
        ("2026-01-01T00:00", "2025-01-10"),  # after the market's last session
    ],
)
def test_newest_begun_is_a_session_after_its_evening(now: str, session: str):
    assert newest_begun(CUTS, new_york(now)) == date.fromisoformat(session)


@pytest.mark.parametrize(
    ("table", "now", "session"),
    [
        ("short_volume", "2024-11-27T23:59", "2024-11-26"),
        ("short_volume", "2024-11-28T00:00", "2024-11-27"),
        ("minute_bars", "2024-11-28T17:59", "2024-11-26"),
        ("minute_bars", "2024-11-28T18:00", "2024-11-27"),
    ],
)
def test_newest_expected_is_what_the_source_owes(table: str, now: str, session: str):
    assert newest_expected(table, CUTS, new_york(now)) == date.fromisoformat(session)


def test_before_the_market_there_is_no_session():
    assert newest_begun(CUTS, new_york("2024-09-30T20:00")) is None
    assert newest_expected("daily_bars", CUTS, new_york("2024-10-02T12:00")) is None
