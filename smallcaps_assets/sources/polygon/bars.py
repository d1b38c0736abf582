"""Polygon's aggregate bars over REST: all tickers of a day, and the minutes of one ticker.

Always unadjusted: adjusted bars change whenever a split happens. Bars from flat files are in
`flatfiles.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

import polars as pl

from smallcaps_assets.domain.market import calendar
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer, WrongContent
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.decode import BarRow
from smallcaps_assets.sources.http.emptiness import confirmed
from smallcaps_assets.sources.http.transport import Answer, Request, Transport
from smallcaps_assets.sources.symbols import without_test_tickers

LOG = logging.getLogger(__name__)
LIMIT = 50_000
MINUTE_MS = 60_000
MOST_TRANSACTIONS = 2**40

_NAMES = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap"}
_TYPES: dict[str, Any] = {"t": pl.Int64, **dict.fromkeys(_NAMES, pl.Float64), "n": pl.Float64}


class Bars:
    """The aggregate endpoints over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def daily(self, day: date) -> pl.DataFrame:
        """DailyBars of all tickers, one call. Test tickers and bars without prices are left out.

        Empty on a day without trading; on a session that is believed only as `emptiness.py` has
        it. Raises BadAnswer when the bars are adjusted or of another day.
        """
        request = Request(
            f"/v2/aggs/grouped/locale/us/market/stocks/{day}",
            {"adjusted": "false", "include_otc": "false"},
            scope=f"grouped {day}",
            expects_rows=calendar.is_session(day),
        )
        ask = partial(self._transport.fetch, request, lambda answer: _grouped(answer, day))
        is_session = request.expects_rows
        found = (
            confirmed(self._transport, request, ask, pl.DataFrame.is_empty) if is_session else ask()
        )
        named = without_test_tickers(_named(found).with_columns(pl.lit(day).alias("date")))
        once = without_gaps(named, f"daily bars of {day}").unique(
            "ticker", keep="first", maintain_order=True
        )
        return TABLES["daily_bars"].conform(once)

    def minutes(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        """MinuteBars of one ticker from `start` to `end`, both included, extended hours included.

        Pages are asked for by time, not by cursor: the cursor drops `adjusted`. Raises BadAnswer
        when a page is of another ticker, adjusted, out of order or outside the dates.
        """
        found = self._minutes(ticker, start, end)
        instants = decode.instant_ns("t_ns")
        bars = _named(found.with_columns((pl.col("t") * 1_000_000).alias("t_ns"))).with_columns(
            pl.lit(ticker).alias("ticker"),
            instants.alias("window_start"),
            instants.dt.convert_time_zone("America/New_York").dt.date().alias("date"),
        )
        return TABLES["minute_bars"].conform(without_gaps(bars, f"minute bars of {ticker}"))

    def _minutes(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        first = calendar.new_york_ns(start, time(0)) // 1_000_000
        last = calendar.new_york_ns(end + timedelta(days=1), time(0)) // 1_000_000 - 1
        frames: list[pl.DataFrame] = []
        begin, bound = start.isoformat(), first
        while True:
            # A page after the first one was announced by the one before.
            request = _minutes_request(ticker, begin, end, expects_rows=bool(frames))
            page, is_last = self._minutes_page(request, ticker, (bound, last))
            frames.append(page)
            if is_last:
                return pl.concat(frames)
            bound = int(page["t"][-1]) + MINUTE_MS
            begin = str(bound)
            if bound > last:
                return pl.concat(frames)

    def _minutes_page(
        self, request: Request, ticker: str, span: tuple[int, int]
    ) -> tuple[pl.DataFrame, bool]:
        ask = partial(
            self._transport.fetch, request, lambda answer: _minutes_page(answer, ticker, span)
        )
        return confirmed(self._transport, request, ask, lambda page: page[0].is_empty())


def without_gaps(bars: pl.DataFrame, what: str) -> pl.DataFrame:
    """The bars whose prices and volume are all there; the rest is logged.

    A price of zero stands for a missing one. A negative one is left in: it is no gap, and the
    contract of the table refuses it.
    """
    values = ("open", "high", "low", "close", "volume")
    there = pl.all_horizontal(pl.col(name).is_finite() for name in values)
    priced = pl.all_horizontal(pl.col(name) != 0 for name in values[:4])
    kept = bars.filter((there & priced).fill_null(False))
    if kept.height < bars.height:
        LOG.info("%s: %d bars without prices left out", what, bars.height - kept.height)
    return kept.with_columns(pl.when(pl.col("vwap") != 0).then("vwap"))


def _named(found: pl.DataFrame) -> pl.DataFrame:
    return found.rename(_NAMES).with_columns(whole_numbers(found["n"]).alias("transactions"))


def whole_numbers(counts: pl.Series) -> pl.Series:
    """Numbers of transactions as int64. Raises WrongContent for one that is beyond all reason."""
    if not counts.is_between(0, MOST_TRANSACTIONS).all():
        raise WrongContent(f"{counts.max()} transactions in a bar")
    return counts.cast(pl.Int64)


def _minutes_request(ticker: str, begin: str, end: date, expects_rows: bool) -> Request:
    return Request(
        f"/v2/aggs/ticker/{ticker}/range/1/minute/{begin}/{end}",
        {"adjusted": "false", "sort": "asc", "limit": str(LIMIT)},
        scope=f"minutes {begin[:10]} {end}",
        expects_rows=expects_rows,
    )


def _grouped(answer: Answer, day: date) -> pl.DataFrame:
    found, rows = decode.listing(answer, BarRow)
    _refuse_adjusted(answer, found)
    # `t` is 16:00 New York of the day asked for, not midnight as in range bars.
    strange = {row.t for row in rows if _new_york_day(row.t) != day}
    if strange:
        other = _new_york_day(min(strange))
        raise answer.problem(BadAnswer, f"bars of {other} came, those of {day} were asked for")
    if any(row.T is None for row in rows):
        raise answer.problem(BadAnswer, "a bar without a ticker")
    return _frame(rows).with_columns(pl.Series("ticker", [row.T for row in rows], pl.String))


def _new_york_day(milliseconds: int) -> date | None:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, calendar.NEW_YORK).date()
    except (ValueError, OverflowError, OSError):
        return None


def _minutes_page(answer: Answer, ticker: str, span: tuple[int, int]) -> tuple[pl.DataFrame, bool]:
    """The bars of a page, and whether it is the last."""
    found, rows = decode.listing(answer, BarRow)
    if found.ticker != ticker:
        raise answer.problem(BadAnswer, f"bars of {found.ticker!r} came for {ticker!r}")
    _refuse_adjusted(answer, found)
    page = _frame(rows)
    times = page["t"]
    if times.null_count():
        raise answer.problem(BadAnswer, "a time is beyond all numbers of milliseconds")
    if len(times) > 1 and not _ascends(times):
        page = page.unique(maintain_order=True)
        times = page["t"]
    if page.is_empty():
        if found.next_url:
            raise answer.problem(BadAnswer, "an empty page announces another one")
        return page, True
    if not _ascends(times):
        raise answer.problem(BadAnswer, "the bars do not ascend, or contradict each other")
    if times[0] < span[0] or times[-1] > span[1]:
        raise answer.problem(BadAnswer, "bars outside the time asked for")
    return page, not found.next_url and len(rows) < LIMIT


def _frame(rows: Sequence[BarRow]) -> pl.DataFrame:
    """Bars as they come; written out, because getattr by name takes twice the time."""
    columns = {
        "t": [row.t for row in rows],
        "o": [row.o for row in rows],
        "h": [row.h for row in rows],
        "l": [row.l for row in rows],
        "c": [row.c for row in rows],
        "v": [row.v for row in rows],
        "vw": [row.vw for row in rows],
        "n": [row.n for row in rows],
    }
    return pl.DataFrame(
        {
            name: pl.Series(values, dtype=_TYPES[name], strict=False)
            for name, values in columns.items()
        }
    )


def _ascends(times: pl.Series) -> bool:
    """Whether each time is later than the one before."""
    return bool((times.diff().drop_nulls() > 0).all())


def _refuse_adjusted(answer: Answer, found: decode.Page[list[BarRow]]) -> None:
    if found.adjusted is not False:
        raise answer.problem(BadAnswer, "adjusted bars came, unadjusted ones were asked for")
