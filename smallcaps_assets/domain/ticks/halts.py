"""Trading halts of one ticker-session: where they come from and how ticks are cut by them.

Sources, in this order: the halts feed, the market-wide halts of March 2020, re-opening prints, and
inference from silence; `ticks.halt_sources` names those allowed. Bars are cut elsewhere; here are
only the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import frame_of, integers
from smallcaps_assets.domain.guards import read_only
from smallcaps_assets.domain.market.calendar import SessionHours, new_york_ns
from smallcaps_assets.kernels.ticks import long_silences
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import TickSettings

HALT_COLUMNS = {
    "halt_start": INSTANT,
    "halt_end": INSTANT,
    "known_at": INSTANT,
    "halt_source": pl.String(),
}
# Level 1 market-wide circuit breakers; source: the exchanges' notices of those days.
MARKET_WIDE = {
    date(2020, 3, 9): (time(9, 34, 13), time(9, 49, 13)),
    date(2020, 3, 12): (time(9, 35, 44), time(9, 50, 44)),
    date(2020, 3, 16): (time(9, 30, 1), time(9, 45, 1)),
    date(2020, 3, 18): (time(12, 56, 17), time(13, 11, 17)),
}
SECOND = 1_000_000_000
# When a halt ends that has no end in its session.
NEVER = np.iinfo(np.int64).max
PRIOR_WINDOW = 300 * SECOND


class HaltError(ValueError):
    """A halts frame that can't be used."""


@dataclass(frozen=True)
class Halt:
    """One halt in UTC nanoseconds; `end` is None when trading did not resume in the session."""

    start: int
    end: int | None
    known_at: int
    source: str

    def overlaps(self, other: Halt) -> bool:
        """Whether both cover some instant."""
        after_other = other.end is not None and self.start > other.end
        before_other = self.end is not None and other.start > self.end
        return not (after_other or before_other)


def find_halts(
    times: np.ndarray,
    is_reopening: np.ndarray,
    session_end: int,
    hours: SessionHours,
    settings: TickSettings,
    feed: pl.DataFrame | None,
) -> pl.DataFrame:
    """Halts of a session in order of their start, columns HALT_COLUMNS.

    `times` are the sorted tick times (int64 ns), `is_reopening` marks re-opening prints. A feed
    that is given speaks for the whole day, even if it is empty; None means that there is none.
    """
    allowed, told = settings.halt_sources, feed_halts(feed, session_end, settings)
    found = (told or []) + (_market_wide(hours) if "market_wide" in allowed else [])
    if told is None:
        silent = _silences(times, session_end, settings) if "inferred" in allowed else []
        if "reopening" in allowed:
            found = _add(found, _reopenings(times, is_reopening, silent))
        found = _add(found, silent)
    found = [h for h in _distinct(found) if h.start <= session_end]
    found.sort(key=lambda h: h.start)
    columns = {
        "halt_start": pl.Series([h.start for h in found], dtype=pl.Int64),
        "halt_end": pl.Series([h.end for h in found], dtype=pl.Int64),
        "known_at": pl.Series([h.known_at for h in found], dtype=pl.Int64),
        "halt_source": pl.Series([h.source for h in found], dtype=pl.String),
    }
    return frame_of(columns, HALT_COLUMNS)


def blocks_of(times: np.ndarray, halts: pl.DataFrame) -> np.ndarray:
    """For each tick the number of halts that have ended by then; int32."""
    ends = np.sort(integers(halts["halt_end"].drop_nulls()))
    first = np.append(np.searchsorted(times, ends, "left"), times.size)
    return np.repeat(np.arange(first.size, dtype=np.int32), np.diff(first, prepend=0))


def session_end_of(hours: SessionHours, settings: TickSettings) -> int:
    """When the session's tape ends, in UTC nanoseconds."""
    return hours.postmarket_close if settings.after_hours else hours.close


def feed_halts(
    feed: pl.DataFrame | None, session_end: int, settings: TickSettings
) -> list[Halt] | None:
    """What the feed says of a session's tape; None when there is none, or it is not allowed.

    A halt that ends on a later day or after the session has no end in it; those that begin after it
    are left out. Raises HaltError.
    """
    if feed is None or "feed" not in settings.halt_sources:
        return None
    if feed.is_empty():
        return []
    missing = [n for n in ("halt_start", "halt_end") if n not in feed.columns]
    if missing:
        raise HaltError(f"halts have no column {missing[0]!r}; expected {', '.join(HALT_COLUMNS)}")
    starts, ends = (feed[n].cast(INSTANT).to_physical() for n in ("halt_start", "halt_end"))
    wrong = feed.filter(starts.is_null() | (ends < starts).fill_null(False))
    if wrong.height:
        start, end = wrong.select("halt_start", "halt_end").row(0)
        raise HaltError(
            f"a halt has no start or ends before it, {start} to {end}; drop or mend that row"
        )
    inside = [e if e is not None and e <= session_end else None for e in ends]
    return [Halt(s, e, s, "feed") for s, e in zip(starts, inside, strict=True) if s <= session_end]


def _market_wide(hours: SessionHours) -> list[Halt]:
    clocks = MARKET_WIDE.get(hours.date)
    if clocks is None:
        return []
    start, end = (new_york_ns(hours.date, clock) for clock in clocks)
    return [Halt(start, end, start, "market_wide")]


def _silences(times: np.ndarray, session_end: int, settings: TickSettings) -> list[Halt]:
    """Silent for long after a busy time; the last one may run into the session's end."""
    wait = int(settings.halt_silence_seconds * SECOND)
    inside = times[: np.searchsorted(times, session_end, "right")]
    if inside.size == 0:
        return []
    places = long_silences(read_only(inside), wait)
    places = places[inside[places] + wait <= session_end]
    prior = places + 1 - np.searchsorted(inside, inside[places] - PRIOR_WINDOW, "left")
    return [
        Halt(
            int(inside[i]),
            int(inside[i + 1]) if i + 1 < inside.size else None,
            int(inside[i]) + wait,
            "inferred",
        )
        for i in places[prior >= settings.halt_prior_prints]
    ]


def _reopenings(times: np.ndarray, is_reopening: np.ndarray, silent: list[Halt]) -> list[Halt]:
    """One halt per burst of re-opening prints, from the tick before; every venue prints its own."""
    places = np.flatnonzero(is_reopening)
    places = places[places > 0]
    first = np.ones(places.size, bool)
    first[1:] = np.diff(times[places]) > PRIOR_WINDOW
    known = {h.end: h.known_at for h in silent}
    return [
        Halt(int(times[i - 1]), int(times[i]), known.get(int(times[i]), int(times[i])), "reopening")
        for i in places[first]
    ]


def _add(found: list[Halt], weaker: list[Halt]) -> list[Halt]:
    """Halts of a weaker source where no stronger one overlaps."""
    return found + [h for h in weaker if not any(h.overlaps(other) for other in found)]


def _distinct(halts: list[Halt]) -> list[Halt]:
    """Overlapping halts of one source once: the market-wide one is in the feed as well."""
    kept: list[Halt] = []
    for halt in halts:
        if halt.source != "market_wide" or not any(halt.overlaps(other) for other in kept):
            kept.append(halt)
    return kept
