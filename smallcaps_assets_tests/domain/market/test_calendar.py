"""Sessions and hours; the list of holidays is that of exchange_calendars."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, time

import pytest

from smallcaps_assets.domain.market.calendar import (
    CalendarError,
    closed_weekdays,
    nearest_sessions,
    new_york_ns,
    session_hours,
    sessions,
    shift_session,
)
from smallcaps_assets_tests.golden.holidays import FILE, expected_text


def test_holidays_are_those_of_the_library() -> None:
    assert FILE.read_text(encoding="utf-8") == expected_text(), (
        "run `python -m smallcaps_assets_tests.golden.holidays`"
    )


def test_sessions_leave_out_holidays_and_weekends() -> None:
    assert sessions(date(2024, 12, 23), date(2024, 12, 27)) == [
        date(2024, 12, 23),
        date(2024, 12, 24),
        date(2024, 12, 26),
        date(2024, 12, 27),
    ]
    assert closed_weekdays(date(2025, 1, 6), date(2025, 1, 10)) == [date(2025, 1, 9)]
    assert len(sessions(date(2004, 1, 1), date(2026, 1, 8))) == 5540
    assert shift_session(date(2024, 12, 24), 1) == date(2024, 12, 26)


@pytest.mark.parametrize("day", [date(2003, 1, 1), date(2030, 12, 31), date(2040, 1, 3)])
def test_day_beyond_the_calendar_is_refused_with_its_reach(day: date) -> None:
    with pytest.raises(CalendarError, match="outside the calendar, 2003-01-01 to 2030-12-31"):
        nearest_sessions(day)


def test_early_close_shortens_the_day() -> None:
    hours = session_hours(date(2024, 12, 24))
    assert hours.is_early_close
    assert hours.close == new_york_ns(date(2024, 12, 24), time(13))
    assert hours.postmarket_close == new_york_ns(date(2024, 12, 24), time(17))


def test_closed_day_is_refused_with_the_nearest_sessions() -> None:
    with pytest.raises(CalendarError, match="2024-12-25 is no session.* 2024-12-24 and 2024-12-26"):
        session_hours(date(2024, 12, 25))


def test_calendar_loads_neither_pandas_nor_the_library() -> None:
    code = (
        "import sys; from datetime import date;"
        "from smallcaps_assets.domain.market.calendar import *;"
        "session_hours(date(2024, 12, 24)); assert not {'pandas', 'exchange_calendars'} &"
        " sys.modules.keys()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
