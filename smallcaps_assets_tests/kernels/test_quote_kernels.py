"""Quotes and signed flow: golden cases, the brute-force twin, and passes resumed anywhere."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.quote_features import (
    NULL_REASONS,
    QuoteError,
    QuotePass,
    Quotes,
    quality_of,
)
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.kernels.quotes import COLUMNS
from smallcaps_assets_tests.domain.market_frames import DAY
from smallcaps_assets_tests.domain.tick_frames import tape_of, trade
from smallcaps_assets_tests.kernels import brute_quotes

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "research_flow.json").read_text())
HOURS = session_hours(DAY)


def quotes_of(rows) -> Quotes:
    values = np.array([[np.nan if v is None else v for v in row[1:]] for row in rows], float)
    columns = values.reshape(-1, 4).T.copy()
    return Quotes(np.array([row[0] for row in rows], np.int64), *columns)


def prints_of(rows):
    """Times, prices, sizes, what forms prices and what is an auction."""
    full = [(*row, True, False)[:5] if len(row) == 3 else row for row in rows]
    times, prices, sizes, forming, auction = zip(*full, strict=True) if full else ([],) * 5
    return (
        np.array(times, np.int64), np.array(prices, float), np.array(sizes, float),
        np.array(forming, bool), np.array(auction, bool),
    )  # fmt: skip


def run(quotes, prints, lasts, hours=HOURS, **options):
    """The rows of bars as dictionaries, None for NaN, and the pass."""
    whole = QuotePass(hours, **options)
    out = whole.follow(quotes_of(quotes), prints_of(prints), np.array(lasts, np.int64))
    return [row_of(values) for values in out], whole


def row_of(values):
    row = {n: None if np.isnan(v) else float(v) for n, v in zip(COLUMNS, values, strict=True)}
    return row | {"null_reason": NULL_REASONS[int(values[-1])]}


def cases(function):
    chosen = [case for case in GOLDEN if case["fn"] == function]
    return pytest.mark.parametrize("case", chosen, ids=[case["name"] for case in chosen])


NAMES = {
    "imbalance_last": "quote_imbalance_last",
    "imbalance_time_weighted": "quote_imbalance_time_weighted",
    "ofi": "order_flow_imbalance",
    "reason": "null_reason",
}


def near(value):
    return value if value is None or isinstance(value, str) else pytest.approx(value, abs=1e-12)


@cases("nbbo_features")
def test_quotes_of_a_bar_golden(case):
    given = case["input"]
    ends = [(given["start"], 5.0, 1.0), (given["end"], 5.0, 1.0)]
    [row], _ = run(given["quotes"], ends, [1])
    found = {name: row[NAMES.get(name, name)] for name in case["expected"]}
    assert found == {name: near(value) for name, value in case["expected"].items()}


@cases("lee_ready_delta")
def test_lee_ready_golden(case):
    given, expected = case["input"], case["expected"]
    [row], whole = run(given["quotes"], given["prints"], [len(given["prints"]) - 1])
    assert whole.signs.tolist() == expected["signs"]
    found = [row[f"{name}"] for name in ("lee_ready_delta", "quoted_volume", "touch_delta")]
    assert found == [expected["delta"], expected["volume"], expected["touch_delta"]]
    assert row["lee_ready_delta_ratio"] == near(expected["ratio"])


@cases("spread_decomposition")
def test_spread_decomposition_golden(case):
    given, expected = case["input"], case["expected"]
    prints = [*given["prints"], [given["close"], 10.0, 0.0]]
    seconds = given["horizon"] / 1e9
    [row], _ = run(given["quotes"], prints, [len(prints) - 1], horizons=(seconds, seconds))
    names = ("effective_spread", "realised_spread_5m", "price_impact_5m")
    found = dict(zip(("effective", "realised", "impact"), (row[n] for n in names), strict=True))
    assert found == {name: near(expected[name]) for name in found}


# The twin ----------------------------------------------------------------------------------------
PRICES = st.sampled_from((None, 0.0, 5.0, 5.01, 5.02, 5.03))
SIZES = st.sampled_from((None, 0.0, 100.0, 300.0, 0.5))
GAPS = st.sampled_from((0, 0, 1, 3, 7))


@st.composite
def sessions(draw, max_size=30):
    """Quotes, prints and the last prints of bars, in a time of seven ticks of a clock."""
    count = draw(st.integers(1, max_size))
    times = np.cumsum(draw(st.lists(GAPS, min_size=count, max_size=count))).tolist()
    prices = st.sampled_from((5.0, 5.005, 5.01, 5.015, 5.02))
    prints = [
        (time, draw(prices), draw(st.sampled_from((1.0, 100.0))), draw(st.booleans()),
         draw(st.sampled_from((False, False, True))))
        for time in times
    ]  # fmt: skip
    quotes = draw(st.lists(st.tuples(GAPS, PRICES, SIZES, PRICES, SIZES), max_size=max_size))
    clock, quoted = draw(st.integers(-5, 5)), []
    for gap, *sides in quotes:
        clock += gap
        quoted.append((clock, *sides))
    lasts = sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))
    return quoted, prints, lasts


TWIN_HORIZONS = (2e-9, 9e-9)


@given(sessions())
def test_quote_rows_equal_their_twin(session):
    quotes, prints, lasts = session
    found, _ = run(quotes, prints, lasts, horizons=TWIN_HORIZONS)
    wanted = brute_quotes.rows(quotes, prints, lasts, (2, 9))
    for row, expected in zip(found, wanted, strict=True):
        assert row == {name: near(value) for name, value in expected.items()}


def test_spread_expansion_needs_twenty_bars_before_each_with_a_spread():
    quotes = [(2 * n, 5.0, 100, 5.02 + 0.01 * (n % 3), 100) for n in range(80)]
    prints = [(2 * n + 1, 5.0, 100, True, False) for n in range(60)]
    quotes[22] = (44, None, None, 5.02, 100)
    quotes[23] = (46, None, None, 5.02, 100)
    lasts = list(range(1, 60))
    found, _ = run(quotes, prints, lasts, horizons=TWIN_HORIZONS)
    wanted = brute_quotes.rows(quotes, prints, lasts, (2, 9))
    expansions = [row["spread_expansion"] for row in found]
    assert expansions == [near(row["spread_expansion"]) for row in wanted]
    assert {n for n, value in enumerate(expansions) if value is None} == {
        *range(20),
        *range(22, 43),
    }


@given(sessions(), st.data())
def test_quote_pass_resumed_anywhere_gives_the_same_bits(session, data):
    quotes, prints, lasts = session
    whole = QuotePass(HOURS, horizons=TWIN_HORIZONS)
    arrays, given_quotes = prints_of(prints), quotes_of(quotes)
    expected = whole.follow(given_quotes, arrays, np.array(lasts))
    parts, pieces = QuotePass(HOURS, horizons=TWIN_HORIZONS), []
    for stop in range(1, len(prints) + 1):
        known = sum(q[0] < prints[stop - 1][0] for q in quotes) + data.draw(st.integers(0, 1))
        seen = replace(given_quotes, **{
            n: getattr(given_quotes, n)[:known]
            for n in ("times", "bids", "bid_sizes", "asks", "ask_sizes")
        })  # fmt: skip
        closed = np.array([last for last in lasts if last < stop], np.int64)
        pieces.append(parts.follow(seen, tuple(a[:stop] for a in arrays), closed))
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    assert bits(parts.state) == bits(whole.state)
    assert parts.spreads.tobytes() == whole.spreads.tobytes()
    assert parts.horizons.tobytes() == whole.horizons.tobytes()
    np.testing.assert_array_equal(parts.signs, whole.signs)


def test_horizons_of_no_length_are_refused():
    with pytest.raises(QuoteError, match=r"\(0, 5\), expected seconds above 0"):
        QuotePass(HOURS, horizons=(0, 5))


def bits(state):
    """The bytes of each number of a state."""
    return [bits(v) if isinstance(v, tuple) else np.asarray(v).tobytes() for v in state]


# Quality -----------------------------------------------------------------------------------------
@given(sessions())
def test_quality_is_of_regular_hours_and_of_prints_that_form_prices(session):
    quotes, prints, lasts = session
    hours = replace(HOURS, open=1, close=20)
    _, whole = run(quotes, prints, lasts, hours)
    table = quality_of(tape_of([trade("10:00:00")]), quotes_of(quotes), whole)
    found = SimpleNamespace(**table.row(0, named=True))
    kinds = [
        brute_quotes.kind(next((q for q in reversed(quotes) if q[0] <= at), None))
        for at in range(1, 20)
    ]
    for name in ("missing", "one_sided", "locked", "crossed"):
        assert getattr(found, f"{name}_share") == pytest.approx(kinds.count(name) / 19)
    met = brute_quotes.lee_ready(quotes, prints)
    inside = [m[0][1] <= p[1] <= m[0][3] for p, m in zip(prints, met, strict=True) if m and p[3]]
    assert found.inside_share == (near(sum(inside) / len(inside)) if inside else None)
    edges = [1, *(min(max(q[0], 1), 20) for q in quotes), 20]
    silence = max(b - a for a, b in itertools.pairwise(edges))
    assert found.longest_silence_seconds == pytest.approx(silence / 1e9)
    assert found.quotes == len(quotes)
