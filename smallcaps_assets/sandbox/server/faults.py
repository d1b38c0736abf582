"""Faults on request: which requests they hit. What each does to an answer is in spoiling.py.

A fault is written `kind@endpoint[:ticker[:date]][*count][~probability]`:

* kind: one of KINDS, with a number of seconds where it takes one (`stall=5`, `429=1`)
* endpoint: one of ENDPOINTS, or `/regex/` matched against the path
* ticker, date: only requests about them, e.g. `corrupt@trades:ABCD:2024-11-05`
* count: how many matching requests are hit, the first ones; without it all of them
* probability: share of matching requests that are hit, drawn deterministically from the seed
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import parse_qsl

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.sandbox.config import SandboxConfigError
from smallcaps_assets.sandbox.randomness import mix, uniform
from smallcaps_assets.sandbox.server.answers import ApiError
from smallcaps_assets.sandbox.server.pages import resolve
from smallcaps_assets.sandbox.server.routes_ticks import parse_instant

KINDS = {
    "429": "too many requests; `429=SECONDS` adds Retry-After",
    "429_empty": "too many requests, no body",
    "500": "JSON error",
    "502": "an HTML page",
    "503": "no body",
    "401": "unknown key",
    "403": "not entitled",
    "cut_gzip": "the compressed body ends early under a good Content-Length",
    "reset": "the connection closes in the middle of the body",
    "stall": "silence of 30 s, or `stall=SECONDS`, before the answer",
    "null_results": "results is null",
    "missing_results": "no results",
    "duplicate_rows": "some rows twice",
    "out_of_order": "rows shuffled",
    "wrong_ticker": "another ticker is echoed",
    "cursor_loop": "next_url asks for the same page again",
    "foreign_next_url": "next_url on another host",
    "replaced_file": "the flat file is published again, a little different",
    "corrupt": "prices are negative: well-formed data that no contract accepts",
}
ENDPOINTS = {
    "any": r".*",
    "tickers": r"/v3/reference/tickers",
    "ticker_details": r"/v3/reference/tickers/(?!types$)[^/]+",
    "ticker_types": r"/v3/reference/tickers/types",
    "ticker_events": r"/vX/reference/tickers/.+/events",
    "splits": r"/(v3/reference|stocks/v1)/splits",
    "dividends": r"/(v3/reference|stocks/v1)/dividends",
    "bars": r"/v2/aggs/ticker/.+/range/.+",
    "grouped": r"/v2/aggs/grouped/.+",
    "trades": r"/v3/trades/.+",
    "quotes": r"/v3/quotes/.+",
    "snapshots": r"/v2/snapshot/.+|/v3/snapshot",
    "news": r"/v2/reference/news",
    "financials": r"/vX/reference/financials|/stocks/financials/v1/.+",
    "float": r"/stocks/vX/float",
    "short_interest": r"/stocks/v1/short-interest",
    "short_volume_table": r"/stocks/v1/short-volume",
    "open_close": r"/v1/open-close/.+",
    "flatfile": r"/flatfiles/.+",
    "listing": r"/flatfiles/?",
    "short_volume": r"/equity/regsho/daily/.+",
    "finra_query": r"/data/group/.+",
    "fails": r"/files/data/.*fails-deliver-data/.+",
    "edgar": r"/Archives/edgar/.+|/submissions/.+",
    "halts": r"/rss\.aspx",
    "status": r"/v1/marketstatus/.+",
}
_GRAMMAR = re.compile(
    r"(?P<kind>\w+)(?:=(?P<value>[\d.]+))?@(?P<where>/.+/|[^*~]+?)"
    r"(?:\*(?P<count>\d+))?(?:~(?P<share>[\d.]+))?"
)
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}")


class FaultError(SandboxConfigError):
    """A fault that cannot be read, or of an unknown kind or endpoint."""


@dataclass(frozen=True)
class Fault:
    """One kind of trouble for the requests that match."""

    kind: str
    pattern: str = ".*"
    ticker: str | None = None
    day: date | None = None
    count: int | None = None
    probability: float = 1.0
    seconds: float | None = None

    def matches(self, path: str, query: str) -> bool:
        if re.fullmatch(self.pattern, path) is None:
            return False
        if self.ticker is not None and not _is_about(self.ticker, path, query):
            return False
        return self.day is None or _covers(self.day, path, query)


def parse_fault(text: str) -> Fault:
    """A fault from its text. Raises FaultError that lists what is valid."""
    found = _GRAMMAR.fullmatch(text.strip())
    if found is None:
        raise FaultError(
            f"cannot read the fault {text!r}; write kind@endpoint[:ticker[:date]][*count]"
            f"[~probability], with a kind out of {', '.join(KINDS)}"
        )
    if found["kind"] not in KINDS:
        raise FaultError(f"unknown fault {found['kind']!r}; valid kinds: {', '.join(KINDS)}")
    pattern, ticker, day = _place(found["where"])
    return Fault(
        found["kind"],
        pattern,
        ticker,
        day,
        int(found["count"]) if found["count"] else None,
        float(found["share"]) if found["share"] else 1.0,
        float(found["value"]) if found["value"] else None,
    )


def _place(text: str) -> tuple[str, str | None, date | None]:
    if text.startswith("/"):
        return f".*(?:{text[1:-1]}).*", None, None
    endpoint, _, rest = text.partition(":")
    if endpoint not in ENDPOINTS:
        raise FaultError(
            f"unknown endpoint {endpoint!r}; valid: {', '.join(ENDPOINTS)}, or /regex/"
        )
    ticker, _, day = rest.partition(":")
    try:
        return ENDPOINTS[endpoint], ticker or None, date.fromisoformat(day) if day else None
    except ValueError as error:
        raise FaultError(f"{day!r} is no date; write it as 2024-11-05") from error


def _is_about(ticker: str, path: str, query: str) -> bool:
    named = [v for k, v in parse_qsl(query) if k in ("ticker", "tickers", "ticker.any_of")]
    return ticker in path.split("/") or any(ticker in value.split(",") for value in named)


def _new_york_date(text: str) -> date | None:
    try:
        if text.isdecimal() and len(text) == 13:
            return datetime.fromtimestamp(int(text) / 1000, NEW_YORK).date()
        return datetime.fromtimestamp(parse_instant(text)[0] // 10**9, NEW_YORK).date()
    except (ApiError, ValueError, OverflowError):
        return None


def _covers(day: date, path: str, query: str) -> bool:
    """Whether a request is about a day: in its path, its range, or its timestamps."""
    if "/range/" in path:
        first, last = (_new_york_date(part) for part in path.rsplit("/", 2)[1:])
        return first is not None and last is not None and first <= day <= last
    if any(x in (f"{day}", f"{day:%Y%m%d}") for x in _DATE.findall(path)):
        return True
    try:
        params = resolve(dict(parse_qsl(query)))
    except ApiError:
        return False
    columns = ("timestamp", "date", "published_utc", "settlement_date", "filing_date")
    lower = [params.get(c + operator) for c in columns for operator in ("", ".gte", ".gt")]
    found = [_new_york_date(text) for text in lower if text]
    return day in found


class FaultPlan:
    """The faults in force and how often each has struck; thread-safe."""

    def __init__(self, seed: int, texts: Iterable[str] = ()) -> None:
        self._seed = seed
        self._faults: list[Fault] = [parse_fault(text) for text in texts]
        self._matched: dict[int, int] = {}
        self._struck: dict[int, int] = {}
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._matched.clear()
            self._struck.clear()

    def pick(self, path: str, query: str) -> Fault | None:
        """The first fault that strikes this request."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.matches(path, query) and self._strikes(index, fault):
                    return fault
        return None

    def _strikes(self, index: int, fault: Fault) -> bool:
        if fault.count is not None and self._struck.get(index, 0) >= fault.count:
            return False
        matched = self._matched[index] = self._matched.get(index, 0) + 1
        if uniform(mix(self._seed, index), matched) >= fault.probability:
            return False
        self._struck[index] = self._struck.get(index, 0) + 1
        return True
