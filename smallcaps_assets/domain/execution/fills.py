"""Fills of orders on one recorded ticker-session, and of whole trades in every size.

Arrays in, arrays out; instants are int64 nanoseconds of one clock. Which events are traded, and how
many shares, is decided elsewhere (`signals.py`, `account.py`); quotes for lakes without them are
modelled in `modelled.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smallcaps_assets.domain.execution.risk import LAST_EXIT
from smallcaps_assets.domain.guards import read_only
from smallcaps_assets.kernels import fills as kernel
from smallcaps_assets.settings import TradingRules

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
KINDS = {"flow": kernel.FLOW, "auction": kernel.AUCTION, "price": kernel.PRICE}
"""Classes of prints; any other is excluded and left out of a tape."""
OUTCOMES = (
    *(None, "no_price", "stale_quote", "halt"),
    *("ssr", "no_volume", "band", "no_fill"),
)
"""Refusals by the kernel's outcome of an entry; None: filled."""
REASONS = ("take_profit", "stop", "time", "session")
MARK_SECONDS = 10
_ROOM = 4096


class FillError(ValueError):
    """Quotes, prints or orders that can't be filled."""


@dataclass(frozen=True)
class FillTape:
    """What orders meet in one session, as `kernels.fills.TAPE` names it.

    Quotes in order with whether each is usable; prints that have volume; halts in order.
    """

    arrays: tuple[np.ndarray, ...]

    @property
    def end(self) -> int:
        """The instant of the last quote or print."""
        return max(
            int(times[-1]) if times.size else 0 for times in (self.arrays[0], self.arrays[6])
        )

    @property
    def closing_halt(self) -> int | None:
        """The start of a halt after which trading does not begin again; None without one."""
        starts, _, reopenings = self.arrays[10:13]
        ended = np.flatnonzero(reopenings == kernel.NEVER)
        return int(starts[ended[0]]) if ended.size else None


def fill_tape(
    quotes: Sequence[np.ndarray],
    prints: Sequence[np.ndarray],
    halts: Sequence[np.ndarray] = (),
    bands: Sequence[np.ndarray] = (),
) -> FillTape:
    """A session's tape of quotes, prints, halts and bands.

    `quotes` are times, bids, bid sizes, asks, ask sizes; `prints` are times, prices, sizes and
    kinds (`KINDS`); `halts` starts and ends, in order and apart; `bands` as of `band_arrays`.
    A quote is usable with two sides above 0 that are not crossed, and outside of halts. Raises
    FillError on times that descend or lengths that differ.
    """
    starts, ends = halts or (np.empty(0, np.int64), np.empty(0, np.int64))
    limits = bands or (np.empty(0, np.int64), np.empty(0), np.empty(0))
    pauses = _as(np.int64, starts, ends)
    times, *sides = quotes
    moments, prices, sizes, kinds = prints
    _same_length("quotes", quotes)
    _same_length("prints", prints)
    book = (*_as(np.int64, times), *_as(np.float64, *sides))
    tape = (*_as(np.int64, moments), *_as(np.float64, prices), *_as(np.int8, kinds))
    is_usable, are_quotes_ordered = kernel.read_quotes(*book, *pauses)
    *figures, are_prints_ordered = kernel.read_prints(*tape, *_as(np.float64, sizes), *pauses)
    volumes, *extremes = _as(np.float64, *figures)
    for name, is_ordered in (("quotes", are_quotes_ordered), ("prints", are_prints_ordered)):
        if not is_ordered:
            raise FillError(f"{name} are not in order of time; sort them first")
    reopenings = np.full(pauses[1].size, kernel.NEVER)
    if reopenings.size:
        forming = tape[0][tape[2] > kernel.FLOW]
        reopenings = np.append(forming, kernel.NEVER)[np.searchsorted(forming, pauses[1], "left")]
    return FillTape(
        (
            *book, *_as(np.bool_, is_usable), *tape, volumes,
            *pauses, *_as(np.int64, reopenings),
            *_as(np.int64, limits[0]), *_as(np.float64, *limits[1:]), *extremes,
        )
    )  # fmt: skip


