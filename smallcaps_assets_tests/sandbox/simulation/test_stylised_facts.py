"""Facts measured on real small-cap tapes, on the pooled wild days of the generated markets."""

from __future__ import annotations

import numpy as np
import pytest

from smallcaps_assets.sandbox import SandboxConfig, SimulatedMarket
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import tape as t

DAYS = 60
Facts = dict[str, float]

# Bands of real tapes, regular hours, means over the days.
BANDS: dict[str, tuple[float, float]] = {
    "unchanged": (0.53, 0.64),
    "reversals": (0.69, 0.75),
    "sign_lag_1": (0.30, 0.50),
    "sign_lag_20": (0.10, 0.15),
    "odd_lots": (0.22, 0.29),
    "odd_lot_volume": (0.02, 0.03),
    "hundreds": (0.33, 0.43),
    "sub_penny": (0.28, 0.34),
    "top_percent_volume": (0.20, 0.29),
    "tiny_gaps": (0.37, 0.54),
    "fano": (56, 129),
    "kurtosis": (9, 21),
    "move_and_volume": (0.42, 0.58),
    "premarket_odd_lots": (0.36, 0.42),
}


def _signs(changes: np.ndarray) -> np.ndarray:
    """Tick-rule signs, from the first change on."""
    signs = np.sign(changes)
    last = np.maximum.accumulate(np.where(signs != 0, np.arange(len(signs)), -1))
    return signs[last[last >= 0]].astype(float)


def _autocorrelation(x: np.ndarray, lag: int) -> float:
    centred = x - x.mean()
    return float((centred[lag:] * centred[:-lag]).mean() / centred.var())


def _minutes(times: np.ndarray, prices: np.ndarray, sizes: np.ndarray, count: int) -> Facts:
    minute = times // t.MINUTE
    prints = np.bincount(minute, minlength=count)
    volumes = np.bincount(minute, weights=sizes, minlength=count)
    last = np.searchsorted(minute, np.arange(count), side="right") - 1
    returns = np.diff(np.log(prices[np.maximum(last, 0)]))
    centred = returns - returns.mean()
    return {
        "fano": prints.var() / prints.mean(),
        "kurtosis": float((centred**4).mean() / (centred**2).mean() ** 2),
        "move_and_volume": float(np.corrcoef(np.abs(returns), volumes[1:])[0, 1]),
    }


def _facts(tape: np.ndarray, hours: np.ndarray) -> Facts:
    early = tape[:, tape[c.SIP] < hours[1]]
    tape = tape[:, (tape[c.SIP] >= hours[1]) & (tape[c.SIP] < hours[2])]
    prices, sizes = tape[c.PRICE], tape[c.SIZE] / 1e6
    changes = np.diff(prices)
    moves = np.sign(changes[changes != 0])
    signs = _signs(changes)
    top = np.sort(sizes)[::-1][: len(sizes) // 100]
    return {
        "unchanged": float((changes == 0).mean()),
        "reversals": float((moves[1:] != moves[:-1]).mean()),
        "sign_lag_1": _autocorrelation(signs, 1),
        "sign_lag_20": _autocorrelation(signs, 20),
        "odd_lots": float((sizes < 100).mean()),
        "odd_lot_volume": sizes[sizes < 100].sum() / sizes.sum(),
        "hundreds": float((sizes == 100).mean()),
        "sub_penny": float((prices % 100 != 0).mean()),
        "top_percent_volume": top.sum() / sizes.sum(),
        "tiny_gaps": float((np.diff(tape[c.SIP]) < 1_000_000).mean()),
        "premarket_odd_lots": float((early[c.SIZE] < 100_000_000).mean()),
        **_minutes(tape[c.SIP] - hours[1], prices, sizes, int((hours[2] - hours[1]) // t.MINUTE)),
    }


def _pooled(market: SimulatedMarket) -> Facts:
    """Means over wild days that stay above a dollar: below it every price is sub-penny."""
    by_number = {listing.number: listing for listing in market.listings}
    rows: list[Facts] = []
    for number, s in list(market.wild_days)[:DAYS]:
        tape = market.tape(by_number[number], market.sessions[s])
        if tape[c.PRICE].min() > 10_000:
            rows.append(_facts(tape, market.calendar.hours[s]))
    assert len(rows) > DAYS // 2
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _placebo() -> SimulatedMarket:
    return SimulatedMarket(SandboxConfig(kind="placebo"))


@pytest.fixture(scope="module")
def simulated_facts(market: SimulatedMarket) -> Facts:
    return _pooled(market)


@pytest.fixture(scope="module")
def placebo_market() -> SimulatedMarket:
    return _placebo()


@pytest.fixture(scope="module")
def placebo_facts(placebo_market: SimulatedMarket) -> Facts:
    return _pooled(placebo_market)


@pytest.mark.parametrize("name", BANDS)
def test_simulated_tape_has_the_facts_of_real_ones(simulated_facts: Facts, name: str) -> None:
    low, high = BANDS[name]
    assert low <= simulated_facts[name] <= high


@pytest.mark.parametrize("name", BANDS)
def test_placebo_tape_has_the_same_facts(placebo_facts: Facts, name: str) -> None:
    low, high = BANDS[name]
    assert low <= placebo_facts[name] <= high


def _samples(market: SimulatedMarket) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features of the past and the return of the next 15 minutes, every 15 minutes."""
    by_number = {listing.number: listing for listing in market.listings}
    columns: dict[str, list[np.ndarray]] = {"minute": [], "quarter": [], "day": [], "sign": []}
    later: list[np.ndarray] = []
    for number, s in market.wild_days:
        tape, hours = market.tape(by_number[number], market.sessions[s]), market.calendar.hours[s]
        tape = tape[:, (tape[c.CODE] == 0) & (tape[c.CORRECTION] == 0)]
        times, prices = tape[c.SIP], tape[c.PRICE].astype(float)
        at = np.arange(hours[1] + 30 * t.MINUTE, hours[2] - 16 * t.MINUTE, 15 * t.MINUTE)

        def price(moment: np.ndarray, times=times, prices=prices) -> np.ndarray:
            return prices[np.maximum(np.searchsorted(times, moment, side="right") - 1, 0)]

        columns["minute"].append(price(at) / price(at - t.MINUTE))
        columns["quarter"].append(price(at) / price(at - 15 * t.MINUTE))
        columns["day"].append(price(at) / price(np.full(len(at), hours[1] + 5 * 10**9)))
        columns["sign"].append(np.sign(price(at) - price(at - 1_000_000_000)))
        later.append(price(at + 15 * t.MINUTE) / price(at) - 1)
    return {k: np.concatenate(v) for k, v in columns.items()}, np.concatenate(later)


def _auc(score: np.ndarray, is_up: np.ndarray) -> float:
    """Probability that an up case scores higher than a down case, ties counted half."""
    up, down = np.sort(score[is_up]), score[~is_up]
    below = np.searchsorted(up, down, side="right") + np.searchsorted(up, down, side="left")
    return 1.0 - float(below.mean()) / (2 * len(up))


def test_placebo_past_does_not_predict_the_sign_of_later_returns(
    placebo_market: SimulatedMarket,
) -> None:
    features, later = _samples(placebo_market)
    moved = later != 0
    deviation = np.sqrt(1 / 12 * 4 / moved.sum())
    for name, score in features.items():
        assert abs(_auc(score[moved], later[moved] > 0) - 0.5) < 3.5 * deviation, name
    assert abs(later.mean()) < 3.5 * later.std() / np.sqrt(len(later))
