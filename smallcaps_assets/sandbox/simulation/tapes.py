"""Every ticker-session's tape of a generated market: plans, chains, and tapes printed on demand.

A listing's sessions form a chain: each starts at the last price of the one before. One pass over
the chain keeps only day bars and starting prices; with those any single ticker-session's tape
is printed again alone, bit-identical. Frames and symbols belong to simulated.py.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.simulation import bars as b
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.actions import Dividend, Split
from smallcaps_assets.sandbox.simulation.companies import Listing
from smallcaps_assets.sandbox.simulation.plan import (
    WILD_SHARE,
    Actions,
    Calendar,
    Kind,
    active_sessions,
    choose_wild_days,
    make_plans,
)

MAXIMUM_TRADES = 125_000


@dataclass(frozen=True)
class Chain:
    """What one pass over a listing's sessions leaves: `first` is the index of its first.

    starts: price that each session starts from, in 1e-4 dollars. extras: vwap in 1e-4 dollars and
    off-exchange volume in 1e-6 shares.
    """

    first: int
    starts: np.ndarray
    bars: np.ndarray
    extras: np.ndarray


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

    def plans(self, listing: Listing) -> tuple[np.ndarray, np.ndarray]:
        return make_plans(
            self._config.seed,
            listing,
            self._calendar,
            self._actions[listing.number],
            self._wild_of.get(listing.number, {}),
            self._config.kind == "placebo",
            self._config.trades_scale,
        )

    def _paper(self) -> np.ndarray:
        """This thread's room for one tape."""
        tape = getattr(self._scratch, "tape", None)
        if tape is None:
            width = int(MAXIMUM_TRADES * max(1.0, self._config.trades_scale))
            tape = self._scratch.tape = np.zeros((t.ROWS, width), dtype=np.int64)
        return tape

    def chain(self, listing: Listing) -> Chain:
        with self._locks[listing.number % len(self._locks)]:
            chain = self._chains.get(listing.number)
            if chain is None:
                chain = self._chains[listing.number] = self._run_chain(listing)
            return chain

    def _run_chain(self, listing: Listing) -> Chain:
        first, stop = active_sessions(listing, self._calendar)
        count = min(stop, self._count) - first
        chain = Chain(
            first, np.zeros(count, dtype=np.int64), b.empty_bars(count), np.zeros((count, 2))
        )
        plans, seeds = self.plans(listing)
        paper, price = self._paper(), round(listing.first_price * 10_000)
        for i, s in enumerate(range(first, first + count)):
            chain.starts[i] = price
            hours = self._calendar.hours[s]
            n, price = t.simulate_day(plans[s], hours, seeds[s], price, paper)
            chain.extras[i] = (
                b.day_bar(paper, n, chain.bars[i]),
                b.off_exchange_volume(paper, n, hours),
            )
        return chain

    def tape(self, listing: Listing, s: int) -> np.ndarray:
        """The tape of one ticker-session, int64[ROWS, n]."""
        return self._tapes.get((listing.number, s), lambda: self._print_tape(listing, s))

    def _print_tape(self, listing: Listing, s: int) -> np.ndarray:
        chain = self.chain(listing)
        plans, seeds = self.plans(listing)
        paper = self._paper()
        start = int(chain.starts[s - chain.first])
        count, _ = t.simulate_day(plans[s], self._calendar.hours[s], seeds[s], start, paper)
        return paper[:, :count].copy()
