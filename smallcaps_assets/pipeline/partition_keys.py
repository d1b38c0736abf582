"""Partition keys of one market: sessions, half-months, months, years, periods of the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from smallcaps_assets.domain.feeds.publication import half_month_of
from smallcaps_assets.domain.market.calendar import NEW_YORK, sessions
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import UNION, Period, Settings


@dataclass(frozen=True)
class MarketSpan:
    """First and last session of a market, and the periods of its dataset.

    ahead: days that the last session lies after today: a simulated market may be in the future.
    strategies: names of those that are tried.
    """

    start: date
    end: date
    periods: tuple[Period, ...]
    ahead: int = 0
    strategies: tuple[str, ...] = ()

    @classmethod
    def of_market(cls, settings: Settings) -> Self:
        """The whole span of the market of some settings. Raises SettingsError when it has none."""
        market = market_of(settings)
        ahead = max((market.last_day - datetime.now(NEW_YORK).date()).days, 0)
        return cls(*market.span, settings.dataset.periods, ahead, settings.backtest.names)

    def session_keys(self, start: date, end: date) -> list[str]:
        """Keys of the market's sessions in a date range, both ends inclusive."""
        days = sessions(max(start, self.start), min(end, self.end))
        return [day.isoformat() for day in days]

    def datasets(self, start: date, end: date) -> list[str]:
        """Keys of the periods that a date range touches, and of their union; none for none."""
        touched = [p.name for p in self.periods if p.start <= end and p.last >= start]
        return [*touched, UNION] if touched else []


def half_month_keys(start: date, end: date) -> list[str]:
    """Keys of the half-months that a date range touches."""
    first = half_month_of(start).isoformat()
    halves = (f"{month}-{day}" for month in month_keys(start, end) for day in ("01", "16"))
    return [key for key in halves if first <= key <= end.isoformat()]


def month_keys(start: date, end: date) -> list[str]:
    """Keys of the months that a date range touches."""
    first, last = start.year * 12 + start.month - 1, end.year * 12 + end.month - 1
    return [f"{n // 12:04d}-{n % 12 + 1:02d}" for n in range(first, last + 1)]


def year_keys(start: date, end: date, before: int = 0) -> list[str]:
    """Keys of the years that a date range touches, and of some years before it."""
    return [str(year) for year in range(start.year - before, end.year + 1)]


def date_of(key: str) -> str:
    """The date of a session's, month's, year's or ticker-session's key."""
    return key.rpartition("_")[2]
