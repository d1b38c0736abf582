"""What is planned for every ticker-session: catalysts, activity, gaps, and facts that tilt it.

A plan is one row of numbers per session of a listing, read by the kernel in tape.py; it never
contains a path. Some listings have a catalyst now and then: news before the open (a gap), news
during the session (a shock or a halt), or a crowd without news. Raised activity and volatility
last for two more sessions. `react` adjusts a plan to the session before it: offerings follow
run-ups, and the day after a large move leans against it.

The placebo market has the same catalysts, activity, volatility and halts, but all its jumps are
fair and nothing that is known tilts a price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from functools import cached_property

import numpy as np

from smallcaps_assets.sandbox.randomness import mix, mix_array, uniform, uniforms
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.actions import Dividend, Split
from smallcaps_assets.sandbox.simulation.companies import SECTORS, Listing, sector

STREAM_WILD, STREAM_DAY, STREAM_TAPE, STREAM_MARKET, STREAM_END = 301, 302, 303, 304, 305
WILD_SHARE = 0.0185  # of all ticker-sessions have a catalyst
WARM_UP = 12  # sessions before a catalyst, so that a mean volume exists
SPACING = 8  # sessions between two catalysts of one listing
FRACTIONAL_FROM = date(2026, 2, 23)
EARLY_BANDS_UNTIL = date(2020, 2, 23)
MARKET_DEVIATION, SECTOR_DEVIATION = 0.007, 0.006
BAD_DAYS, BAD_DAY = 2, -0.03  # sessions of a season on which the whole market falls, and by what
DECLINE_SESSIONS, DECLINE = 30, -0.018  # before a reverse split, each night
SHELF = 0.55  # share of catalyst-prone listings with a shelf registration (S-3)
_EXCHANGE_IDS = {"XNAS": 12, "XNYS": 10, "XASE": 1, "ARCX": 11, "BATS": 19}


class Kind(IntEnum):
    """The catalyst of a wild day."""

    GAP = 1
    NEWS = 2
    CROWD = 3


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

    @cached_property
    def ordinals(self) -> np.ndarray:
        return np.array([d.toordinal() for d in self.days], dtype=np.uint64)


@dataclass(frozen=True)
class Actions:
    """The corporate actions of one listing, by day."""

    splits: dict[date, Split]
    dividends: dict[date, Dividend]


def _candidates(
    seed: int, listing: Listing, calendar: Calendar, actions: Actions
) -> list[tuple[float, int, int]]:
    """(rank, listing number, session index) of the days that could be wild."""
    first, count = listing.span(calendar.days)
    ranks = uniforms(mix(seed, STREAM_WILD, listing.number), calendar.ordinals)
    return [
        (float(ranks[s]), listing.number, s)
        for s in range(first + WARM_UP, first + count)
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
            chosen[number, s] = Kind.GAP if u < 0.5 else Kind.NEWS if u < 0.75 else Kind.CROWD
    return chosen


def _lognormal(z: np.ndarray | float, scale: float) -> np.ndarray:
    """exp(scale z), rounded so that every libm gives the same number."""
    return np.round(np.exp(scale * np.asarray(z)), 6)


def _normals(key: int, counters: np.ndarray) -> np.ndarray:
    keys = np.array([[mix(key, k)] for k in range(4)], dtype=np.uint64)
    return (uniforms(keys, counters).sum(axis=0) - 2.0) * 1.7320508075688772


def market_moves(seed: int, calendar: Calendar) -> np.ndarray:
    """Relative overnight change of the whole market by session, bad days included."""
    moves = MARKET_DEVIATION * _normals(mix(seed, STREAM_MARKET), calendar.ordinals)
    ranks = uniforms(mix(seed, STREAM_MARKET, 1), calendar.ordinals)
    moves -= BAD_DAYS * BAD_DAY / calendar.season  # so that the mean is none
    for first in range(0, len(ranks), calendar.season):
        worst = np.argsort(ranks[first : first + calendar.season], kind="stable")[:BAD_DAYS]
        moves[first + worst] = BAD_DAY
    return moves


def common_moves(seed: int, calendar: Calendar) -> np.ndarray:
    """What the nights of each sector's listings share: float64[SECTORS, sessions]."""
    keys = (mix(seed, STREAM_MARKET, 2, number) for number in range(SECTORS))
    own = np.array([_normals(key, calendar.ordinals) for key in keys])
    return market_moves(seed, calendar) + SECTOR_DEVIATION * own


