"""Whether the trades of a ticker-session are those of its day: shares and dollars beside the bar's.

All trades count, also those that no bar of ours holds: late, after hours, without a say in the
price. What the vendor's day holds and a tape lacks (odd lots before December 2013, corrections) is
a few percent. Half a day or less is no difference of definition: trades are missing.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

MIN_TRADED_SHARE = 0.5
SUMMARY_COLUMNS: tuple[str, ...] = ("ticker", "volume", "dollar_volume", "dollar_volume_source")
COARSE = "daily_typical"
"""Dollars at the middle of a day's range, which may be far from what was paid."""


class Totals(NamedTuple):
    """Shares and US dollars; None: the dollars are not known well enough to compare with."""

    shares: float
    dollars: float | None


def trade_totals(trades: pl.DataFrame) -> Totals:
    """The sums of a tape, from its prices and sizes."""
    return Totals(float(trades["size"].sum()), float((trades["size"] * trades["price"]).sum()))


def day_totals(summary: pl.DataFrame) -> dict[str, Totals]:
    """The daily figures of a session by ticker, from SUMMARY_COLUMNS of its session_summary."""
    return {
        ticker: Totals(shares, None if source == COARSE else dollars)
        for ticker, shares, dollars, source in summary.select(SUMMARY_COLUMNS).iter_rows()
    }


def traded_share(tape: Totals, day: Totals) -> float:
    """The share of the day that a tape holds, of its shares or of its dollars: the smaller one."""
    pairs = [(tape.shares, day.shares), (tape.dollars, day.dollars)]
    shares = [part / whole for part, whole in pairs if part is not None and whole]
    return min(shares, default=1.0)


def is_short(tape: Totals, day: Totals) -> bool:
    """Whether a tape holds so little of its day that trades must be missing."""
    return traded_share(tape, day) < MIN_TRADED_SHARE
