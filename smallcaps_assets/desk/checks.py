"""The risk chain: what must hold before an order is sent, in order, the first failure deciding.

Here are the checks of connection, clock and reconciliation. Those of market and account state are
the backtest's own functions and come in from outside, each with its number in the chain. An order
that only makes a position smaller skips the checks 4 to 8 and 12 to 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from smallcaps_assets.desk.das.messages import SymbolStatus
from smallcaps_assets.desk.das.words import LineError
from smallcaps_assets.desk.events import SIGN, Level, Wanted
from smallcaps_assets.desk.limits import SECOND

if TYPE_CHECKING:
    from smallcaps_assets.desk.core import Desk

ENTRIES_ONLY = (4, 5, 6, 7, 8, 12, 13, 14)
Judge = Callable[["Desk", Wanted], tuple[bool, str]]


class Check(Struct, frozen=True):
    """One check; `judge` tells whether it holds, and the value that it looked at."""

    number: int
    name: str
    judge: Judge


class Verdict(Struct, frozen=True):
    """What a check said of an order."""

    name: str
    is_good: bool
    value: str


class Chain:
    """Checks in the order of their numbers."""

    def __init__(self, others: Iterable[Check] = ()) -> None:
        self._checks = sorted([*CHECKS, *others], key=lambda check: check.number)

    def judge(self, desk: Desk, wanted: Wanted) -> list[Verdict]:
        """The verdicts up to the first that is bad."""
        found: list[Verdict] = []
        reduces = is_reducing(desk, wanted)
        for check in self._checks:
            if reduces and check.number in ENTRIES_ONLY:
                continue
            found.append(Verdict(check.name, *check.judge(desk, wanted)))
            if not found[-1].is_good:
                break
        return found


def is_reducing(desk: Desk, wanted: Wanted) -> bool:
    """Whether an order is against the position that the broker reports."""
    return desk.held.get(wanted.symbol, 0) * SIGN.get(wanted.side, 0) < 0


def _kill(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    """Soft and cancel stop entries, flatten all but what closes, hard everything."""
    entries_stop = desk.level >= Level.SOFT and not is_reducing(desk, wanted)
    strategy_stops = desk.level >= Level.FLATTEN and wanted.purpose != "flatten"
    is_good = not (entries_stop or strategy_stops or desk.level >= Level.HARD)
    return is_good and desk.is_writable, f"kill {desk.level.name}, journal {desk.is_writable}"


def _link(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    return desk.link.is_ready, desk.link.text or "ready"


def _clock(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    return desk.skew <= desk.rules.most_skew, f"{desk.skew / SECOND:.3f} s"


def _age(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    age = desk.now - wanted.known_at
    return age <= desk.rules.oldest_signal, f"{age / SECOND:.3f} s"


def _duplicate(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    """The same signal again, or the same order within some seconds."""
    if wanted.signal in desk.by_signal:
        return False, f"signal {wanted.signal} has order {desk.by_signal[wanted.signal]}"
    since = desk.now - desk.rules.same_order
    for order in reversed(desk.orders.values()):
        if order.created < since:
            break
        c = order.command
        same = (c.symbol, c.side, c.qty, c.price)
        if same == (wanted.symbol, wanted.side, wanted.qty, wanted.price):
            return False, f"same as order {order.token}"
    return True, "new"


def _feed(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    """Whether anything has come from the feed of late."""
    age = desk.now - desk.feed_at
    return age <= desk.rules.oldest_feed, f"{age / SECOND:.1f} s"


def _halt(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    """Whether the broker says that the symbol trades."""
    status = desk.facts.get((SymbolStatus.__name__, wanted.symbol))
    if isinstance(status, SymbolStatus):
        return not status.is_halted, status.line()
    return True, "nothing said"


def _reconciled(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    """Position known and equal to ours, lists fresh, no doubtful order in the symbol.

    What closes is never more than the position less what is closing already.
    """
    symbol = wanted.symbol
    if is_reducing(desk, wanted):
        room = abs(desk.held[symbol]) - desk.closing_shares(symbol)
        return wanted.qty <= room, f"{wanted.qty} of {room} shares to close"
    if symbol in desk.paused:
        return False, desk.paused[symbol]
    if desk.now - desk.swept > desk.rules.oldest_sweep:
        return False, f"positions {(desk.now - desk.swept) / SECOND:.0f} s old"
    doubtful = [o.token for o in desk.open_orders(symbol) if o.is_unsure]
    return not doubtful, f"unknown order {doubtful[0]}" if doubtful else "agreed"


def _line(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    """Whether it can be written: one word per field, a price on its tick, a known side."""
    try:
        return True, desk.command_of(wanted, 0).line()
    except LineError as problem:
        return False, str(problem)


def _rate(desk: Desk, wanted: Wanted) -> tuple[bool, str]:
    is_urgent = wanted.purpose == "flatten"
    room = desk.limits.room(desk.command_of(wanted, 0), desk.now, is_urgent)
    room = min(room, desk.tokens_left)
    return room > 0, f"room for {room}"


CHECKS = (
    Check(1, "kill", _kill),
    Check(2, "link", _link),
    Check(3, "clock", _clock),
    Check(4, "signal_age", _age),
    Check(5, "duplicate", _duplicate),
    Check(7, "feed", _feed),
    Check(8, "halt", _halt),
    Check(9, "reconciled", _reconciled),
    Check(10, "line", _line),
    Check(15, "rate", _rate),
)
