"""One candidate traded in a size: its cash, costs and profit, from the fills that are known of it.

A candidate is a row of `backtest_candidates`, whose lists of fills a trade takes the first of.
Cash is conserved: gross profit at the mids, less the spread and all fees, is the net profit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from smallcaps_assets.domain.execution.fees import borrow_fee, fees
from smallcaps_assets.domain.execution.fills import MARK_SECONDS, first_shares
from smallcaps_assets.schemas.backtest_columns import FEES
from smallcaps_assets.settings import TradingRules

STEP = MARK_SECONDS * 1_000_000_000
TAKE_PROFIT, TRAPPED, FLATTENED = "take_profit", "trapped", "flattened"


@dataclass(frozen=True)
class Leg:
    """Executions of one side: times, shares, prices, mids, and why each."""

    times: tuple[int, ...]
    shares: tuple[int, ...]
    prices: tuple[float, ...]
    mids: tuple[float, ...]
    reasons: tuple[str, ...] = ()

    @cached_property
    def total(self) -> int:
        """Shares."""
        return sum(self.shares)

    @cached_property
    def value(self) -> float:
        """USD at the prices."""
        return sum(n * p for n, p in zip(self.shares, self.prices, strict=True))

    @cached_property
    def mid_value(self) -> float:
        """USD at the mids."""
        return sum(n * m for n, m in zip(self.shares, self.mids, strict=True))

    def until(self, time: int) -> Leg:
        """The executions up to a time, that included."""
        count = bisect_right(self.times, time)
        return self.chosen(range(count))

    def chosen(self, places: Sequence[int]) -> Leg:
        """Some of the executions, in order."""
        return Leg(
            tuple(self.times[k] for k in places),
            tuple(self.shares[k] for k in places),
            tuple(self.prices[k] for k in places),
            tuple(self.mids[k] for k in places),
            tuple(self.reasons[k] for k in places if self.reasons),
        )

    def then(self, time: int, shares: int, price: float, mid: float, reason: str) -> Leg:
        """With one more."""
        return Leg(
            (*self.times, time), (*self.shares, shares), (*self.prices, price),
            (*self.mids, mid), (*self.reasons, reason),
        )  # fmt: skip


@dataclass(frozen=True)
class Trade:
    """A candidate in a size, entered and closed. Instants are int64 UTC nanoseconds."""

    row: Mapping[str, Any]
    shares: int
    entry: Leg
    exit: Leg
    place: int
    rules: TradingRules
    exit_day: date

    @property
    def side(self) -> int:
        """1 long, -1 short."""
        return self.row["side"]

    @property
    def gross(self) -> float:
        """Profit at the mids in USD."""
        return self.side * (self.exit.mid_value - self.entry.mid_value)

    @property
    def spread_cost(self) -> float:
        """What entry and exit paid beside the mids, in USD."""
        entered = self.side * (self.entry.value - self.entry.mid_value)
        return entered + self.side * (self.exit.mid_value - self.exit.value)

    @cached_property
    def costs(self) -> dict[str, float]:
        """Fees by kind in USD."""
        found: dict[str, float] = dict.fromkeys(FEES, 0.0)
        is_adding = self.rules.entry == "passive"
        self._charge(found, self.row["date"], self.side, self.entry, is_adding)
        for is_adding in (False, True):
            part = self._exits(is_adding)
            self._charge(found, self.exit_day, -self.side, part, is_adding)
        is_short = self.side < 0
        nights = max((self.exit_day - self.row["date"]).days, 0)
        found["locate"] = self.rules.locate * self.shares if is_short else 0.0
        price = self.entry.value / self.shares
        rate = self.rules.borrow_rate if is_short else 0.0
        found["borrow"] = borrow_fee(self.shares, price, nights, rate)
        return found

    def _exits(self, is_adding: bool) -> Leg:
        reasons = enumerate(self.exit.reasons)
        return self.exit.chosen([k for k, why in reasons if (why == TAKE_PROFIT) == is_adding])

    def _charge(
        self, found: dict[str, float], day: date, side: int, leg: Leg, is_adding: bool
    ) -> None:
        """Add the fees of some executions; nothing is charged for shares that are worth nothing."""
        if not leg.total or not leg.value:
            return
        given = (day, side, leg.total, leg.value / leg.total, self.rules.ecn, is_adding)
        told = fees(*given, self.rules.commission)
        found["fee_sec"] += told.sec
        found["fee_taf"] += told.taf
        found["fee_ecn"] += told.ecn
        found["commission"] += told.commission

    @property
    def net(self) -> float:
        """Profit after all costs in USD."""
        return self.gross - self.spread_cost - sum(self.costs.values())

    def marks(self) -> tuple[list[int], list[float]]:
        """Times, and what closing then would bring in USD, before the fees of that."""
        first, found = self.row["marks_from"], self.row["marks"]
        times, values, last = [], [], self.exit.times[-1]
        rest, cash, k = self.shares, -self.side * self.entry.value, 0
        for n, price in enumerate(found):
            time = first + n * STEP
            if time >= last:
                break
            while k < len(self.exit.times) and self.exit.times[k] <= time:
                cash += self.side * self.exit.shares[k] * self.exit.prices[k]
                rest -= self.exit.shares[k]
                k += 1
            if price is not None and time >= self.entry.times[-1]:
                times.append(time)
                values.append(cash + self.side * rest * price)
        return times, values

    def flattened(self, time: int) -> Trade:
        """Closed at the mark in force at a time, what was sold by then aside.

        Its mid is as far from the mark as that of the entry's quote was from its price.
        """
        done, since = self.exit.until(time), self.row["marks_from"]
        count = 0 if since is None else max((time - since) // STEP + 1, 0)
        marks = [mark for mark in self.row["marks"][:count] if mark is not None]
        mark = marks[-1] if marks else self.entry.prices[-1]
        mid = mark + self.side * abs(self.row["price"] - self.row["mid"])
        rest = self.shares - done.total
        exit = done.then(time, rest, mark, mid, FLATTENED) if rest else done
        return Trade(
            self.row, self.shares, self.entry, exit, self.place, self.rules, self.row["date"]
        )

    def told(self) -> dict[str, Any]:
        """The columns of `backtest_trades` that follow from it."""
        n, entry, exit = self.shares, self.entry, self.exit
        average, costs = entry.value / n, self.costs
        lows, highs = self.row["lows"][self.place], self.row["highs"][self.place]
        low = min(p for p in (lows, *exit.prices) if p is not None)
        high = max(p for p in (highs, *exit.prices) if p is not None)
        down, up = max(1 - low / average, 0.0), max(high / average - 1, 0.0)
        volume = self.row["trailing_volume"]
        return {
            "shares": n,
            "entry_time": entry.times[-1],
            "entry_price": average,
            "entry_mid": entry.mid_value / n,
            "exit_time": exit.times[-1],
            "exit_price": exit.value / n,
            "exit_mid": exit.mid_value / n,
            "exit_reason": exit.reasons[-1],
            "spread_cost": self.spread_cost,
            **costs,
            "slippage": self.spread_cost / (entry.mid_value + exit.mid_value),
            "gross_profit": self.gross,
            "net_profit": self.net,
            "max_adverse": down if self.side > 0 else up,
            "max_favourable": up if self.side > 0 else down,
            "participation": n / volume if volume else 0.0,
            "has_halt": self.row["are_halted"][self.place],
        }


def trade_of(row: Mapping[str, Any], shares: int, rules: TradingRules) -> Trade:
    """A candidate in a size of at most its `most_shares`, at least 1.

    What its own session did not close is closed later, at `late_price`: for None a long is worth
    nothing, and a short costs the higher of its last mark and twice its entry.
    """
    entry = _leg(row, "entry", slice(None), shares)
    place = bisect_left(row["sizes"], shares)
    first = sum(row["exit_counts"][:place])
    exit = _leg(row, "exit", slice(first, first + row["exit_counts"][place]), shares)
    left, day = shares - exit.total, row["date"]
    if left:
        price = row["late_price"]
        if price is None:
            marks = [mark for mark in row["marks"] if mark is not None]
            dear = max([2 * entry.value / shares, *marks[-1:]])
            price = 0.0 if row["side"] > 0 else dear
        exit = exit.then(row["late_exit"], left, price, price, TRAPPED)
        day = row["late_date"]
    return Trade(row, shares, entry, exit, place, rules, day)


def _leg(row: Mapping[str, Any], name: str, part: slice, shares: int) -> Leg:
    taken = first_shares(row[f"{name}_shares"][part], shares)
    times, prices, mids = (
        tuple(row[f"{name}_{what}"][part][: len(taken)]) for what in ("times", "prices", "mids")
    )
    reasons: Sequence[str] = row["exit_reasons"][part][: len(taken)] if name == "exit" else ()
    return Leg(times, tuple(taken), prices, mids, tuple(reasons))
