"""Nasdaq's feed of trading halts: all US listing markets, by date of the halt, one year back.

RSS with a namespace of its own. Times are New York wall clock. The feed says how many items it
has; that number is held against those that came.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import polars as pl

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import HaltSettings
from smallcaps_assets.sources.errors import BadAnswer, NotFound, TruncatedAnswer, WrongContent
from smallcaps_assets.sources.http.throttle import Throttle, Window
from smallcaps_assets.sources.http.transport import Answer, Request, Transport
from smallcaps_assets.sources.regulators import text_tables
from smallcaps_assets.sources.symbols import from_finra

PATH = "/rss.aspx"
REACH = timedelta(days=365)
"""How far back the feed goes."""
_SPACE = "{http://www.nasdaqtrader.com/}"
Refused = Callable[[str], None]
_FORMATS = ("%m/%d/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S")


class HaltFeed:
    """The feed of one host. Safe to use from many threads."""

    def __init__(
        self,
        settings: HaltSettings | None = None,
        url: str = "",
        throttle: Throttle | None = None,
        *,
        today: Callable[[], date] = lambda: datetime.now(NEW_YORK).date(),
        **options: Any,
    ) -> None:
        settings = settings or HaltSettings()
        pause = max(settings.seconds_per_request, 0.001)
        self._today = today
        self._transport = Transport(
            url or settings.url,
            "",
            throttle or Throttle(window=Window(1, pause)),
            workers=1,
            **options,
        )

    def __enter__(self) -> HaltFeed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def reaches(self, day: date) -> bool:
        """Whether the feed still has a session."""
        return self._today() - REACH <= day

    def halts(self, day: date, refused: Refused = lambda row: None) -> pl.DataFrame:
        """The table `halts` of a session; `refused` as in `parse_halts`.

        Raises NotFound for one the feed no longer has, and as `parse_halts`.
        """
        if not self.reaches(day):
            raise NotFound(
                f"the halt feed reaches one year back, not to {day}",
                path=PATH,
                remedy="halts of that session come from re-opening prints and silence on the tape",
            )
        params = {"feed": "tradehalts", "haltdate": f"{day:%m%d%Y}"}

        def read(answer: Answer) -> pl.DataFrame:
            return parse_halts(answer.body, day, answer.request.shown, refused)

        return self._transport.fetch(Request(PATH, params, accept="application/rss+xml"), read)


def parse_halts(
    body: bytes, day: date, path: str = "", refused: Refused = lambda row: None
) -> pl.DataFrame:
    """The feed of a day as the table `halts`, each halt once.

    A halt that ends before it begins is left out, and `refused` called with its ticker, begin and
    end (New York) as text.
    Raises WrongContent when it is no RSS or a halt is of another day, TruncatedAnswer when it is
    cut or the items differ from their number, BadAnswer when a time makes no sense.
    """
    items, announced = _items(body, path)
    if announced is None or announced != len(items):
        raise TruncatedAnswer(f"{len(items)} halts came, {announced} counted", path=path)
    rows = [_row(item, day, path) for item in items]
    others = sorted({row["date"] for row in rows} - {day})
    if others:
        raise WrongContent(f"a halt of {others[0]} in the feed of {day}", path=path)
    table = TABLES["halts"]
    schema = {name: dtype for name, dtype in table.columns.items() if name != "ticker"}
    frame = pl.DataFrame(rows, schema=schema).with_columns(from_finra("symbol").alias("ticker"))
    is_backward = (pl.col("halt_end") < pl.col("halt_start")).fill_null(False)
    # The feed repeats a halt when its resumption becomes known: the last row has the most.
    found = frame.filter(~is_backward).sort("halt_end").unique(table.key, keep="last")
    for row in frame.filter(is_backward).join(found, on=table.key, how="anti").to_dicts():
        begin, end = (row[name].astimezone(NEW_YORK) for name in ("halt_start", "halt_end"))
        refused(f"{row['ticker']} {begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}")
    return table.conform(found)


def _items(body: bytes, path: str) -> tuple[list[ElementTree.Element], int | None]:
    """The items of a feed, and the number it gives of them."""
    start = body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html")) or b"<!entity" in body[:2000].lower():
        raise WrongContent("a web page came instead of the halt feed", path=path)
    try:
        root = ElementTree.fromstring(body.lstrip(b"\xef\xbb\xbf \t\r\n"))
    except ElementTree.ParseError as problem:
        raise TruncatedAnswer(f"the feed is cut or no XML: {problem}", path=path) from None
    channel = root.find("channel")
    if root.tag != "rss" or channel is None:
        raise WrongContent(f"<{root.tag[:40]}> came instead of the halt feed", path=path)
    text = channel.findtext(f"{_SPACE}numItems", "").strip()
    return channel.findall("item"), text_tables.count_in(text)


def _row(item: ElementTree.Element, day: date, path: str) -> dict[str, Any]:
    def cell(*names: str) -> str | None:
        texts = (item.findtext(f"{_SPACE}{name}", "").strip() for name in names)
        return next((text for text in texts if text), None)

    start = _moment(cell("HaltDate"), cell("HaltTime"), path)
    symbol = cell("IssueSymbol")
    if start is None or symbol is None:
        raise BadAnswer("a halt without symbol, date or time", path=path)
    resumed = cell("ResumptionDate")
    price = cell("PauseThresholdPrice")
    return {
        "date": start.date(),
        "halt_start": start,
        "reason_code": cell("ReasonCode") or "unknown",
        "symbol": symbol,
        "name": cell("IssueName"),
        "market": cell("Market", "Mkt"),
        "pause_threshold_price": _price(price, path),
        "quotes_resumed": _moment(resumed, cell("ResumptionQuoteTime"), path),
        "halt_end": _moment(resumed, cell("ResumptionTradeTime"), path),
        "halt_source": "feed",
        "known_at": start,
    }


def _moment(day: str | None, clock: str | None, path: str) -> datetime | None:
    if day is None or clock is None:
        return None
    for form in _FORMATS:
        try:
            return datetime.strptime(f"{day} {clock}", form).replace(tzinfo=NEW_YORK)
        except ValueError:
            continue
    raise BadAnswer(f"{day} {clock} is no time of a halt", path=path)


def _price(text: str | None, path: str) -> float | None:
    if text is None:
        return None
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        raise BadAnswer(f"{text!r} is no price", path=path) from None
    return value if value > 0 else None
