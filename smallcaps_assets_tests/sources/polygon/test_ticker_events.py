"""Ticker events: one listing's symbols, by ticker, CUSIP or FIGI."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets.sources.polygon.ticker_events import TICKER_EVENTS
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import MISSING, Reply, ok

FIGI = "BBG000MM2P62"
NOT_FOUND = Reply(b'{"status":"NOT_FOUND","request_id":"n1","message":"Ticker not found."}', 404)


def event(ticker: str, day: str) -> dict[str, Any]:
    return {"type": "ticker_change", "date": day, "ticker_change": {"ticker": ticker}}


META = [event("META", "2022-06-11"), event("FB", "2012-05-18")]


def history(events: Any = META, **more: Any) -> Reply:
    named = {"name": "Meta Platforms, Inc.", "composite_figi": FIGI, "cik": "0001326801"}
    return ok(named | {"events": events} | more)


@pytest.mark.parametrize("identifier", ["META", "FB", FIGI, "30303M102"])
def test_ticker_events_given_any_identifier_expected_typed_rows_newest_first(
    serve: Serve, identifier: str
) -> None:
    client, server = serve(history())
    found = client.ticker_events(identifier)
    assert server.asked[0].path == f"/vX/reference/tickers/{identifier}/events"
    assert server.asked[0].query == {"types": "ticker_change"}
    assert dict(found.schema) == TICKER_EVENTS
    assert found.select("date", "ticker").rows() == [
        (date(2022, 6, 11), "META"),
        (date(2012, 5, 18), "FB"),
    ]
    assert found["composite_figi"].to_list() == [FIGI, FIGI]


def test_ticker_events_given_the_older_name_of_the_figi_expected_it_read(serve: Serve) -> None:
    client, _ = serve(history(composite_figi=None, figi=FIGI))
    assert client.ticker_events(FIGI)["composite_figi"][0] == FIGI


def test_ticker_events_given_404_expected_typed_and_empty(serve: Serve) -> None:
    client, server = serve(NOT_FOUND)
    found = client.ticker_events("NOPE")
    assert found.is_empty() and dict(found.schema) == TICKER_EVENTS
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "identifier"),
    [
        (history(), "AAPL"),
        (history(composite_figi="BBG000B9XRY4"), FIGI),
        (history(META[::-1]), "META"),
        (history([event("META", "once")]), "META"),
        (ok(None), "META"),
        (ok(MISSING), "META"),
        (ok([]), "META"),
    ],
    ids=["ticker", "figi", "order", "date", "null", "missing", "list"],
)
def test_ticker_events_given_wrong_answer_expected_asked_again_then_bad_answer(
    serve: Serve, reply: Reply, identifier: str
) -> None:
    right = history([event(identifier, "2022-06-11")])
    once, _ = serve(reply, right)
    assert once.ticker_events(identifier).height == 1
    always, _ = serve(reply)
    with pytest.raises(BadAnswer):
        always.ticker_events(identifier)
