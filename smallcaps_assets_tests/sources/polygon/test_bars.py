"""Daily and minute bars: the exact request, what is refused, what is left out."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.schemas.table import ContractError
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import MISSING, Reply, ok
from smallcaps_assets_tests.sources.rows import (
    CLOSE_MS,
    DAY,
    OPEN_MS,
    daily_bar,
    minute_bar,
    minutes_page,
)


def grouped(*bars: dict[str, object], **envelope: object) -> Reply:
    fields = {"adjusted": False, "resultsCount": len(bars), **envelope}
    return ok(list(bars) if bars else MISSING, **fields)


def test_daily_bars_given_session_expected_exact_request_and_values(serve: Serve) -> None:
    client, server = serve(grouped(daily_bar("BCpC"), daily_bar("AAME", v=3, vw=None, n=None)))
    found = client.daily_bars(DAY)
    assert server.asked[0].path == "/v2/aggs/grouped/locale/us/market/stocks/2024-05-03"
    assert server.asked[0].query == {"adjusted": "false", "include_otc": "false"}
    assert TABLES["daily_bars"].validate(found).rows() == [
        (DAY, "AAME", 2.0, 2.5, 1.9, 2.4, 3.0, None, None),
        (DAY, "BCpC", 2.0, 2.5, 1.9, 2.4, 1200.5, 2.2, 31),
    ]


def test_daily_bars_given_test_tickers_gaps_and_repeats_expected_left_out(serve: Serve) -> None:
    no_close = daily_bar("NOCLOSE")
    del no_close["c"]
    client, _ = serve(
        grouped(
            daily_bar("ZVZZT"),
            daily_bar("ZTS"),
            no_close,
            daily_bar("ZERO", l=0),
            daily_bar("ZTS"),
            daily_bar("AAME", vw=0),
        )
    )
    found = client.daily_bars(DAY)
    assert found["ticker"].to_list() == ["AAME", "ZTS"]
    assert found["vwap"].to_list() == [None, 2.2]


@pytest.mark.parametrize("empty", [grouped(), ok(None, adjusted=False)])
def test_daily_bars_given_empty_on_a_session_expected_asked_twice(
    serve: Serve, empty: Reply
) -> None:
    client, server = serve(empty, grouped(daily_bar()))
    assert client.daily_bars(DAY).height == 1
    assert len(server.asked) == 2


def test_daily_bars_given_holiday_expected_one_question_and_empty(serve: Serve) -> None:
    client, server = serve(grouped())
    assert client.daily_bars(date(2024, 5, 4)).is_empty()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        grouped(daily_bar(), adjusted=True),
        grouped(daily_bar(t=CLOSE_MS - 86_400_000)),
        grouped(daily_bar(t=10**18)),
        grouped({"t": CLOSE_MS, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}),
        ok([daily_bar()]),
        ok({"rows": 3}, adjusted=False),
        grouped(daily_bar(o="2.0")),
    ],
    ids=["adjusted", "day_before", "far_future", "no_ticker", "no_echo", "no_list", "text_price"],
)
def test_daily_bars_given_wrong_content_expected_bad_answer(serve: Serve, reply: Reply) -> None:
    client, _ = serve(reply)
    with pytest.raises(BadAnswer):
        client.daily_bars(DAY)


def test_minute_bars_given_one_page_expected_exact_request_and_values(serve: Serve) -> None:
    client, server = serve(minutes_page([minute_bar(0), minute_bar(2, vw=None)], "BRK.A"))
    found = client.minute_bars("BRK.A", DAY, DAY)
    asked = server.asked[0]
    assert asked.path == "/v2/aggs/ticker/BRK.A/range/1/minute/2024-05-03/2024-05-03"
    assert asked.query == {"adjusted": "false", "sort": "asc", "limit": "50000"}
    first = datetime(2024, 5, 3, 13, 30, tzinfo=UTC)
    assert TABLES["minute_bars"].validate(found).row(0) == (
        *(DAY, "BRK.A", first),
        *(2.0, 2.5, 1.9, 2.4, 100.25, 2.2, 3),
    )
    assert found["vwap"].to_list() == [2.2, None]


def test_minute_bars_given_more_pages_expected_next_from_the_last_minute_on(serve: Serve) -> None:
    next_url = "https://api.example.com/v2/aggs/x?cursor=bGltaXQ9MiZzb3J0PWFzYw"
    client, server = serve(
        minutes_page([minute_bar(0), minute_bar(1)], next_url=next_url),
        minutes_page([minute_bar(2)]),
    )
    found = client.minute_bars("AAME", DAY, DAY)
    assert found.height == 3
    second = server.asked[1]
    assert second.path == f"/v2/aggs/ticker/AAME/range/1/minute/{OPEN_MS + 120_000}/2024-05-03"
    assert second.query["adjusted"] == "false"


@pytest.mark.parametrize(
    "reply",
    [
        minutes_page([minute_bar(0)], ticker="AAMEp"),
        minutes_page([minute_bar(0)], adjusted=True),
        minutes_page([minute_bar(1), minute_bar(0)]),
        minutes_page([minute_bar(0), minute_bar(0, c=2.0)]),
        minutes_page([minute_bar(-2000)]),
        minutes_page([minute_bar(2000)]),
        minutes_page([], next_url="http://x/?cursor=abc"),
    ],
    ids=[
        "ticker",
        "adjusted",
        "descending",
        "contradiction",
        "too_early",
        "too_late",
        "empty_then_more",
    ],
)
def test_minute_bars_given_wrong_page_expected_asked_again(serve: Serve, reply: Reply) -> None:
    client, server = serve(reply, minutes_page([minute_bar(0)]))
    assert client.minute_bars("AAME", DAY, DAY).height == 1
    assert len(server.asked) == 2


def test_minute_bars_given_page_that_repeats_the_one_before_expected_bad_answer(
    serve: Serve,
) -> None:
    page = minutes_page([minute_bar(0), minute_bar(1)], next_url="http://x/?cursor=abc")
    client, _ = serve(page)
    with pytest.raises(BadAnswer, match="outside the time"):
        client.minute_bars("AAME", DAY, DAY)


def test_minute_bars_given_null_results_on_a_session_expected_asked_twice(serve: Serve) -> None:
    client, server = serve(ok(None, ticker="AAME", adjusted=False))
    assert client.minute_bars("AAME", DAY, DAY).is_empty()
    assert len(server.asked) == 2


def test_minute_bars_given_two_days_expected_new_york_dates(serve: Serve) -> None:
    late = minute_bar(0, t=OPEN_MS + 630 * 60_000 - 60_000)  # 19:59 New York, 23:59 UTC
    early = minute_bar(0, t=OPEN_MS + 1110 * 60_000 + 86_400_000 * 2)  # 04:00 on the Monday
    client, _ = serve(minutes_page([late, early]))
    found = client.minute_bars("AAME", DAY, date(2024, 5, 6))
    assert found["date"].to_list() == [DAY, date(2024, 5, 6)]
    assert found.select(pl.col("window_start").dt.hour()).to_series().to_list() == [23, 8]


def test_minute_bars_given_repeated_rows_expected_once(serve: Serve) -> None:
    client, server = serve(minutes_page([minute_bar(0), minute_bar(0), minute_bar(1)]))
    assert client.minute_bars("AAME", DAY, DAY).height == 2
    assert len(server.asked) == 1


def test_daily_bars_given_negative_price_expected_left_to_the_contract(serve: Serve) -> None:
    client, _ = serve(grouped(daily_bar(l=-1.9)))
    with pytest.raises(ContractError, match="low"):
        TABLES["daily_bars"].validate(client.daily_bars(DAY))
