"""When the sources of a session are out, by the clock of New York: what to poll for, and when late.

| source | out by | polled from |
|---|---|---|
| FINRA short volume | 18:00 of the session's day | 18:15 |
| grouped daily bars, lists, actions | the evening | 18:15 |
| minute flat file | about 11:00 of the next day | 18:15, taken when it is listed |

The clock says when to begin looking and when to worry. That a source is out is found by asking it.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from smallcaps_assets.domain.market.calendar import NEW_YORK, sessions
from smallcaps_assets.pipeline.partition_keys import MarketSpan

POLLED_FROM = time(18, 15)
LATE = {"short_volume": timedelta(hours=24), "default": timedelta(hours=42)}
"""From midnight at which a session begins: when a table without it is late (18:00 next day)."""


def newest_begun(span: MarketSpan, now: datetime) -> date | None:
    """The newest session of the market whose sources are worth asking for."""
    here = now.astimezone(NEW_YORK)
    last = here.date() if here.time() >= POLLED_FROM else here.date() - timedelta(1)
    return _last(span, last)


def newest_expected(table: str, span: MarketSpan, now: datetime) -> date | None:
    """The newest session that a table should hold by now; None before the market's first."""
    late = LATE.get(table, LATE["default"])
    return _last(span, (now.astimezone(NEW_YORK).replace(tzinfo=None) - late).date())


def _last(span: MarketSpan, day: date) -> date | None:
    end = min(day + timedelta(span.ahead), span.end)
    days = sessions(max(span.start, end - timedelta(14)), end) if end >= span.start else []
    return days[-1] if days else None
