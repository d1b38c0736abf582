"""Which source is asked, and what the answer says about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import Router
from smallcaps_assets.sources.errors import NotEntitled, NotFound, SourceError
from smallcaps_assets.sources.flatfiles import FlatFrame
from smallcaps_assets.sources.stores import StoredFile
from smallcaps_assets.sources.throttle import Throttle

DAY = date(2024, 5, 3)
LATER = datetime(2024, 5, 20, tzinfo=UTC)


class FakeClient:
    def __init__(self) -> None:
        self.throttle = Throttle()
        self.asked: list[Any] = []

    def minute_bars_of_session(self, day: date, tickers: Sequence[str]) -> pl.DataFrame:
        self.asked.append(list(tickers))
        return TABLES["minute_bars"].empty()

    def trades(self, ticker: str, day: date) -> pl.DataFrame:
        self.asked.append(ticker)
        return TABLES["trades"].empty()


class FakeFiles:
    def __init__(self, error: Exception | None = None, size: int = 10**9, local: bool = False):
        self.error, self.size, self.is_local, self.asked = error, size, local, []

    def listed(self, dataset: str, day: date) -> StoredFile | None:
        return StoredFile("k", self.size, "e")

    def _answer(self, table: str, tickers: Sequence[str]) -> FlatFrame:
        self.asked.append(list(tickers))
        if self.error:
            raise self.error
        return FlatFrame(TABLES[table].empty(), "key", "etag")

    def minute_bars(self, day: date, tickers: Sequence[str]) -> FlatFrame:
        return self._answer("minute_bars", tickers)

    def trades(self, day: date, tickers: Sequence[str]) -> FlatFrame:
        return self._answer("trades", tickers)


def make_router(files: FakeFiles | None, now: datetime = LATER, **settings: Any) -> Router:
    chosen = PolygonSettings.model_validate(settings)
    client: Any = FakeClient()
    found: Any = files
    return Router(client, found, chosen, now=lambda: now)


def test_minute_bars_given_old_session_expected_flat_file() -> None:
    routed = make_router(FakeFiles()).minute_bars(DAY, ["A"])
    assert (routed.route, routed.etag) == ("flatfile key", "etag")


@pytest.mark.parametrize(
    ("now", "route"),
    [
        (datetime(2024, 5, 4, 14, 59, tzinfo=UTC), "rest: the day's file is due"),
        (datetime(2024, 5, 4, 15, 0, tzinfo=UTC), "flatfile"),
    ],
)
def test_minute_bars_given_hour_of_publication_expected_route(now: datetime, route: str) -> None:
    assert make_router(FakeFiles(), now).minute_bars(DAY, ["A"]).route.startswith(route)


@pytest.mark.parametrize(
    ("error", "reason"), [(NotFound("x"), "no file"), (NotEntitled("x"), "no right")]
)
def test_minute_bars_given_refusal_expected_rest(error: SourceError, reason: str) -> None:
    routed = make_router(FakeFiles(error)).minute_bars(DAY, ["A"])
    assert routed.route.startswith("rest") and reason in routed.route


def test_minute_bars_given_route_rest_expected_no_file_read() -> None:
    files = FakeFiles()
    assert "forced" in make_router(files, minute_route="rest").minute_bars(DAY, ["A"]).route
    assert files.asked == []


def test_minute_bars_given_route_flatfile_expected_refusal_raised() -> None:
    router = make_router(FakeFiles(NotFound("x")), minute_route="flatfile")
    with pytest.raises(NotFound):
        router.minute_bars(DAY, ["A"])
    with pytest.raises(SourceError, match="there are none"):
        make_router(None, minute_route="flatfile").minute_bars(DAY, ["A"])


def test_minute_bars_given_no_flat_files_expected_rest() -> None:
    assert make_router(None).minute_bars(DAY, ["A"]).route == "rest: no flat files configured"


def test_minute_bars_given_no_tickers_expected_nothing_asked() -> None:
    assert make_router(FakeFiles(NotFound("x"))).minute_bars(DAY, []).frame.is_empty()
    assert make_router(None).trades_of_session(DAY, []).frame.is_empty()


def test_trades_given_one_ticker_expected_rest() -> None:
    routed = make_router(FakeFiles()).trades("A", DAY)
    assert routed.route == "rest: 1 tickers cost less than the day's file"


def test_trades_given_thousands_of_tickers_expected_file() -> None:
    tickers = [f"T{n}" for n in range(6000)]
    routed = make_router(FakeFiles()).trades_of_session(DAY, tickers)
    assert routed.route == "flatfile key"


@pytest.mark.parametrize(("size", "route"), [(10**6, "flatfile"), (10**9, "rest")])
def test_trades_given_local_file_expected_by_its_size(size: int, route: str) -> None:
    assert make_router(FakeFiles(size=size, local=True)).trades("A", DAY).route.startswith(route)


def test_trades_given_route_flatfile_expected_file() -> None:
    assert "forced" in make_router(FakeFiles(), trade_route="flatfile").trades("A", DAY).route
