"""Cash and shares of the session's fills by symbol: profit, losing trips, day trades.

What was held before the session is no part of it: only what was traded in it counts.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from smallcaps_assets.desk.events import Fill, Quoted

ZERO = Decimal(0)


class Ledger:
    """Fills added one by one. `net` are shares by symbol, `trips` the profit of each way back to
    no shares, `day_trades` how often opening turned into closing, as FINRA counts them."""

    def __init__(self) -> None:
        self.net: Counter[str] = Counter()
        self.trips: dict[str, list[Decimal]] = {}
        self.day_trades = 0
        self._cash: dict[str, Decimal] = {}
        self._base: dict[str, Decimal] = {}
        self._last: dict[str, Decimal] = {}
        self._has_opened: dict[str, bool] = {}

    def add(self, fill: Fill) -> None:
        """One execution, in the order in which they are heard."""
        symbol, before = fill.symbol, self.net[fill.symbol]
        self.net[symbol] = after = before + fill.signed
        cash = self._cash.get(symbol, ZERO) - fill.signed * fill.price - (fill.fee or ZERO)
        self._cash[symbol], self._last[symbol] = cash, fill.price
        is_closing = before * fill.signed < 0
        self.day_trades += is_closing and self._has_opened.get(symbol, False)
        self._has_opened[symbol] = not is_closing
        if is_closing and after * before <= 0:  # flat, or beyond
            value = cash + after * fill.price
            self.trips.setdefault(symbol, []).append(value - self._base.get(symbol, ZERO))
            self._base[symbol] = value

    def profit(self, symbol: str, quote: Quoted | None = None) -> Decimal:
        """What the session's trades in a symbol have made in USD, open shares at the side of the
        quote that closes them, else at the last price paid."""
        net = self.net[symbol]
        mark = (quote.bid if net > 0 else quote.ask) if quote is not None else ZERO
        return self._cash.get(symbol, ZERO) + net * (mark or self._last.get(symbol, ZERO))

    def losing_trips(self, symbol: str) -> int:
        """How many of the last trips in a row have lost."""
        count = 0
        for profit in reversed(self.trips.get(symbol, [])):
            if profit >= 0:
                break
            count += 1
        return count

    @property
    def symbols(self) -> list[str]:
        """Those that were traded."""
        return list(self._cash)
