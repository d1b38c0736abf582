"""Snapshots of all tickers, of one, of the movers, and the unified ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.sources.errors import BadAnswer, NotEntitled
from smallcaps_assets.sources.polygon import snapshots
from smallcaps_assets.sources.polygon.snapshots import SNAPSHOTS, UNIFIED_SNAPSHOTS
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import Reply, ok

PATH = "/v2/snapshot/locale/us/markets/stocks"
STAMP = 1_651_251_948_294_080_343
NOT_FOUND = Reply(b'{"status":"NOT_FOUND","request_id":"n1","message":"Ticker not found."}', 404)


def snapshot(ticker: str = "A", **changes: Any) -> dict[str, Any]:
    bar = {"o": 2.0, "h": 2.5, "l": 1.9, "c": 2.4, "v": 1200, "vw": 2.2}
    return {
        "ticker": ticker,
        "day": bar | {"dv": "1200.25"},
        "prevDay": bar | {"c": 2.0},
        "min": bar | {"t": 1_684_428_600_000, "n": 5, "av": 900, "v": 7},
        "lastQuote": {"P": 2.41, "S": 5, "p": 2.4, "s": 3, "t": STAMP + 1},
        "lastTrade": {"c": None, "i": "121351", "p": 2.4, "s": 200, "t": STAMP, "x": 12},
        "todaysChange": 0.4,
        "todaysChangePerc": 20,
        "updated": STAMP,
    } | changes


def many(rows: Any, **envelope: Any) -> Reply:
    page = {"status": "OK", "request_id": "r", "tickers": rows, **envelope}
    return Reply(json.dumps(page).encode(), is_gzip=True)


def one(row: Any) -> Reply:
    return Reply(json.dumps({"status": "OK", "request_id": "r", "ticker": row}).encode())


def test_snapshots_given_all_expected_flat_typed_rows(serve: Serve) -> None:
    rows = [snapshot("B", lastTrade=None), snapshot("A"), snapshot("A"), snapshot("ZVZZT")]
    client, server = serve(many(rows, count=4))
    found = client.snapshots()
    assert server.asked[0].path == f"{PATH}/tickers"
    assert server.asked[0].query == {"include_otc": "false"}
    assert dict(found.schema) == SNAPSHOTS
    assert found["ticker"].to_list() == ["A", "B"]
    row = found.row(0, named=True)
    assert (row["volume"], row["minute_volume"], row["previous_close"]) == (1200.25, 7.0, 2.0)
    assert (row["bid_price"], row["ask_size"], row["trade_conditions"]) == (2.4, 5.0, None)
    assert row["minute_start"] == datetime(2023, 5, 18, 16, 50, tzinfo=UTC)
    assert found["trade_timestamp"].cast(pl.Int64).to_list() == [STAMP, None]
    assert found["quote_timestamp"].cast(pl.Int64)[0] == STAMP + 1


def test_snapshots_given_cleared_prices_expected_nulls_not_zeros(serve: Serve) -> None:
    nothing = dict.fromkeys(("o", "h", "l", "c", "v", "vw"), 0)
    client, _ = serve(many([snapshot("A", day=nothing, min=nothing | {"t": 0}, updated=0)]))
    row = client.snapshots().row(0, named=True)
    assert (row["close"], row["vwap"], row["volume"]) == (None, None, 0.0)
    assert (row["minute_start"], row["updated"]) == (None, None)
    assert row["previous_close"] == 2.0


@pytest.mark.parametrize("rows", [None, []])
def test_snapshots_given_nothing_expected_asked_twice_then_believed(
    serve: Serve, rows: list | None
) -> None:
    client, server = serve(many(rows, count=0))
    found = client.snapshots()
    assert found.is_empty() and dict(found.schema) == SNAPSHOTS
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "page",
    [
        many([snapshot("A")], count=2),
        many([snapshot("A", updated=1.5)]),
        many([snapshot("A", day={"o": "high"})]),
        many([snapshot("A")], status="ERROR"),
        many([snapshot("A")] * 20),
    ],
    ids=["count", "instant", "price", "status", "one_ticker"],
)
def test_snapshots_given_wrong_page_expected_asked_again(serve: Serve, page: Reply) -> None:
    client, server = serve(page, many([snapshot("A"), snapshot("B")]))
    assert client.snapshots().height == 2
    assert len(server.asked) == 2


def test_snapshot_given_ticker_expected_one_row(serve: Serve) -> None:
    client, server = serve(one(snapshot("BRK.A")))
    found = client.snapshot("BRK.A")
    assert server.asked[0].path == f"{PATH}/tickers/BRK.A"
    assert found is not None and found["ticker"].to_list() == ["BRK.A"]


def test_snapshot_given_404_expected_none(serve: Serve) -> None:
    client, _ = serve(NOT_FOUND)
    assert client.snapshot("NOPE") is None


@pytest.mark.parametrize("reply", [one(snapshot("B")), one(None), one("WRONG"), ok()])
def test_snapshot_given_wrong_answer_expected_asked_again(serve: Serve, reply: Reply) -> None:
    client, server = serve(reply, one(snapshot("A")))
    found = client.snapshot("A")
    assert found is not None and len(server.asked) == 2


def test_movers_given_gainers_expected_the_greatest_first(serve: Serve) -> None:
    rows = [snapshot("A", todaysChangePerc=5), snapshot("B", todaysChangePerc=30)]
    client, server = serve(many(rows))
    assert client.movers("gainers")["ticker"].to_list() == ["B", "A"]
    assert server.asked[0].path == f"{PATH}/gainers"


def test_movers_given_a_gainer_among_losers_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(many([snapshot("A", todaysChangePerc=5)]))
    with pytest.raises(BadAnswer, match="among the losers"):
        client.movers("losers")


def unified(ticker: str, **changes: Any) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "name": "A Inc.",
        "type": "stocks",
        "market_status": "closed",
        "session": {"close": 21.4, "volume": 37, "decimal_volume": "37.5", "change": -1.05},
        "last_quote": {"ask": 21.25, "bid": 20.9, "last_updated": STAMP},
        "last_trade": {"id": "4064", "price": 21.0, "size": 2, "last_updated": STAMP},
    } | changes


def test_unified_given_unknown_ticker_expected_error_in_its_row(serve: Serve) -> None:
    unknown = {"error": "NOT_FOUND", "message": "Ticker not found.", "ticker": "NOPE"}
    client, server = serve(ok([unified("A"), unknown]))
    found = client.unified_snapshots(["NOPE", "A", "A"])
    assert server.asked[0].path == "/v3/snapshot"
    assert server.asked[0].query == {
        "ticker.any_of": "A,NOPE",
        "limit": "250",
        "sort": "ticker",
        "order": "asc",
    }
    assert dict(found.schema) == UNIFIED_SNAPSHOTS
    assert found["error"].to_list() == [None, "NOT_FOUND"]
    assert found.select("close", "volume", "trade_price", "bid_price").row(0) == (
        21.4,
        37.5,
        21.0,
        20.9,
    )
    assert found["trade_timestamp"].cast(pl.Int64)[0] == STAMP


def test_unified_given_many_tickers_expected_several_requests(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MOST_TICKERS", 2)
    client, server = serve(ok([unified("A"), unified("B")]), ok([unified("C")]))
    assert client.unified_snapshots(["C", "B", "A"])["ticker"].to_list() == ["A", "B", "C"]
    assert [asked.query["ticker.any_of"] for asked in server.asked] == ["A,B", "C"]


def test_unified_given_a_ticker_nobody_asked_for_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(ok([unified("B")]))
    with pytest.raises(BadAnswer, match="came unasked"):
        client.unified_snapshots(["A"])


def test_snapshots_given_403_expected_remembered(serve: Serve) -> None:
    client, server = serve(Reply(b'{"status":"NOT_AUTHORIZED","message":"no"}', 403))
    for ask in (client.snapshots, lambda: client.movers("gainers"), lambda: client.snapshot("A")):
        with pytest.raises(NotEntitled):
            ask()
    assert len(server.asked) == 1
