"""How many shares a trade has: the least of what risk, ranges, the account and the volume allow."""

from __future__ import annotations

import math
from dataclasses import dataclass

TOLERANCE = 1e-9


class SizeError(ValueError):
    """An account, price or stop of which no size follows."""


@dataclass(frozen=True)
class Size:
    """Shares by each limit, None where it does not apply, and the least of them."""

    by_stop: int
    by_atr: int | None
    by_account: int
    by_volume: int

    @property
    def shares(self) -> int:
        """The least; never below 0."""
        given = (self.by_stop, self.by_atr, self.by_account, self.by_volume)
        return max(0, min(size for size in given if size is not None))


def position_size(
    equity: float,
    risk_fraction: float,
    entry: float,
    stop: float,
    atr: float | None,
    atr_multiple: float,
    account_share: float,
    trailing_volume: float,
    participation: float = 0.10,
) -> Size:
    """The size of a trade that is entered at `entry` and stopped at `stop`, both USD per share.

    `risk_fraction` of the equity may be lost at the stop, or at `atr_multiple` average ranges
    (`atr`, USD per share; None or a multiple of 0: that limit does not apply); its value is at most
    `account_share` of the equity, its size `participation` of the volume of the minute before. An
    account without equity has size 0. Raises SizeError for a price or a distance of 0.
    """
    distance = abs(entry - stop)
    if not entry > 0 or not distance > 0:
        raise SizeError(f"entry {entry} and stop {stop}: both must be prices, and differ")
    risked, wide = risk_fraction * equity, atr_multiple * (atr or 0.0)
    return Size(
        whole(risked / distance),
        whole(risked / wide) if wide > 0 else None,
        whole(account_share * equity / entry),
        whole(participation * trailing_volume),
    )


def whole(shares: float) -> int:
    """Whole shares; a quotient that misses one by the rounding of doubles has it."""
    return math.floor(shares * (1 + TOLERANCE)) if shares > 0 else 0
