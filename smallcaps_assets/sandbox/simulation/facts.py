"""What the simulated market knows besides prices: quotes, news, figures, float, short interest.

Puts together what quotes.py, news.py, statements.py, edgar.py and finra.py make. The shapes of
answers belong to the routes.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property

import polars as pl

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.market import (
    QUOTE_SCHEMA,
    FeedHalt,
    Filing,
    MarketFacts,
    Row,
    Submission,
)
from smallcaps_assets.sandbox.simulation import news, statements
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.companies import Listing
from smallcaps_assets.sandbox.simulation.edgar import make_submissions
from smallcaps_assets.sandbox.simulation.fails import fails_text, published_halves
from smallcaps_assets.sandbox.simulation.finra import short_interest_rows, short_volume_rows
from smallcaps_assets.sandbox.simulation.halts import halt_rows
from smallcaps_assets.sandbox.simulation.prices import SimulatedPrices
from smallcaps_assets.sandbox.simulation.quotes import quote_frame
from smallcaps_assets.sandbox.simulation.statements import make_filings

MEAN_SESSIONS = 30
BUSY_QUOTES, MOST_QUOTES_PER_TRADE = 100_000, 4
_OF_VOLUMES = ("ticker", "volume", "close")


class SimulatedFacts(MarketFacts):
    """Made on demand from what the simulation knows, and cached."""

    def __init__(self, market: SimulatedPrices) -> None:
        self._market = market
        self._seed = market.config.seed
        self.snapshot_day = market.sessions[-1]
        self.fails_halves = published_halves(market.sessions)
        self._quotes: BoundedCache[tuple[str, date], pl.DataFrame] = BoundedCache(16)

    def quotes(self, ticker: str, day: date) -> pl.DataFrame:
        return self._quotes.get((ticker, day), lambda: self._make_quotes(ticker, day))

    def _make_quotes(self, ticker: str, day: date) -> pl.DataFrame:
        market = self._market
        listing = market.listing_of(ticker, day)
        if listing is None:
            return pl.DataFrame(schema=QUOTE_SCHEMA)
        return quote_frame(ticker, day, listing.tape_letter, market.quote_rows(ticker, day))

    def session_quotes(self, day: date) -> pl.DataFrame:
        pairs = self._market.trading(day)
        parts = [self._make_quotes(ticker, day) for ticker, _ in pairs]
        return pl.concat([pl.DataFrame(schema=QUOTE_SCHEMA), *parts])

    @property
    def busy_quotes(self) -> list[tuple[str, date]]:
        """The ticker-sessions with BUSY_QUOTES or more."""
        market, found = self._market, []
        is_active = pl.col("transactions") * MOST_QUOTES_PER_TRADE >= BUSY_QUOTES
        for day in market.sessions:
            for ticker in market.daily_bars(day).filter(is_active)["ticker"]:
                if market.quote_rows(ticker, day).shape[1] >= BUSY_QUOTES:
                    found.append((ticker, day))
        return found

    @cached_property
    def news(self) -> list[Row]:
        market, days = self._market, self._market.sessions
        known = [x for x in market.splits() if days[0].isoformat() <= x["execution_date"]]
        by_number = {x.number: x for x in market.listings}
        wild = [(by_number[number], days[s]) for number, s in sorted(market.wild_days)]
        stories = [
            *news.split_stories(known),
            *news.event_stories(self._seed, market.all_events),
            *news.announcements(self._seed, self._mornings(wild)),
            *news.wild_stories(self._seed, wild, self._change),
            *news.routine_stories(self._seed, market.planned_listings, days),
        ]
        return news.news_rows(stories, session_hours(days[-1]).postmarket_close // news.SECOND)

    def _mornings(self, wild: list[tuple[Listing, date]]) -> list[tuple[Listing, date, date]]:
        """Wild days with news before the open, and the session before each."""
        days = self._market.sessions
        places = {day: s for s, day in enumerate(days)}
        plans = ((x, day, self._market.plan(x, day)) for x, day in wild)
        return [
            (x, days[places[day] - 1], day)
            for x, day, plan in plans
            if 0 <= plan[t.P_SHOCK_MINUTE] < t.PREMARKET_MINUTES
        ]

    def _change(self, listing: Listing, day: date) -> float | None:
        """The day's return from open to close."""
        bars = self._market.daily_bars_of(listing.ticker_on(day) or "", day, day)
        return None if bars.is_empty() else float(bars["close"][0] / bars["open"][0] - 1)

    @cached_property
    def filings(self) -> list[Filing]:
        return make_filings(self._seed, self._market.reference, self._market.listings)

    @cached_property
    def ratios(self) -> list[Row]:
        day = self._market.sessions[-1]
        bars = {row["ticker"]: row for row in self._market.daily_bars(day).iter_rows(named=True)}
        recent = self._volumes.filter(pl.col("date") > self._market.sessions[-MEAN_SESSIONS:][0])
        means = dict(recent.group_by("ticker").agg(pl.col("volume").mean()).iter_rows())
        filed: dict[str, list[Filing]] = {}
        for filing in self.filings:
            filed.setdefault(filing.head["cik"], []).append(filing)
        rows = []
        for listing in self._market.listings:
            ticker, own = listing.ticker_on(day) or "", filed.get(listing.cik or "", [])
            if ticker in bars and own and statements.has_filings(listing):
                volume = means.get(ticker, bars[ticker]["volume"])
                rows.append(statements.ratio_row(ticker, day, own, bars[ticker], volume))
        return sorted(rows, key=lambda row: row["ticker"])

    @cached_property
    def free_float(self) -> list[Row]:
        return statements.float_rows(self._seed, self._market.reference, self._market.listings)

    @cached_property
    def _volumes(self) -> pl.DataFrame:
        """`date`, `ticker`, `volume`, `close` of all sessions."""
        parts = [
            self._market.daily_bars(day).select(pl.lit(day).alias("date"), *_OF_VOLUMES)
            for day in self._market.sessions
        ]
        return pl.concat(parts)

    @cached_property
    def short_interest(self) -> list[Row]:
        market = self._market
        real = [x for x in market.planned_listings if not x.is_test]
        names = {symbol.ticker for x in real for symbol in x.symbols}
        volumes = self._volumes.filter(pl.col("ticker").is_in(names))
        caps: dict[str, float] = {}
        for listing in real:
            shares = market.reference.shares_on(listing, market.sessions[0])
            for symbol in listing.symbols if shares else ():
                cap = (shares or 0) * statements.float_share(self._seed, listing) / 400
                caps[symbol.ticker] = min(cap, caps.get(symbol.ticker, cap))
        return short_interest_rows(self._seed, market.sessions, volumes, caps)

    def short_volume(self, day: date) -> list[Row]:
        finra = self._market.short_volume(day)
        return [] if finra is None else short_volume_rows(self._seed, day, finra)

    def fails(self, half: date) -> str:
        return fails_text(self._seed, half, self._volumes, self._market.listing_of)

    @cached_property
    def submissions(self) -> list[Submission]:
        market = self._market
        days = (market.sessions, market.following)
        offerings = [
            (listing, day, event[t.E_BEGIN] // news.SECOND)
            for listing, day, events in market.all_events
            for event in events
            if event[t.E_KIND] == t.OFFERING
        ]
        return make_submissions(self._seed, market.listings, market.split_events, offerings, *days)

    def submissions_of(self, cik: str) -> list[Submission]:
        return self._by_company.get(cik, [])

    @cached_property
    def _by_company(self) -> dict[str, list[Submission]]:
        found: dict[str, list[Submission]] = {}
        for submission in self.submissions:
            found.setdefault(submission.cik, []).append(submission)
        return found

    def halts(self, day: date) -> list[FeedHalt]:
        return self._halts.get(day, [])

    @cached_property
    def _halts(self) -> dict[date, list[FeedHalt]]:
        found: dict[date, list[FeedHalt]] = {}
        market = self._market
        for listing, day, events in market.all_events:
            found.setdefault(day, []).extend(
                halt_rows(listing, day, events, market.resumption(listing, day))
            )
        return {day: sorted(rows, key=lambda x: (x.start, x.ticker)) for day, rows in found.items()}
