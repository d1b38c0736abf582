"""News: articles of New York days, each once, with the vendor's insights."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets.sources.polygon.news import NEWS
from smallcaps_assets_tests.sources.conftest import Serve
from smallcaps_assets_tests.sources.loopback import ok

DAY = date(2024, 5, 3)


def article(number: int, published: str = "2024-05-03T12:00:00Z", **more: Any) -> dict[str, Any]:
    insight = {"ticker": "A", "sentiment": "positive", "sentiment_reasoning": "because"}
    return {
        "id": f"id{number}",
        "title": "T",
        "author": "W",
        "published_utc": published,
        "article_url": "https://example.com/a",
        "tickers": ["A", "B"],
        "keywords": ["k"],
        "publisher": {"name": "P", "homepage_url": "https://example.com/", "logo_url": "l"},
        "insights": [insight],
        **more,
    }


def test_news_given_one_page_expected_exact_request_and_typed_rows(serve: Serve) -> None:
    bare = {"id": "id2", "published_utc": "2024-05-03T12:00:00.250Z", "tickers": ["A"]}
    client, server = serve(ok([article(1), bare], count=2))
    found = client.news(DAY, DAY, "A")
    assert server.asked[0].path == "/v2/reference/news"
    assert server.asked[0].query == {
        "ticker": "A",
        "published_utc.gte": "2024-05-03T04:00:00Z",
        "published_utc.lt": "2024-05-04T04:00:00Z",
        "sort": "published_utc",
        "order": "asc",
        "limit": "1000",
    }
    assert dict(found.schema) == NEWS
    row = found.row(0, named=True)
    assert row["published_utc"] == datetime(2024, 5, 3, 12, tzinfo=UTC)
    assert row["insights"] == [
        {"ticker": "A", "sentiment": "positive", "sentiment_reasoning": "because"}
    ]
    assert (row["tickers"], row["publisher_name"]) == (["A", "B"], "P")
    assert found.row(1, named=True)["insights"] is None


def test_news_given_cursor_with_a_port_in_the_host_expected_only_it_is_followed(
    serve: Serve,
) -> None:
    url = "https://api.massive.com:443/v2/reference/news?cursor=eyJsaW1pdCI6MX0%3D"
    client, server = serve(ok([article(1), article(2)], next_url=url), ok([article(2), article(3)]))
    assert client.news(DAY, DAY)["id"].to_list() == ["id1", "id2", "id3"]
    assert server.asked[1].path == "/v2/reference/news"
    assert server.asked[1].query == {"cursor": "eyJsaW1pdCI6MX0=", "limit": "1000"}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([article(1, tickers=["B"])], "came for 'A'"),
        ([article(1, tickers=None)], "came for 'A'"),
        ([article(1, "2024-05-04T04:00:00Z")], "published_utc .* came"),
        ([article(1, "2024-05-03T13:00:00Z"), article(2)], "do not ascend"),
        ([article(1, "2024-05-03T13:00:00")], "does not fit"),
        ([article(1, insights=[{"sentiment": "positive"}])], "does not fit"),
    ],
)
def test_news_given_wrong_rows_expected_asked_again_then_bad_answer(
    serve: Serve, rows: list[dict[str, Any]], found: str
) -> None:
    once, _ = serve(ok(rows), ok([article(1)]))
    assert once.news(DAY, DAY, "A").height == 1
    always, _ = serve(ok(rows))
    with pytest.raises(BadAnswer, match=found):
        always.news(DAY, DAY, "A")


def test_news_given_none_expected_typed_and_empty(serve: Serve) -> None:
    client, _ = serve(ok([], count=0))
    found = client.news(DAY, DAY)
    assert found.is_empty() and dict(found.schema) == NEWS
