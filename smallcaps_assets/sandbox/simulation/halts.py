"""Nasdaq's feed of trading halts, made of the halts of the simulated tapes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from xml.sax.saxutils import escape

import numpy as np

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.sandbox.market import FeedHalt
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.companies import Listing
from smallcaps_assets.sandbox.simulation.finra import sip_symbol

_ITEM = (
    "<item><title>{symbol}</title><ndaq:HaltDate>{day}</ndaq:HaltDate>"
    "<ndaq:HaltTime>{start}</ndaq:HaltTime><ndaq:IssueSymbol>{symbol}</ndaq:IssueSymbol>"
    "<ndaq:IssueName>{name}</ndaq:IssueName><ndaq:Market>{market}</ndaq:Market>"
    "<ndaq:ReasonCode>{reason}</ndaq:ReasonCode><ndaq:PauseThresholdPrice/>"
    "<ndaq:ResumptionDate>{end_day}</ndaq:ResumptionDate>"
    "<ndaq:ResumptionQuoteTime>{end}</ndaq:ResumptionQuoteTime>"
    "<ndaq:ResumptionTradeTime>{end}</ndaq:ResumptionTradeTime></item>"
)
_FEED = (
    '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"'
    ' xmlns:ndaq="http://www.nasdaqtrader.com/"><channel><title>NASDAQTrader.com</title>'
    "<ndaq:numItems>{count}</ndaq:numItems>{items}</channel></rss>"
)


def halt_rows(listing: Listing, day: date, events: np.ndarray, resumption: int) -> list[FeedHalt]:
    """The feed's rows of a ticker-session's events, as in tape.py.

    A halt for news has three rows: T1 while it is pending, T2 once it is out, T3 with the time of
    resumption. One that lasts until another day (T12) has no end before its `resumption`, UTC ns.
    """
    rows: list[FeedHalt] = []
    for event in events:
        start, end = int(event[t.E_BEGIN]), int(event[t.E_END])
        told = {t.PAUSE: ("LUDP",), t.NEWS_HALT: ("T1", "T2", "T3"), t.LONG_HALT: ("T12",)}
        for reason in told.get(int(event[t.E_KIND]), ()):
            known = {"T1": 0, "T2": 0, "T12": resumption}.get(reason, end)
            ticker, market = listing.ticker_on(day) or "", listing.primary_exchange
            rows.append(FeedHalt(ticker, listing.name, market, start, known, reason))
    return rows


def feed_text(halts: Sequence[FeedHalt]) -> str:
    """The feed of a day, behind a byte order mark."""
    items = "".join(_item(halt) for halt in halts)
    return "\ufeff" + _FEED.format(count=len(halts), items=items)


def _item(halt: FeedHalt) -> str:
    start, end = (_new_york(moment) for moment in (halt.start, halt.end))
    return _ITEM.format(
        symbol=escape(sip_symbol(halt.ticker)),
        name=escape(halt.name),
        market=halt.market,
        day=f"{start:%m/%d/%Y}",
        start=f"{start:%H:%M:%S}.{start.microsecond // 1000:03d}",
        end=f"{end:%H:%M:%S}" if halt.end else "",
        end_day=f"{end:%m/%d/%Y}" if halt.end else "",
        reason=halt.reason,
    )


def _new_york(moment: int) -> datetime:
    return datetime.fromtimestamp(moment / 1e9, UTC).astimezone(NEW_YORK)
