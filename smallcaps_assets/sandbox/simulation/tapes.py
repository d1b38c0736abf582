"""The tapes of a generated market: plans, chains, and tapes printed on demand.

A listing's sessions form a chain: each starts at the last price of the one before. One pass over
the chain keeps only day bars and starting prices; from those the tape of any one ticker-session can
be printed again, bit for bit. Frames and symbols belong to prices.py.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from operator import attrgetter

import numpy as np

from smallcaps_assets.domain.market.calendar import LAST_DAY, session_hours, sessions
from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.config import SandboxConfig, SandboxConfigError
from smallcaps_assets.sandbox.simulation import bars as b
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.actions import (
    ANNOUNCED,
    Dividend,
    Split,
    make_dividends,
    make_splits,
)
from smallcaps_assets.sandbox.simulation.companies import Listing, make_listings
from smallcaps_assets.sandbox.simulation.plan import (
    WILD_SHARE,
    Actions,
    Calendar,
    Kind,
    choose_wild_days,
    common_moves,
    make_plans,
    react,
)

MAXIMUM_TRADES = 125_000
MAXIMUM_MINUTES = 970
MINIMUM_SESSIONS = 3
_BOUNDS = attrgetter("premarket_open", "open", "close", "postmarket_close")
Printed = tuple[np.ndarray, np.ndarray]
Paper = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Buffers for one day, its tape, trace and events, and the times of a minute's prints."""


@dataclass(frozen=True)
class Chain:
    """What one pass over a listing's sessions leaves: `first` is the index of its first.

    starts: price that each session starts from and the last regular close, in 1e-4 dollars. bars,
    plans and seeds: a row per session. extras: vwap in 1e-4 dollars and off-exchange volume in 1e-6
    shares. events: rows as in tape.py, by session index.
    """

    first: int
    starts: np.ndarray
    bars: np.ndarray
    extras: np.ndarray
    plans: np.ndarray
    seeds: np.ndarray
    events: dict[int, np.ndarray]


