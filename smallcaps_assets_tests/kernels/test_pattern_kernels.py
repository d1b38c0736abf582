"""The seven patterns: golden cases, twins, tapes that are cut anywhere, passes that are resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.patterns.events import PatternPass
from smallcaps_assets.kernels.patterns import PATTERNS
from smallcaps_assets.settings import PatternSettings
from smallcaps_assets_tests.domain.market_frames import DAY
from smallcaps_assets_tests.kernels import brute_patterns

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "research_patterns.json").read_text())
MINUTE = 60 * 10**9
SECOND = 10**9
HOURS = replace(
    session_hours(DAY), premarket_open=240 * MINUTE, open=570 * MINUTE, close=960 * MINUTE
)
NAMES = ("side", "number", "t0", "tick", "level", "price")


def arrays(ticks):
    times, prices, sizes, is_forming = zip(*ticks, strict=True) if ticks else ([],) * 4
    return (
        np.array(times, np.int64), np.array(prices, float), np.array(sizes, float),
        np.array(is_forming, bool),
    )  # fmt: skip


def halt_arrays(halts):
    pairs = np.array(halts, np.int64).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def told(events):
    """Rows of the kernel as the twins give them."""
    return [
        (PATTERNS[e["pattern"]], int(e["minutes"]), *(e[name].item() for name in NAMES))
        for e in events
    ]


def find(ticks, halts=(), previous_close=None, settings=None, until=HOURS.close):
    whole = PatternPass(HOURS, previous_close, settings or PatternSettings())
    found = [whole.follow(arrays(ticks), halt_arrays(halts)), whole.reach(until)]
    return told(np.concatenate(found))


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_patterns_golden(case):
    given = case["input"]
    ticks = [(*tick[:3], tick[3] != "flow") for tick in given["ticks"] if tick[3] != "excluded"]
    chosen = {"opening_range_minutes": (given["minutes"],)} if "minutes" in given else {}
    settings = PatternSettings(**chosen)
    found = find(ticks, given.get("halts", ()), given.get("previous_close"), settings)
    names = ("vwap_reclaim", "vwap_reject") if "vwap" in case["fn"] else (case["fn"],)
    rows = [
        {"pattern": e[0]} | dict(zip(NAMES, e[2:], strict=True)) for e in found if e[0] in names
    ]
    assert rows == [e | {"level": pytest.approx(e["level"])} for e in case["expected"]]


# Twins -------------------------------------------------------------------------------------------
GAPS = st.sampled_from((0, 1, 7, 20, 40, 60, 60, 60, 90, 300, 700, 1800))
STEPS = st.sampled_from((0, 0, 1, 1, 2, -1, -1, -2, 5, -5))
PRICES = [round(4.0 * 1.02**n, 2) for n in range(40)]
QUICK = PatternSettings(
    opening_range_minutes=(1, 5), min_gap=0.02, vwap_closes=2, min_rise=0.05, rise_minutes=10,
    high_minutes=2, min_slope_t=1, min_parabolic_return=0.05,
)  # fmt: skip


@st.composite
def tapes(draw, max_size=60):
    """Ticks, halts and a previous close; whole minutes and ties are frequent."""
    clock = draw(st.sampled_from((560, 569, 570, 571, 930, 955))) * MINUTE
    place, ticks = 20, []
    rows = st.tuples(GAPS, STEPS, st.sampled_from((True, True, True, False)))
    for gap, step, is_forming in draw(st.lists(rows, max_size=max_size)):
        clock += gap * SECOND
        place = min(max(place + step, 0), len(PRICES) - 1)
        size = draw(st.sampled_from((50.0, 100.0, 700.0)))
        ticks.append((clock, PRICES[place], size, is_forming))
    halts, clock = [], 555 * MINUTE
    for wait, length in draw(st.lists(st.tuples(GAPS, GAPS.filter(bool)), max_size=4)):
        start = clock + wait * SECOND
        clock = start + length * SECOND
        halts.append((start, clock))
    return ticks, halts, draw(st.sampled_from((None, 5.5, 6.0)))


@given(tapes())
def test_patterns_equal_their_twins(tape):
    ticks, halts, previous_close = tape
    found = find(ticks, halts, previous_close, QUICK)
    wanted = brute_patterns.all_events(ticks, halts, previous_close, HOURS.close, QUICK)
    key = lambda e: (e[4], PATTERNS.index(e[0]), *e[1:4])  # noqa: E731
    assert sorted(found, key=key) == [
        (*e[:6], pytest.approx(e[6]), e[7]) for e in sorted(wanted, key=key)
    ]
    assert [e[4] for e in found] == sorted(e[4] for e in found)


@given(tapes(), st.data())
def test_patterns_of_a_tape_cut_anywhere_are_those_known_by_then(tape, data):
    ticks, halts, previous_close = tape
    whole = find(ticks, halts, previous_close, QUICK)
    moments = [tick[0] for tick in ticks] + [e[4] for e in whole] + [HOURS.open]
    now = data.draw(st.sampled_from(moments)) + data.draw(st.sampled_from((0, -1, 59 * SECOND)))
    known = [halt for halt in halts if halt[0] <= now]
    part = find([t for t in ticks if t[0] <= now], known, previous_close, QUICK, now)
    assert part == [e for e in whole if e[4] <= now]


@given(tapes())
def test_pattern_pass_fed_print_by_print_gives_the_same_events(tape):
    ticks, halts, previous_close = tape
    given, parts = arrays(ticks), PatternPass(HOURS, previous_close, QUICK)
    found = []
    for stop in range(1, len(ticks) + 1):
        known = [halt for halt in halts if halt[0] <= ticks[stop - 1][0]]
        found += told(parts.follow(tuple(a[:stop] for a in given), halt_arrays(known)))
        found += told(parts.reach(ticks[stop - 1][0]))
    assert found + told(parts.reach(HOURS.close)) == find(ticks, halts, previous_close, QUICK)


def test_patterns_find_events_of_every_kind_on_long_tapes():
    """Windows slide, legs follow one another, output is longer than one call writes."""
    kinds = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        count = 1500
        times = 565 * MINUTE + np.cumsum(rng.choice([0, 1, 9, 40], count)) * SECOND
        places = np.clip(20 + rng.choice([-1, 0, 1], count).cumsum(), 0, 39)
        sizes, is_forming = rng.choice([50.0, 100.0], count), rng.random(count) < 0.8
        prices = np.array(PRICES)[places]
        ticks = list(
            zip(times.tolist(), prices.tolist(), sizes.tolist(), is_forming.tolist(), strict=True)
        )
        ticks = [t for t in ticks if t[0] < HOURS.close + MINUTE]
        halts = [(600 * MINUTE, 605 * MINUTE), (700 * MINUTE, 705 * MINUTE)]
        found = find(ticks, halts, 5.5, QUICK)
        wanted = brute_patterns.all_events(ticks, halts, 5.5, HOURS.close, QUICK)
        assert sorted(e[:6] for e in found) == sorted(e[:6] for e in wanted)
        kinds |= {e[0] for e in found}
    assert kinds == set(PATTERNS)
