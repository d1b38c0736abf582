"""The partitions of ticker x date: sessions, months, years, tickers, ticker-sessions, periods.

Ticker x session as a product is 11 million keys and unusable in the web server, so a partition is
the unit in which a source delivers: the date, the ticker, or those intersections that exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import dagster as dg

from smallcaps_assets.domain.feeds.publication import half_month_of
from smallcaps_assets.domain.market.calendar import NEW_YORK, closed_weekdays
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.schemas import TABLES, Partitioning, Table
from smallcaps_assets.settings import UNION

TICKERS = dg.DynamicPartitionsDefinition(name="ticker")
TICKER_SESSIONS = dg.DynamicPartitionsDefinition(name="ticker_session")
DYNAMIC = {Partitioning.TICKER: TICKERS, Partitioning.TICKER_SESSION: TICKER_SESSIONS}
_TIMEZONE = "America/New_York"


@dataclass(frozen=True)
class Partitions(MarketSpan):
    """All partitions definitions of one market."""

    @cached_property
    def sessions(self) -> dg.DailyPartitionsDefinition:
        """XNYS sessions of the market; holidays are excluded as midnights in New York."""
        closed = closed_weekdays(self.start, self.end)
        return dg.DailyPartitionsDefinition(
            start_date=self.start.isoformat(),
            end_date=(self.end + timedelta(1)).isoformat(),
            timezone=_TIMEZONE,
            exclusions=["0 0 * * 6,0", *(_midnight(day) for day in closed)],
            end_offset=self.ahead + 1 if self.ahead else 0,
        )

    @cached_property
    def half_months(self) -> dg.TimeWindowPartitionsDefinition:
        """Half-months from the 1st and from the 16th, the current one included."""
        first, end = half_month_of(self.start), _next_month(self.end)
        return self._calendar("0 0 1,16 * *", first, end, "%Y-%m-%d", 13)

    @cached_property
    def months(self) -> dg.TimeWindowPartitionsDefinition:
        """Calendar months, the current one included."""
        first, end = self.start.replace(day=1), _next_month(self.end)
        return self._calendar("0 0 1 * *", first, end, "%Y-%m", 28)

    @cached_property
    def years(self) -> dict[int, dg.TimeWindowPartitionsDefinition]:
        """Calendar years, the current one included, by how many come before the market's first."""
        end = date(self.end.year + 1, 1, 1)
        return {
            more: self._calendar("0 0 1 1 *", date(self.start.year - more, 1, 1), end, "%Y", 365)
            for more in {table.years_before for table in TABLES.values()}
        }

    @cached_property
    def period_names(self) -> dg.StaticPartitionsDefinition:
        """The periods of the dataset, then their union."""
        return dg.StaticPartitionsDefinition([*(p.name for p in self.periods), UNION])

    @cached_property
    def strategy_names(self) -> dg.StaticPartitionsDefinition:
        """The strategies that are tried."""
        return dg.StaticPartitionsDefinition(list(self.strategies))

    def of(self, table: Table) -> dg.PartitionsDefinition | None:
        """The partitions definition of a table."""
        return {
            Partitioning.NONE: None,
            Partitioning.SESSION: self.sessions,
            Partitioning.HALF_MONTH: self.half_months,
            Partitioning.MONTH: self.months,
            Partitioning.YEAR: self.years[table.years_before],
            Partitioning.TICKER: TICKERS,
            Partitioning.TICKER_SESSION: TICKER_SESSIONS,
            Partitioning.PERIOD: self.period_names,
            Partitioning.STRATEGY: self.strategy_names,
        }[table.partitioning]

    def _calendar(
        self, begins: str, start: date, end: date, fmt: str, shortest: int
    ) -> dg.TimeWindowPartitionsDefinition:
        """Spans of at least `shortest` days that begin by a cron schedule, the current included."""
        return dg.TimeWindowPartitionsDefinition(
            cron_schedule=begins,
            start=_midnight(start),
            end=_midnight(end),
            fmt=fmt,
            timezone=_TIMEZONE,
            end_offset=1 + self.ahead // shortest,
        )


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


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(32)).replace(day=1)
