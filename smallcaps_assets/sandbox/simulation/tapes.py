"""Every ticker-session's tape of a generated market: plans, chains, and tapes printed on demand.

A listing's sessions form a chain: each starts at the last price of the one before. One pass over
the chain keeps only day bars and starting prices; with those any single ticker-session's tape
is printed again alone, bit-identical. Frames and symbols belong to simulated.py.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.randomness import mix
from smallcaps_assets.sandbox.simulation import bars as b
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.actions import Dividend, Split
from smallcaps_assets.sandbox.simulation.companies import Listing
from smallcaps_assets.sandbox.simulation.plan import (
    STREAM_TAPE,
    WILD_SHARE,
    Actions,
    Calendar,
    Kind,
    active_sessions,
    choose_wild_days,
    make_plans,
    react,
)

MAXIMUM_TRADES = 125_000
MAXIMUM_MINUTES = 970


@dataclass(frozen=True)
class Chain:
    """What one pass over a listing's sessions leaves: `first` is the index of its first.

    starts: price that each session starts from and the last regular close, in 1e-4 dollars. bars
    and plans: a row per session. extras: vwap in 1e-4 dollars and off-exchange volume in 1e-6
    shares. events: rows as in tape.py, by session index.
    """

    first: int
    starts: np.ndarray
    bars: np.ndarray
    extras: np.ndarray
    plans: np.ndarray
    events: dict[int, np.ndarray]


@dataclass(frozen=True)
class Paper:
    """Room for one day, its tape, trace and events, and the prints of a minute."""

    days: np.ndarray
    tape: np.ndarray
    trace: np.ndarray
    events: np.ndarray
    times: np.ndarray


class TapeBook:
    """Prints and remembers; thread-safe.

    listings, splits and dividends are those of the whole calendar; `count` sessions have been.
    """

    def __init__(
        self,
        config: SandboxConfig,
        listings: Sequence[Listing],
        calendar: Calendar,
        splits: Sequence[Split],
        dividends: Sequence[Dividend],
        count: int,
    ) -> None:
        self._config = config
        self._count = count
        self._listings = listings
        self._calendar = calendar
        self._splits = splits
        self._dividends = dividends
        self._chains: dict[int, Chain] = {}
        self._locks = [threading.Lock() for _ in range(64)]
        self._scratch = threading.local()
        self._tapes: BoundedCache[tuple[int, int], np.ndarray] = BoundedCache(48)

    @cached_property
    def _actions(self) -> dict[int, Actions]:
        actions = {listing.number: Actions({}, {}) for listing in self._listings}
        for split in self._splits:
            actions[split.number].splits[split.day] = split
        for dividend in self._dividends:
            actions[dividend.number].dividends[dividend.day] = dividend
        return actions

    @cached_property
    def wild_days(self) -> dict[tuple[int, int], Kind]:
        """(listing number, session index) -> kind of day, over the whole calendar."""
        count = self._config.pump_days
        if count is None:
            count = round(WILD_SHARE * self._config.tickers * self._calendar.season)
        return choose_wild_days(
            self._config.seed, self._listings, self._calendar, self._actions, count
        )

    @cached_property
    def _wild_of(self) -> dict[int, dict[int, Kind]]:
        table: dict[int, dict[int, Kind]] = {}
        for (number, s), kind in self.wild_days.items():
            table.setdefault(number, {})[s] = kind
        return table

    @property
    def edge(self) -> float:
        """The scale of what tilts prices; none in the placebo market."""
        return 0.0 if self._config.kind == "placebo" else self._config.edge

    def _plans(self, listing: Listing) -> tuple[np.ndarray, np.ndarray]:
        return make_plans(
            self._config.seed,
            listing,
            self._calendar,
            self._actions[listing.number],
            self._wild_of.get(listing.number, {}),
            self.edge,
            self._config.trades_scale,
        )

    def _paper(self) -> Paper:
        """This thread's room."""
        paper = getattr(self._scratch, "paper", None)
        if paper is None:
            width = int(MAXIMUM_TRADES * max(1.0, self._config.trades_scale))
            paper = self._scratch.paper = Paper(
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
        first, stop = active_sessions(listing, self._calendar)
        count = max(min(stop, self._count) - first, 0)
        plans, seeds = self._plans(listing)
        chain = Chain(
            *(first, np.zeros((count, 2), dtype=np.int64), b.empty_bars(count)),
            *(np.zeros((count, 2)), plans[first : first + count], {}),
        )
        price = close = round(listing.first_price * 10_000)
        paper, change, has_offered = self._paper(), 0.0, False
        for i, s in enumerate(range(first, first + count)):
            plan, hours = chain.plans[i], self._calendar.hours[s]
            gap = plan[t.P_SHOCK] if 0 <= plan[t.P_SHOCK_MINUTE] < t.PREMARKET_MINUTES else 0.0
            react(plan, change, gap, has_offered)
            chain.starts[i] = price, close
            n, price, events = t.simulate_day(
                *(paper.days, plan, hours, seeds[s], price, float(close)),
                *(paper.tape, paper.trace[:0], paper.events, paper.times),
            )
            vwap = b.day_bar(paper.tape, n, chain.bars[i])
            chain.extras[i] = vwap, b.off_exchange_volume(paper.tape, n, hours)
            if events:
                chain.events[s] = paper.events[:events].copy()
            before = close * plan[t.P_PRICE_FACTOR] - plan[t.P_DIVIDEND] * 10_000.0
            close = int(chain.bars[i, b.B_CLOSE]) or round(before)
            change = close / before - 1.0
            has_offered = bool((paper.events[:events, t.E_KIND] == t.OFFERING).any())
        return chain

    def tape(self, listing: Listing, s: int) -> np.ndarray:
        """The tape of one ticker-session, int64[ROWS, n]."""
        return self._tapes.get((listing.number, s), lambda: self.printed(listing, s)[0])

    def printed(self, listing: Listing, s: int) -> tuple[np.ndarray, np.ndarray]:
        """Tape and trace of one ticker-session; the trace is float64[minutes, TRACE]."""
        chain, paper, hours = self.chain(listing), self._paper(), self._calendar.hours[s]
        i = s - chain.first
        price, close = chain.starts[i]
        seed = np.uint64(mix(*_tape_key(self._config.seed, listing, self._calendar.days[s])))
        count, _, _ = t.simulate_day(
            *(paper.days, chain.plans[i], hours, seed, int(price), float(close)),
            *(paper.tape, paper.trace, paper.events, paper.times),
        )
        minutes = t.PREMARKET_MINUTES + int((hours[3] - hours[1]) // t.MINUTE)
        return paper.tape[:, :count].copy(), paper.trace[:minutes].copy()


def _tape_key(seed: int, listing: Listing, day: date) -> tuple[int, ...]:
    return (seed, STREAM_TAPE, listing.number, day.toordinal())
