"""Which ticker-sessions are wild, and the parameters of every day's tape.

A plan is one row of numbers per session of a listing, read by the kernel in tape.py. In the
placebo market a wild day has the same activity and volatility, drawn independently of any
direction: no targets, no drift, no predictable gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

import numpy as np

from smallcaps_assets.sandbox.randomness import mix, uniform, uniforms
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.actions import Dividend, Split
from smallcaps_assets.sandbox.simulation.companies import Listing

STREAM_WILD, STREAM_DAY, STREAM_TAPE = 301, 302, 303
WILD_SHARE = 0.0138  # of all ticker-sessions: about 110 of 8,400 are selected by the usual rules
WARM_UP = 12  # sessions before a wild day, so that a mean volume exists
SPACING = 8  # sessions between two wild days of one listing
FRACTIONAL_FROM = date(2026, 2, 23)
_EXCHANGE_IDS = {"XNAS": 12, "XNYS": 10, "XASE": 1, "ARCX": 11, "BATS": 19}


class Kind(IntEnum):
    """What happens on a wild day."""

    PUMP = 1
    FADER = 2
    CRASH = 3


@dataclass(frozen=True)
class Calendar:
    """The sessions that a market is planned for and their hours (int64[sessions, 4], UTC ns).

    These are whole seasons of some sessions each and reach beyond the market's end, so that a
    later end changes no plan.
    """

    days: Sequence[date]
    hours: np.ndarray
    season: int

    @property
    def seasons(self) -> list[list[date]]:
        """The sessions of each season."""
        firsts = range(0, len(self.days), self.season)
        return [list(self.days[first : first + self.season]) for first in firsts]

    @property
    def ordinals(self) -> np.ndarray:
        return np.array([d.toordinal() for d in self.days], dtype=np.uint64)


@dataclass(frozen=True)
class Actions:
    """The corporate actions of one listing, by day."""

    splits: dict[date, Split]
    dividends: dict[date, Dividend]


def active_sessions(listing: Listing, calendar: Calendar) -> tuple[int, int]:
    """Half-open range of session indexes on which a listing trades."""
    inside = [i for i, d in enumerate(calendar.days) if listing.ticker_on(d) is not None]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _candidates(
    seed: int, listing: Listing, calendar: Calendar, actions: Actions
) -> list[tuple[float, int, int]]:
    """(rank, listing number, session index) of the days that could be wild."""
    first, stop = active_sessions(listing, calendar)
    ranks = uniforms(mix(seed, STREAM_WILD, listing.number), calendar.ordinals)
    return [
        (float(ranks[s]), listing.number, s)
        for s in range(first + WARM_UP, stop)
        if calendar.days[s] not in actions.splits and calendar.days[s] not in actions.dividends
    ]


def choose_wild_days(
    seed: int,
    listings: Sequence[Listing],
    calendar: Calendar,
    actions: dict[int, Actions],
    count: int,
) -> dict[tuple[int, int], Kind]:
    """(listing number, session index) -> kind: of each season the `count` best-ranked days, with
    some spacing."""
    ranked: list[tuple[float, int, int]] = []
    for listing in listings:
        if listing.is_pump_candidate:
            ranked.extend(_candidates(seed, listing, calendar, actions[listing.number]))
    ranked.sort(key=lambda day: (day[2] // calendar.season, *day))
    chosen: dict[tuple[int, int], Kind] = {}
    taken: dict[int, list[int]] = {}
    left = [count] * len(calendar.seasons)
    for _, number, s in ranked:
        season = s // calendar.season
        if left[season] and all(abs(s - other) >= SPACING for other in taken.get(number, [])):
            left[season] -= 1
            taken.setdefault(number, []).append(s)
            u = uniform(seed, STREAM_WILD, number, calendar.days[s].toordinal(), 1)
            kind = Kind.PUMP if u < 0.54 else Kind.FADER if u < 0.86 else Kind.CRASH
            chosen[number, s] = kind
    return chosen


def _lognormal(z: np.ndarray | float, scale: float) -> np.ndarray:
    """exp(scale z), rounded so that every libm gives the same number."""
    return np.round(np.exp(scale * np.asarray(z)), 6)


def _normals(key: int, counters: np.ndarray) -> np.ndarray:
    total = sum(uniforms(mix(key, k), counters) for k in range(4))
    return (np.asarray(total) - 2.0) * 1.7320508075688772


def _ordinary_days(seed: int, listing: Listing, calendar: Calendar) -> np.ndarray:
    """Plans of quiet and busy days."""
    plans = np.zeros((len(calendar.days), t.PLAN))
    key = mix(seed, STREAM_DAY, listing.number)
    ordinals = calendar.ordinals
    busy = uniforms(mix(key, 10), ordinals) < (0.0 if listing.is_test else 0.07)
    level = _lognormal(_normals(mix(key, 11), ordinals), 0.30) * np.where(busy, 3.2, 1.0)
    length = (calendar.hours[:, 2] - calendar.hours[:, 1]) / (390.0 * t.MINUTE)
    plans[:, t.P_TRADES] = listing.daily_trades * level * length
    plans[:, t.P_PREMARKET] = 0.03
    plans[:, t.P_POSTMARKET] = 0.02
    plans[:, t.P_SIGMA] = listing.volatility * np.where(busy, 1.8, 1.0)
    plans[:, t.P_GAP] = 0.3 * listing.volatility * _normals(mix(key, 12), ordinals)
    plans[:, t.P_HALT] = -1.0
    plans[:, t.P_PRICE_FACTOR] = 1.0
    plans[:, t.P_SIZE_FACTOR] = 1.0
    plans[:, t.P_PRIMARY] = _EXCHANGE_IDS.get(listing.primary_exchange, 12)
    plans[:, t.P_FRACTIONAL] = [float(d >= FRACTIONAL_FROM) for d in calendar.days]
    return plans


def _wild_activity(plan: np.ndarray, u: Sequence[float], minutes: int) -> None:
    """What does not depend on a direction: trades, volatility, a halt."""
    z = (u[0] + u[1] + u[2] + u[3] - 2.0) * 1.7320508075688772
    trades = 23_500.0 * float(_lognormal(z, 0.55))
    plan[t.P_TRADES] = min(max(trades, 9_000.0), 100_000.0) * minutes / 390.0
    plan[t.P_PREMARKET] = 0.05 + 0.06 * u[4]
    plan[t.P_POSTMARKET] = 0.03
    plan[t.P_SIGMA] = 0.40 + 0.12 * u[5]
    plan[t.P_WILD] = 1.0
    plan[t.P_RAMP_START] = int(5 + u[6] * 0.3 * minutes)
    plan[t.P_RAMP_END] = plan[t.P_RAMP_START] + 15 + int(u[7] * 60)
    if u[8] < 0.4:
        plan[t.P_HALT] = plan[t.P_RAMP_START] + int(u[9] * 20)


def _wild_direction(plan: np.ndarray, kind: Kind, u: Sequence[float]) -> None:
    """The shape of the simulated market's wild days."""
    plan[t.P_SHAPE] = 1.0
    if kind is Kind.PUMP:
        plan[t.P_GAP] = 0.02 + 0.16 * u[10]
        plan[t.P_TARGET] = 0.18 + 0.8 * u[11] * u[11]
        plan[t.P_JUMP] = 0.05 + 0.08 * u[12]
    elif kind is Kind.FADER:
        plan[t.P_SHAPE] = 2.0
        plan[t.P_GAP] = 0.02 + 0.10 * u[10]
        plan[t.P_TARGET] = 0.28 + 0.4 * u[11]
        plan[t.P_FINAL] = (1.0 + 0.12 * (u[13] - 0.55)) / (1.0 + plan[t.P_GAP]) - 1.0
        plan[t.P_JUMP] = 0.05 + 0.08 * u[12]
    else:
        plan[t.P_GAP] = -0.02 - 0.12 * u[10]
        plan[t.P_TARGET] = -0.22 - 0.22 * u[11]
        plan[t.P_JUMP] = -0.05 - 0.06 * u[12]


