"""Nasdaq's feed of trading halts, made of the halts of the simulated tapes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.sandbox.market import FeedHalt
from smallcaps_assets.sandbox.simulation.finra import sip_symbol

_ITEM = (
    "<item><title>{symbol}</title><ndaq:HaltDate>{day}</ndaq:HaltDate>"
    "<ndaq:HaltTime>{start}</ndaq:HaltTime><ndaq:IssueSymbol>{symbol}</ndaq:IssueSymbol>"
    "<ndaq:IssueName>{name}</ndaq:IssueName><ndaq:Market>{market}</ndaq:Market>"
    "<ndaq:ReasonCode>LUDP</ndaq:ReasonCode><ndaq:PauseThresholdPrice/>"
    "<ndaq:ResumptionDate>{day}</ndaq:ResumptionDate>"
    "<ndaq:ResumptionQuoteTime>{end}</ndaq:ResumptionQuoteTime>"
    "<ndaq:ResumptionTradeTime>{end}</ndaq:ResumptionTradeTime></item>"
)
_FEED = (
    '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"'
    ' xmlns:ndaq="http://www.nasdaqtrader.com/"><channel><title>NASDAQTrader.com</title>'
    "<ndaq:numItems>{count}</ndaq:numItems>{items}</channel></rss>"
)


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
        end=f"{end:%H:%M:%S}",
    )


def _new_york(moment: int) -> datetime:
    return datetime.fromtimestamp(moment / 1e9, UTC).astimezone(NEW_YORK)
