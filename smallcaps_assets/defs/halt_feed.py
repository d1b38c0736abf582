"""The stored halt feed as the tape needs it: one ticker-session's halts, or that there is no feed.

A session that the feed no longer reached is stored without rows and without a source: nothing is
known of its halts, which is not the same as that there were none.
"""

from __future__ import annotations

import threading
from datetime import date

import polars as pl

from smallcaps_assets.lake import Lake

SOURCE = "nasdaqtrader.com tradehalts"
_HELD: dict[tuple[str, str], tuple[str, pl.DataFrame | None]] = {}
_MOST_HELD = 600
_LOCK = threading.Lock()


def session_halts(lake: Lake, day: date) -> pl.DataFrame | None:
    """The feed of a session; None when it is not stored or was out of reach.

    Read anew only when the file has changed.
    """
    with _LOCK:
        return _session_halts(lake, day)


def _session_halts(lake: Lake, day: date) -> pl.DataFrame | None:
    place, digest = (str(lake.root), day.isoformat()), lake.digest("halts", day.isoformat())
    held = _HELD.get(place)
    if held is None or held[0] != digest:
        while len(_HELD) >= _MOST_HELD:
            _HELD.pop(next(iter(_HELD)), None)
        held = _HELD[place] = (digest, _read(lake, day.isoformat()))
    return held[1]


def halts_of(lake: Lake, ticker: str, day: date) -> pl.DataFrame | None:
    """One ticker's rows of the feed of a session; None when there is no feed for it."""
    found = session_halts(lake, day)
    return None if found is None else found.filter(pl.col("ticker") == ticker)


def halts_digest(lake: Lake, ticker: str, day: date) -> str:
    """A text that changes with what the feed says of a ticker-session."""
    found = halts_of(lake, ticker, day)
    if found is None:
        return "no halt feed"
    return "; ".join(f"{a} {b}" for a, b in found.select("halt_start", "halt_end").iter_rows())


def _read(lake: Lake, key: str) -> pl.DataFrame | None:
    stamp = lake.stamp("halts", key)
    return None if stamp is None or not stamp.source else lake.read("halts", key)
