"""What was selected and is not in the dataset as it should be: looked up in the lake as it is now.

Two kinds: ticker-sessions without trades, or with far too few for their day, and weighted events of
sessions that no period covers. Neither fails anything, so every report tells of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby

from smallcaps_assets.domain.quality.checks import trades_reconcile
from smallcaps_assets.domain.quality.tape_totals import (
    SUMMARY_COLUMNS,
    Totals,
    day_totals,
    is_short,
    trade_totals,
)
from smallcaps_assets.lake import Lake, split_ticker_session
from smallcaps_assets.lake.still import StillLake
from smallcaps_assets.pipeline.registered import registry_rows
from smallcaps_assets.settings import Period

_BARS = "dollar_imbalance_bars"
_SHOWN = 5


@dataclass(frozen=True)
class Losses:
    """Of the qualified ticker-sessions of a range of days: which are lost, or may be.

    `selected` counts those with stored trades, `short` says of keys why their trades are not their
    day's, `outside` gives the rows of sample_weights of keys that lie in no period. `no_universe`
    has the sessions whose universe holds no company.
    """

    selected: int
    short: dict[str, str]
    outside: dict[str, int]
    no_universe: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What a user is told, in a line each."""
        return [
            *([self._universe_line()] if self.no_universe else []),
            *([self._short_line()] if self.short else []),
            *([self._outside_line()] if self.outside else []),
        ]

    def _universe_line(self) -> str:
        days = self.no_universe
        return (
            f"the universe of {len(days):,} sessions, {days[0]} to {days[-1]}, holds no company;"
            " look at universe.types, universe.exchanges and universe.max_market_cap"
        )

    def _short_line(self) -> str:
        return (
            f"{len(self.short):,} of {self.selected:,} selected ticker-sessions have no trades or"
            f" far too few: {_first(self.short.items())}; ask again with `smallcaps backfill"
            " tick_chain --keys`"
        )

    def _outside_line(self) -> str:
        days = sorted({split_ticker_session(key)[1] for key in self.outside})
        return (
            f"{sum(self.outside.values()):,} weighted events of {len(self.outside):,}"
            f" ticker-sessions, {days[0]} to {days[-1]}, lie in no period and so in no dataset;"
            " widen a period of dataset.periods, or add one"
        )


def losses(lake: Lake, periods: Sequence[Period], start: date, end: date) -> Losses:
    """The losses of the sessions of a date range."""
    lake = lake if isinstance(lake, StillLake) else StillLake(lake)
    keys = qualified_keys(lake, start, end)
    stored = [key for key in keys if lake.exists("trades", key)]
    days = [key for key in lake.keys("universe") if str(start) <= key <= str(end)]
    rows = lake.each(lambda key: lake.rows("universe", key), days)
    return Losses(
        len(stored),
        short_tapes(lake, stored),
        outside_periods(lake, periods, keys),
        tuple(key for key, count in zip(days, rows, strict=True) if not count),
    )


def qualified_keys(lake: Lake, start: date, end: date) -> list[str]:
    """Keys of the registry's qualified ticker-sessions of a date range, in order."""
    rows = registry_rows(lake).items()
    return sorted(k for k, row in rows if row["is_qualified"] and start <= row["date"] <= end)


def outside_periods(lake: Lake, periods: Sequence[Period], keys: Iterable[str]) -> dict[str, int]:
    """Rows of sample_weights of those ticker-sessions that no period covers."""
    outside = (k for k in keys if not any(p.covers(split_ticker_session(k)[1]) for p in periods))
    stored = (k for k in outside if lake.exists("sample_weights", k))
    return {k: rows for k in stored if (rows := lake.rows("sample_weights", k))}


def short_tapes(lake: Lake, keys: Iterable[str]) -> dict[str, str]:
    """Those stored tapes that hold no trades or far too few of their day, and what they hold."""
    found = {}
    for day, group in groupby(sorted(keys, key=_day_first), key=lambda key: _day_first(key)[0]):
        known, of_day = stored_day(lake, day), list(group)
        shortage = partial(_shortage_of, lake, known)
        told = zip(of_day, lake.each(shortage, of_day), strict=True)
        found |= {key: text for key, text in told if text}
    return found


def stored_day(lake: Lake, day: date) -> dict[str, Totals]:
    """Shares and dollars of a session by ticker; none when its summary is not stored."""
    columns = list(SUMMARY_COLUMNS)
    return day_totals(lake.read_many("session_summary", [day.isoformat()], columns))


def _shortage_of(lake: Lake, known: Mapping[str, Totals], key: str) -> str:
    return _shortage(lake, key, known.get(split_ticker_session(key)[0]))


def _shortage(lake: Lake, key: str, day: Totals | None) -> str:
    """What is wrong with a tape; empty when nothing is. Bars that are enough save reading it."""
    if day is not None and lake.rows("trades", key) and not is_short(_bar_totals(lake, key), day):
        return ""
    trades = lake.read("trades", key, ["price", "size"])
    finding = trades_reconcile(trade_totals(trades), day)
    return "" if finding.is_good else finding.found


def _bar_totals(lake: Lake, key: str) -> Totals:
    """Sums of the bars, which hold a part of the trades at most."""
    bars = lake.read_many(_BARS, [key], ["volume", "dollar_volume"])
    return Totals(float(bars["volume"].sum()), float(bars["dollar_volume"].sum()))


def _day_first(key: str) -> tuple[date, str]:
    ticker, day = split_ticker_session(key)
    return day, ticker


def _first(found: Iterable[tuple[str, str]]) -> str:
    told = [f"{key} ({text})" for key, text in found]
    more = len(told) - _SHOWN
    return ", ".join(told[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
