"""What is known of each ticker as its session goes on, by the same steps as the tables of a lake.

    trade ─ counts? ─ tape ─┬─ bar ─ features, quote features ─┐
    quote ──────────────────│──────────────────────────────────┤  decisions: a bar that has
    halt  ─ block ──────────┴─ patterns ───────────────────────┘  closed, a pattern that is known

The steps are those of `kernels`, resumed print by print: for the same events in the same order a
decision has the same bits as its row of the table. Prints and quotes that no step looks back to
are dropped. Events come in the order of their arrival; a late print is volume and forms no price.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct

from smallcaps_assets.domain.bars.arrays import BarPass
from smallcaps_assets.domain.bars.build import activity_target
from smallcaps_assets.domain.bars.features import (
    DROPPED_BARS,
    FeaturePass,
    SessionContext,
    feature_row,
)
from smallcaps_assets.domain.bars.quote_features import QuotePass, Quotes, measure_row
from smallcaps_assets.domain.columns import frame_of, integers
from smallcaps_assets.domain.execution.fills import KINDS
from smallcaps_assets.domain.guards import read_only
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.patterns.events import PatternPass, event_columns, halt_arrays
from smallcaps_assets.domain.ticks import quotes as quote_rules
from smallcaps_assets.domain.ticks.conditions import AUCTION, Flag, condition_table
from smallcaps_assets.domain.ticks.halts import PRIOR_WINDOW, find_halts, session_end_of
from smallcaps_assets.domain.ticks.tape import OFF_EXCHANGE
from smallcaps_assets.kernels import bars as bar_kernel
from smallcaps_assets.kernels import ticks as kernel
from smallcaps_assets.kernels.minutes import MINUTE
from smallcaps_assets.kernels.patterns import Bounds
from smallcaps_assets.schemas.model_columns import BARS, PATTERNS
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import Settings

GRACE = 500_000_000
"""ns for which the end of a minute waits for its last prints, where none comes after it."""
PATIENCE = 60_000_000_000
"""ns: a print that is older than a quote of its ticker by more than this is late."""
_ROOM = 1024
_CLOSING, _REOPENING = int(Flag.CLOSING), int(Flag.REOPENING)
_FLOW_ONLY, _AUCTION = int(Flag.FLOW_ONLY), int(AUCTION)
_BITS = (np.uint16(Flag.UNKNOWN), np.uint16(Flag.FORM_T), np.uint16(Flag.CLOSING))
NOT_FIRM = frozenset(quote_rules.NOT_FIRM)
_EXCLUDING = np.uint16(Flag.UNKNOWN | Flag.EXCLUDED)
_FIGURES = [
    getattr(bar_kernel, name)
    for name in ("CLOSE", "HIGH", "LOW", "VOLUME", "BUY", "SELL", "THETA", "THRESHOLD")
]
Conditions = tuple[int, ...]
Key = tuple[str, str, str, int]


class Decision(Struct, frozen=True):
    """Something that may be traded: a bar that has closed, or a pattern, known at `t0`, UTC ns.

    `event_id` is that of its table, `price` the last one, `row` its columns of the tables
    `bar_features` and `quote_features`, or `pattern_events`; of a pattern `bar` is the last bar
    that had closed by then.
    """

    ticker: str
    day: date
    sample: str
    event_id: int
    t0: int
    price: float
    row: Mapping[str, Any]
    bar: Decision | None = None

    @property
    def key(self) -> Key:
        """What it is whichever way it was found: ticker, sample, bar or pattern, and t0 in ms."""
        what = "bar"
        if self.sample == PATTERNS:
            what = f"{self.row['pattern']} {self.row['range_minutes'] or self.row['number']}"
        return self.ticker, self.sample, what, self.t0 // 1_000_000


class SessionSoFar(Struct, frozen=True):
    """A ticker's session up to its last print: shares, USD, prices; NaN for what is not known.

    `change` is against the close before, `relative_volume` the volume against the usual whole day,
    `relative_volume_at_time` against what is usual by this minute.
    """

    time: int
    volume: float
    dollars: float
    last: float
    high: float
    low: float
    vwap: float
    change: float
    relative_volume: float
    relative_volume_at_time: float
    bars: int
    patterns: int
    is_halted: bool


class Columns:
    """Columns of one length that grow at their end and are cut at their front; what is given out
    is read-only."""

    def __init__(self, *kinds: Any) -> None:
        self._arrays = [np.empty(_ROOM, kind) for kind in kinds]
        self._views = [read_only(array) for array in self._arrays]
        self.size = 0

    @property
    def is_full(self) -> bool:
        return self.size == self._arrays[0].shape[0]

    def append(self, *values: Any) -> None:
        """Add a row; there must be room."""
        place = self.size
        for array, value in zip(self._arrays, values, strict=True):
            array[place] = value
        self.size = place + 1

    def upto(self, end: int) -> list[np.ndarray]:
        """The first so many rows."""
        return [view[:end] for view in self._views]

    def after(self, start: int) -> list[np.ndarray]:
        """The rows from a place on."""
        return [view[start : self.size] for view in self._views]

    def lower(self, column: int, by: int) -> None:
        """Subtract from a column of places."""
        self._arrays[column][: self.size] -= by

    def drop(self, count: int) -> None:
        """Cut so many rows off the front; afterwards a quarter of the room is free at least."""
        left = self.size - count
        for k, array in enumerate(self._arrays):
            room = array.shape[0] * (2 if 4 * left > 3 * array.shape[0] else 1)
            moved = np.empty((room, *array.shape[1:]), array.dtype)
            moved[:left] = array[count : self.size]
            self._arrays[k], self._views[k] = moved, read_only(moved)
        self.size = left


class Classes:
    """What a trade's conditions say on a day: flags, and the id that excludes it; each looked up
    once."""

    def __init__(self, table: np.ndarray) -> None:
        self._table = table
        self._known: dict[tuple[Conditions, int], tuple[int, int]] = {}

    def of(self, conditions: Conditions, tape: int) -> tuple[int, int]:
        """Flags, and the deciding id or -1."""
        found = self._known.get((conditions, tape))
        if found is None:
            ids = np.array(conditions, np.int16)
            offsets, tapes = np.array([0, ids.size], np.int64), np.array([tape], np.int16)
            unknown = np.uint16(Flag.UNKNOWN)
            given: list[Any] = [read_only(array) for array in (ids, offsets, tapes)]
            given += [self._table, unknown, _EXCLUDING]
            flags, decisive = kernel.combine_flags(*given)
            found = self._known[conditions, tape] = int(flags[0]), int(decisive[0])
        return found


class TickerScan:
    """One ticker's session, event by event; times are UTC ns.

    `curve` is as of `volume_curve`. `has_feed` says that halts are told by the feed, and none is
    inferred from silence. `counts` has what was late, left out or unusable.
    """

    def __init__(
        self, context: SessionContext, hours: SessionHours, settings: Settings,
        curve: np.ndarray | None = None, has_feed: bool = True, room: bar_kernel.Rows | None = None,
        eligible_from: int | None = None,
    ) -> None:  # fmt: skip
        self.context, self.hours, self.curve = context, hours, curve
        self.eligible_from, self.has_feed = eligible_from, has_feed
        self.counts: Counter[str] = Counter()
        target = activity_target(context.median_dollar_volume20, settings.bars)
        self._bars = BarPass(target, settings.bars, room)
        self._features = FeaturePass(context, hours)
        self._quoted = QuotePass(hours)
        self._patterns = PatternPass(hours, context.previous_close, settings.patterns)
        self._settings = settings.ticks
        self._classes = Classes(condition_table(hours.date).flags)
        self._end = session_end_of(hours, settings.ticks)
        closing = hours.close + int(settings.ticks.closing_print_minutes * 60e9)
        self._span = (hours.premarket_open, hours.open, hours.close, self._end, closing)
        self._silence = int(settings.ticks.halt_silence_seconds * 1e9)
        flags = [np.bool_] * 5
        self._prints = Columns(np.int64, np.float64, np.float64, *flags)
        self._quotes = Columns(np.int64, *[np.float64] * 4)
        self._path = Columns(np.int64, np.dtype((np.float64, (len(_FIGURES) + 1,))))
        self._dropped = self._dropped_bars = self._events = 0
        self._feed: dict[int, int | None] = {}
        self._find_halts()
        self._last_bars: tuple[Decision | None, Decision | None] = (None, None)
        # What is watched of each print, so that the kernels run only where something comes of it.
        self._sign = self._cut = self._block = self._minute_end = 0
        self._theta, self._before = 0.0, math.nan
        self._threshold = self._bars.state.threshold
        self.kind = 0  # of the last print, as of KINDS; 0: it does not count
        self.newest = self.quoted_at = self._decided_at = 0
        self.volume = self.dollars = self.high = 0.0
        self.low, self.last = math.inf, math.nan

    # Events

    def trade(
        self, time: int, price: float, size: float, exchange: int = 0,
        conditions: Conditions = (), tape: int = 0, correction: int = 0,
    ) -> list[Decision]:  # fmt: skip
        """A print; what is known with it."""
        flags, decisive = self._classes.of(conditions, tape)
        self.kind = 0
        if not self._is_counted(time, price, size, correction, flags, decisive):
            self.counts["left out"] += 1
            return []
        earliest = max(self.newest, self.quoted_at - PATIENCE)
        is_late = time < earliest
        if is_late:
            self.counts["late"] += 1
            time = earliest
        is_silent = 0 < self.newest <= time - self._silence
        self.newest = time
        is_forming = not is_late and not flags & _FLOW_ONLY
        self.kind = (
            KINDS["auction" if flags & _AUCTION else "price"] if is_forming else KINDS["flow"]
        )
        self._add(time, price, size, exchange, flags, is_forming)
        if not self.has_feed and (is_silent or flags & _REOPENING):
            self._find_halts()
        found = self._closed() if self._is_bar_due(time, price, size, flags) else []
        if self._is_pattern_due(time, price, is_forming):
            found += self._seen()
        return found

    def _is_counted(
        self, time: int, price: float, size: float, correction: int, flags: int, decisive: int
    ) -> bool:
        """Whether a print is on the tape at all."""
        if not (math.isfinite(price) and math.isfinite(size)):
            return False
        given = (time, float(price), float(size), correction, flags, decisive)
        return kernel.exclusion_code(*given, _BITS, self._span) == kernel.KEPT

    def _is_bar_due(self, time: int, price: float, size: float, flags: int) -> bool:
        """Whether a bar ends with the last print, or before it in a halt: the kernel's own sum."""
        move = (price > self._before) - (price < self._before)
        self._sign, self._before = move or self._sign, price
        self._theta += price * size * (0 if flags & _AUCTION else self._sign)
        is_full = self._prints.size - self._cut >= kernel.CHUNK
        return abs(self._theta) >= self._threshold or is_full or self._is_in_new_block(time)

    def _is_in_new_block(self, time: int) -> bool:
        return self._block < len(self._ends) and time >= self._ends[self._block]

    def _is_pattern_due(self, time: int, price: float, is_forming: bool) -> bool:
        """Whether something may come of the last print."""
        bounds = self._bounds
        if bounds is None or time >= self._minute_end:
            return True
        if not is_forming:
            return False
        is_outside = price <= bounds.above or price >= bounds.below or time > bounds.until
        return is_outside or price < bounds.least or price > bounds.most

    def quote(
        self, time: int, bid: float, bid_size: float, ask: float, ask_size: float,
        conditions: Conditions = (),
    ) -> bool:  # fmt: skip
        """A best bid and ask, sizes in shares; False for one that another has replaced already.

        One without a firm or finite side has no side; one older than the last decision counts from
        that on.
        """
        if time < self.quoted_at:
            self.counts["quotes late"] += 1
            return False
        if not self._span[0] <= time <= self._end:
            return False
        self.quoted_at = time
        sides = (bid, bid_size, ask, ask_size)
        if not math.isfinite(bid + bid_size + ask + ask_size) or not NOT_FIRM.isdisjoint(
            conditions
        ):
            self.counts["quotes without a side"] += 1
            sides = (math.nan,) * 4
        if self._quotes.is_full:
            self._drop()
        self._quotes.append(max(time, self._decided_at), *sides)
        return True

    def halt(self, time: int) -> None:
        """Trading is halted."""
        if not any(end is None for end in self._feed.values()):
            self._feed[time] = None
            self._find_halts()

    def resume(self, time: int) -> None:
        """Trading goes on."""
        for start, end in self._feed.items():
            if end is None:
                self._feed[start] = max(time, start)
        self._find_halts()

    def reach(self, time: int) -> list[Decision]:
        """The clock has reached a time: minutes that have ended by then, though nothing printed."""
        if time < self._minute_end or not self._prints.size:
            return []
        found = self._seen() if self._patterns.taken < self._prints.size else []
        self.newest = max(self.newest, time // MINUTE * MINUTE)
        found += self._events_of(self._patterns.reach(time))
        self._minute_end, self._bounds = self._patterns.minute_end, None
        return found

    @property
    def is_halted(self) -> bool:
        """Whether the newest halt has not ended."""
        return bool(self._halts[1].size) and int(self._halts[1][-1]) > self.newest

    @property
    def told_halts(self) -> pl.DataFrame | None:
        """Halts as the feed has told them; None where there is no such feed."""
        if not self.has_feed:
            return None
        schema = {"halt_start": pl.Int64, "halt_end": pl.Int64}
        return pl.DataFrame([*self._feed.items()], schema=schema, orient="row").cast(INSTANT)

    def so_far(self) -> SessionSoFar:
        """The session up to its last print."""
        context, nan = self.context, math.nan
        minute = (self.newest - self.hours.premarket_open) // MINUTE
        is_usual = self.curve is not None and 0 <= minute < self.curve.size
        usual = float(self.curve[minute]) if self.curve is not None and is_usual else 0.0
        return SessionSoFar(
            self.newest, self.volume, self.dollars, self.last, self.high or nan,
            self.low if self.high else nan,
            self.dollars / self.volume if self.volume else nan,
            self.last / context.previous_close - 1.0 if context.previous_close else nan,
            self.volume / context.mean_volume30 if context.mean_volume30 else nan,
            self.volume / usual if usual > 0 else nan,
            self._path.size + self._dropped_bars, self._events, self.is_halted,
        )  # fmt: skip

    # Steps

    def _add(
        self, time: int, price: float, size: float, exchange: int, flags: int, is_forming: bool
    ) -> None:
        """A print joins the tape."""
        if self._prints.is_full:
            self._drop()
        is_closing = time > self._span[2] and flags & _CLOSING > 0
        is_regular = self._span[1] <= time <= self._span[2] or is_closing
        self._prints.append(
            time, price, size, is_forming, is_regular, exchange == OFF_EXCHANGE,
            flags & _AUCTION > 0, flags & _REOPENING > 0,
        )  # fmt: skip
        self.volume += size
        self.dollars += price * size
        if is_forming:
            self.last = price
            self.high, self.low = max(self.high, price), min(self.low, price)

    def _closed(self) -> list[Decision]:
        """Bars that the prints since the last call have closed: the last of them, if any."""
        times, prices, sizes, forming, _, _, auctions, _ = self._prints.after(self._cut)
        blocks = np.searchsorted(self._ends, times, "right")
        floats, whole = self._bars.follow((times, prices, sizes, forming), auctions, blocks)
        self._cut, self._block = self._prints.size, int(blocks[-1])
        state = self._bars.state
        self._threshold, self._theta = state.threshold, float(state.floats[bar_kernel.THETA])
        is_decided = False
        for row, counts in zip(floats, whole, strict=True):
            if self._path.is_full:
                self._drop()
            figures = [*row[_FIGURES], float(counts[bar_kernel.C_TICKS])]
            self._path.append(counts[bar_kernel.C_LAST] - self._dropped, figures)
            is_decided = counts[bar_kernel.C_REASON] == bar_kernel.BY_THRESHOLD
        return [self._decided(float(floats[-1][bar_kernel.CLOSE]))] if is_decided else []

    def _decided(self, price: float) -> Decision:
        """The features of the bar that has just closed."""
        times, prices, sizes, forming, regular, off, auctions, _ = self._prints.upto(
            self._prints.size
        )
        lasts, figures = self._path.upto(self._path.size)
        prints = (times, prices, sizes, forming, regular, off)
        rows = self._features.follow(prints, lasts, figures, self.curve)
        quotes = Quotes(*self._quotes.upto(self._quotes.size))
        told = self._quoted.follow(quotes, (times, prices, sizes, forming, auctions), lasts)
        self._decided_at = int(times[-1])
        halts = bisect_right(self._known, self._decided_at)
        row = feature_row(rows[-1]) | measure_row(told[-1])
        row |= {"halts_so_far": halts, "halt_source": self._sources[halts]}
        number = self._path.size - 1 + self._dropped_bars
        found = Decision(
            self.context.ticker, self.context.date, BARS, number, self._decided_at, price, row
        )
        self._last_bars = (found, self._last_bars[0])
        return found

    def _seen(self) -> list[Decision]:
        """Patterns that are known with the last print."""
        times, prices, sizes, forming, *_ = self._prints.upto(self._prints.size)
        found = self._patterns.follow((times, prices, sizes, forming), self._halts)
        self._bounds = self._patterns.bounds(int(times[-1]))
        self._minute_end = self._patterns.minute_end
        return self._events_of(found) if found.size else []

    def _events_of(self, events: np.ndarray) -> list[Decision]:
        if not events.size:
            return []
        known = np.array(self._known, np.int64)
        given = (self.context, self.hours, known, self.eligible_from, self._events)
        columns = TABLES["pattern_events"].columns
        frame = frame_of(event_columns(events, *given), columns)
        self._events += events.size
        return [
            Decision(self.context.ticker, self.context.date, PATTERNS, row["event_id"], t0,
                     row["price"], row, self._bar_by(t0))
            for row, t0 in zip(frame.iter_rows(named=True), events["t0"].tolist(), strict=True)
        ]  # fmt: skip

    def _bar_by(self, time: int) -> Decision | None:
        """The last bar that had closed by a time."""
        return next((bar for bar in self._last_bars if bar is not None and bar.t0 <= time), None)

    def _find_halts(self) -> None:
        """Halts as they are known now, by the rules of the tape."""
        times, *_, reopening = self._prints.upto(self._prints.size)
        given = (self._end, self.hours, self._settings, self.told_halts)
        found = find_halts(times, reopening, *given)
        if self._dropped and not self.has_feed:
            first = int(times[0])
            old = self._halts_frame.filter(pl.col("halt_start").to_physical() <= first)
            new = found.filter(pl.col("halt_start").to_physical() > first)
            found = pl.concat([old, new])
        starts, ends = halt_arrays(found)
        self._halts_frame, self._halts = found, (read_only(starts), read_only(ends))
        self._ends = np.sort(integers(found["halt_end"].drop_nulls()))
        ordered = found.sort("known_at", maintain_order=True)
        self._known = integers(ordered["known_at"]).tolist()
        self._sources = [None, *ordered["halt_source"]]
        self._bounds: Bounds | None = None

    def _drop(self) -> None:
        """Forget prints, quotes and bars that no step looks back to, and make room."""
        times, (followed, closed) = self._prints.upto(self._prints.size)[0], self._features.followed
        come = times[followed] if followed < times.size else self.newest
        self._quoted.absorb(Quotes(*self._quotes.upto(self._quotes.size)), int(come))
        prints, quoted = self._quoted.needed
        recent = int(np.searchsorted(times, self.newest - 2 * PRIOR_WINDOW, "left"))
        prints = min(prints, self._features.needed, self._patterns.needed, recent)
        prints = max(min(prints, followed - 1), 0)
        quoted = max(min(quoted, self._quoted.state.quotes - 1), 0)
        bars = max(closed // DROPPED_BARS - 1, 0) * DROPPED_BARS
        self._features.drop(prints, bars)
        self._quoted.drop(prints, quoted, bars)
        self._patterns.drop(prints)
        for columns, count in ((self._prints, prints), (self._quotes, quoted), (self._path, bars)):
            columns.drop(count)
        self._path.lower(0, prints)
        self._cut -= prints
        self._dropped += prints
        self._dropped_bars += bars


class Scanner:
    """Some tickers. The clock is that of the events: the newest instant of any."""

    def __init__(self, scans: Mapping[str, TickerScan]) -> None:
        self.scans = dict(scans)
        self.now = self._minute = 0

    def reach(self, time: int) -> list[Decision]:
        """The clock has reached a time; minutes that ended `GRACE` before are over for all."""
        self.now = max(self.now, time)
        minute = (self.now - GRACE) // MINUTE
        if minute <= self._minute:
            return []
        self._minute = minute
        end = minute * MINUTE
        return [found for scan in self.scans.values() for found in scan.reach(end)]
