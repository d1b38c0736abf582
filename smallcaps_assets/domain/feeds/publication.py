"""When periodical figures come out: half-months, settlement dates, and the moment they are known.

Publication is by rule, because the figures don't carry it. A rule that is a few days late costs a
slow figure nothing; one that is early would be look-ahead, so every rule here is on the late side.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from smallcaps_assets.domain.market.calendar import NEW_YORK, sessions

INTEREST_SESSIONS = 7
"""FINRA publishes short interest that many business days after settlement."""
FAILS_GRACE = timedelta(days=3)
"""The SEC says "end of the month" and "about the 15th of the next"; it was late by some days."""
EVENING = time(20)


def half_month_of(day: date) -> date:
    """First day of a day's half-month: the 1st or the 16th."""
    return day.replace(day=1 if day.day < 16 else 16)


def half_month_end(start: date) -> date:
    """Last day of the half-month that begins on `start`."""
    return start.replace(day=15) if start.day == 1 else month_end(start)


def interest_known_at(settlement: date) -> datetime:
    """When short interest settled on a date was published: in the evening, New York."""
    after = [day for day in sessions(settlement, settlement + timedelta(30)) if day > settlement]
    return _evening(after[INTEREST_SESSIONS - 1])


def half_interest_known_at(start: date) -> datetime:
    """When the short interest settled in the half-month that begins on `start` was published.

    Settlement is on the half's last day, or on the last session before it.
    """
    end = half_month_end(start)
    return interest_known_at(sessions(end - timedelta(10), end)[-1])


def fails_known_at(start: date) -> datetime:
    """When the fails of the half-month that begins on `start` were published.

    The first half at the month's end, the second on the 15th of the next month, both with
    FAILS_GRACE.
    """
    last = month_end(start)
    published = last if start.day == 1 else last + timedelta(15)
    return _evening(published + FAILS_GRACE)


def filed_known_at(day: date) -> datetime:
    """When a filing of a date was known at the latest: EDGAR accepts until 22:00 New York."""
    return datetime.combine(day, time(22), NEW_YORK)


def _evening(day: date) -> datetime:
    return datetime.combine(day, EVENING, NEW_YORK)


def month_end(day: date) -> date:
    """The last day of a day's month."""
    return (day.replace(day=1) + timedelta(32)).replace(day=1) - timedelta(1)
