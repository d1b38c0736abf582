"""New York trading sessions and their hours.

The closed weekdays and early closes of XNYS are data, `holidays.csv`, taken from exchange_calendars
(a test compares them): the library and its pandas would take longer to load than most commands to
run. Hours are derived from the scheduled close, so that early closes, unscheduled closures and
daylight saving time need no rule of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
FIRST_DAY = date(2003, 1, 1)
LAST_DAY = date(2030, 12, 31)
_REGULAR_CLOSE = time(16)


class CalendarError(ValueError):
    """A day that is no session, or lies outside the calendar's horizon."""


@dataclass(frozen=True)
class SessionHours:
    """The hours of one session; instants are UTC nanoseconds."""

    date: date
    premarket_open: int
    open: int
    close: int
    postmarket_close: int
    is_early_close: bool


def new_york_ns(day: date, clock: time) -> int:
    """UTC nanoseconds of a New York wall-clock time."""
    local = datetime.combine(day, clock, NEW_YORK)
    return int(local.timestamp()) * 1_000_000_000 + clock.microsecond * 1_000


@lru_cache(maxsize=1)
def _closes() -> dict[date, time]:
    """Session -> scheduled close, New York time."""
    text = files("smallcaps_assets.domain.market").joinpath("holidays.csv").read_text("utf-8")
    special = dict(line.split(",") for line in text.splitlines()[1:])
    days = (FIRST_DAY + timedelta(n) for n in range((LAST_DAY - FIRST_DAY).days + 1))
    closes = {day: special.get(day.isoformat(), "16:00") for day in days if day.weekday() < 5}
    return {day: time.fromisoformat(close) for day, close in closes.items() if close}


@lru_cache(maxsize=64)
def sessions(start: date, end: date) -> list[date]:
    """The sessions from `start` to `end`, both inclusive."""
    if start < FIRST_DAY or end > LAST_DAY:
        raise _outside(f"{start} to {end}")
    return [day for day in _closes() if start <= day <= end]


def is_session(day: date) -> bool:
    """Whether the exchange opens on this day."""
    return day in _closes()


def closed_weekdays(start: date, end: date) -> list[date]:
    """Weekdays from `start` to `end` on which the exchange is closed."""
    days = (start + timedelta(n) for n in range((end - start).days + 1))
    return [day for day in days if day.weekday() < 5 and day not in _closes()]


def nearest_sessions(day: date) -> tuple[date, date]:
    """The last session before and the first session after a day. Raises CalendarError outside."""
    before = [s for s in _closes() if s < day]
    after = [s for s in _closes() if s > day]
    if not before or not after:
        raise _outside(str(day))
    return before[-1], after[0]


def _outside(days: str) -> CalendarError:
    return CalendarError(
        f"{days} is outside the calendar, {FIRST_DAY} to {LAST_DAY}; choose dates in it, or update"
        " the project for later ones"
    )


def shift_session(day: date, count: int) -> date:
    """The session `count` sessions after (negative: before) `day`, which must be a session."""
    days = list(_closes())
    return days[max(0, days.index(day) + count)]


@lru_cache(maxsize=8192)
def session_hours(day: date) -> SessionHours:
    """The hours of a session. Raises CalendarError when the exchange is closed on that day."""
    close = _closes().get(day)
    if close is None:
        before, after = nearest_sessions(day)
        raise CalendarError(f"{day} is no session; the nearest are {before} and {after}")
    early = close < _REGULAR_CLOSE
    return SessionHours(
        date=day,
        premarket_open=new_york_ns(day, time(4)),
        open=new_york_ns(day, time(9, 30)),
        close=new_york_ns(day, close),
        postmarket_close=new_york_ns(day, time(17) if early else time(20)),
        is_early_close=early,
    )
