"""Rows of the reference endpoints of a simulated market: tickers, details, events, actions.

Point in time: a row shows the symbol and the state of the asked day. Filtering, sorting and paging
belong to pages.py and the routes; constant tables (types, exchanges, conditions) to constants.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.randomness import mix
from smallcaps_assets.sandbox.simulation.actions import Dividend, Split, dividend_row, split_row
from smallcaps_assets.sandbox.simulation.companies import UNREFERENCED_TESTS, Listing, sector

_INDUSTRIES = (
    ("2834", "PHARMACEUTICAL PREPARATIONS"),
    ("2836", "BIOLOGICAL PRODUCTS (NO DIAGNOSTIC SUBSTANCES)"),
    ("3674", "SEMICONDUCTORS & RELATED DEVICES"),
    ("7372", "SERVICES-PREPACKAGED SOFTWARE"),
    ("1311", "CRUDE PETROLEUM & NATURAL GAS"),
    ("1040", "GOLD AND SILVER ORES"),
    ("3841", "SURGICAL & MEDICAL INSTRUMENTS & APPARATUS"),
    ("6770", "BLANK CHECKS"),
)
_CITIES = (("Austin", "TX", "78701"), ("Boston", "MA", "02110"), ("Reno", "NV", "89501"))

CloseBefore = Callable[[Listing, date], float]
Offerings = Callable[[Listing], list[tuple[date, float]]]
"""Days on which new shares of a listing were priced, and their number per share of before."""


def _without_missing(row: Row) -> Row:
    return {key: value for key, value in row.items() if value is not None and value != ""}


class ReferenceTables:
    """Everything the vendor's reference endpoints know about the listings."""

    def __init__(
        self,
        seed: int,
        listings: list[Listing],
        splits: list[Split],
        dividends: list[Dividend],
        days: list[date],
        offerings: Offerings,
    ) -> None:
        self._seed = seed
        self._listings = [x for x in listings if x.symbols[0].ticker not in UNREFERENCED_TESTS]
        self._splits = splits
        self.first_day, self.today = days[0], days[-1]
        """The first session, and the last: the day that a request without a date means."""
        self.offerings = offerings
        self.split_rows = [split_row(s) for s in splits if s.is_published]
        self.dividend_rows = [dividend_row(d) for d in dividends]
        self._pages: BoundedCache[tuple[date, bool], list[Row]] = BoundedCache(8)
        self.by_ticker: dict[str, list[Listing]] = {}
        for listing in listings:
            for symbol in listing.symbols:
                self.by_ticker.setdefault(symbol.ticker, []).append(listing)

    def tickers(self, day: date | None, active: bool) -> list[Row]:
        """Rows as of a day, sorted by ticker; callers must not change them."""
        wanted = day or self.today
        return self._pages.get((wanted, active), lambda: self._ticker_rows(wanted, active))

    def _ticker_rows(self, day: date, active: bool) -> list[Row]:
        make = self._active_row if active else self._inactive_row
        rows = [make(listing, day) for listing in self._listings]
        return sorted((r for r in rows if r is not None), key=lambda r: r["ticker"])

    def _active_row(self, listing: Listing, day: date) -> Row | None:
        ticker = listing.ticker_on(day)
        return None if ticker is None else self._row(listing, ticker, day, True)

    def _inactive_row(self, listing: Listing, day: date) -> Row | None:
        last = listing.last_day
        if last is None or last >= day:
            return None
        row = self._row(listing, listing.symbols[-1].ticker, day, False)
        return row | {"delisted_utc": f"{last + timedelta(1)}T00:00:00Z"}

    def _row(self, listing: Listing, ticker: str, day: date, active: bool) -> Row:
        row = {
            "ticker": ticker,
            "name": listing.name,
            "market": "stocks",
            "locale": "us",
            "primary_exchange": listing.primary_exchange,
            "type": listing.type,
            "active": active,
            "currency_name": "usd",
            "cik": listing.cik,
            "composite_figi": listing.composite_figi,
            "share_class_figi": listing.share_class_figi,
            "last_updated_utc": f"{day}T00:00:00Z",
        }
        return _without_missing(row)

    def shares_on(self, listing: Listing, day: date) -> int | None:
        """Shares on the basis of a day: every split so far, published or not, and new shares."""
        if listing.shares is None:
            return None
        shares = float(listing.shares)
        for split in self._splits:
            if split.number == listing.number and self.first_day <= split.day <= day:
                shares *= split.split_to / split.split_from
        for offered, share in self.offerings(listing):
            shares *= 1.0 + share if offered < day else 1.0
        return round(shares)

    def details(self, ticker: str, day: date | None, close_before: CloseBefore) -> Row | None:
        day = day or self.today
        known = self.by_ticker.get(ticker, ())
        listing = next((x for x in known if x.ticker_on(day) == ticker), None)
        if listing is None or ticker in UNREFERENCED_TESTS:
            return None
        row = self._row(listing, ticker, day, True)
        row.pop("last_updated_utc")
        row["ticker_root"] = ticker
        row["round_lot"] = 100
        row["list_date"] = listing.listed.isoformat()
        if listing.is_test:
            row["is_test"] = True
        return row | self._company(listing) | self._size(listing, day, close_before)

    def _company(self, listing: Listing) -> Row:
        if listing.type not in ("CS", "ADRC") or listing.is_test:
            return {}
        bits = mix(self._seed, listing.number, 77)
        sic, industry = _INDUSTRIES[sector(self._seed, listing.number)]
        city, state, postal_code = _CITIES[bits // 8 % len(_CITIES)]
        return {
            "description": f"{listing.name} is a simulated company in {industry.lower()}.",
            "sic_code": sic,
            "sic_description": industry,
            "total_employees": 12 + bits // 64 % 900,
            "homepage_url": f"https://www.example.com/{listing.number}",
            "phone_number": f"555 01{bits // 256 % 100:02d}",
            "address": {
                "address1": f"{1 + bits // 512 % 999} MAIN STREET",
                "city": city,
                "state": state,
                "postal_code": postal_code,
            },
        }

    def _size(self, listing: Listing, day: date, close_before: CloseBefore) -> Row:
        shares = self.shares_on(listing, day)
        if shares is None:
            return {}
        return {
            "market_cap": round(shares * close_before(listing, day), 2),
            "share_class_shares_outstanding": shares,
            "weighted_shares_outstanding": round(shares * 0.99),
        }

    def events(self, identifier: str) -> Row | None:
        """Symbols of the listing with this FIGI, or of the one now using this ticker."""
        listing = next((x for x in self._listings if x.composite_figi == identifier), None)
        if listing is None:
            users = self.by_ticker.get(identifier, [])
            listing = users[-1] if users else None
        if listing is None:
            return None
        events = [
            {"ticker_change": {"ticker": s.ticker}, "type": "ticker_change", "date": str(s.first)}
            for s in reversed(listing.symbols)
        ]
        row = {"name": listing.name, "composite_figi": listing.composite_figi, "cik": listing.cik}
        return _without_missing(row) | {"events": events}
