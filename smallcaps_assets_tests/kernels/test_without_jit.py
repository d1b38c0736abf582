"""The kernels give the same bits compiled and as plain Python, in one pass and in chunks."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from smallcaps_assets.domain import (
    BarKind,
    BarSetting,
    average_uniqueness,
    bars_from_arrays,
    cusum_events,
    return_attribution,
    sequential_bootstrap,
    sweep_arrays,
    tick_rule,
    time_decay,
    triple_barrier_arrays,
)
from smallcaps_assets.domain.bars.features import FeaturePass, SessionContext
from smallcaps_assets.domain.bars.quote_features import QuotePass, Quotes
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.patterns.events import PatternPass
from smallcaps_assets.settings import PatternSettings
from smallcaps_assets_tests.another_process import printed

COUNT = 1500
DAY = date(2021, 2, 5)
HOURS = session_hours(DAY)


def tape(seed: int):
    """Random ticks: whole and fractional sizes, halts, sessions, odd lots, auctions."""
    rng = np.random.default_rng(seed)
    prices = np.round(5 * np.exp(0.002 * rng.standard_normal(COUNT).cumsum()), 2)
    fractional = np.round(rng.random(COUNT) * 500, 6)
    sizes = rng.integers(1, 900, COUNT).astype(float) if seed % 2 else fractional
    masks = {
        "session": rng.integers(0, 2, COUNT).cumsum() // 400,
        "block": rng.integers(0, 2, COUNT).cumsum() // 150,
        "price_forming": rng.random(COUNT) < 0.75,
        "auction": rng.random(COUNT) < 0.01,
    }
    return np.sort(rng.integers(0, 10**6, COUNT)), prices, sizes, masks


def bars_in_chunks(kind, times, prices, sizes, masks, cuts):
    """Bars of a tape cut at some ticks, the state handed on; rows and final state."""
    rows, state = [], None
    for start, stop in zip([0, *cuts], [*cuts, COUNT], strict=True):
        part = slice(start, stop)
        frame, state = bars_from_arrays(
            times[part], prices[part], sizes[part], kind, 9_000 if kind.in_dollars else 1_800,
            state=state, final=stop == COUNT, **{n: m[part] for n, m in masks.items()},
        )  # fmt: skip
        rows += frame.rows()
    assert state is not None
    return repr(rows), state.floats.tobytes(), state.integers.tobytes(), state.sign


def results(seed: int) -> list[str]:
    """Everything that the kernels make of a tape, exactly."""
    times, prices, sizes, masks = tape(seed)
    found: list[object] = [bars_in_chunks(k, times, prices, sizes, masks, []) for k in BarKind]
    events = np.arange(0, COUNT, 7)
    found.append(triple_barrier_arrays(times, prices, events, 10**6, 0.02, 0.01, 9000).rows())
    starts, ends = events[:-20], events[:-20] + 1 + events[:-20] % 30
    found += [average_uniqueness(COUNT, starts, ends), return_attribution(prices, starts, ends)]
    found += [sequential_bootstrap(COUNT, starts, ends, np.random.default_rng(1))]
    found += [time_decay(sizes, 0.3), tick_rule(prices), cusum_events(np.diff(prices), 0.1)]
    swept = sweep_arrays(times, prices, sizes, BarKind.DOLLAR_IMBALANCE)
    found.append(swept.closing_ticks(BarSetting(9_000, gamma=0.5, kappa=3.0))[0])
    found += session_passes(times * 10**7 + HOURS.open, prices, sizes, masks, seed)
    return [repr(f.tolist()) if isinstance(f, np.ndarray) else repr(f) for f in found]


def session_passes(times, prices, sizes, masks, seed):
    """What the passes over a session make of the same ticks, in two calls each."""
    rng = np.random.default_rng(seed)
    quotes = Quotes(times - 10**8, *np.round(5 + rng.integers(-3, 9, (4, COUNT)) / 100, 2))
    lasts, forming = np.arange(20, COUNT, 21), masks["price_forming"]
    bars = np.abs(rng.standard_normal((lasts.size, 9))) + 1
    bars[:, 1] += bars[:, 2]
    quoted, featured = QuotePass(HOURS), FeaturePass(SessionContext("A", DAY, 5.1, 1e5), HOURS)
    searched = PatternPass(HOURS, 5.1, PatternSettings(min_rise=0.03, min_parabolic_return=0.01))
    found = []
    for stop in (700, COUNT):
        prints = times[:stop], prices[:stop], sizes[:stop], forming[:stop]
        closed = lasts[lasts < stop]
        found.append(quoted.follow(quotes, (*prints, masks["auction"][:stop]), closed))
        flags = forming[:stop], masks["auction"][:stop]
        found.append(featured.follow((*prints, *flags), closed, bars[: closed.size]))
        found.append(searched.follow(prints, (times[400:401], times[410:411])))
    states = featured.state, featured.minutes, searched.state, searched.minutes, quoted.horizons
    found += [searched.reach(HOURS.close), *(state.view(np.int64) for state in states)]
    return [*found, np.array(list(numbers(quoted.state)))]


def numbers(state):
    """Those of nested tuples, as doubles."""
    for value in state:
        yield from numbers(value) if isinstance(value, tuple) else (float(value),)


def test_kernels_without_compilation_give_the_same_bits():
    script = (
        "from smallcaps_assets_tests.kernels import test_without_jit as t;"
        "print('\\n'.join(t.results(1) + t.results(2)))"
    )
    plain = printed(script, NUMBA_DISABLE_JIT="1")
    assert plain.splitlines() == results(1) + results(2)


@pytest.mark.parametrize("kind", list(BarKind))
@pytest.mark.parametrize("seed", [1, 2])
def test_bars_of_any_chunks_are_the_bits_of_one_pass(kind, seed):
    whole = bars_in_chunks(kind, *tape(seed), [])
    for cuts in ([1], [700, 701], [0, 400, 400, 1499], list(range(100, COUNT, 100))):
        assert bars_in_chunks(kind, *tape(seed), cuts) == whole