class Tapes:
    """Prints and remembers; thread-safe. `sessions` have been, listings and plans reach further."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        days = sessions(config.start, config.end)
        if len(days) < MINIMUM_SESSIONS:
            raise SandboxConfigError(
                f"{config.start} to {config.end} has {len(days)} sessions, at least "
                f"{MINIMUM_SESSIONS} are needed; choose a later end"
            )
        announced = min(config.end + 2 * ANNOUNCED, LAST_DAY)
        seasons = len(sessions(config.start, announced)) // config.season + 1
        planned = sessions(config.start, LAST_DAY)[: seasons * config.season]
        hours = [_BOUNDS(session_hours(day)) for day in planned]
        self.calendar = Calendar(planned, np.array(hours, dtype=np.int64), config.season)
        self.sessions = days
        self._index = {day: s for s, day in enumerate(days)}
        first = self.calendar.seasons[0]
        self.planned_listings = make_listings(config.seed, config.tickers, first)
        self._chains: dict[int, Chain] = {}
        self._locks = [threading.Lock() for _ in range(64)]
        self._scratch = threading.local()
        self._printed: BoundedCache[tuple[int, date], Printed] = BoundedCache(48)

    @cached_property
    def _splits(self) -> list[Split]:
        return make_splits(self.config.seed, self.planned_listings, self.calendar.seasons)

    @cached_property
    def _dividends(self) -> list[Dividend]:
        return make_dividends(self.config.seed, self.planned_listings, self.calendar.seasons)

    @cached_property
    def _actions(self) -> dict[int, Actions]:
        actions = {listing.number: Actions({}, {}) for listing in self.planned_listings}
        for split in self._splits:
            actions[split.number].splits[split.day] = split
        for dividend in self._dividends:
            actions[dividend.number].dividends[dividend.day] = dividend
        return actions

    @cached_property
    def _planned_of(self) -> dict[int, Listing]:
        return {listing.number: listing for listing in self.planned_listings}

    @cached_property
    def _planned_wild(self) -> dict[tuple[int, int], Kind]:
        """(listing number, session index) -> kind of day, over the whole calendar."""
        config, calendar = self.config, self.calendar
        count = config.pump_days
        if count is None:
            count = round(WILD_SHARE * config.tickers * calendar.season)
        listings, actions = self.planned_listings, self._actions
        return choose_wild_days(config.seed, listings, calendar, actions, count)

    @cached_property
    def _wild_of(self) -> dict[int, dict[int, Kind]]:
        table: dict[int, dict[int, Kind]] = {}
        for (number, s), kind in self._planned_wild.items():
            table.setdefault(number, {})[s] = kind
        return table

    @property
    def wild_days(self) -> dict[tuple[int, int], Kind]:
        """(listing number, session index) -> kind of day, of those that have been."""
        count = len(self.sessions)
        return {place: kind for place, kind in self._planned_wild.items() if place[1] < count}

    @property
    def edge(self) -> float:
        """The scale of what tilts prices; none in the placebo market."""
        return 0.0 if self.config.kind == "placebo" else self.config.edge

    @cached_property
    def _common_moves(self) -> np.ndarray:
        return common_moves(self.config.seed, self.calendar)

    def _paper(self) -> Paper:
        """This thread's buffers."""
        paper = getattr(self._scratch, "paper", None)
        if paper is None:
            width = int(MAXIMUM_TRADES * max(1.0, self.config.trades_scale))
            paper = self._scratch.paper = (
                np.zeros(1, dtype=t.DAY),
                np.zeros((c.ROWS, width), dtype=np.int64),
                np.zeros((MAXIMUM_MINUTES, t.TRACE)),
                np.zeros((t.MAXIMUM_EVENTS, t.EVENT), dtype=np.int64),
                np.empty(width, dtype=np.int64),
            )
        return paper

    def chain(self, listing: Listing) -> Chain:
        with self._locks[listing.number % len(self._locks)]:
            chain = self._chains.get(listing.number)
            if chain is None:
                chain = self._chains[listing.number] = self._run_chain(listing)
            return chain

    def _run_chain(self, listing: Listing) -> Chain:
        first, count = listing.span(self.sessions)
        actions, wild = self._actions[listing.number], self._wild_of.get(listing.number, {})
        planned = self._planned_of[listing.number]  # whose end may not be known yet
        plans, seeds = make_plans(
            *(self.config.seed, planned, self.calendar, actions, wild),
            *(self._common_moves, self.edge, self.config.trades_scale),
        )
        chain = Chain(
            *(first, np.zeros((count, 2), dtype=np.int64), b.empty_bars(count)),
            *(np.zeros((count, 2)), plans[first : first + count], seeds[first : first + count], {}),
        )
        price = close = round(listing.first_price * 10_000)
        days, tape, trace, events, times = self._paper()
        change, has_offered = 0.0, False
        for i, s in enumerate(range(first, first + count)):
            plan, hours = chain.plans[i], self.calendar.hours[s]
            gap = plan[t.P_SHOCK] if 0 <= plan[t.P_SHOCK_MINUTE] < t.PREMARKET_MINUTES else 0.0
            react(plan, change, gap, has_offered)
            chain.starts[i] = price, close
            n, price, noted = t.simulate_day(
                *(days, plan, hours, seeds[s], price, float(close), tape, trace[:0], events, times)
            )
            vwap = b.day_bar(tape, n, chain.bars[i])
            chain.extras[i] = vwap, b.off_exchange_volume(tape, n, hours)
            if noted:
                chain.events[s] = events[:noted].copy()
            before = close * plan[t.P_PRICE_FACTOR] - plan[t.P_DIVIDEND] * 10_000.0
            close = int(chain.bars[i, b.B_CLOSE]) or round(before)
            change = close / before - 1.0
            has_offered = bool((events[:noted, t.E_KIND] == t.OFFERING).any())
        return chain

    def tape(self, listing: Listing, day: date) -> np.ndarray:
        """The tape of one ticker-session, int64[ROWS, n]; rows as in conditions.py."""
        return self.printed(listing, day)[0]

    def printed(self, listing: Listing, day: date) -> Printed:
        """Tape and trace (state of each minute, float64[minutes, TRACE]) of a ticker-session."""
        return self._printed.get((listing.number, day), lambda: self._print(listing, day))

    def _print(self, listing: Listing, day: date) -> Printed:
        chain, hours = self.chain(listing), self.hours(day)
        days, tape, trace, events, times = self._paper()
        i = self._index[day] - chain.first
        price, close = chain.starts[i]
        count, _, _ = t.simulate_day(
            *(days, chain.plans[i], hours, chain.seeds[i], int(price), float(close)),
            *(tape, trace, events, times),
        )
        minutes = t.PREMARKET_MINUTES + int((hours[3] - hours[1]) // t.MINUTE)
        return tape[:, :count].copy(), trace[:minutes].copy()

    def hours(self, day: date) -> np.ndarray:
        """Premarket open, open, close and postmarket close in UTC ns."""
        return self.calendar.hours[self._index[day]]