def _as(dtype: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    return [read_only(np.ascontiguousarray(array, dtype)) for array in arrays]


def _same_length(name: str, arrays: Sequence[np.ndarray]) -> None:
    sizes = {array.size for array in arrays}
    if len(sizes) > 1:
        raise FillError(f"{name} have arrays of {sorted(sizes)} rows; give them one length")


# Single orders -----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Filled:
    """What an order got: (time, shares, price) of each fill, in order."""

    fills: list[tuple[int, int, float]]
    shares: int

    @property
    def filled(self) -> int:
        """Shares filled."""
        return sum(shares for _, shares, _ in self.fills)

    @property
    def unfilled(self) -> int:
        """Shares that were not."""
        return self.shares - self.filled

    @property
    def average(self) -> float | None:
        """Average price; None without a fill."""
        value = sum(shares * price for _, shares, price in self.fills)
        return value / self.filled if self.filled else None


def marketable_fill(
    tape: FillTape,
    side: int,
    shares: int,
    live: int,
    limit: float | None = None,
    window: int | None = SECOND,
    max_age: int = 60 * SECOND,
) -> Filled:
    """A marketable order from its live instant on: the quote that stands, then each change.

    What is left `window` ns later is cancelled; None works it to the tape's end. None as limit is
    any price. Nothing is filled on a quote older than `max_age` ns, nor when it is live in a halt.
    """
    order = _order(side, shares, np.inf * side if limit is None else limit)
    until = kernel.NEVER if window is None else live + window
    return _worked(tape, order, live, until, max_age, is_passive=False)


def passive_fill(
    tape: FillTape,
    side: int,
    shares: int,
    limit: float,
    live: int,
    window: int | None = None,
    max_age: int = 60 * SECOND,
) -> Filled:
    """A resting order on the prints after its live instant, for `window` ns, None to the end.

    A print beyond the limit fills it all; one at the limit eats first what was shown at that price
    when it arrived. Where no usable quote stood then, only prints beyond it fill.
    """
    order = _order(side, shares, limit)
    until = kernel.NEVER if window is None else live + window
    return _worked(tape, order, live, until, max_age, is_passive=True)


def _order(side: int, shares: int, limit: float) -> np.ndarray:
    if side not in (1, -1) or shares < 1:
        raise FillError(f"an order of {shares} shares on side {side}; give 1 or -1, and a size")
    order = np.zeros(1, kernel.ORDER)
    order["side"], order["shares"], order["limit"] = side, shares, limit
    order["seen_price"] = np.nan
    return order


def _worked(
    tape: FillTape, order: np.ndarray, live: int, until: int, max_age: int, is_passive: bool
) -> Filled:
    """An order worked by the kernel, with room for its fills."""
    room, count = _ROOM, kernel.FULL
    out, start = np.empty(0, kernel.FILL), order.copy()
    while count == kernel.FULL:
        out = np.zeros(room, kernel.FILL)
        order[:] = start
        count = kernel.work_order(tape.arrays, order, live, until, max_age, is_passive, out)
        room *= 2
    told = out[:count]
    shares = np.diff(told["shares"], prepend=0)
    rows = zip(told["time"].tolist(), shares.tolist(), told["price"].tolist(), strict=True)
    return Filled(list(rows), int(order["shares"][0]))


@dataclass(frozen=True)
class Stopped:
    """What became of a stop: when it was set off (None: not), its fills, and whether a halt to the
    end of the session keeps shares that are left."""

    trigger: int | None
    exit: Filled
    is_trapped: bool


def stop_exit(
    tape: FillTape,
    side: int,
    shares: int,
    stop: float,
    since: int,
    latency: int,
    max_age: int = 60 * SECOND,
) -> Stopped:
    """The stop of a position (side 1 long) from an instant on, set off by a print forming prices.

    Then it is marketable after `latency` ns, worked until it is filled; one that would be live in a
    halt, that long after the re-opening print.
    """
    times, prices, kinds = tape.arrays[6:9]
    starts, ends, reopenings = tape.arrays[10:13]
    h = np.searchsorted(starts, times, "right") - 1
    is_halted = (h >= 0) & (times < np.append(ends, 0)[h])
    is_beyond = (prices - stop) * side <= kernel.TOLERANCE * stop
    found = np.flatnonzero((times > since) & (kinds > kernel.FLOW) & is_beyond & ~is_halted)
    nothing = Filled([], shares)
    is_shut = tape.closing_halt is not None
    if not found.size:
        return Stopped(None, nothing, is_shut)
    trigger = int(times[found[0]])
    live = kernel.after_halts(starts, ends, reopenings, trigger + latency, latency)
    if live == kernel.NEVER:
        return Stopped(trigger, nothing, is_trapped=True)
    done = marketable_fill(tape, -side, shares, int(live), None, None, max_age)
    return Stopped(trigger, done, is_shut and done.unfilled > 0)


# Trades in every size ----------------------------------------------------------------------------
@dataclass(frozen=True)
class CandidateFills:
    """What the kernel found of candidates in order: records, and rows one after another."""

    candidates: np.ndarray
    entries: np.ndarray
    ranges: np.ndarray
    exits: np.ndarray
    marks: np.ndarray


def candidate_fills(
    tape: FillTape,
    t0: np.ndarray,
    sides: np.ndarray,
    rules: TradingRules,
    close: int,
    capacity: float,
    most_value: float,
    latency_ms: int | None = None,
    restricted_from: int = kernel.NEVER,
) -> CandidateFills:
    """Every candidate's entry and exits up to its largest size.

    `t0` (int64 ns, any order) and `sides` are of the candidates, `close` is the scheduled close,
    before which positions are closed by `LAST_EXIT`. The largest size is `capacity` of the volume
    of the minute before the entry is live, at most `most_value` in USD. Shorts are restricted from
    `restricted_from` on.
    """
    latency = (rules.latency_ms if latency_ms is None else latency_ms) * MILLISECOND
    given = np.zeros(1, kernel.RULES)
    values = {
        "latency": latency,
        "entry_window": int(rules.entry_seconds * SECOND),
        "timeout": int(rules.timeout_seconds * SECOND),
        "last_exit": close - LAST_EXIT,
        "entry_age": int(rules.entry_quote_age * SECOND),
        "exit_age": int(rules.exit_quote_age * SECOND),
        "is_passive": rules.entry == "passive",
        "mark_step": MARK_SECONDS * SECOND,
        "restricted_from": restricted_from,
        "slack": rules.entry_slack,
        "take_profit": rules.take_profit,
        "stop_loss": rules.stop_loss,
        "capacity": capacity,
        "most_value": most_value,
    }
    for name, value in values.items():
        given[name] = value
    candidates = np.zeros(t0.size, kernel.CANDIDATE)
    candidates["t0"], candidates["side"] = t0, sides
    return _filled(tape, given, candidates)


def _filled(tape: FillTape, rules: np.ndarray, candidates: np.ndarray) -> CandidateFills:
    room = _ROOM
    counts, done = np.zeros(4, np.int64), 0
    parts: list[list[np.ndarray]] = [[], [], [], []]
    kinds = (kernel.FILL, kernel.RANGE, kernel.FILL, np.dtype(np.float64))
    outputs = [np.zeros(room, kind) for kind in kinds]
    closing, begin = kernel.closing_prices(tape.arrays, rules["mark_step"][0])
    while done < candidates.size:
        reached = kernel.fill_candidates(
            tape.arrays, rules, closing, begin, candidates, done, *outputs, counts
        )
        for part, output, count in zip(parts, outputs, counts, strict=True):
            part.append(output[:count].copy())
        if reached == done:
            room *= 4
            outputs = [np.zeros(room, kind) for kind in kinds]
        done = reached
    return CandidateFills(
        candidates,
        *(np.concatenate([np.empty(0, k), *p]) for k, p in zip(kinds, parts, strict=True)),
    )


def first_shares(filled: Sequence[int], shares: int) -> list[int]:
    """What each fill gives to an order of so many shares, of those of a larger one.

    `filled` are the shares of the larger order up to and with each fill; fills of which nothing is
    needed are left out at the end.
    """
    taken, before = [], 0
    for until in filled:
        if before >= shares:
            break
        taken.append(min(until, shares) - before)
        before = until
    return taken
