"""Ticker lists, details, splits and dividends."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer, SourceUnavailable
from smallcaps_assets.sources.http.page_cache import Pages
from smallcaps_assets.sources.symbols import exchange_test_tickers
from smallcaps_assets_tests.sources.conftest import KEY, Serve
from smallcaps_assets_tests.sources.loopback import Asked, Loopback, Reply, ok
from smallcaps_assets_tests.sources.rows import DAY

NOT_FOUND = Reply(b'{"status":"NOT_FOUND","request_id":"n1","message":"Ticker not found."}', 404)
FORBIDDEN = Reply(b'{"status":"NOT_AUTHORIZED","message":"no"}', 403)


def ticker(symbol: str, **changes: Any) -> dict[str, Any]:
    row = {"ticker": symbol, "name": f"{symbol} Inc.", "type": "CS", "market": "stocks"}
    return row | {"primary_exchange": "XNAS", "active": True} | changes


def details(symbol: str, **changes: Any) -> Reply:
    return ok(ticker(symbol, share_class_shares_outstanding=1e6, **changes))


def test_tickers_given_session_expected_exact_request_identity_and_no_test_tickers(
    serve: Serve,
) -> None:
    client, server = serve(
        ok(
            [
                ticker("AAME", composite_figi="BBG1", cik="0000008177"),
                ticker("BCpC", cik="0000000002", type="", primary_exchange=" "),
                ticker("ZTEST"),
                ticker("ZZ"),
            ],
            count=4,
        )
    )
    found = TABLES["tickers"].validate(client.tickers(DAY))
    assert server.asked[0].path == "/v3/reference/tickers"
    assert server.asked[0].query == {
        "date": "2024-05-03",
        "active": "true",
        "market": "stocks",
        "sort": "ticker",
        "order": "asc",
        "limit": "1000",
    }
    assert found["ticker"].to_list() == ["AAME", "BCpC", "ZZ"]
    assert found["identity"].to_list() == ["BBG1", "0000000002", "ZZ"]
    assert found["type"].to_list() == ["CS", None, "CS"]
    assert found["primary_exchange"].to_list() == ["XNAS", None, "XNAS"]


def test_tickers_given_a_ticker_twice_expected_the_row_with_identifiers(serve: Serve) -> None:
    rows = [
        ticker("PG", cik="0000000001"),
        ticker("PG", composite_figi="BBG9", last_updated_utc="2024-01-01T00:00:00Z"),
        ticker("PG", composite_figi="BBG8", last_updated_utc="2023-01-01T00:00:00Z"),
    ]
    client, _ = serve(ok(rows))
    assert client.tickers(DAY)["identity"].to_list() == ["BBG9"]


def test_tickers_given_pages_expected_only_the_cursor_is_followed(serve: Serve) -> None:
    client, server = serve(
        ok([ticker("A")], next_url="https://api.massive.com:443/v3/elsewhere?cursor=Y3Vyc29y"),
        ok([ticker("B")]),
    )
    assert client.tickers(DAY)["ticker"].to_list() == ["A", "B"]
    assert server.asked[1].path == "/v3/reference/tickers"
    assert server.asked[1].query == {"cursor": "Y3Vyc29y", "limit": "1000"}


def test_tickers_given_foreign_next_url_expected_nothing_goes_there(serve: Serve) -> None:
    with Loopback(ok([ticker("X")])) as foreign:
        page = ok([ticker("A")], next_url=f"{foreign.url}/v3/reference/tickers?cursor=abc&apiKey=x")
        client, server = serve(page, ok([ticker("B")]))
        assert client.tickers(DAY).height == 2
        assert foreign.asked == []
        assert "apiKey" not in server.asked[1].query


@pytest.mark.parametrize("status", [301, 302, 307])
def test_tickers_given_redirect_to_another_host_expected_not_followed(
    serve: Serve, status: int
) -> None:
    with Loopback(ok([ticker("X")])) as foreign:
        client, _ = serve(Reply(b"", status, {"Location": foreign.url}))
        with pytest.raises(BadAnswer):
            client.tickers(DAY)
        assert foreign.asked == []


@pytest.mark.parametrize(
    "next_url", ["http://x/?cursor=loop", "http://x/?cursor=", "http://x/y", "::::"]
)
def test_tickers_given_cursor_that_leads_nowhere_expected_bad_answer(
    serve: Serve, next_url: str
) -> None:
    client, server = serve(ok([ticker("A")], next_url=next_url))
    with pytest.raises(BadAnswer, match="cursor"):
        client.tickers(DAY)
    assert len(server.asked) <= 7


def test_tickers_given_empty_page_that_announces_more_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(ok([], next_url="http://x/?cursor=abc"))
    with pytest.raises(BadAnswer, match="empty page"):
        client.tickers(DAY)


def test_find_ticker_given_delisted_symbol_expected_its_row(serve: Serve) -> None:
    def answer(asked: Asked) -> Reply:
        is_active = asked.query["active"] == "true"
        return ok(None if is_active else [ticker("OLD", active=False), ticker("OLDp")])

    client, _ = serve(answer)
    assert client.find_ticker("OLD").select("ticker", "active").rows() == [("OLD", False)]


def test_delisted_dates_given_list_expected_dates(serve: Serve) -> None:
    client, server = serve(
        ok([ticker("OLD", delisted_utc="2021-04-25T04:00:00Z", cik="1"), ticker("ODD")])
    )
    assert client.delisted_dates().rows() == [
        ("ODD", None, None, None),
        ("OLD", None, "1", date(2021, 4, 25)),
    ]
    assert server.asked[0].query["active"] == "false"


def test_ticker_details_given_404_expected_none(serve: Serve) -> None:
    client, server = serve(NOT_FOUND)
    assert client.ticker_details("NEW", DAY) is None
    assert server.asked[0].query == {"date": "2024-05-03"}


def test_ticker_details_given_row_expected_one_row(serve: Serve) -> None:
    client, server = serve(details("BRK.B", list_date="1996-05-09", total_employees=7))
    found = client.ticker_details("BRK.B", DAY)
    assert server.asked[0].path == "/v3/reference/tickers/BRK.B"
    assert found is not None
    assert found["list_date"].to_list() == [date(1996, 5, 9)]
    assert found["shares_outstanding"].to_list() == [1e6]


def test_ticker_details_given_another_ticker_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(details("AAMEp"))
    with pytest.raises(BadAnswer, match="AAMEp"):
        client.ticker_details("AAME", DAY)


def test_ticker_details_of_month_given_mixed_ages_expected_lag_and_unknown_shares(
    serve: Serve,
) -> None:
    def answer(asked: Asked) -> Reply:
        symbol = asked.path.rsplit("/", 1)[1]
        is_lagged = asked.query["date"] == "2024-02-01"
        if symbol == "GONE" or (symbol == "NEW" and is_lagged):
            return NOT_FOUND
        return details(symbol)

    client, _ = serve(answer)
    found, failed = client.ticker_details_of_month(date(2024, 5, 1), ["OLD", "NEW", "GONE", "OLD"])
    assert not failed
    columns = ("month", "ticker", "as_of", "is_lagged", "shares_outstanding")
    assert TABLES["ticker_details"].validate(found).select(columns).rows() == [
        (date(2024, 5, 1), "NEW", date(2024, 5, 1), False, None),
        (date(2024, 5, 1), "OLD", date(2024, 2, 1), True, 1e6),
    ]


def test_ticker_details_of_month_given_a_failing_ticker_expected_the_others_and_the_reason(
    serve: Serve, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Reply:
        symbol = asked.path.rsplit("/", 1)[1]
        return Reply(b"", 500) if symbol == "BAD" and is_broken else details(symbol)

    client, server = serve(answer, retry_budget=0.01)
    kept, is_broken = Pages(tmp_path / "details.sqlite"), True
    found, failed = client.ticker_details_of_month(date(2024, 5, 1), ["AA", "BAD", "CC"], kept)
    assert found["ticker"].to_list() == ["AA", "CC"]
    assert isinstance(failed["BAD"], SourceUnavailable)
    is_broken, before = False, len(server.asked)
    found, failed = client.ticker_details_of_month(date(2024, 5, 1), ["AA", "BAD", "CC"], kept)
    assert found["ticker"].to_list() == ["AA", "BAD", "CC"]
    assert [asked.path.rsplit("/", 1)[1] for asked in server.asked[before:]] == ["BAD"]


def split(symbol: str, before: Any, after: Any, day: str = "2024-03-05") -> dict[str, Any]:
    return {"ticker": symbol, "execution_date": day, "split_from": before, "split_to": after}


def test_splits_given_new_endpoint_expected_exact_request(serve: Serve) -> None:
    client, server = serve(ok([split("AAME", 20, 1)]))
    found = TABLES["splits"].validate(client.splits(2024))
    assert server.asked[0].path == "/stocks/v1/splits"
    assert server.asked[0].query == {
        "execution_date.gte": "2024-01-01",
        "execution_date.lte": "2024-12-31",
        "sort": "execution_date.asc",
        "limit": "5000",
    }
    assert found.rows() == [(2024, "AAME", date(2024, 3, 5), 20.0, 1.0)]


@pytest.mark.parametrize("refusal", [NOT_FOUND, FORBIDDEN], ids=["404", "403"])
def test_splits_given_no_new_endpoint_expected_the_old_one(serve: Serve, refusal: Reply) -> None:
    client, server = serve(refusal, ok([split("AAME", 1, 1.1)]))
    assert client.splits(2024).height == 1
    assert server.asked[1].path == "/v3/reference/splits"
    assert server.asked[1].query["sort"] == "execution_date"


def test_splits_given_repeats_and_odd_ratios_expected_dropped_with_a_reason(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        split("A", 1, 4),
        split("A", 1, 4),
        split("A", 1, 5),
        split("B", 0, 4),
        split("C", 3, None),
        split("D", -1, 2),
    ]
    client, _ = serve(ok(rows))
    assert client.splits(2024).select("ticker", "split_to").rows() == [("A", 4.0), ("A", 5.0)]
    assert "3 rows dropped" in caplog.text
    assert "['B', 'C', 'D']" in caplog.text
    assert KEY not in caplog.text


def test_splits_given_row_of_another_year_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(ok([split("A", 1, 4, "2023-03-05")]))
    with pytest.raises(BadAnswer, match="outside 2024"):
        client.splits(2024)


def dividend(symbol: str, amount: Any, **changes: Any) -> dict[str, Any]:
    row = {"ticker": symbol, "ex_dividend_date": "2024-03-05", "cash_amount": amount}
    return row | {"currency": "USD"} | changes


def test_dividends_given_equal_events_expected_numbered_and_repeats_collapsed(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        dividend("A", 0.5, id="1", distribution_type="recurring", frequency=4),
        dividend("A", 0.5, id="1", distribution_type="recurring", frequency=4),
        dividend("A", 0.5, id="2", distribution_type="recurring", frequency=4),
        dividend("A", 0.5, id="3", distribution_type="special", frequency=0),
        dividend("B", 0.1, dividend_type="CD"),
        dividend("B", 0.1, dividend_type="CD"),
        dividend("C", None),
    ]
    client, _ = serve(ok(rows))
    found = TABLES["dividends"].validate(client.dividends(2024))
    columns = ("ticker", "cash_amount", "sequence", "distribution_type")
    assert found.select(columns).rows() == [
        ("A", 0.5, 0, "special"),
        ("A", 0.5, 1, "recurring"),
        ("B", 0.1, 0, "CD"),
    ]
    assert "['C']" in caplog.text


def test_exchange_test_tickers_given_real_lookalikes_expected_kept() -> None:
    assert len(exchange_test_tickers()) == 34
    assert not exchange_test_tickers() & {"ZTS", "ZBRA", "CBOE", "ZEST"}
