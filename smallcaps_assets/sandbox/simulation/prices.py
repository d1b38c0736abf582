"""Prices of the simulated market: listings, plans and kernels put together.

Tapes come from tapes.py, rows of the reference endpoints from reference.py; here they become
frames under the symbols in use on each day. Everything is made on demand, in bounded caches.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.market import BAR_SCHEMA, TRADE_SCHEMA, Row
from smallcaps_assets.sandbox.randomness import uniform
from smallcaps_assets.sandbox.simulation import bars as b
from smallcaps_assets.sandbox.simulation import frames
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.actions import Split
from smallcaps_assets.sandbox.simulation.companies import Listing
from smallcaps_assets.sandbox.simulation.finra import short_volume_frame
from smallcaps_assets.sandbox.simulation.quotes import ROWS as QUOTE_ROWS
from smallcaps_assets.sandbox.simulation.quotes import quote_rows
from smallcaps_assets.sandbox.simulation.reference import ReferenceTables
from smallcaps_assets.sandbox.simulation.tapes import Tapes

WORKERS = 4
NO_BARS, NO_TRADES = pl.DataFrame(schema=BAR_SCHEMA), pl.DataFrame(schema=TRADE_SCHEMA)
STREAM_OFFERING = 306


class SimulatedPrices(Tapes):
    """All of the market but its facts, which follow from this."""

    def __init__(self, config: SandboxConfig) -> None:
        super().__init__(config)
        known = (listing.known_on(self.sessions[-1]) for listing in self.planned_listings)
        self.listings = [listing for listing in known if listing is not None]
        self._frames: BoundedCache[tuple[str, date], pl.DataFrame] = BoundedCache(16)
        self._minutes: BoundedCache[tuple[str, date], pl.DataFrame] = BoundedCache(4096)
        self._sessions_of_minutes: BoundedCache[date, pl.DataFrame] = BoundedCache(3)
        self._bars: pl.DataFrame | None = None
        self._bars_lock = threading.Lock()

    @property
    def following(self) -> date | None:
        """The session after the last, of which some things are known."""
        return next(iter(self.calendar.days[len(self.sessions) :]), None)

    @cached_property
    def reference(self) -> ReferenceTables:
        today = self.sessions[-1]
        declared = [x for x in self._dividends if x.declared <= today]
        return ReferenceTables(
            *(self.config.seed, self.listings, self.split_events, declared, self.sessions),
            self.offerings,
        )

    def offerings(self, listing: Listing) -> list[tuple[date, float]]:
        """Days of a listing's offerings, and new shares per share of before: 15 to 40 %."""
        found = self.chain(listing).events.items()
        days = [self.sessions[s] for s, e in found if (e[:, t.E_KIND] == t.OFFERING).any()]
        seed = self.config.seed
        draws = [uniform(seed, STREAM_OFFERING, listing.number, d.toordinal()) for d in days]
        return [(d, 0.15 + 0.25 * u) for d, u in zip(days, draws, strict=True)]

    def resumption(self, listing: Listing, day: date) -> int:
        """When a halt that outlasts its session ends, in UTC ns; 0 while nobody can know."""
        chain = self.chain(listing)
        later = range(self._index[day] + 1, chain.first + len(chain.starts))
        open_on = (s for s in later if chain.plans[s - chain.first][t.P_TRADES] > 0.0)
        return next((int(self.calendar.hours[s][0]) for s in open_on), 0)

    @property
    def split_events(self) -> list[Split]:
        """All splits that are decided, published or not: one is the evening before."""
        newest = self.following or self.sessions[-1]
        return [split for split in self._splits if split.day <= newest]

    def listing_of(self, ticker: str, day: date) -> Listing | None:
        """The listing that a ticker string means on a session; None on other days."""
        listings = self.reference.by_ticker.get(ticker, ()) if day in self._index else ()
        return next((x for x in listings if x.ticker_on(day) == ticker), None)

    def trading(self, day: date) -> list[tuple[str, Listing]]:
        """(ticker, listing) of everything that can trade on a day, in the order of files."""
        listed = self.listings if day in self._index else []
        pairs = [(x.ticker_on(day), x) for x in listed]
        return sorted((name, x) for name, x in pairs if name is not None)

    def prepare(self) -> None:
        """Run all chains now; otherwise the first request for a whole session does."""
        self._all_bars()

    def _all_bars(self) -> pl.DataFrame:
        """Daily bars of all sessions and tickers, with a session index."""
        with self._bars_lock:
            if self._bars is None:
                with ThreadPoolExecutor(WORKERS) as pool:
                    list(pool.map(self.chain, self.listings))
                self._bars = self._stack(self.listings).sort("session", "ticker")
            return self._bars

    def _stack(self, listings: Sequence[Listing]) -> pl.DataFrame:
        """Daily bars of at least one listing."""
        chains = [self.chain(listing) for listing in listings]
        spans = [range(chain.first, chain.first + len(chain.starts)) for chain in chains]
        session = np.concatenate([np.arange(span.start, span.stop) for span in spans])
        names = [
            listing.ticker_on(self.sessions[s]) or ""
            for listing, span in zip(listings, spans, strict=True)
            for s in span
        ]
        rows = np.concatenate([chain.bars for chain in chains])
        extras = np.concatenate([chain.extras for chain in chains])
        # Midnight in New York is four hours before the premarket.
        rows[:, b.B_START] = self.calendar.hours[session, 0] - 4 * 60 * t.MINUTE
        frame = frames.bar_frame(pl.Series(names, dtype=pl.String), rows, extras[:, 0])
        off_exchange = pl.Series("off_exchange", extras[:, 1] / 1e6)
        return frame.with_columns(pl.Series("session", session), off_exchange).filter(
            pl.col("open") > 0
        )

    def daily_bars(self, day: date) -> pl.DataFrame:
        if day not in self._index:
            return NO_BARS
        bars = self._all_bars().filter(pl.col("session") == self._index[day])
        return bars.drop("session", "off_exchange")

    def daily_bars_of(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        """Only the chains of this ticker's listings are run."""
        listings = self.reference.by_ticker.get(ticker)
        if listings is None:
            return NO_BARS
        day = pl.col("window_start").cast(pl.Datetime("ns")).dt.date()
        inside = (pl.col("ticker") == ticker) & day.is_between(start, end)
        bars = self._stack(listings).filter(inside)
        return bars.drop("session", "off_exchange").sort("window_start")

    def _minute_arrays(self, listing: Listing, day: date) -> tuple[np.ndarray, np.ndarray]:
        tape = self.tape(listing, day)
        bars, vwaps = b.empty_bars(961), np.zeros(961)
        count = b.minute_bars(tape, tape.shape[1], self.hours(day), bars, vwaps)
        return bars[:count], vwaps[:count]

    def minute_bars(self, day: date) -> pl.DataFrame:
        if day not in self._index:
            return NO_BARS
        return self._sessions_of_minutes.get(day, lambda: self._session_minutes(day))

    def _session_minutes(self, day: date) -> pl.DataFrame:
        trading = self.trading(day)
        with ThreadPoolExecutor(WORKERS) as pool:
            arrays = list(pool.map(lambda pair: self._minute_arrays(pair[1], day), trading))
        names = pl.Series([name for name, _ in trading], dtype=pl.String)
        counts = pl.Series([len(rows) for rows, _ in arrays])
        column = names.repeat_by(counts).explode(empty_as_null=False)
        rows = np.concatenate([rows for rows, _ in arrays])
        return frames.bar_frame(column, rows, np.concatenate([vwaps for _, vwaps in arrays]))

    def minute_bars_of(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        days = [day for day in self.sessions if start <= day <= end]
        parts = [self._ticker_minutes(ticker, day) for day in days]
        return pl.concat([NO_BARS, *parts])

    def _ticker_minutes(self, ticker: str, day: date) -> pl.DataFrame:
        listing = self.listing_of(ticker, day)
        if listing is None:
            return NO_BARS
        return self._minutes.get(
            (ticker, day), lambda: frames.bar_frame(ticker, *self._minute_arrays(listing, day))
        )

    def trades(self, ticker: str, day: date) -> pl.DataFrame:
        listing = self.listing_of(ticker, day)
        if listing is None:
            return NO_TRADES
        return self._frames.get((ticker, day), lambda: self._trade_frame(ticker, listing, day))

    def _trade_frame(self, ticker: str, listing: Listing, day: date) -> pl.DataFrame:
        tape = self.tape(listing, day)
        return frames.trade_frame(ticker, tape, listing.number, listing.tape_letter)

    def session_trades(self, day: date) -> pl.DataFrame:
        pairs = self.trading(day)
        with ThreadPoolExecutor(WORKERS) as pool:
            parts = list(pool.map(lambda pair: self._trade_frame(pair[0], pair[1], day), pairs))
        return pl.concat([NO_TRADES, *parts])

    def short_volume(self, day: date) -> pl.DataFrame | None:
        if day not in self._index:
            return None
        return short_volume_frame(self.config.seed, day, self._short_bars(self._index[day]))

    def _short_bars(self, s: int) -> pl.DataFrame:
        """Daily bars with `off_exchange`, `change` and `is_restricted`: rule 201 by the lows."""
        recent = self._all_bars().filter(pl.col("session").is_between(s - 2, s))
        known = [x for x in self.split_events if x.day in self.sessions[max(s - 1, 0) : s + 1]]
        factors = pl.DataFrame(
            [(x.ticker, self._index[x.day], x.split_from / x.split_to) for x in known],
            {"ticker": pl.String, "session": pl.Int64, "ratio": pl.Float64},
            orient="row",
        )
        recent = recent.join(factors, on=["ticker", "session"], how="left").sort("session")
        before = pl.col("close").shift(1).over("ticker") * pl.col("ratio").fill_null(1.0)
        told = recent.with_columns(
            (pl.col("close") / before - 1).fill_null(0.0).alias("change"),
            (pl.col("low") <= 0.9 * before).fill_null(False).alias("is_fallen"),
        )
        yesterday = pl.col("is_fallen").shift(1, fill_value=False).over("ticker")
        is_restricted = (pl.col("is_fallen") | yesterday).alias("is_restricted")
        return told.with_columns(is_restricted).filter(pl.col("session") == s).sort("ticker")

    def events(self, listing: Listing, day: date) -> np.ndarray:
        """Halts, shocks and offerings of a ticker-session, rows as in tape.py."""
        none = np.zeros((0, t.EVENT), dtype=np.int64)
        return self.chain(listing).events.get(self._index[day], none)

    @cached_property
    def all_events(self) -> list[tuple[Listing, date, np.ndarray]]:
        """Every ticker-session with events, by listing and session."""
        self.prepare()
        return [
            (listing, self.sessions[s], rows)
            for listing in self.listings
            for s, rows in sorted(self.chain(listing).events.items())
        ]

    def plan(self, listing: Listing, day: date) -> np.ndarray:
        """The plan of a ticker-session, as in tape.py."""
        chain = self.chain(listing)
        return chain.plans[self._index[day] - chain.first]

    def prior_close(self, listing: Listing, day: date) -> float:
        """The regular close before a session, in 1e-4 dollars of that session."""
        chain, plan = self.chain(listing), self.plan(listing, day)
        close = float(chain.starts[self._index[day] - chain.first, 1])
        return close * plan[t.P_PRICE_FACTOR] - plan[t.P_DIVIDEND] * 10_000.0

    def quote_rows(self, ticker: str, day: date) -> np.ndarray:
        """Quotes of a ticker-session, rows as in quotes.py; none where it is not traded."""
        listing = self.listing_of(ticker, day)
        if listing is None:
            return np.zeros((QUOTE_ROWS, 0), dtype=np.int64)
        tape, trace = self.printed(listing, day)
        events, hours = self.events(listing, day), self.hours(day)
        return quote_rows(self.config.seed, listing.number, day, tape, trace, events, hours)

    def tickers(self, day: date | None, active: bool) -> list[Row]:
        return self.reference.tickers(day, active)

    def ticker_details(self, ticker: str, day: date | None) -> Row | None:
        return self.reference.details(ticker, day, self._close_before)

    def _close_before(self, listing: Listing, day: date) -> float:
        """Last close on or before a day; the first price when there is none."""
        chain = self.chain(listing)
        days = self.sessions[chain.first : chain.first + len(chain.starts)]
        closes = [r[b.B_CLOSE] for d, r in zip(days, chain.bars, strict=True) if d <= day]
        return next((float(c) / 10_000 for c in reversed(closes) if c), listing.first_price)

    def ticker_events(self, identifier: str) -> Row | None:
        return self.reference.events(identifier)

    def splits(self) -> list[Row]:
        return self.reference.split_rows

    def dividends(self) -> list[Row]:
        return self.reference.dividend_rows