def _ordinary_days(
    seed: int, listing: Listing, calendar: Calendar, common: np.ndarray
) -> np.ndarray:
    """Plans of quiet and busy days."""
    plans = np.zeros((len(calendar.days), t.PLAN))
    key = mix(seed, STREAM_DAY, listing.number)
    ordinals = calendar.ordinals
    busy = uniforms(mix(key, 10), ordinals) < (0.0 if listing.is_test else 0.07)
    level = _lognormal(_normals(mix(key, 11), ordinals), 0.30) * np.where(busy, 3.2, 1.0)
    length = (calendar.hours[:, 2] - calendar.hours[:, 1]) / (390.0 * t.MINUTE)
    gaps = 0.3 * listing.volatility * _normals(mix(key, 12), ordinals)
    if not listing.is_test:
        gaps += min(1.0, listing.volatility / 0.02) * common[sector(seed, listing.number)]
    plans[:, t.P_TRADES] = listing.daily_trades * level * length
    plans[:, t.P_PREMARKET] = 0.03
    plans[:, t.P_POSTMARKET] = 0.02
    plans[:, t.P_SIGMA] = listing.volatility * np.where(busy, 1.8, 1.0)
    plans[:, t.P_GAP] = gaps
    plans[:, [t.P_SHOCK_MINUTE, t.P_HALT]] = -1.0
    plans[:, [t.P_PRICE_FACTOR, t.P_SIZE_FACTOR]] = 1.0
    plans[:, t.P_PRIMARY] = _EXCHANGE_IDS.get(listing.primary_exchange, 12)
    plans[:, t.P_FRACTIONAL] = [float(d >= FRACTIONAL_FROM) for d in calendar.days]
    plans[:, t.P_EARLY_BANDS] = [float(d <= EARLY_BANDS_UNTIL) for d in calendar.days]
    return plans


def _fair(up: float, u: float) -> float:
    """`up`, or a fall of at most a half, such that the mean is zero."""
    down = min(up / (1.0 + up), 0.5)
    return up if u < down / (up + down) else -down


def _wild_activity(plan: np.ndarray, u: Sequence[float], minutes: int) -> None:
    """What has no direction: trades and volatility."""
    z = (u[0] + u[1] + u[2] + u[3] - 2.0) * 1.7320508075688772
    trades = 23_500.0 * float(_lognormal(z, 0.55))
    plan[t.P_TRADES] = min(max(trades, 9_000.0), 100_000.0) * minutes / 390.0
    plan[t.P_PREMARKET] = 0.05 + 0.06 * u[4]
    plan[t.P_POSTMARKET] = 0.04
    plan[t.P_SIGMA] = 0.28 + 0.14 * u[5]
    plan[t.P_WILD] = 1.0


def _gap(plan: np.ndarray, u: Sequence[float], is_placebo: bool) -> None:
    """News between 06:00 and 08:50, and a crowd in the premarket the larger it is."""
    size = round(min(0.2 / (1.0 - 0.94 * u[6]) ** 0.95, 3.0), 6)
    is_up = u[7] < 0.82
    fall = -(0.12 + 0.35 * u[6])
    plan[t.P_SHOCK] = _fair(size, u[7]) if is_placebo else size if is_up else fall
    plan[t.P_SHOCK_MINUTE] = 120 + int(170 * u[8])
    plan[t.P_PREMARKET] = 0.08 + 0.30 * min(size, 1.0) * (0.3 + 0.7 * u[9])


def _news(plan: np.ndarray, u: Sequence[float], minutes: int) -> None:
    """News in the session: a halt for it, or a shock at which trading goes on."""
    minute = int(20 + u[6] * (minutes - 90))
    if u[7] < 0.4:
        plan[t.P_HALT] = minute
        plan[t.P_HALT_MINUTES] = 20 + int(60 * u[8])
        plan[t.P_HALT_JUMP] = _fair(0.10 + 0.40 * u[9], u[10])
    else:
        plan[t.P_SHOCK_MINUTE] = t.PREMARKET_MINUTES + minute
        plan[t.P_SHOCK] = _fair(0.04 + 0.08 * u[9], u[10])


def _long_halt(plans: np.ndarray, s: int, u: float, edge: float) -> None:
    """A halt by the exchange (T12) that ends far lower some sessions later."""
    plans[s, t.P_HALT] = 120
    plans[s, t.P_HALT_MINUTES] = 1_000
    until = s + 4 + int(4.9 * u)
    plans[s + 1 : until, t.P_TRADES] = 0.0
    fall = 0.45 + 0.3 * u
    gap = -fall if edge > 0.0 else _fair(fall / (1.0 - fall), u * 89.0 % 1.0)
    plans[until : until + 1, t.P_GAP] = gap


def _follow_up(plans: np.ndarray, s: int, u: Sequence[float], share: float, size: float) -> None:
    """Activity that lasts two more days, and nights that give back part of a gap."""
    trades = plans[s, t.P_TRADES]
    for later, (rest, calm) in enumerate(((0.10 + 0.40 * u[11], 0.5), (0.05 + 0.15 * u[12], 0.35))):
        for plan in plans[s + later + 1 : s + later + 2]:
            plan[t.P_TRADES] = max(plan[t.P_TRADES], rest * trades)
            plan[t.P_SIGMA] = max(plan[t.P_SIGMA], calm * plans[s, t.P_SIGMA])
            plan[t.P_PREMARKET], plan[t.P_POSTMARKET] = 0.06, 0.03
    if size > 0.0 and share > 0.0:
        nights = SPACING - 2
        plans[s + 1 : s + 1 + nights, t.P_GAP] -= share * size / (1.0 + size) / nights


