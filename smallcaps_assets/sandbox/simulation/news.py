"""The simulated news: what moves a price, what is written afterwards, and noise.

News of a catalyst comes out at its moment: with the shock, during the halt, at the offering. Its
sentiment mostly matches the move. Some catalysts are preceded by an announced date, which predicts
activity but no direction. A wild day gets an article after its close with the sentiment of the
return that everybody has seen by then; a split gets one on its first day. Everything else is drawn
independently of prices, sentiment included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.randomness import uniform
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.companies import Listing

STREAM_NEWS = 531
SECOND, HOUR = 1_000_000_000, 3600
ROUTINE = 0.012  # share of ticker-sessions with an article of no importance
SHARED = 0.2  # share of those that name a second company
Return = Callable[[Listing, date], float | None]
NEUTRAL, FALSE = 0.15, 0.07  # shares of catalysts' articles without sentiment, and with a wrong one
ANNOUNCED = 0.3  # share of the mornings' news with a date announced the evening before
_GOOD = (
    ("FDA clears a study of", ("FDA", "clinical trial")),
    ("wins a contract:", ("contract", "partnership")),
    ("reports record revenue:", ("earnings",)),
    ("signs a letter of intent:", ("merger", "acquisition")),
)
_BAD = (
    ("misses its primary endpoint:", ("FDA", "clinical trial")),
    ("withdraws its guidance:", ("earnings", "guidance")),
    ("receives a notice of deficiency:", ("delisting", "Nasdaq")),
    ("is named in a short report:", ("short report",)),
)
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


_TOLD = (t.NEWS_HALT, t.LONG_HALT, t.SHOCK, t.OFFERING)


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


def event_stories(seed: int, found: list[tuple[Listing, date, np.ndarray]]) -> Iterator[Story]:
    """Articles of halts, shocks and offerings; the arrays are events of a tape, as in tape.py."""
    for listing, day, events in found:
        ticker = listing.ticker_on(day)
        for k, event in enumerate(events):
            u = [
                uniform(seed, STREAM_NEWS, listing.number, day.toordinal(), 20 + k, n)
                for n in (0, 1)
            ]
            if ticker is not None and event[t.E_KIND] in _TOLD:
                yield _event_story(ticker, event, u[0], u[1])


def _event_story(ticker: str, event: np.ndarray, u: float, v: float) -> Story:
    kind, second = int(event[t.E_KIND]), int(event[t.E_BEGIN]) // SECOND
    if kind == t.OFFERING:
        title = f"{ticker} prices a public offering of common stock"
        return Story(second, (ticker,), title, "negative", "Dilution.", ("offering",))
    if kind == t.LONG_HALT:
        title = f"Exchange halts {ticker} until additional information is received"
        return Story(second, (ticker,), title, "negative", "A halt.", ("halt",))
    if kind == t.NEWS_HALT:
        second += int(t.NEWS_OUT * (event[t.E_END] - event[t.E_BEGIN])) // SECOND
    is_up = event[t.E_AFTER] >= event[t.E_BEFORE]
    text, keywords = (_GOOD if is_up else _BAD)[int(v * 4)]
    mood = "neutral" if u < NEUTRAL else _mood(is_up != (u > 1.0 - FALSE))
    title = f"{ticker} {text} what investors should know"
    return Story(second, (ticker,), title, mood, "The company's news.", keywords)


def _mood(is_good: bool) -> str:
    return "positive" if is_good else "negative"


def announcements(seed: int, mornings: list[tuple[Listing, date, date]]) -> Iterator[Story]:
    """The evening before some of the mornings with news: (listing, day before, day)."""
    for listing, before, day in mornings:
        ticker = listing.ticker_on(before)
        u = uniform(seed, STREAM_NEWS, listing.number, day.toordinal(), 40)
        if ticker is not None and u < ANNOUNCED:
            second = session_hours(before).close // SECOND + int(HOUR * (0.2 + u))
            title = f"{ticker} will give an update before the open of {day}"
            yield Story(second, (ticker,), title, "neutral", "A date.", ("company", "calendar"))


def routine_stories(seed: int, listings: list[Listing], days: list[date]) -> Iterator[Story]:
    """Articles of no importance, at any time of the session."""
    companies = [x for x in listings if x.type in ("CS", "ADRC") and not x.is_test]
    for k, listing in enumerate(companies):
        for day in days:
            ticker = listing.ticker_on(day)
            place = seed, STREAM_NEWS, listing.number, day.toordinal()
            if ticker is None or uniform(*place, 2) >= ROUTINE:
                continue
            u, hours = uniform(*place, 4), session_hours(day)
            wait = int(uniform(*place, 3) * (hours.close - hours.open))
            second = (hours.open + wait) // SECOND
            other = companies[(k + 1) % len(companies)].ticker_on(day)
            tickers = (ticker, other) if other and u < SHARED else (ticker,)
            title = f"{listing.name} {_TITLES[int(u * len(_TITLES))]}"
            mood = "neutral" if u < 0.6 else _mood(u < 0.85)
            yield Story(second, tickers, title, mood, "No effect is expected.", ("company",))


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
