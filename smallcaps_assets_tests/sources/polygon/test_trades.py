"""A day of trades: every trade once, whatever the pages do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer, NotEntitled, WrongContent
from smallcaps_assets.sources.polygon import keyset, trades
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import Asked, Reply, csv, ok
from smallcaps_assets_tests.sources.rows import (
    DAY,
    OPEN_NS,
    TRADE_HEADER,
    trade,
    trade_line,
    trades_csv,
    trades_json,
)

START, END = 1714708800000000000, 1714795200000000000  # New York midnights


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(keyset, "LIMIT", 4)
    return 4


def vendor(rows: Sequence[dict[str, Any]], spoil: Callable[[list], list] = list) -> Callable:
    """The trades endpoint over fixed rows; `spoil` changes each CSV page before it is sent."""

    def answer(asked: Asked) -> Reply:
        size, bound = int(asked.query["limit"]), int(asked.query.get("timestamp.gte", 0))
        begin = int(asked.query.get("cursor", 0))
        found = [row for row in rows if row["sip_timestamp"] >= bound][begin : begin + size]
        if asked.headers["Accept"] == "text/csv":
            return csv(TRADE_HEADER + "\n" + "".join(map(trade_line, spoil(found))))
        more = {"next_url": f"http://x/?cursor={begin + size}"} if len(found) == size else {}
        return ok(found, **more)

    return answer


def numbers(found: pl.DataFrame) -> list[int]:
    return found["sequence_number"].to_list()


def test_trades_given_one_page_expected_exact_requests_and_values(serve: Serve) -> None:
    client, server = serve(trades_csv([1, 2]), trades_json([2]))
    found = TABLES["trades"].validate(client.trades("BRK.A", DAY))
    first, second = server.asked
    assert (first.path, first.headers["Accept"]) == ("/v3/trades/BRK.A", "text/csv")
    assert first.query == {
        "timestamp.gte": str(START),
        "timestamp.lt": str(END),
        "order": "asc",
        "sort": "timestamp",
        "limit": "50000",
    }
    assert second.headers["Accept"] == "application/json"
    assert second.query["timestamp.gte"] == str(OPEN_NS + 2)
    row = found.row(0, named=True)
    assert row["conditions"] == [12, 37]
    assert (row["size"], row["trf_id"], row["correction"], row["tape"]) == (1.25, 202, 0, 3)
    assert row["trf_timestamp"] is None
    assert found["sip_timestamp"].cast(pl.Int64).to_list() == [OPEN_NS + 1, OPEN_NS + 2]
    assert found["participant_timestamp"].cast(pl.Int64)[0] == OPEN_NS - 999


def test_trades_given_json_and_csv_expected_the_same_frame(serve: Serve) -> None:
    rows = [trade(1, conditions=None), trade(2, conditions=[41]), trade(3, trf_timestamp=OPEN_NS)]
    by_csv, _ = serve(vendor(rows))
    by_json, _ = serve(ok(rows), ok(rows[2:]))
    assert by_csv.trades("A", DAY).equals(by_json.trades("A", DAY))


def test_trades_given_many_pages_expected_each_trade_once(serve: Serve, limit: int) -> None:
    rows = [trade(n, sip_timestamp=OPEN_NS + n // 3) for n in range(30)]
    client, server = serve(vendor(rows))
    assert numbers(client.trades("A", DAY)) == list(range(30))
    bounds = [int(asked.query["timestamp.gte"]) for asked in server.asked]
    assert bounds == sorted(bounds)


def test_trades_given_last_page_exactly_full_expected_all(serve: Serve, limit: int) -> None:
    client, _ = serve(vendor([trade(n) for n in range(8)]))
    assert numbers(client.trades("A", DAY)) == list(range(8))


def test_trades_given_full_page_of_one_timestamp_expected_cursor(serve: Serve, limit: int) -> None:
    rows = [trade(n, sip_timestamp=OPEN_NS + 5) for n in range(11)] + [trade(20), trade(21)]
    client, server = serve(vendor(rows))
    assert numbers(client.trades("A", DAY)) == [*range(11), 20, 21]
    assert any("cursor" in asked.query for asked in server.asked)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_trades_given_csv_cut_between_rows_expected_all(
    serve: Serve, limit: int, kept: int
) -> None:
    rows = [trade(n) for n in range(10)]
    client, _ = serve(vendor(rows, spoil=lambda page: page[:kept]))
    assert numbers(client.trades("A", DAY)) == list(range(10))


def test_trades_given_csv_cut_inside_a_row_expected_asked_again(serve: Serve) -> None:
    cut = trades_csv([1, 2], cut=9)
    client, server = serve(cut, trades_csv([1, 2]), trades_json([2]))
    assert numbers(client.trades("A", DAY)) == [1, 2]
    assert len(server.asked) == 3


def test_trades_given_repeated_rows_expected_once(serve: Serve, limit: int) -> None:
    rows = [trade(n) for n in range(9)]
    client, _ = serve(vendor(rows, spoil=lambda page: page[:1] + page))
    assert numbers(client.trades("A", DAY)) == list(range(9))


def test_trades_given_same_number_on_two_venues_expected_both(serve: Serve) -> None:
    rows = [trade(7, exchange=11), trade(7, exchange=12)]
    client, _ = serve(vendor(rows))
    assert client.trades("A", DAY)["exchange"].to_list() == [11, 12]


def test_trades_given_a_trade_and_its_cancel_expected_both(serve: Serve, limit: int) -> None:
    cancelled = [trade(7, correction=8), trade(7, correction=10)]
    rows = [trade(5), trade(6), *cancelled, trade(8)]
    client, _ = serve(vendor([*rows[:4], *rows[2:]]))
    found = TABLES["trades"].validate(client.trades("A", DAY))
    assert numbers(found) == [5, 6, 7, 7, 8]
    assert found["correction"].to_list() == [0, 0, 8, 10, 0]


def test_trades_given_cursor_pages_out_of_order_expected_asked_again(
    serve: Serve, limit: int
) -> None:
    at_once = [trade(n, sip_timestamp=OPEN_NS) for n in range(4)]
    full = csv(TRADE_HEADER + "\n" + "".join(map(trade_line, at_once)))
    later = [trade(20), trade(21)]
    first = ok(at_once, next_url="http://x/?cursor=4")
    client, server = serve(full, first, ok(later[::-1]), ok(later))
    assert numbers(client.trades("A", DAY)) == [0, 1, 2, 3, 20, 21]
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    "page",
    [
        trades_csv([2, 1]),
        csv(f"{TRADE_HEADER}\n" + trade_line(trade(1, sip_timestamp=START - 1))),
        csv(f"{TRADE_HEADER}\n" + trade_line(trade(1, sip_timestamp=END))),
        csv(f"{TRADE_HEADER}\n" + trade_line(trade(1, price=""))),
        csv(f"{TRADE_HEADER}\n" + trade_line(trade(1, exchange="N"))),
        csv("price,size\n1,2\n"),
        csv("<html>\n"),
    ],
    ids=["order", "early", "late", "no_price", "odd_venue", "columns", "html"],
)
def test_trades_given_wrong_page_expected_asked_again(serve: Serve, page: Reply) -> None:
    client, server = serve(page, trades_csv([1]), trades_json([1]))
    assert numbers(client.trades("A", DAY)) == [1]
    assert len(server.asked) == 3


def test_trades_given_page_before_the_one_asked_for_expected_bad_answer(
    serve: Serve, limit: int
) -> None:
    client, _ = serve(trades_csv([1, 2, 3, 4]))
    with pytest.raises(BadAnswer, match="outside the time"):
        client.trades("A", DAY)


@pytest.mark.parametrize("first", [csv(""), csv(f"{TRADE_HEADER}\n"), ok(None), ok()])
def test_trades_given_day_without_trades_expected_json_asked_twice(
    serve: Serve, first: Reply
) -> None:
    client, server = serve(first, ok())
    found = client.trades("A", DAY)
    assert found.is_empty()
    assert TABLES["trades"].validate(found).height == 0
    assert [asked.headers["Accept"] for asked in server.asked[1:]] == ["application/json"] * 2


def test_trades_given_empty_by_mistake_expected_second_answer_believed(serve: Serve) -> None:
    client, _ = serve(csv(""), ok(), trades_json([1, 2]))
    assert numbers(client.trades("A", DAY)) == [1, 2]


def test_trades_given_no_csv_on_offer_expected_json(serve: Serve) -> None:
    client, server = serve(trades_json([1, 2, 3]))
    assert numbers(client.trades("A", DAY)) == [1, 2, 3]
    assert len(server.asked) == 1


def test_trades_given_old_rows_without_decimal_size_expected_size(serve: Serve) -> None:
    row = trade(1, size=300)
    del row["decimal_size"], row["trf_id"], row["conditions"]
    client, _ = serve(ok([row]))
    found = client.trades("A", DAY)
    assert found.select("size", "trf_id").rows() == [(300.0, 0)]
    assert found["conditions"].to_list() == [[]]


def test_trades_given_decimal_size_expected_nearest_double(serve: Serve) -> None:
    row = trade(1, size=0, decimal_size="0.123457")
    for reply in (ok([row]), csv(f"{TRADE_HEADER}\n" + trade_line(row))):
        client, _ = serve(reply, ok([row]))
        assert client.trades("A", DAY)["size"][0] == 0.123457


def test_trades_given_early_close_expected_new_york_day(serve: Serve) -> None:
    client, server = serve(ok())
    client.trades("A", date(2024, 11, 3 + 26))
    assert server.asked[0].query["timestamp.gte"] == "1732856400000000000"  # 05:00 UTC


def test_trades_given_403_expected_remembered_for_all_tickers_of_the_day(serve: Serve) -> None:
    client, server = serve(Reply(b'{"status":"NOT_AUTHORIZED","message":"no"}', 403))
    for ticker in ("A", "B"):
        with pytest.raises(NotEntitled):
            client.trades(ticker, DAY)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, []), ("", []), ("12", [12]), ("12,37", [12, 37]), ("[14, 41]", [14, 41])],
)
def test_with_condition_lists_given_text_expected_ids(
    text: str | None, expected: list[int]
) -> None:
    frame = pl.DataFrame({"conditions": [text]}, schema={"conditions": pl.String})
    assert trades.with_condition_lists(frame)["conditions"].to_list() == [expected]


def test_trades_given_negative_price_expected_wrong_content(serve: Serve) -> None:
    client, _ = serve(ok([trade(1, price=-2.5)]))
    with pytest.raises(WrongContent, match="1 trades of 2024-05-03"):
        client.trades("A", DAY)


def test_trades_given_server_with_smaller_pages_expected_all(serve: Serve) -> None:
    rows = [trade(n) for n in range(10)]

    def answer(asked: Asked) -> Reply:
        bound = int(asked.query.get("timestamp.gte", 0))
        left = [row for row in rows if row["sip_timestamp"] >= bound]
        if asked.headers["Accept"] == "text/csv":
            return csv(TRADE_HEADER + "\n" + "".join(map(trade_line, left[:3])))
        return ok(left[:3], **({"next_url": "http://x/?cursor=3"} if len(left) > 3 else {}))

    client, _ = serve(answer)
    assert numbers(client.trades("A", DAY)) == list(range(10))
