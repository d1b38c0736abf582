"""The table `pattern_events`: when each pattern of a ticker-session was known, and what was so far.

What a pattern is stands in `kernels.patterns`; what became of an event is in `labels.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.columns import floats, frame_of, integers, where_known
from smallcaps_assets.domain.guards import grown, read_only
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.market.metrics import RELATIVE_TOLERANCE, SSR_DECLINE
from smallcaps_assets.domain.ticks.halts import NEVER
from smallcaps_assets.domain.ticks.tape import TickTape
from smallcaps_assets.kernels import patterns as kernel
from smallcaps_assets.kernels.minutes import MINUTE, MINUTES
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import PatternSettings

# Events that one call of the kernel writes at most.
ROWS = 256


class PatternPass:
    """A pass over a session's prints that finds its patterns, resumed as the tape grows.

    However the tape is cut into calls, the events are the same.
    """

    def __init__(
        self, hours: SessionHours, previous_close: float | None, settings: PatternSettings
    ) -> None:
        self.settings = _kernel_settings(hours, previous_close, settings)
        self.dropped = 0
        self.state, self.minutes = np.zeros(1, kernel.STATE), np.zeros(1, MINUTES)
        self.minutes["low_before"] = self.minutes["last_low"] = np.nan
        self.state["open_price"] = self.state["price"] = np.nan
        for name in ("regular_low", "premarket_low", "range_low", "newer_low", "calm_low"):
            self.state[name] = np.inf
        self.state["range_high"] = -np.inf
        self.state["may_rise"] = self.state["may_fall"] = 1
        self._lows, self._out = np.empty(0), np.empty(ROWS, kernel.EVENT)

    def follow(
        self, prints: tuple[np.ndarray, ...], halts: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Events of the prints not seen yet, as `kernel.EVENT`.

        `prints` are times, prices, sizes and whether each forms prices, of the tape from its start;
        `halts` as of `halt_arrays`.
        """
        self._lows = grown(self._lows, prints[0].size)
        given = [read_only(array) for array in (*prints, *halts)]
        given += [self.settings, self.state, self.minutes, self._lows, self._out]
        found = []
        while self.state["ticks"][0] < prints[0].size:
            if count := kernel.find_events(*given):
                found.append(self._out[:count].copy())
        return self._numbered(np.concatenate(found)) if found else self._out[:0]

    def reach(self, time: int) -> np.ndarray:
        """Events that are known once the clock is at `time`, with no print since the last one."""
        count = kernel.reach(self.settings, self.state, self.minutes, time, self._out)
        return self._numbered(self._out[:count].copy()) if count else self._out[:0]

    def bounds(self, time: int) -> kernel.Bounds:
        """Prints within these bounds before the end of the minute, after the last one, which was at
        a time, bring nothing: they may be followed later."""
        return kernel.bounds_at(self.settings, self.state, time)

    @property
    def taken(self) -> int:
        """How many of the prints, without those dropped, have been followed."""
        return int(self.state["ticks"][0])

    @property
    def minute_end(self) -> int:
        """When the open minute ends."""
        return int(self.minutes["end"][0])

    def _numbered(self, events: np.ndarray) -> np.ndarray:
        """Events with ticks counted from the tape's first."""
        if self.dropped:
            events["tick"] += self.dropped
        return events

    @property
    def needed(self) -> int:
        """The first print that is still looked at."""
        state = self.state[0]
        return int(state["ticks"] if state["is_leg"] else state["window"])

    def drop(self, prints: int) -> None:
        """So many of the first prints, at most `needed`, will not be given any more."""
        for name in ("ticks", "window", "older"):
            self.state[name] -= prints
        for name in ("tick", "last_tick"):
            self.minutes[name] -= prints
        kept = self._lows.size - prints
        self._lows[:kept] = self._lows[prints:].copy()
        self.dropped += prints