def make_plans(
    seed: int,
    listing: Listing,
    calendar: Calendar,
    actions: Actions,
    wild: dict[int, Kind],
    common: np.ndarray,
    edge: float,
    trades_scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(plans[sessions, PLAN], seeds[sessions]) of one listing over all sessions.

    common: as `common_moves`. edge: scale of all that tilts a price by what is known; 0 for the
    placebo market.
    """
    plans = _ordinary_days(seed, listing, calendar, common)
    for s, kind in sorted(wild.items()):
        day = calendar.days[s].toordinal()
        u = [uniform(seed, STREAM_WILD, listing.number, day, 10 + k) for k in range(16)]
        minutes = int((calendar.hours[s, 2] - calendar.hours[s, 1]) // t.MINUTE)
        _wild_activity(plans[s], u, minutes)
        if kind is Kind.GAP:
            _gap(plans[s], u, edge == 0.0)
        elif kind is Kind.NEWS:
            _news(plans[s], u, minutes)
        _follow_up(plans, s, u, 0.6 if edge > 0.0 else 0.0, plans[s, t.P_SHOCK])
        if kind is Kind.CROWD and u[15] < 0.04:
            _long_halt(plans, s, u[14], edge)
        _offer(seed, listing, plans[s : s + 3], u[13], edge)
    if edge > 0.0:
        _decline(plans, calendar, listing, actions)
        _delist(seed, plans, calendar, listing)
    _apply_actions(plans, calendar, actions)
    plans[:, t.P_EDGE] = edge
    plans[:, t.P_TRADES] *= trades_scale
    return plans, mix_array(mix(seed, STREAM_TAPE, listing.number), calendar.ordinals)


def has_shelf(seed: int, listing: Listing) -> bool:
    """Whether a shelf registration (S-3) is filed, which offerings need."""
    return listing.is_pump_candidate and uniform(seed, STREAM_END, listing.number, 1) < SHELF


def _offer(seed: int, listing: Listing, plans: np.ndarray, u: float, edge: float) -> None:
    """An offering after the close of the first of these days that ran up, with a shelf mostly."""
    if u < (0.6 if has_shelf(seed, listing) else 0.08):
        price = 0.06 + 0.12 * (u * 97.0 % 1.0)
        plans[:, t.P_OFFERING] = -price if edge > 0.0 else _fair(price, u * 31.0 % 1.0)


def _decline(plans: np.ndarray, calendar: Calendar, listing: Listing, actions: Actions) -> None:
    """The long way down before a reverse split."""
    for s, day in enumerate(calendar.days):
        split = actions.splits.get(day)
        if split is not None and split.split_from > split.split_to and not listing.traits:
            plans[max(s - DECLINE_SESSIONS, 0) : s, t.P_GAP] += DECLINE


def is_takeover(seed: int, listing: Listing) -> bool:
    """Whether a listing that ends is bought; otherwise it collapses."""
    return uniform(seed, STREAM_END, listing.number, 2) < 0.5


def _delist(seed: int, plans: np.ndarray, calendar: Calendar, listing: Listing) -> None:
    """The last sessions of a listing: a premium and no more moves, or a collapse."""
    stop, last = sum(listing.span(calendar.days)), listing.last_day
    if last is None or last > calendar.days[-1] or stop < 25 or "renamed" in listing.traits:
        return
    u = uniform(seed, STREAM_END, listing.number, 3)
    if is_takeover(seed, listing):
        told = stop - 18
        plans[told, t.P_GAP] = 0.2 + 0.4 * u
        plans[told, t.P_TRADES] *= 6.0
        plans[told + 1 : stop, t.P_GAP] = 0.0
        plans[told:stop, t.P_SIGMA] = 0.004
        plans[told:stop, [t.P_SHOCK_MINUTE, t.P_HALT]] = -1.0
    else:
        told = stop - 6
        plans[told:stop, t.P_GAP] = -0.08
        plans[told, t.P_GAP] = -0.35 - 0.3 * u
        plans[told:stop, t.P_TRADES] *= 3.0
        plans[told:stop, t.P_SIGMA] *= 2.0


def react(plan: np.ndarray, change: float, gap: float, has_offered: bool) -> None:
    """Adjust a session's plan to the one before: the only way in which it depends on prices.

    change: relative change over the session before, close to close. gap: this morning's news. The
    day after a large move leans against it, the day after an offering falls, and news before the
    open is followed for a while.
    """
    facts = 0.0
    if abs(change) > 0.15:
        facts -= math.copysign(min(abs(change) / 0.3, 1.0), change)
    if has_offered:
        facts -= 1.0
        if plan[t.P_EDGE] > 0.0:
            plan[t.P_GAP] -= 0.02
    if abs(gap) > 0.05:
        facts += math.copysign(0.7, gap)
    plan[t.P_FACTS] = facts


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
