"""Risk rules over an account's positions, in order of time: who may trade, and when all must end.

A rule is asked in the order of `RULES`; the first that forbids a trade is the refusal. What a
position is worth at each moment comes in as marks, so that a backtest and a desk ask the same book.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KILL, DAY_LOSS, TIME, POSITIONS, OCCUPIED = "kill", "day_loss", "time", "positions", "occupied"
RULES = (KILL, DAY_LOSS, TIME, POSITIONS, OCCUPIED)
"""Rules of the book in the order in which they are asked: a latched drawdown, the day's loss, the
time of day, the number of positions, one position per ticker."""
OWN, FLATTENED = "own", "flattened"
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Limits:
    """What an account may lose and hold; amounts in USD, latency in ns.

    `kill_equity` is the share of its highest equity at which trading ends for good, 0 for never;
    `last_entry` the instant after which nothing is opened, None for none.
    """

    max_positions: int
    max_day_loss: float
    latency: int
    max_drawdown: float = 1.0
    last_entry: int | None = None


@dataclass
class Position:
    """An open position: when it will be closed by its own rules, and its profit then, in USD.

    `mark_times` (ascending) and `marks` are what closing it would bring, in USD, from each time on.
    From `trapped_from` on, None for never, it can't be closed before its exit: trading is halted.
    `close_at` gives its profit when it is closed at a time before; without, the mark of then is it.
    """

    name: Any
    t0: int
    exit: int
    profit: float
    mark_times: Sequence[int] = ()
    marks: Sequence[float] = ()
    ticker: str = ""
    trapped_from: int | None = None
    close_at: Callable[[int], float] | None = None
    reason: str = OWN
    worst: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.worst = min(0.0, self.profit, *self.marks)

    def mark(self, time: int) -> float:
        """What closing it would bring at a time; 0 before the first mark."""
        place = bisect_right(self.mark_times, time)
        return self.marks[place - 1] if place else 0.0


@dataclass
class Book:
    """The positions of one account; `equity` in USD is what it had when it was opened.

    `advance` moves it on in time, `refusal` asks the rules, `add` opens a position. `killed_at` is
    when the drawdown latched, `stopped_at` when the session's loss ended the day.
    """

    equity: float
    limits: Limits
    peak: float = 0.0
    killed_at: int | None = None
    stopped_at: int | None = None
    open: list[Position] = field(default_factory=list)
    closed: list[Position] = field(default_factory=list)
    day_profit: float = 0.0

    def __post_init__(self) -> None:
        self.peak = max(self.peak, self.equity)
        self._now = -1

    def begin_session(self, limits: Limits) -> None:
        """A new session: losses of the day count from here; a latched drawdown stays."""
        self.limits, self.day_profit, self.stopped_at = limits, 0.0, None

    def refusal(self, t0: int, ticker: str = "") -> str | None:
        """The first rule that forbids a position at an instant to which the book has advanced."""
        limits = self.limits
        if self.killed_at is not None:
            return KILL
        if self.stopped_at is not None:
            return DAY_LOSS
        if limits.last_entry is not None and t0 > limits.last_entry:
            return TIME
        if len(self.open) >= limits.max_positions:
            return POSITIONS
        if ticker and any(position.ticker == ticker for position in self.open):
            return OCCUPIED
        return None

    def add(self, position: Position) -> None:
        """Open a position, which no rule forbids."""
        self.open.append(position)

    def advance(self, time: int) -> None:
        """Close what is closed by a time, that included, and watch the marks until then."""
        while self.open:
            if self._is_watched:
                self._watch(time)
            due = min(self.open, key=lambda position: position.exit)
            if due.exit > time:
                break
            self._close(due)
        self._now = time

    @property
    def _is_watched(self) -> bool:
        """Whether a limit could be reached."""
        worst = sum(position.worst for position in self.open)
        return self._is_drawn_down(worst) or self._is_day_lost(worst)

    def _is_day_lost(self, marked: float) -> bool:
        """Whether open positions that are worth so much make a loss that ends the day."""
        lost = self.day_profit + marked
        return self.stopped_at is None and lost <= -self.limits.max_day_loss * (1 - TOLERANCE)

    def _is_drawn_down(self, marked: float) -> bool:
        """Whether they make the drawdown that ends all trading."""
        if self.killed_at is not None or self.limits.max_drawdown >= 1:
            return False
        least = self.peak * (1 - self.limits.max_drawdown)
        return self.equity + marked <= least * (1 + TOLERANCE)

    def _watch(self, time: int) -> None:
        """Look at the marks up to a time, or up to the next exit, and flatten at a limit's loss."""
        until = min(time, *(position.exit for position in self.open))
        moments = {t for p in self.open for t in p.mark_times if self._now < t <= until}
        for moment in sorted(moments):
            if self._settle_at(moment):
                return
        self._now = max(self._now, until)

    def _settle_at(self, moment: int) -> bool:
        """Whether a limit is reached at a moment; then all are closed one latency later."""
        marked = sum(position.mark(moment) for position in self.open)
        is_killed, is_stopped = self._is_drawn_down(marked), self._is_day_lost(marked)
        if is_killed:
            self.killed_at = moment
        if is_stopped:
            self.stopped_at = moment
        if is_killed or is_stopped:
            self._flatten(moment + self.limits.latency)
        return is_killed or is_stopped

    def _flatten(self, end: int) -> None:
        """Close all at the marks in force at an instant, but for what trading is halted in."""
        for position in self.open:
            is_trapped = position.trapped_from is not None and end >= position.trapped_from
            if position.exit > end and not is_trapped:
                close_at = position.close_at or position.mark
                position.profit, position.exit = close_at(end), end
                position.reason = FLATTENED

    def _close(self, position: Position) -> None:
        self.open.remove(position)
        self.closed.append(position)
        self.day_profit += position.profit
        self.equity += position.profit
        self.peak = max(self.peak, self.equity)
        self._now = max(self._now, position.exit)
        self._settle_at(position.exit)


def risk_walk(
    candidates: Sequence[Mapping[str, Any]],
    max_positions: int,
    max_day_loss: float,
    latency: int,
    last_entry: int | None = None,
) -> dict[str, Any]:
    """One session's candidates, in order of t0, through the book: decisions, trades, and the kill.

    A candidate has id, t0, exit (ns), pnl (USD) and marks: pairs of a time and what closing it
    would bring. The result has `decisions` in order, `kill` (when the day's loss was reached, None
    if it was not), `trades` (with their exit where they were flattened) and `pnl` (USD).
    """
    book, decisions = Book(0.0, Limits(max_positions, max_day_loss, latency, 1.0, last_entry)), []
    for row in sorted(candidates, key=lambda row: row["t0"]):
        book.advance(row["t0"])
        refused = book.refusal(row["t0"])
        decisions.append({"id": row["id"], "taken": refused is None, "refused_by": refused})
        if refused is None:
            times, marks = zip(*row["marks"], strict=True) if row["marks"] else ((), ())
            book.add(Position(row["id"], row["t0"], row["exit"], row["pnl"], times, marks))
    book.advance(max((position.exit for position in book.open), default=0))
    return {
        "decisions": decisions,
        "kill": book.stopped_at,
        "trades": book.closed,
        "pnl": book.day_profit,
    }
