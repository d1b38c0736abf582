"""Polygon's news: articles with their tickers and the vendor's opinion of each.

An article is known when it is published, not earlier; insights are the vendor's, made by a
language model, and may have been added later than the article.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

import msgspec
import polars as pl

from smallcaps_assets.domain.market import calendar
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.transport import Answer, Request, Transport
from smallcaps_assets.sources.polygon.lists import collect_in_order, refuse_others, refuse_outside

PATH, LIMIT = "/v2/reference/news", 1000

NEWS: dict[str, Any] = {
    "published_utc": pl.Datetime("ns", "UTC"),
    "id": pl.String,
    "title": pl.String,
    "author": pl.String,
    "description": pl.String,
    "keywords": pl.List(pl.String),
    "tickers": pl.List(pl.String),
    "insights": pl.List(
        pl.Struct({"ticker": pl.String, "sentiment": pl.String, "sentiment_reasoning": pl.String})
    ),
    "publisher_name": pl.String,
    "publisher_homepage_url": pl.String,
    "article_url": pl.String,
    "amp_url": pl.String,
    "image_url": pl.String,
}


class PublisherRow(msgspec.Struct, gc=False):
    """Who published an article."""

    name: str | None = None
    homepage_url: str | None = None


class InsightRow(msgspec.Struct, gc=False):
    """The vendor's opinion of an article for one ticker."""

    ticker: str
    sentiment: str | None = None
    sentiment_reasoning: str | None = None


class NewsRow(msgspec.Struct):
    """A row of /v2/reference/news."""

    id: str
    published_utc: Annotated[datetime, msgspec.Meta(tz=True)]
    title: str | None = None
    author: str | None = None
    description: str | None = None
    keywords: list[str] | None = None
    tickers: list[str] | None = None
    insights: list[InsightRow] | None = None
    publisher: PublisherRow | None = None
    article_url: str | None = None
    amp_url: str | None = None
    image_url: str | None = None

    @property
    def publisher_name(self) -> str | None:
        return self.publisher and self.publisher.name

    @property
    def publisher_homepage_url(self) -> str | None:
        return self.publisher and self.publisher.homepage_url


def news(transport: Transport, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
    """NEWS published from `start` to `end`, New York days, both included; each article once.

    Raises BadAnswer when articles stay of another ticker, outside the days or out of order.
    """
    first, last = _instant(start), _instant(end + timedelta(days=1))
    params = {
        "published_utc.gte": _text(first),
        "published_utc.lt": _text(last),
        "sort": "published_utc",
        "order": "asc",
        "limit": str(LIMIT),
    } | ({} if ticker is None else {"ticker": ticker})

    def check(answer: Answer, rows: list[NewsRow]) -> None:
        times = [row.published_utc for row in rows]
        refuse_outside(answer, "published_utc", times, first, last - timedelta.resolution)
        if ticker is not None:
            refuse_others(answer, ticker, (row.tickers or [] for row in rows))

    request = Request(PATH, params, scope=f"news {start} {end}", expects_rows=ticker is None)
    rows = collect_in_order(transport, request, NewsRow, "published_utc", check)
    for row in rows:
        row.insights = row.insights and [msgspec.to_builtins(x) for x in row.insights]
    found = decode.frame(rows, NEWS).unique("id", keep="first", maintain_order=True)
    return found.sort("published_utc", "id")


def _instant(day: date) -> datetime:
    """Midnight in New York, in UTC."""
    return datetime.fromtimestamp(calendar.new_york_ns(day, time(0)) // 1_000_000_000, UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