def _give_back(plans: np.ndarray, s: int) -> None:
    """Part of a pump is lost over the next nights, or prices would only climb."""
    target = plans[s, t.P_TARGET]
    nights = SPACING - 2
    plans[s + 1 : s + 1 + nights, t.P_GAP] -= 0.6 * target / (1.0 + target) / nights


def make_plans(
    seed: int,
    listing: Listing,
    calendar: Calendar,
    actions: Actions,
    wild: dict[int, Kind],
    is_placebo: bool,
    trades_scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(plans[sessions, PLAN], seeds[sessions]) of one listing over all sessions."""
    plans = _ordinary_days(seed, listing, calendar)
    for s, kind in wild.items():
        draws = [
            uniform(seed, STREAM_WILD, listing.number, calendar.days[s].toordinal(), 10 + k)
            for k in range(14)
        ]
        minutes = int((calendar.hours[s, 2] - calendar.hours[s, 1]) // t.MINUTE)
        _wild_activity(plans[s], draws, minutes)
        if is_placebo:
            side = 1.0 if draws[13] < 0.5 else -1.0
            plans[s, t.P_GAP] = 0.10 * side * draws[10]
            plans[s, t.P_JUMP] = 0.08 * (1.0 if draws[12] < 0.5 else -1.0)
        else:
            _wild_direction(plans[s], kind, draws)
            if kind is Kind.PUMP:
                _give_back(plans, s)
    _apply_actions(plans, calendar, actions)
    plans[:, t.P_TRADES] *= trades_scale
    keys = [mix(seed, STREAM_TAPE, listing.number, d.toordinal()) for d in calendar.days]
    return plans, np.array(keys, dtype=np.uint64)


def _apply_actions(plans: np.ndarray, calendar: Calendar, actions: Actions) -> None:
    for s, day in enumerate(calendar.days):
        split = actions.splits.get(day)
        if split is not None:
            plans[s, t.P_PRICE_FACTOR] = split.split_from / split.split_to
            # Turnover in dollars goes on; share counts do not fall as far as prices rise.
            plans[s:, t.P_SIZE_FACTOR] *= min(max(split.split_to / split.split_from, 0.5), 3.0)
        dividend = actions.dividends.get(day)
        if dividend is not None:
            plans[s, t.P_DIVIDEND] = dividend.amount
