"""The cuts of ticker x date: sessions, months, years, tickers, ticker-sessions and periods.

Ticker x session as a product is 11 million keys and unusable in the web server, so a partition is
the unit in which a source delivers: the date, the ticker, or those intersections that exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import dagster as dg

from smallcaps_assets.domain.calendar import NEW_YORK, closed_weekdays, sessions
from smallcaps_assets.domain.publication import half_month_of
from smallcaps_assets.schemas import Partitioning, Table
from smallcaps_assets.settings import UNION, Period

TICKERS = dg.DynamicPartitionsDefinition(name="ticker")
TICKER_SESSIONS = dg.DynamicPartitionsDefinition(name="ticker_session")
DYNAMIC = {Partitioning.TICKER: TICKERS, Partitioning.TICKER_SESSION: TICKER_SESSIONS}
_TIMEZONE = "America/New_York"


@dataclass(frozen=True)
class Cuts:
    """All partitions definitions of one market."""

    start: date
    end: date
    periods: tuple[Period, ...]

    @cached_property
    def sessions(self) -> dg.DailyPartitionsDefinition:
        """XNYS sessions of the market; holidays are excluded as midnights in New York."""
        closed = closed_weekdays(self.start, self.end)
        return dg.DailyPartitionsDefinition(
            start_date=self.start.isoformat(),
            end_date=(self.end + timedelta(1)).isoformat(),
            timezone=_TIMEZONE,
            exclusions=["0 0 * * 6,0", *(_midnight(day) for day in closed)],
        )

    @cached_property
    def half_months(self) -> dg.TimeWindowPartitionsDefinition:
        """Half-months from the 1st and from the 16th, the current one included."""
        return dg.TimeWindowPartitionsDefinition(
            cron_schedule="0 0 1,16 * *",
            start=_midnight(half_month_of(self.start)),
            end=_midnight(_next_month(self.end)),
            fmt="%Y-%m-%d",
            timezone=_TIMEZONE,
            end_offset=1,
        )

    @cached_property
    def months(self) -> dg.TimeWindowPartitionsDefinition:
        """Calendar months, the current one included."""
        return dg.TimeWindowPartitionsDefinition(
            cron_schedule="0 0 1 * *",
            start=_midnight(self.start.replace(day=1)),
            end=_midnight(_next_month(self.end)),
            fmt="%Y-%m",
            timezone=_TIMEZONE,
            end_offset=1,
        )

    @cached_property
    def years(self) -> dg.TimeWindowPartitionsDefinition:
        """Calendar years, the current one included."""
        return dg.TimeWindowPartitionsDefinition(
            cron_schedule="0 0 1 1 *",
            start=_midnight(date(self.start.year, 1, 1)),
            end=_midnight(date(self.end.year + 1, 1, 1)),
            fmt="%Y",
            timezone=_TIMEZONE,
            end_offset=1,
        )

    @cached_property
    def period_names(self) -> dg.StaticPartitionsDefinition:
        """The periods of the dataset, then their union."""
        return dg.StaticPartitionsDefinition([*(p.name for p in self.periods), UNION])

    def datasets(self, start: date, end: date) -> list[str]:
        """Keys of the periods that a date range touches, and of their union; none for none."""
        touched = [p.name for p in self.periods if p.start <= end and p.last >= start]
        return [*touched, UNION] if touched else []

    def of(self, table: Table) -> dg.PartitionsDefinition | None:
        """The partitions definition of a table."""
        return {
            Partitioning.NONE: None,
            Partitioning.SESSION: self.sessions,
            Partitioning.HALF_MONTH: self.half_months,
            Partitioning.MONTH: self.months,
            Partitioning.YEAR: self.years,
            Partitioning.TICKER: TICKERS,
            Partitioning.TICKER_SESSION: TICKER_SESSIONS,
            Partitioning.PERIOD: self.period_names,
        }[table.partitioning]

    def session_keys(self, start: date, end: date) -> list[str]:
        """Keys of the market's sessions in a date range, both ends inclusive."""
        days = sessions(max(start, self.start), min(end, self.end))
        return [day.isoformat() for day in days]


def half_month_keys(start: date, end: date) -> list[str]:
    """Keys of the half-months that a date range touches."""
    first = half_month_of(start).isoformat()
    halves = (f"{month}-{day}" for month in month_keys(start, end) for day in ("01", "16"))
    return [key for key in halves if first <= key <= end.isoformat()]


def month_keys(start: date, end: date) -> list[str]:
    """Keys of the months that a date range touches."""
    first, last = start.year * 12 + start.month - 1, end.year * 12 + end.month - 1
    return [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(first, last + 1)]


def year_keys(start: date, end: date) -> list[str]:
    """Keys of the years that a date range touches."""
    return [str(year) for year in range(start.year, end.year + 1)]


def contiguous_blocks(wanted: Iterable[str], order: Sequence[str]) -> list[tuple[str, str]]:
    """First and last key of each run of wanted keys that stand together in `order`.

    A range run covers a contiguous stretch of the definition's current order, so ranges are
    computed from it and never from first and last of what is wanted.
    """
    position = {key: number for number, key in enumerate(order)}
    places = sorted(position[key] for key in wanted)
    blocks: list[list[int]] = []
    for place in places:
        if blocks and place == blocks[-1][1] + 1:
            blocks[-1][1] = place
        else:
            blocks.append([place, place])
    return [(order[first], order[last]) for first, last in blocks]


def date_of(key: str) -> str:
    """The date of a session's, month's, year's or ticker-session's key."""
    return key.rpartition("_")[2]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(32)).replace(day=1)