def _kernel_settings(
    hours: SessionHours, previous_close: float | None, settings: PatternSettings
) -> np.ndarray:
    chosen = np.zeros(1, kernel.SETTINGS)
    lengths = settings.opening_range_minutes
    values = {
        "open": hours.open,
        "close": hours.close,
        "previous_close": previous_close or np.nan,
        "ranges": len(lengths),
        "gap": settings.min_gap,
        "gap_window": settings.gap_minutes * MINUTE,
        "vwap_closes": settings.vwap_closes,
        "rise_window": settings.rise_minutes * MINUTE,
        "high_age": settings.high_minutes * MINUTE,
        "rise": settings.min_rise,
        "shallow": settings.min_retreat,
        "deep": settings.max_retreat,
        "slope_t": settings.min_slope_t,
        "parabolic_return": settings.min_parabolic_return,
    }
    for name, value in values.items():
        chosen[name] = value
    for k, minutes in enumerate(lengths):
        chosen["range_minutes"][0, k] = minutes
        chosen["range_ends"][0, k] = hours.open + minutes * MINUTE
    return chosen


def pattern_events(
    tape: TickTape,
    context: SessionContext,
    settings: PatternSettings,
    eligible_from: int | None = None,
    until: int | None = None,
) -> pl.DataFrame:
    """The table `pattern_events` of one ticker-session, in order of t0.

    `context` is what was known before 04:00; `eligible_from` (UTC ns) is when a rule had admitted
    the day, None: none did. `until` is the clock at which the tape ends, by default the scheduled
    close: minutes that end by then are over, though nothing may have printed since.
    """
    ticks = tape.ticks
    prints = (
        tape.times, floats(ticks["price"]), floats(ticks["size"]),
        ticks["is_price_forming"].to_numpy(),
    )  # fmt: skip
    search = PatternPass(tape.hours, context.previous_close, settings)
    last = search.follow(prints, halt_arrays(tape.halts))
    clock = search.reach(tape.hours.close if until is None else until)
    events = np.concatenate([last, clock])
    table = TABLES["pattern_events"]
    known = integers(tape.halts["known_at"])
    given = replace(context, ticker=tape.ticker, date=tape.date)
    columns = event_columns(events, given, tape.hours, known, eligible_from)
    return table.validate(frame_of(columns, table.columns))


def halt_arrays(halts: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends (int64 ns) of halts in order, those that overlap as one."""
    ordered = halts.sort("halt_start")
    starts: list[int] = []
    ends: list[int] = []
    pairs = zip(integers(ordered["halt_start"]), integers(ordered["halt_end"], NEVER), strict=True)
    for start, end in pairs:
        if ends and start < ends[-1]:
            ends[-1] = max(ends[-1], int(end))
        else:
            starts.append(int(start))
            ends.append(int(end))
    return np.array(starts, np.int64), np.array(ends, np.int64)


def event_columns(
    events: np.ndarray, context: SessionContext, hours: SessionHours, halts: np.ndarray,
    eligible_from: int | None, first: int = 0,
) -> dict[str, object]:  # fmt: skip
    """Columns of `pattern_events` of events as the pass gives them, numbered from `first` on.

    `halts` has when each was known.
    """
    times, count = np.ascontiguousarray(events["t0"]), events.size
    names = pl.Series(kernel.PATTERNS, dtype=pl.String)
    is_range = events["pattern"] == kernel.OPENING_RANGE
    mean, previous = context.mean_volume30 or np.nan, context.previous_close or np.nan
    threshold = (1 - SSR_DECLINE) * previous * (1 + RELATIVE_TOLERANCE)
    known = np.sort(halts)
    return {
        "ticker": pl.Series([context.ticker], dtype=pl.String).new_from_index(0, count),
        "date": context.date,
        "event_id": np.arange(first, first + count),
        "pattern": names.gather(events["pattern"]),
        "range_minutes": where_known(is_range, events["minutes"], pl.Int32()),
        "side": events["side"],
        "number": events["number"],
        "t0": times,
        "trigger_tick": events["tick"],
        "level": events["level"],
        "price": events["price"],
        "gap": pl.Series(events["open_price"] / previous - 1, nan_to_null=True),
        "relative_volume": pl.Series(events["volume"] / mean, nan_to_null=True),
        "minutes_from_open": (times - hours.open) / MINUTE,
        "halts_so_far": np.searchsorted(known, times, "right"),
        "is_ssr": (events["regular_low"] <= threshold) | context.is_ssr_carried,
        "eligible_from": eligible_from,
        "is_selection_known": times >= (NEVER if eligible_from is None else eligible_from),
    }
