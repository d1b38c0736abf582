"""Returns of the mid after each event: what the sign of a price change is judged by.

A return from print to print carries the bounce between bid and ask; one from mid to mid does not.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.quote_features import Quotes
from smallcaps_assets.domain.columns import integers
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import LabelSettings

_MINUTE = 60_000_000_000
MINUTES = (5, 15)


def forward_mids(labels: pl.DataFrame, quotes: Quotes, settings: LabelSettings) -> pl.DataFrame:
    """The table `forward_mids` of one ticker-session: a row per row of triple_barrier_labels.

    From the first clean mid at or after t0 plus the entry delay to the last clean mid at or before
    t0 plus 5, and 15, minutes. Null where there is none of either, or the first comes after the
    last.
    """
    t0 = integers(labels["t0"])
    is_clean = clean(quotes)
    times, mids = quotes.times[is_clean], ((quotes.bids + quotes.asks) / 2)[is_clean]
    entry, first = _entries(
        times, mids, quotes.times, is_clean, t0 + round(settings.entry_delay_seconds * 1e9)
    )
    columns = {
        f"forward_mid_return_{minutes}m": _returns(
            times, mids, entry, first, t0 + minutes * _MINUTE
        )
        for minutes in MINUTES
    }
    found = labels.select("ticker", "date", "bar_id", "t0").with_columns(
        pl.Series(name, values, nan_to_null=True) for name, values in columns.items()
    )
    return TABLES["forward_mids"].conform(found)


def clean(quotes: Quotes) -> np.ndarray:
    """Whether each quote has two sides with sizes, not crossed."""
    _, bid, bid_size, ask, ask_size = quotes.arrays
    return (bid > 0) & (bid_size > 0) & (ask >= bid) & (ask_size > 0)


def _entries(
    times: np.ndarray,
    mids: np.ndarray,
    all_times: np.ndarray,
    is_clean: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The first clean mid at or after each instant, and when it is seen; NaN for none.

    It is the one in force, where the quote in force is clean.
    """
    counts = np.append(0, np.cumsum(is_clean))
    passed = np.searchsorted(all_times, wanted, "right")
    is_in_force = np.append(False, is_clean)[passed]
    places = counts[passed] - is_in_force
    known = places < times.size
    entry, seen = np.full(wanted.size, np.nan), np.full(wanted.size, np.iinfo(np.int64).max)
    entry[known] = mids[places[known]]
    seen[known] = np.maximum(times[places[known]], wanted[known])
    return entry, seen


def _returns(
    times: np.ndarray, mids: np.ndarray, entry: np.ndarray, seen: np.ndarray, until: np.ndarray
) -> np.ndarray:
    places = np.searchsorted(times, until, "right") - 1
    known = (places >= 0) & (seen <= until)
    found = np.full(entry.size, np.nan)
    found[known] = mids[places[known]] / entry[known] - 1
    return found
