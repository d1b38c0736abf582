"""Features of trades: golden cases, brute-force twins, truncation, and passes resumed anywhere.

The features of bars and of the session against the day before are tried in
`domain/bars/test_features.py`.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.features import CENTS, FeaturePass, SessionContext
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.kernels.features import COLUMNS
from smallcaps_assets.kernels.minutes import slope_and_t
from smallcaps_assets_tests.domain.market_frames import DAY
from smallcaps_assets_tests.kernels import brute_features

GOLDEN = {
    case["fn"]: case
    for case in json.loads(
        (Path(__file__).parents[1] / "golden" / "research_flow.json").read_text()
    )
}
MINUTE, SECOND = 60 * 10**9, 10**9
HOURS = replace(session_hours(DAY), premarket_open=240 * MINUTE, open=570 * MINUTE)
CONTEXT = SessionContext("A", DAY, previous_close=5.0, mean_volume30=1000.0)


def arrays(prints):
    """Columns of prints (time, price, size, is_forming)."""
    times, prices, sizes, is_forming = zip(*prints, strict=True)
    count = len(prints)
    return (
        np.array(times, np.int64), np.array(prices, float), np.array(sizes, float),
        np.array(is_forming, bool), np.ones(count, bool), np.zeros(count, bool),
    )  # fmt: skip


def bars_of(prints, lasts):
    """What a bar is, as far as these features look at it."""
    rows, first = [], 0
    for last in lasts:
        part = prints[first : last + 1]
        prices, volume = [p[1] for p in part], sum(p[2] for p in part)
        shape = prices[-1], max(prices), min(prices), volume
        rows.append((*shape, volume, 0.0, 10.0, 20.0, len(part)))
        first = last + 1
    return np.array(rows, float).reshape(-1, 9)


def run(prints, lasts, hours=HOURS, curve=None):
    """The features of bars as dictionaries; None for NaN."""
    found = FeaturePass(CONTEXT, hours).follow(
        arrays(prints), np.array(lasts, np.int64), bars_of(prints, lasts), curve
    )
    return [
        {n: None if math.isnan(v) else v for n, v in zip(COLUMNS, row.tolist(), strict=True)}
        for row in found
    ]


def test_large_prints_golden():
    case = GOLDEN["large_prints"]
    sizes, first, last = (case["input"][name] for name in ("sizes", "first", "last"))
    prints = [(600 * MINUTE + n, 5.0, size, True) for n, size in enumerate(sizes)]
    shares = [row["large_print_share"] for row in run(prints, [first - 1, last])]
    assert shares == [0.0, case["expected"]["share"]]
    single = [row["large_print_share"] for row in run(prints, list(range(len(sizes))))]
    assert [n for n, share in enumerate(single) if share] == case["expected"]["large"]


def test_volume_burst_golden():
    case = GOLDEN["volume_burst"]
    given = case["input"]
    prints = [(*row, True) for row in given["prints"]] + [(given["t"], 5.0, 0.0, True)]
    hours = replace(HOURS, premarket_open=given["session_start"])
    [row] = run(prints, [len(prints) - 1], hours)
    assert row["volume_burst"] == pytest.approx(case["expected"]["ratio"])


def test_slope_golden():
    case = GOLDEN["parabolic_slope"]
    minutes, closes = case["input"]["minutes"], case["input"]["closes"]
    for turn in range(5):  # a ring that begins anywhere
        found = slope_and_t(np.roll(minutes, turn), np.roll(np.log(closes), turn), turn)
        assert found == pytest.approx((case["expected"]["slope"], case["expected"]["t"]))
    assert slope_and_t(np.arange(5), np.zeros(5), 0) == pytest.approx((0, math.nan), nan_ok=True)


def test_gini_golden():
    case = GOLDEN["gini"]
    prints = [(600 * MINUTE + n, *row, True) for n, row in enumerate(case["input"]["prints"])]
    [row] = run(prints, [len(prints) - 1])
    assert row["volume_concentration"] == pytest.approx(case["expected"])


def test_volume_concentration_given_many_cents_grows_its_table():
    rng = np.random.default_rng(3)
    prices = np.round(rng.random(3 * CENTS) * 60 + 1, 3)
    prints = [(600 * MINUTE + n, p, 100.0 * (n % 7 + 1), True) for n, p in enumerate(prices)]
    rows = run(prints, [CENTS // 3, 3 * CENTS - 1])
    for row, last in zip(rows, (CENTS // 3, 3 * CENTS - 1), strict=True):
        expected = brute_features.gini(prints[: last + 1])
        assert row["volume_concentration"] == pytest.approx(expected, abs=1e-12)


# Twins -------------------------------------------------------------------------------------------
PRICES = st.sampled_from((4.99, 5.0, 5.0, 5.005, 5.01, 5.1))
SIZES = st.sampled_from((1.0, 0.25, 100.0, 100.0, 300.0, 5000.0))
GAPS = st.sampled_from((0, 1, 5, 60, 60, 200))
CURVE = np.arange(960.0) * 100


@st.composite
def sessions(draw, max_size=50):
    """Prints, after 50 like ones in some sessions, and the last ones of bars."""
    clock, prints = draw(st.sampled_from((241, 255, 569))) * MINUTE, []
    if draw(st.booleans()):
        prints = [(clock + n * SECOND, 5.0 + n % 2 / 100, 100.0 + n % 3, True) for n in range(50)]
        clock += 50 * SECOND
    rows = draw(
        st.lists(st.tuples(GAPS, PRICES, SIZES, st.booleans()), min_size=1, max_size=max_size)
    )
    for gap, *rest in rows:
        clock += gap * SECOND
        prints.append((clock, *rest))
    places = st.sets(st.integers(0, len(prints) - 1), min_size=1, max_size=8)
    return prints, sorted(draw(places))


@given(sessions())
def test_features_of_trades_equal_their_twins(session):
    prints, lasts = session
    for k, (row, last) in enumerate(zip(run(prints, lasts, curve=CURVE), lasts, strict=True)):
        first = lasts[k - 1] + 1 if k else 0
        seen, now = prints[: last + 1], prints[last][0]
        volume = sum(p[2] for p in seen[first:])
        slope, t = brute_features.slope(seen, now)
        minute = (now - HOURS.premarket_open) // MINUTE
        total = sum(p[2] for p in seen)
        expected = {
            "volume_concentration": brute_features.gini(seen),
            "volume_burst": brute_features.burst(seen, now, HOURS.premarket_open),
            "large_print_share": sum(prints[i][2] for i in brute_features.large(seen) if i >= first)
            / volume,
            "is_exhaustion": float(brute_features.exhausted(seen, first)),
            "parabolic_slope": slope,
            "parabolic_slope_t": t,
            "relative_volume_at_time": total / CURVE[minute],
        }
        for name, value in expected.items():
            assert row[name] == (value if value is None else pytest.approx(value, abs=1e-11)), name


@given(sessions(), st.data())
def test_feature_pass_resumed_anywhere_gives_the_same_bits(session, data):
    prints, lasts = session
    given_arrays, bars = arrays(prints), bars_of(prints, lasts)
    whole = FeaturePass(CONTEXT, HOURS)
    expected = whole.follow(given_arrays, np.array(lasts), bars, CURVE)
    parts, pieces, stop = FeaturePass(CONTEXT, HOURS), [], 0
    while stop < len(prints):
        stop = min(stop + data.draw(st.integers(1, 20)), len(prints))
        closed = sum(last < stop for last in lasts)
        seen = tuple(array[:stop] for array in given_arrays)
        pieces.append(parts.follow(seen, np.array(lasts[:closed], np.int64), bars[:closed], CURVE))
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    assert parts.state.tobytes() == whole.state.tobytes()
    assert parts.minutes.tobytes() == whole.minutes.tobytes()
