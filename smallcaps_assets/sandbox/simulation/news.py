"""The simulated news: articles about splits, about wild days once they are over, and about nothing.

No article tells anything before it has happened: a split's comes out on its first day, a wild
day's after the close, with the sentiment of the return that everybody has seen by then. The rest
is drawn independently of prices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.randomness import uniform
from smallcaps_assets.sandbox.simulation.companies import Listing

STREAM_NEWS = 531
SECOND, HOUR = 1_000_000_000, 3600
ROUTINE = 0.012  # share of ticker-sessions with an article of no importance
SHARED = 0.2  # share of those that name a second company
Return = Callable[[Listing, date], float | None]
_TITLES = ("presents at an investor conference", "names a new board member", "opens a new office")


@dataclass(frozen=True)
class Story:
    """An article before it is a row."""

    second: int
    tickers: tuple[str, ...]
    title: str
    sentiment: str
    reasoning: str
    keywords: tuple[str, ...]


def split_stories(splits: list[Row]) -> Iterator[Story]:
    """One article per split, an hour into its first day."""
    for split in splits:
        day = date.fromisoformat(split["execution_date"])
        ratio = f"{split['split_to']:g}-for-{split['split_from']:g}"
        is_reverse = split["split_from"] > split["split_to"]
        title = f"{split['ticker']} shares begin trading after a {ratio} split"
        mood = ("negative", "A reverse split.") if is_reverse else ("positive", "A forward split.")
        opening = session_hours(day).open // SECOND
        yield Story(opening + HOUR, (split["ticker"],), title, *mood, ("stock split",))


def wild_stories(seed: int, wild: list[tuple[Listing, date]], change_of: Return) -> Iterator[Story]:
    """One article per wild day, up to two hours after its close."""
    for listing, day in wild:
        ticker, change = listing.ticker_on(day), change_of(listing, day)
        if ticker is None or change is None:
            continue
        wait = uniform(seed, STREAM_NEWS, listing.number, day.toordinal(), 1)
        second = session_hours(day).close // SECOND + int(2 * HOUR * wait)
        title = f"{ticker} shares {'rose' if change >= 0 else 'fell'} {abs(change):.0%} today"
        sentiment = "positive" if change > 0.05 else "negative" if change < -0.05 else "neutral"
        yield Story(second, (ticker,), title, sentiment, "The day's return.", ("movers", "volume"))


def routine_stories(seed: int, listings: list[Listing], days: list[date]) -> Iterator[Story]:
    """Articles of no importance, at any time of the session."""
    companies = [x for x in listings if x.type in ("CS", "ADRC") and not x.is_test]
    for k, listing in enumerate(companies):
        for day in days:
            ticker = listing.ticker_on(day)
            u = [uniform(seed, STREAM_NEWS, listing.number, day.toordinal(), n) for n in (2, 3, 4)]
            if ticker is None or u[0] >= ROUTINE:
                continue
            hours = session_hours(day)
            second = (hours.open + int(u[1] * (hours.close - hours.open))) // SECOND
            other = companies[(k + 1) % len(companies)].ticker_on(day)
            tickers = (ticker, other) if other and u[2] < SHARED else (ticker,)
            title = f"{listing.name} {_TITLES[int(u[2] * len(_TITLES))]}"
            yield Story(second, tickers, title, "neutral", "No effect is expected.", ("company",))


def news_rows(stories: list[Story], last_second: int) -> list[Row]:
    """Rows of /v2/reference/news, ascending; no two at the same second, none after the last."""
    rows: list[Row] = []
    previous = 0
    for story in sorted(stories, key=lambda x: (x.second, x.title)):
        previous = max(story.second, previous + 1)
        if previous <= last_second:
            rows.append(_row(story, previous))
    return rows


def _row(story: Story, second: int) -> Row:
    number = hashlib.sha256(f"{second}|{story.title}".encode()).hexdigest()
    url = f"https://news.example.com/{number[:12]}"
    insights = [
        {"ticker": x, "sentiment": story.sentiment, "sentiment_reasoning": story.reasoning}
        for x in story.tickers
    ]
    return {
        "id": number,
        "publisher": {
            "name": "Sandbox Wire",
            "homepage_url": "https://news.example.com/",
            "logo_url": "https://news.example.com/logo.svg",
            "favicon_url": "https://news.example.com/favicon.ico",
        },
        "title": story.title,
        "author": "Sandbox Wire",
        "published_utc": datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "article_url": url,
        "tickers": list(story.tickers),
        "image_url": f"{url}.png",
        "description": f"{story.title}.",
        "keywords": list(story.keywords),
        "insights": insights,
    }
