"""Rules of the market that forbid an order or a price: price bands, the short-sale restriction.

Instants are nanoseconds, of UTC or of the New York day, as long as all are of one kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from smallcaps_assets.domain.guards import read_only
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.market.metrics import RELATIVE_TOLERANCE, SSR_DECLINE
from smallcaps_assets.kernels import fills as kernel

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
OPEN, CLOSE = 34_200 * SECOND, 57_600 * SECOND
"""Regular hours in nanoseconds of the New York day."""
LATE_MINUTES, EARLY_MINUTES = 25, 15
WINDOW, PAUSE, MOVE = 300 * SECOND, 30 * SECOND, 0.01
AMENDED = date(2020, 2, 24)
"""Since then bands are doubled in the last 25 minutes only, and only up to 3.00 USD (18th amendment
of the limit up-limit down plan; the day was not verified against the notice)."""
TIER_1, TIER_2 = 1, 2


@dataclass(frozen=True)
class Band:
    """Prices between which a stock may trade."""

    lower: float
    upper: float


def luld_band(
    reference: float,
    previous_close: float,
    t: int,
    tier: int = TIER_2,
    hours: tuple[int, int] = (OPEN, CLOSE),
    is_amended: bool = True,
) -> Band:
    """The band around a reference price at an instant of regular hours.

    `hours` are open and scheduled close; `is_amended` from `AMENDED` on.
    """
    width = band_width(reference, previous_close, tier)
    if is_doubled(t, previous_close, hours, is_amended):
        width *= 2
    return Band(max(reference - width, 0.0), reference + width)


def band_width(reference: float, previous_close: float, tier: int = TIER_2) -> float:
    """Half the height of a band in USD, by the price of the close before."""
    if previous_close > 3.0:
        return reference * (0.05 if tier == TIER_1 else 0.10)
    if previous_close >= 0.75:
        return reference * 0.20
    return min(0.15, reference * 0.75)


def is_doubled(
    t: int, previous_close: float, hours: tuple[int, int] = (OPEN, CLOSE), is_amended: bool = True
) -> bool:
    """Whether bands are twice as wide at an instant of regular hours."""
    is_late = t >= hours[1] - LATE_MINUTES * MINUTE
    if is_amended:
        return is_late and previous_close <= 3.0
    return is_late or t < hours[0] + EARLY_MINUTES * MINUTE


def band_arrays(
    times: np.ndarray,
    prices: np.ndarray,
    reopenings: np.ndarray,
    hours: SessionHours,
    previous_close: float | None,
    tier: int = TIER_2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, lower and upper bands of a session, each from its time on; outside of it, all prices.

    `times` and `prices` are of the prints that form prices, `reopenings` those of the first print
    after each halt. Without a previous close the first price says the tier.
    """
    span = (hours.open, hours.close)
    moments, references = kernel.follow_reference(
        read_only(times), read_only(prices), read_only(reopenings), *span, WINDOW, PAUSE, MOVE
    )
    if not moments.size:
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    close, is_amended = previous_close or float(references[0]), hours.date >= AMENDED
    turns = (hours.open + EARLY_MINUTES * MINUTE, hours.close - LATE_MINUTES * MINUTE)
    later = np.array([t for t in turns if t > moments[0]], np.int64)
    at = np.unique(np.concatenate([moments, later]))
    held = references[np.searchsorted(moments, at, "right") - 1]
    bands = [
        luld_band(float(reference), close, int(t), tier, span, is_amended)
        for t, reference in zip(at, held, strict=True)
    ]
    lowers, uppers = ([getattr(band, side) for band in bands] for side in ("lower", "upper"))
    ends = np.array([hours.close], np.int64)
    return np.append(at, ends), np.append(lowers, 0.0), np.append(uppers, np.inf)


def restricted_from(
    times: np.ndarray, prices: np.ndarray, hours: tuple[int, int], prior_close: float | None
) -> int:
    """When a decline sets off the short-sale restriction (rule 201); NEVER if it does not.

    `times` and `prices` are of the prints that form prices; those of regular hours count. It holds
    from that print on, and the whole next session.
    """
    if not prior_close:
        return kernel.NEVER
    threshold = (1 - SSR_DECLINE) * prior_close * (1 + RELATIVE_TOLERANCE)
    is_down = (times >= hours[0]) & (times < hours[1]) & (prices <= threshold)
    return int(times[is_down][0]) if is_down.any() else kernel.NEVER


def may_sell_short(limit: float, bid: float, is_restricted: bool) -> bool:
    """Whether a short sale at a limit is accepted: under the restriction above the best bid."""
    return not is_restricted or limit > bid


def restrictions(declines: Sequence[int], is_carried: bool = False) -> list[int]:
    """From when each of some sessions in a row is restricted, 0 for all of it; NEVER: not at all.

    `declines` has `restricted_from` of each; `is_carried` whether the one before had a decline.
    """
    before = [is_carried, *(moment != kernel.NEVER for moment in declines)]
    return [0 if carried else own for carried, own in zip(before, declines, strict=False)]
