"""Splits and dividends of the simulated listings.

The tape applies every action; the reference tables publish all but the ones marked otherwise, as
vendors do miss some. Serving the rows belongs to reference.py and the routes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.randomness import uniform
from smallcaps_assets.sandbox.simulation.companies import Listing

STREAM_ACTIONS = 201
ANNOUNCED = timedelta(25)
"""How long before its day a dividend is declared; a split is the evening before."""
_ONE_SPLIT = frozenset({"unpublished_split", "forward_split"})


@dataclass(frozen=True)
class Split:
    """`split_to` new shares for `split_from` old ones, from the open of `day`."""

    number: int
    ticker: str
    day: date
    split_from: float
    split_to: float
    is_published: bool = True


@dataclass(frozen=True)
class Dividend:
    """Dollars per share, off the price from the open of `day`."""

    number: int
    ticker: str
    day: date
    amount: float
    kind: str
    frequency: int

    @property
    def declared(self) -> date:
        return self.day - ANNOUNCED


def _draw(seed: int, listing: Listing, season: int, what: int) -> float:
    """A season's uniform of a listing."""
    return uniform(seed, STREAM_ACTIONS, listing.number, what, *([season] if season else []))


def _split_terms(listing: Listing, u: float) -> tuple[float, float] | None:
    if "unpublished_split" in listing.traits:
        return 10.0, 1.0
    if "forward_split" in listing.traits:
        return 1.0, 3.0
    if listing.type != "CS" or listing.is_test or u > 0.06:
        return None
    if listing.first_price < 3.5:
        return (20.0, 1.0) if u < 0.03 else (8.0, 1.0)
    return (2.0, 3.0) if u < 0.02 else (1.0, 2.0)


def make_splits(seed: int, listings: list[Listing], seasons: list[list[date]]) -> list[Split]:
    """At most one split per listing and season, plus a few of earlier years."""
    splits: list[Split] = []
    for season, days in enumerate(seasons):
        for listing in listings:
            splits.extend(_splits_of(seed, listing, days, season))
    return splits


def _splits_of(seed: int, listing: Listing, days: list[date], season: int) -> Iterator[Split]:
    if season and listing.traits & _ONE_SPLIT:
        return
    u, where = (_draw(seed, listing, season, what) for what in (0, 1))
    terms = _split_terms(listing, u)
    first, count = listing.span(days)
    if terms and count > 20:
        day = days[first + int(count * (0.35 + 0.5 * where))]
        ticker = listing.ticker_on(day) or ""
        published = "unpublished_split" not in listing.traits
        yield Split(listing.number, ticker, day, *terms, is_published=published)
    elif listing.type == "CS" and u > 0.95 and count and not season:
        day = listing.listed + (days[0] - listing.listed) / 2
        if listing.listed < day < days[0]:
            yield Split(listing.number, listing.symbols[0].ticker, day, 4.0, 1.0)


def _dividends_of(seed: int, listing: Listing, days: list[date], season: int) -> list[Dividend]:
    u = _draw(seed, listing, 0, 2)  # of every season alike: a quarter apart
    first, count = listing.span(days)
    if not count:
        return []
    day = days[first + int(count * (0.3 + 0.4 * u))]
    ticker = listing.ticker_on(day) or ""
    if "special_dividend" in listing.traits:
        if season:
            return []
        amount = round(listing.first_price * 0.09, 2)
        return [Dividend(listing.number, ticker, day, amount, "SC", 0)]
    pays = listing.type in ("ETF", "FUND", "PFD") or (listing.type == "CS" and u < 0.25)
    if not pays or listing.first_price < 10 or listing.is_test:
        return []
    amount = round(listing.first_price * (0.004 + 0.01 * u), 4)
    return [Dividend(listing.number, ticker, day, amount, "CD", 4)]


def make_dividends(seed: int, listings: list[Listing], seasons: list[list[date]]) -> list[Dividend]:
    """Payers of one dividend a season, and one special dividend of about a tenth of the price."""
    rows: list[Dividend] = []
    for season, days in enumerate(seasons):
        for listing in listings:
            rows.extend(_dividends_of(seed, listing, days, season))
    return rows


def row_id(*parts: object) -> str:
    """The vendor's shape of an action's id: E and 64 hex digits."""
    return "E" + hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def split_row(split: Split) -> Row:
    day = split.day.isoformat()
    return {
        "execution_date": day,
        "id": row_id("split", split.ticker, day, split.split_from, split.split_to),
        "split_from": split.split_from,
        "split_to": split.split_to,
        "ticker": split.ticker,
    }


def dividend_row(dividend: Dividend) -> Row:
    day = dividend.day
    return {
        "cash_amount": dividend.amount,
        "currency": "USD",
        "declaration_date": dividend.declared.isoformat(),
        "dividend_type": dividend.kind,
        "ex_dividend_date": day.isoformat(),
        "frequency": dividend.frequency,
        "id": row_id("dividend", dividend.ticker, day, dividend.amount),
        "pay_date": (day + timedelta(14)).isoformat(),
        "record_date": day.isoformat(),
        "ticker": dividend.ticker,
    }
