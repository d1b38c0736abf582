"""The stored halt feed as the tape needs it: one ticker-session's halts, or that there is no feed.

A session that the feed no longer reached is stored without rows and without a source: nothing is
known of its halts, which is not the same as that there were none. So it is for a ticker of which
the feed had a row that can't be; such rows are named in the source of the stored file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import polars as pl

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.file_cache import FileCache
from smallcaps_assets.settings import TickSettings

SOURCE = "nasdaqtrader.com tradehalts"
_WITHOUT, _BETWEEN = " without ", "; "


@dataclass(frozen=True)
class SessionFeed:
    """The rows of a session, and those that the feed had and nobody can use, as text."""

    rows: pl.DataFrame
    unusable: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """What the stored file says of where its rows came from."""
        return SOURCE + (_WITHOUT + _BETWEEN.join(self.unusable) if self.unusable else "")

    def of(self, ticker: str) -> pl.DataFrame | None:
        """One ticker's rows; None when a row of it is unusable."""
        if any(row.startswith(f"{ticker} ") for row in self.unusable):
            return None
        return self.rows.filter(pl.col("ticker") == ticker)


def session_halts(lake: Lake, day: date) -> SessionFeed | None:
    """The feed of a session; None when it is not stored or was out of reach."""
    return _FEEDS.get(lake, day.isoformat())


def halts_of(lake: Lake, ticker: str, day: date) -> pl.DataFrame | None:
    """One ticker's rows of the feed of a session; None when there is no feed for it."""
    found = session_halts(lake, day)
    return None if found is None else found.of(ticker)


def halts_digest(lake: Lake, ticker: str, day: date, settings: TickSettings) -> str:
    """A text that changes with what the feed says of a ticker-session's tape, and only with that.

    Not with halts after the session's end, nor with when one that outlasted it was over.
    """
    from smallcaps_assets.domain.ticks.halts import feed_halts, session_end_of  # loads the kernels

    end = session_end_of(session_hours(day), settings)
    found = feed_halts(halts_of(lake, ticker, day), end, settings)
    return "no halt feed" if found is None else _BETWEEN.join(f"{h.start} {h.end}" for h in found)


def unusable_rows(source: str) -> Iterable[str]:
    """The rows that a stored file's source says were left out."""
    return filter(None, source.partition(_WITHOUT)[2].split(_BETWEEN))


def _read(lake: Lake, key: str | None) -> SessionFeed | None:
    stamp = lake.stamp("halts", key)
    if stamp is None or not stamp.source:
        return None
    return SessionFeed(lake.read("halts", key), tuple(unusable_rows(stamp.source)))


_FEEDS = FileCache("halts", _read)
