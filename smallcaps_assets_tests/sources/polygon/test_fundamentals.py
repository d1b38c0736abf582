"""Statements flat and nested, ratios, and free float."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets.sources.polygon import fundamentals as f
from smallcaps_assets.sources.polygon.lists import ListEndpoint
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import ok

START, END = date(2024, 1, 1), date(2024, 12, 31)


def filed(ticker: str = "A", day: str = "2024-05-10", **amounts: float) -> dict[str, Any]:
    head = {"cik": "0000000001", "tickers": [ticker, "X"], "period_end": "2024-03-31"}
    return head | {
        "filing_date": day,
        "fiscal_year": 2024.0,
        "fiscal_quarter": 1,
        "timeframe": "quarterly",
        **amounts,
    }


def nested(day: str = "2024-05-10", **changes: Any) -> dict[str, Any]:
    revenue = {"value": 3.136e9, "unit": "USD", "label": "Revenues", "order": 100}
    eps = {"value": 2.5, "unit": "USD / shares", "label": "EPS", "order": 4200, "source": "x"}
    note = {"value": "see text", "unit": "", "label": "Note", "order": 9}
    return {
        "cik": "0000000001",
        "company_name": "A Inc.",
        "tickers": ["A"],
        "start_date": "2024-01-01",
        "end_date": "2024-03-31",
        "filing_date": day,
        "acceptance_datetime": "2024-05-10T20:31:05Z",
        "timeframe": "quarterly",
        "fiscal_period": "Q1",
        "fiscal_year": "2024",
        "financials": {
            "income_statement": {"revenues": revenue, "basic_earnings_per_share": eps},
            "balance_sheet": {"note": note},
        },
    } | changes


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "amount"),
    [
        ("balance_sheets", "balance-sheets", f.BALANCE_SHEETS, "total_assets"),
        ("income_statements", "income-statements", f.INCOME_STATEMENTS, "revenue"),
        (
            "cash_flow_statements",
            "cash-flow-statements",
            f.CASH_FLOW_STATEMENTS,
            "net_income",
        ),
    ],
)
def test_statements_given_ticker_expected_exact_request_and_typed_rows(
    serve: Serve, method: str, path: str, endpoint: ListEndpoint, amount: str
) -> None:
    client, server = serve(ok([filed(**{amount: 7}), filed(day="2024-08-09")]))
    found = getattr(client, method)(START, END, "A")
    assert server.asked[0].path == f"/stocks/financials/v1/{path}"
    assert server.asked[0].query == {
        "tickers": "A",
        "filing_date.gte": "2024-01-01",
        "filing_date.lte": "2024-12-31",
        "sort": "filing_date.asc",
        "limit": "50000",
    }
    assert dict(found.schema) == endpoint.columns
    assert found[amount].to_list() == [7.0, None]
    head = found.select("period_end", "tickers", "fiscal_year", "fiscal_quarter").row(0)
    assert head == (date(2024, 3, 31), ["A", "X"], 2024, 1)


def test_statements_given_another_company_expected_bad_answer(serve: Serve) -> None:
    client, _ = serve(ok([filed("B")]))
    with pytest.raises(BadAnswer, match="came for 'A'"):
        client.balance_sheets(START, END, "A")


def test_financials_given_nested_statements_expected_one_row_per_item(serve: Serve) -> None:
    client, server = serve(ok([nested()]))
    found = client.financials("A", START, END)
    assert server.asked[0].path == "/vX/reference/financials"
    assert server.asked[0].query == {
        "ticker": "A",
        "filing_date.gte": "2024-01-01",
        "filing_date.lte": "2024-12-31",
        "sort": "filing_date",
        "order": "asc",
        "limit": "100",
    }
    assert dict(found.schema) == f.FINANCIALS
    figures = found.select("statement", "item", "value", "unit", "order", "source").rows()
    assert figures == [
        ("balance_sheet", "note", None, "", 9, None),
        ("income_statement", "revenues", 3.136e9, "USD", 100, None),
        ("income_statement", "basic_earnings_per_share", 2.5, "USD / shares", 4200, "x"),
    ]
    row = found.row(0, named=True)
    assert row["accepted"] == datetime(2024, 5, 10, 20, 31, 5, tzinfo=UTC)
    assert (row["fiscal_year"], row["fiscal_period"], row["tickers"]) == (2024, "Q1", ["A"])


def test_financials_given_old_rows_without_tickers_expected_accepted(serve: Serve) -> None:
    row = nested()
    for name in ("tickers", "acceptance_datetime", "timeframe"):
        del row[name]
    client, _ = serve(ok([row]))
    assert client.financials("A", START, END)["accepted"].null_count() == 3


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([nested(tickers=["B"])], "came for 'A'"),
        ([nested("2025-02-01")], "filing_date 2025-02-01 came"),
        ([nested("2024-08-10"), nested()], "do not ascend"),
        ([nested(tickers=None), nested(tickers=None, cik="0000000002")], "several companies"),
        ([nested(fiscal_year="lately")], "does not fit"),
    ],
)
def test_financials_given_wrong_rows_expected_bad_answer(
    serve: Serve, rows: list[dict[str, Any]], found: str
) -> None:
    client, _ = serve(ok(rows))
    with pytest.raises(BadAnswer, match=found):
        client.financials("A", START, END)


def test_free_float_given_pages_expected_typed_rows_by_ticker(serve: Serve) -> None:
    row = {"ticker": "A", "free_float": 15000000000, "free_float_percent": 79.5}
    first = ok([row | {"effective_date": "2024-11-01"}], next_url="https://x:443/f?cursor=abc")
    client, server = serve(first, ok([row | {"ticker": "a"}]))
    found = client.free_float()
    assert server.asked[0].path == "/stocks/vX/float"
    assert server.asked[0].query == {"sort": "ticker.asc", "limit": "5000"}
    assert dict(found.schema) == f.FLOAT.columns
    assert found.rows() == [
        ("A", date(2024, 11, 1), 15e9, 79.5),
        ("a", None, 15e9, 79.5),
    ]


def test_ratios_given_ticker_expected_typed_row(serve: Serve) -> None:
    client, server = serve(ok([{"ticker": "A", "date": "2024-11-01", "price": 3, "quick": 1.5}]))
    found = client.ratios("A")
    assert server.asked[0].path == "/stocks/financials/v1/ratios"
    assert server.asked[0].query == {"ticker": "A", "sort": "ticker.asc", "limit": "50000"}
    assert dict(found.schema) == f.RATIOS.columns
    assert found.select("date", "price", "quick", "cash").row(0) == (
        date(2024, 11, 1),
        3.0,
        1.5,
        None,
    )
