"""Endpoints beside the vendor's: FINRA's files and Query API, the SEC, Nasdaq's halt feed.

Each host has its own manners: FINRA's missing files are a 403 of S3, an empty query is a 204, the
SEC turns away who gives no e-mail address.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

import msgspec
from starlette.requests import Request

from smallcaps_assets.sandbox.market import Market, Row
from smallcaps_assets.sandbox.server.answers import Answer, json_answer
from smallcaps_assets.sandbox.simulation import edgar, fails, halts
from smallcaps_assets.sandbox.simulation.finra import (
    ACCESS_DENIED,
    FACILITIES,
    facility_frame,
    file_text,
)

FINRA_PATH = "/equity/regsho/daily/{name}"
QUERY_PATH = "/data/group/otcMarket/name/consolidatedShortInterest"
QUERY_MAXIMUM = 5_000
TEXT = "text/plain"
Handler = Callable[[Market, Request], Answer]
_THRESHOLD_PAGE = b"<!DOCTYPE html><html><body>Request Rate Threshold Exceeded</body></html>"


def _denied() -> Answer:
    return Answer(ACCESS_DENIED.encode(), 403, "application/xml")


def _text(text: str, media_type: str = TEXT) -> Answer:
    return Answer(text.encode(), media_type=media_type)


def _missing() -> Answer:
    return Answer(b"<!DOCTYPE html><html><body>Not found</body></html>", 404, "text/html")


def _day(text: str, form: str = "%Y%m%d") -> date | None:
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None


def finra_file(market: Market, request: Request) -> Answer:
    """The consolidated file of a day, or that of a facility."""
    match = re.fullmatch(r"([A-Z]{4})shvol(\d{8})\.txt", request.path_params["name"])
    day = _day(match[2]) if match else None
    frame = None if day is None else market.short_volume(day)
    if match is None or day is None or frame is None:
        return _denied()
    if match[1] == "CNMS":
        return _text(file_text(frame, day))
    if match[1] not in FACILITIES:
        return _denied()
    return _text(file_text(facility_frame(frame, match[1]), day))


def finra_query(market: Market, request: Request, body: bytes) -> Answer:
    """Short interest; only date ranges, limit and offset are looked at."""
    query: Row = msgspec.json.decode(body, type=dict)
    rows = market.facts.short_interest
    for span in query.get("dateRangeFilters", []):
        first, last = span["startDate"], span["endDate"]
        rows = [row for row in rows if first <= row["settlement_date"] <= last]
    ordered = sorted(rows, key=lambda r: (r["settlement_date"], fails.compact(r["ticker"])))
    limit = min(int(query.get("limit", 1000)), QUERY_MAXIMUM)
    offset = int(query.get("offset", 0))
    page = ordered[offset : offset + limit]
    headers = {
        "record-total": str(len(ordered)),
        "record-offset": str(offset),
        "record-limit": str(limit),
        "record-max-limit": str(QUERY_MAXIMUM),
    }
    if not page:
        return Answer(b"", 204, headers=headers)
    content = [
        {
            "settlementDate": row["settlement_date"],
            "symbolCode": fails.compact(row["ticker"]),
            "currentShortPositionQuantity": row["short_interest"],
            "averageDailyVolumeQuantity": row["avg_daily_volume"],
            "daysToCoverQuantity": row["days_to_cover"],
        }
        for row in page
    ]
    return Answer(msgspec.json.encode(content), headers=headers)


def _for_the_named(handler: Handler) -> Handler:
    """As the SEC: who gives no e-mail address is turned away."""

    def answer(market: Market, request: Request) -> Answer:
        if "@" not in request.headers.get("user-agent", ""):
            return Answer(_THRESHOLD_PAGE, 403, "text/html")
        return handler(market, request)

    return answer


def fails_page(market: Market, request: Request) -> Answer:
    return _text(fails.listing_page(market.facts.fails_halves), "text/html")


def fails_file(market: Market, request: Request) -> Answer:
    halves = {fails.file_path(half): half for half in market.facts.fails_halves}
    half = halves.get(request.url.path)
    if half is None:
        return _missing()
    name = f"cnsfails{half:%Y%m}{'a' if half.day == 1 else 'b'}.txt"
    return Answer(fails.zipped(name, market.facts.fails(half)), media_type="application/zip")


def edgar_index(market: Market, request: Request) -> Answer:
    """A quarter's index, up to some days before the last session, or a day's."""
    parts, last = request.path_params, market.sessions[-1]
    rows = market.facts.submissions
    if parts["kind"] == "full-index":
        begin = _quarter_begin(f"{parts['year']}/{parts['quarter']}")
        if parts["name"] != "master.idx" or begin is None or begin > last:
            return _missing()
        end = min((begin + timedelta(95)).replace(day=1) - timedelta(1), last - edgar.QUARTER_LAG)
        inside = [x for x in rows if begin <= x.filed <= end]
        return _text(edgar.index_text(inside, end, is_daily=False))
    match = re.fullmatch(r"master\.(\d{8})\.idx", parts["name"])
    day = _day(match[1]) if match else None
    if day is None or day > last or not rows:
        return _denied()
    return _text(edgar.index_text([x for x in rows if x.filed == day], day, is_daily=True))


def _quarter_begin(text: str) -> date | None:
    match = re.fullmatch(r"(\d{4})/QTR([1-4])", text)
    return date(int(match[1]), 3 * int(match[2]) - 2, 1) if match else None


def edgar_company(market: Market, request: Request) -> Answer:
    """A company's submissions, or a page of its older ones."""
    name = request.path_params["name"]
    match = re.fullmatch(r"CIK(\d{10})(-submissions-\d{3})?\.json", name)
    rows = market.facts.submissions_of(match[1]) if match else []
    pages = edgar.company_pages(match[1], rows) if match and rows else {}
    return json_answer(pages[name]) if name in pages else _missing()


def halt_feed(market: Market, request: Request) -> Answer:
    """The halts of the date asked for, the last session's without one."""
    text = request.query_params.get("haltdate", f"{market.sessions[-1]:%m%d%Y}")
    day = _day(text, "%m%d%Y")
    found = [] if day is None else market.facts.halts(day)
    return _text(halts.feed_text(found), "application/rss+xml")


ROUTES: dict[str, Handler] = {
    FINRA_PATH: finra_file,
    "/data-research/sec-markets-data/fails-deliver-data": _for_the_named(fails_page),
    **{f"{folder}/{{name}}": _for_the_named(fails_file) for folder in fails.FOLDERS},
    "/Archives/edgar/{kind}/{year}/{quarter}/{name}": _for_the_named(edgar_index),
    "/submissions/{name}": _for_the_named(edgar_company),
    "/rss.aspx": halt_feed,
}
