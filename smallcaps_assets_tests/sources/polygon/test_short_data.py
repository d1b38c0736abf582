"""Short interest and short volume: the tables that share one shape, and what is checked of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.sources import PolygonClient
from smallcaps_assets.sources.errors import BadAnswer, NotEntitled
from smallcaps_assets.sources.polygon.short_data import SHORT_INTEREST, SHORT_VOLUME
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import Reply, ok

START, END = date(2024, 10, 1), date(2024, 10, 31)
NEXT = "https://api.massive.com/stocks/v1/short-interest?cursor="


def interest(ticker: str, day: str = "2024-10-15", **changes: Any) -> dict[str, Any]:
    row = {"ticker": ticker, "settlement_date": day, "short_interest": 1200}
    return row | {"avg_daily_volume": 400, "days_to_cover": 3.0} | changes


def volume(ticker: str, day: str = "2024-10-15", **changes: Any) -> dict[str, Any]:
    row = {"ticker": ticker, "date": day, "short_volume": 10.5, "total_volume": 42.0}
    return row | {"short_volume_ratio": 25.0, "nyse_short_volume": 3} | changes


def test_short_interest_given_one_page_expected_exact_request_and_typed_rows(
    serve: Serve,
) -> None:
    client, server = serve(ok([interest("AB"), interest("AA"), interest("AA", "2024-10-31")]))
    found = client.short_interest(START, END)
    assert server.asked[0].path == "/stocks/v1/short-interest"
    assert server.asked[0].query == {
        "settlement_date.gte": "2024-10-01",
        "settlement_date.lte": "2024-10-31",
        "sort": "settlement_date.asc",
        "limit": "50000",
    }
    assert dict(found.schema) == SHORT_INTEREST.columns
    assert found["ticker"].to_list() == ["AA", "AB", "AA"]
    assert found.row(0) == (date(2024, 10, 15), "AA", 1200.0, 400.0, 3.0)


def test_short_volume_given_ticker_expected_it_asked_for_and_missing_columns_null(
    serve: Serve,
) -> None:
    client, server = serve(ok([volume("BRK.A")]))
    found = client.short_volume(START, END, "BRK.A")
    assert server.asked[0].path == "/stocks/v1/short-volume"
    assert server.asked[0].query["ticker"] == "BRK.A"
    assert dict(found.schema) == SHORT_VOLUME.columns
    assert found.select("short_volume", "nyse_short_volume", "adf_short_volume").row(0) == (
        10.5,
        3.0,
        None,
    )


def test_short_interest_given_pages_that_share_a_row_expected_each_once(serve: Serve) -> None:
    first = ok([interest("A"), interest("B")], next_url=f"{NEXT}one")
    second = ok([interest("B"), interest("C")], next_url=f"{NEXT}two")
    client, server = serve(first, second, ok([interest("D")]))
    assert client.short_interest(START, END)["ticker"].to_list() == ["A", "B", "C", "D"]
    assert [asked.query.get("cursor") for asked in server.asked] == [None, "one", "two"]


@pytest.mark.parametrize("first", [ok(), ok(None), ok([])], ids=["missing", "null", "empty"])
def test_short_interest_given_empty_by_mistake_expected_second_answer_believed(
    serve: Serve, first: Reply
) -> None:
    client, _ = serve(first, ok([interest("A")]))
    assert client.short_interest(START, END).height == 1


def test_short_interest_given_empty_twice_expected_typed_and_empty(serve: Serve) -> None:
    client, server = serve(ok([]))
    found = client.short_interest(START, END)
    assert found.is_empty() and dict(found.schema) == SHORT_INTEREST.columns
    assert len(server.asked) == 2


Ask = Callable[[PolygonClient], pl.DataFrame]
WRONG: list[tuple[list[dict[str, Any]], str | None, str]] = [
    ([interest("B")], "A", "'B' came for 'A'"),
    ([interest("A", "2024-11-15")], "A", "settlement_date 2024-11-15 came"),
    ([interest("A", "2024-10-31"), interest("A")], "A", "do not ascend"),
    ([interest("A", "soon")], "A", "does not fit"),
    ([interest("A", short_interest="many")], "A", "does not fit"),
    ([interest("A") for _ in range(20)], None, "of one ticker"),
]


@pytest.mark.parametrize(("rows", "ticker", "found"), WRONG)
def test_short_interest_given_wrong_page_expected_asked_again_then_bad_answer(
    serve: Serve, rows: list[dict[str, Any]], ticker: str | None, found: str
) -> None:
    once, _ = serve(ok(rows), ok([interest("A")]))
    assert once.short_interest(START, END, ticker).height == 1
    always, _ = serve(ok(rows))
    with pytest.raises(BadAnswer, match=found):
        always.short_interest(START, END, ticker)


def test_short_interest_given_dates_descending_over_a_border_expected_bad_answer(
    serve: Serve,
) -> None:
    first = ok([interest("A", "2024-10-31")], next_url=f"{NEXT}one")
    client, _ = serve(first, ok([interest("A", "2024-10-15")]))
    with pytest.raises(BadAnswer, match="do not ascend"):
        client.short_interest(START, END, "A")


def test_short_interest_given_cursor_loop_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(ok([interest("A")], next_url=f"{NEXT}same"))
    with pytest.raises(BadAnswer, match="in circles"):
        client.short_interest(START, END)


def test_short_data_given_403_expected_remembered_per_endpoint_and_range(serve: Serve) -> None:
    client, server = serve(Reply(b'{"status":"NOT_AUTHORIZED","message":"no"}', 403))
    asks: list[Ask] = [
        lambda c: c.short_interest(START, END, "A"),
        lambda c: c.short_interest(START, END, "B"),
        lambda c: c.short_interest(START, START),
        lambda c: c.short_volume(START, END),
    ]
    for ask in asks:
        with pytest.raises(NotEntitled):
            ask(client)
    assert len(server.asked) == 3
