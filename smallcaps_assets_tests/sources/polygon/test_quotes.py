"""A day of quotes: paged like trades, CSV and JSON alike, one-sided quotes kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.errors import BadAnswer, NotEntitled, WrongContent
from smallcaps_assets.sources.polygon import keyset
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import Asked, Reply, csv, ok
from smallcaps_assets_tests.sources.rows import DAY, OPEN_NS

HEADER = (
    "ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,conditions,indicators,"
    "participant_timestamp,sequence_number,sip_timestamp,tape,trf_timestamp"
)


def quote(number: int, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ask_exchange": 15,
        "ask_price": 2.52,
        "ask_size": 3,
        "bid_exchange": 19,
        "bid_price": 2.5,
        "bid_size": 4,
        "conditions": [1, 81],
        "indicators": [604],
        "participant_timestamp": OPEN_NS + number - 77,
        "sequence_number": number,
        "sip_timestamp": OPEN_NS + number,
        "tape": 3,
    }
    return fields | changes


def line(row: dict[str, Any]) -> str:
    def cell(value: Any) -> str:
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return f'"{text}"' if "," in text else text

    return ",".join(cell(row.get(name, "")) for name in HEADER.split(",")) + "\n"


def table(rows: Sequence[dict[str, Any]]) -> Reply:
    return csv(f"{HEADER}\n" + "".join(map(line, rows)))


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(keyset, "LIMIT", 4)
    return 4


def vendor(rows: Sequence[dict[str, Any]], spoil: Callable[[list], list] = list) -> Callable:
    """The quotes endpoint over fixed rows; `spoil` changes each CSV page before it is sent."""

    def answer(asked: Asked) -> Reply:
        size, bound = int(asked.query["limit"]), int(asked.query["timestamp.gte"])
        found = [row for row in rows if row["sip_timestamp"] >= bound][:size]
        return table(spoil(found)) if asked.headers["Accept"] == "text/csv" else ok(found)

    return answer


def numbers(found: pl.DataFrame) -> list[int]:
    return found["sequence_number"].to_list()


def test_quotes_given_one_page_expected_exact_requests_and_typed_rows(serve: Serve) -> None:
    client, server = serve(table([quote(1), quote(2)]), ok([quote(2)]))
    found = client.quotes("BRK.A", DAY)
    first, second = server.asked
    assert (first.path, first.headers["Accept"]) == ("/v3/quotes/BRK.A", "text/csv")
    assert first.query == {
        "timestamp.gte": "1714708800000000000",
        "timestamp.lt": "1714795200000000000",
        "order": "asc",
        "sort": "timestamp",
        "limit": "50000",
    }
    assert second.headers["Accept"] == "application/json"
    assert dict(found.schema) == TABLES["quotes"].columns
    row = found.row(0, named=True)
    assert (row["bid_price"], row["bid_size"], row["bid_exchange"]) == (2.5, 400.0, 19)
    assert (row["conditions"], row["indicators"]) == ([1, 81], [604])
    assert (row["ticker"], row["date"], row["trf_timestamp"]) == ("BRK.A", DAY, None)


def test_quotes_given_csv_and_json_expected_the_same_frame_with_exact_instants(
    serve: Serve,
) -> None:
    odd = OPEN_NS + 1_234_567_891  # beyond what a double holds
    bare = quote(3, sip_timestamp=odd, participant_timestamp=odd - 1)
    del bare["conditions"], bare["indicators"]
    rows = [quote(1), quote(2, trf_timestamp=OPEN_NS, bid_size=0.5), bare]
    by_csv, _ = serve(vendor(rows))
    by_json, _ = serve(ok(rows))
    frame = by_csv.quotes("A", DAY)
    assert frame.equals(by_json.quotes("A", DAY))
    assert frame["sip_timestamp"].cast(pl.Int64)[2] == odd
    assert frame["participant_timestamp"].cast(pl.Int64)[2] == odd - 1
    assert frame["conditions"].to_list()[2] == []


def test_quotes_given_many_pages_with_repeated_rows_expected_each_once(
    serve: Serve, limit: int
) -> None:
    rows = [quote(n, sip_timestamp=OPEN_NS + n // 3) for n in range(30)]
    client, _ = serve(vendor(rows, spoil=lambda page: page[:1] + page))
    assert numbers(client.quotes("A", DAY)) == list(range(30))


@pytest.mark.parametrize("kept", [0, 2])
def test_quotes_given_csv_cut_between_rows_expected_all(
    serve: Serve, limit: int, kept: int
) -> None:
    client, _ = serve(vendor([quote(n) for n in range(10)], spoil=lambda page: page[:kept]))
    assert numbers(client.quotes("A", DAY)) == list(range(10))


@pytest.mark.parametrize("blank", [0, None], ids=["zero", "missing"])
def test_quotes_given_one_side_only_expected_null_price(serve: Serve, blank: int | None) -> None:
    row = quote(1, bid_price=blank, bid_size=blank, bid_exchange=blank)
    row = {name: value for name, value in row.items() if value is not None}
    for reply in (table([row]), ok([row])):
        client, _ = serve(reply, ok([row]))
        bid = client.quotes("A", DAY).select("bid_price", "bid_size", "bid_exchange").row(0)
        assert bid == (None, 0.0, 0)


@pytest.mark.parametrize(
    "page",
    [
        table([quote(2), quote(1)]),
        table([quote(1, sip_timestamp=OPEN_NS - 10**15)]),
        csv("price,size\n1,2\n"),
        ok([{"sip_timestamp": 1.5e18, "sequence_number": 1}]),
    ],
    ids=["order", "early", "columns", "rounded"],
)
def test_quotes_given_wrong_page_expected_asked_again(serve: Serve, page: Reply) -> None:
    client, server = serve(page, table([quote(1)]), ok([quote(1)]))
    assert numbers(client.quotes("A", DAY)) == [1]
    assert len(server.asked) == 3


def test_quotes_given_pages_always_out_of_order_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(table([quote(2), quote(1)]))
    with pytest.raises(BadAnswer, match="the quotes do not ascend"):
        client.quotes("A", DAY)


@pytest.mark.parametrize("empty", [ok(), ok(None), ok([]), csv("")])
def test_quotes_given_a_day_without_any_expected_typed_and_empty(
    serve: Serve, empty: Reply
) -> None:
    client, _ = serve(empty, ok())
    found = client.quotes("A", DAY)
    assert found.is_empty() and dict(found.schema) == TABLES["quotes"].columns


def test_quotes_given_negative_price_expected_wrong_content(serve: Serve) -> None:
    client, _ = serve(ok([quote(1, ask_price=-2.5)]))
    with pytest.raises(WrongContent, match="1 quotes of 2024-05-03"):
        client.quotes("A", DAY)


def test_quotes_given_403_expected_remembered_without_trades(serve: Serve) -> None:
    client, server = serve(Reply(b'{"status":"NOT_AUTHORIZED","message":"no"}', 403), ok())
    for ticker in ("A", "B"):
        with pytest.raises(NotEntitled):
            client.quotes(ticker, DAY)
    assert client.trades("A", DAY).is_empty()
    assert len(server.asked) > 1
