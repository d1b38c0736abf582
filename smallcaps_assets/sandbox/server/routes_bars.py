"""Bar endpoints: ranges, grouped daily, previous day, open-close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from smallcaps_assets.domain.market.calendar import NEW_YORK, session_hours
from smallcaps_assets.sandbox.market import Market, Row
from smallcaps_assets.sandbox.server import aggregates, pages
from smallcaps_assets.sandbox.server.answers import (
    VENDOR_BASE,
    Answer,
    ApiError,
    csv_answer,
    envelope,
    frame_json,
    json_answer,
    not_found,
)
from smallcaps_assets.sandbox.server.pages import Params

HOUR_NS = 3600 * 1_000_000_000
_INTRADAY = ("minute", "hour")


def _epoch_ns(text: str) -> int | None:
    """The instant that a number of milliseconds stands for."""
    is_number = text.lstrip("-").isdecimal() and len(text) > 8
    return int(text) * aggregates.MS if is_number else None


def _day_of(text: str) -> date:
    stamp = _epoch_ns(text)
    if stamp is None:
        return pages.date_of(text)
    return datetime.fromtimestamp(stamp / 1_000_000_000, NEW_YORK).date()


@dataclass(frozen=True)
class _Range:
    """A parsed range request; `first` and `last` are window starts in ns, inclusive."""

    ticker: str
    multiplier: int
    timespan: str
    start: date
    end: date
    first: int | None
    last: int | None


def _parse(path: Params) -> _Range:
    timespan, multiplier = path["timespan"], path["multiplier"]
    if timespan not in aggregates.TIMESPANS or not multiplier.isdecimal() or int(multiplier) < 1:
        raise ApiError(400, f"'{multiplier} {timespan}' is not a valid window.")
    start, end = _day_of(path["start"]), _day_of(path["end"])
    if end < start:
        raise ApiError(400, "'to' must not be before 'from'.")
    first, last = _epoch_ns(path["start"]), _epoch_ns(path["end"])
    return _Range(path["ticker"], int(multiplier), timespan, start, end, first, last)


def _base_bars(market: Market, ask: _Range) -> pl.DataFrame:
    if ask.timespan == "second":
        return market.minute_bars_of(ask.ticker, ask.end, ask.start - timedelta(1))
    if ask.timespan in _INTRADAY:
        bars = market.minute_bars_of(ask.ticker, ask.start, ask.end)
    else:
        bars = market.daily_bars_of(ask.ticker, ask.start, ask.end)
    # A window holds what it starts with: `from` snaps to the start of its window.
    step = 60_000_000_000 if ask.timespan == "minute" else HOUR_NS
    if ask.first is not None and ask.timespan in _INTRADAY:
        bars = bars.filter(pl.col("window_start") >= ask.first // step * step)
    if ask.last is not None and ask.timespan in _INTRADAY:
        bars = bars.filter(pl.col("window_start") <= ask.last)
    return bars


def _cut(base: pl.DataFrame, ask: _Range, limit: int) -> tuple[pl.DataFrame, int | None]:
    """One page of base bars and the start (ns) of the next; no window is split over two pages."""
    if base.height <= limit:
        return base, None
    window = base.select(aggregates.window_of(ask.timespan, ask.multiplier)).to_series()
    kept = limit
    if ask.multiplier > 1 or ask.timespan not in ("minute", "day"):
        while kept > 0 and window[kept - 1] == window[limit]:
            kept -= 1
    kept = kept or limit
    return base.head(kept), int(base["window_start"][kept])


def aggregate_range(market: Market, params: Params, is_csv: bool, **path: str) -> Answer:
    params = pages.resolve(params)
    ask = _parse(path)
    limit = pages.limit_of(params, 5000, 50_000)
    adjusted = pages.flag_of(params, "adjusted", True)
    is_ascending = (params.get("sort") or "asc") == "asc"
    base = _base_bars(market, ask)
    if adjusted:
        base = aggregates.adjust(base, market.splits(), market.sessions[-1])
    if not is_ascending:
        base = base.reverse()
    base, following = _cut(base, ask, limit)
    ordered = base if is_ascending else base.reverse()
    bars = ordered
    if ask.multiplier > 1 or ask.timespan not in ("minute", "day"):
        bars = aggregates.aggregate(ordered, ask.timespan, ask.multiplier)
    wire = aggregates.wire_columns(bars if is_ascending else bars.reverse(), False)
    if is_csv:
        return csv_answer(wire)
    next_url = None
    if following is not None:
        next_url = _next_url(path, params, following, is_ascending, limit)
    head = {"ticker": ask.ticker, "queryCount": base.height}
    return _enveloped(wire, head, adjusted, next_url)


def _enveloped(
    wire: pl.DataFrame, head: Row, adjusted: bool, next_url: str | None = None
) -> Answer:
    count = wire.height
    head |= {"resultsCount": count, "adjusted": adjusted, "count": count}
    return envelope(frame_json(wire, texts=("T",)), count, head, next_url)


def _next_url(path: Params, params: Params, following: int, ascending: bool, limit: int) -> str:
    """The same path with one bound moved; the cursor carries limit and sort, nothing else."""
    moved = str(following // aggregates.MS)
    start, end = (moved, path["end"]) if ascending else (path["start"], moved)
    cursor = pages.encode_cursor({"limit": str(limit), "sort": params.get("sort") or "asc"})
    window = f"{path['ticker']}/range/{path['multiplier']}/{path['timespan']}/{start}/{end}"
    return f"{VENDOR_BASE}/v2/aggs/ticker/{window}?cursor={cursor}"


def _at_the_close(bars: pl.DataFrame) -> pl.DataFrame:
    """Grouped rows carry 16:00 New York where ranges carry midnight."""
    return bars.with_columns(pl.col("window_start") + 16 * HOUR_NS)


def grouped(market: Market, params: Params, is_csv: bool, day: str) -> Answer:
    adjusted = pages.flag_of(params, "adjusted", True)
    bars = market.daily_bars(pages.date_of(day))
    if adjusted:
        bars = aggregates.adjust(bars, market.splits(), market.sessions[-1])
    wire = aggregates.wire_columns(_at_the_close(bars), True)
    return csv_answer(wire) if is_csv else _enveloped(wire, {"queryCount": wire.height}, adjusted)


def previous_day(market: Market, params: Params, ticker: str) -> Answer:
    adjusted = pages.flag_of(params, "adjusted", True)
    days = market.sessions
    bars = market.daily_bars_of(ticker, days[0], days[-1]).tail(1)
    wire = aggregates.wire_columns(_at_the_close(bars), True)
    return _enveloped(wire, {"ticker": ticker, "queryCount": wire.height}, adjusted)


def open_close(market: Market, params: Params, ticker: str, date: str) -> Answer:
    """A flat object of the day, with the first premarket and the last after-hours price."""
    day = pages.date_of(date)
    bars = market.daily_bars_of(ticker, day, day)
    if bars.is_empty():
        raise not_found("Data not found.")
    bar = bars.row(0, named=True)
    row: Row = {"from": date, "symbol": ticker}
    row |= {name: bar[name] for name in ("open", "high", "low", "close", "volume")}
    if market.has_flat_file("minute_aggs_v1", day):
        row |= _outside_hours(market.minute_bars_of(ticker, day, day), day)
    return json_answer({"status": "OK", **row})


def _outside_hours(minutes: pl.DataFrame, day: date) -> Row:
    hours = session_hours(day)
    early = minutes.filter(pl.col("window_start") < hours.open)
    late = minutes.filter(pl.col("window_start") > hours.close)
    row: Row = {}
    if late.height:
        row["afterHours"] = late["close"][-1]
    if early.height:
        row["preMarket"] = early["open"][0]
    return row
