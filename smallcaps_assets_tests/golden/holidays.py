"""The closed weekdays and early closes of XNYS as exchange_calendars knows them.

    python -m smallcaps_assets_tests.golden.holidays

writes the package's own list, which is read in a moment where the library takes a second to load.
"""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path

from smallcaps_assets.domain.market import calendar

FILE = Path(calendar.__file__).with_name("holidays.csv")


def expected_text() -> str:
    """The content of the list: date and close in New York; no close: closed all day."""
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, last = calendar.FIRST_DAY, calendar.LAST_DAY
        closes = exchange_calendars.get_calendar("XNYS", start=first, end=last).closes
    local = closes.dt.tz_convert("America/New_York").dt.strftime("%H:%M")
    known = {day.date(): text for day, text in zip(closes.index, local, strict=True)}
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    regular = {day: "16:00" if day.weekday() < 5 else "" for day in days}
    lines = [
        f"{day},{known.get(day, '')}"
        for day, close in regular.items()
        if known.get(day, "") != close
    ]
    return "\n".join(["date,close", *lines, ""])


if __name__ == "__main__":
    FILE.write_text(expected_text(), encoding="utf-8")
