"""Weight factors of a session's labels."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.bars.build import dollar_imbalance_bars
from smallcaps_assets.domain.guards import ArrayError
from smallcaps_assets.domain.labels import weights
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_labels
from smallcaps_assets.domain.labels.weights import WeightError, sample_weights
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.domain.labels import brute_weights as brute
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at, tape_of, trade

SETTINGS = Settings()


@pytest.fixture(scope="module")
def session():
    """Bars and labels of a random afternoon."""
    rng = np.random.default_rng(8)
    prices = np.round(5 * np.exp(0.004 * rng.standard_normal(900).cumsum()), 2)
    times = at("13:00:00") + rng.integers(1, 25, 900).cumsum() * SECOND
    sizes = rng.integers(1, 900, 900)
    rows = [trade(int(t), p, float(s)) for t, p, s in zip(times, prices, sizes, strict=True)]
    tape = tape_of([r for r in rows if r["when"] < at("16:00:00")])
    bars = dollar_imbalance_bars(tape, SETTINGS.bars, 5_000)
    return bars, triple_barrier_labels(tape, bars, SETTINGS.labels)


def test_weights_given_a_session_equal_plain_loops(session):
    bars, labels = session
    eligible = at("14:00:00")
    found = sample_weights(labels, bars, eligible)
    assert TABLES["sample_weights"].validate(found).equals(found)
    assert found.height > 50
    wanted = brute.session_weights(labels, bars, eligible)
    for name, values in wanted.items():
        expected = [None if v is None else pytest.approx(v, rel=1e-9, abs=1e-12) for v in values]
        assert found[name].to_list() == expected, name


def test_uniqueness_among_known_rows_ignores_the_others(session):
    bars, labels = session
    late = at("14:30:00")
    known = labels.filter(pl.col("t0").to_physical() >= late)
    alone = sample_weights(known, bars, None)
    found = sample_weights(labels, bars, late).filter(pl.col("is_selection_known"))
    assert found["uniqueness_eligible"].to_list() == pytest.approx(alone["uniqueness"].to_list())
    assert (found["uniqueness_eligible"] >= found["uniqueness"] - 1e-12).all()


def test_eligible_from_as_an_instant_equals_nanoseconds_and_none_is_never(session):
    bars, labels = session
    moment = pl.Series([at("14:00:00")]).cast(INSTANT)[0]
    assert sample_weights(labels, bars, moment).equals(sample_weights(labels, bars, at("14:00:00")))
    never = sample_weights(labels, bars, None)
    assert not never["is_selection_known"].any()
    assert never["uniqueness_eligible"].null_count() == never.height


def test_labels_without_path_or_span_are_dropped_before_concurrency(session):
    bars, labels = session
    without = labels.with_columns(has_path=pl.col("bar_id") % 2 == 0)
    found = sample_weights(without, bars, None)
    assert (found["bar_id"] % 2 == 0).all()
    assert found.equals(sample_weights(without.filter(pl.col("has_path")), bars, None))
    only_first = bars.head(1)
    assert sample_weights(labels.head(1), only_first, None).is_empty()


def test_weights_given_no_labels_are_none(session):
    bars, labels = session
    assert sample_weights(labels.clear(), bars, 0).is_empty()
    assert sample_weights(labels.clear(), bars.clear(), 0).is_empty()


def test_weights_given_too_few_bars_ask_for_the_session(session):
    bars, labels = session
    with pytest.raises(WeightError, match="pass the whole session"):
        sample_weights(labels, bars.head(5), None)


def test_weights_given_bars_of_two_sessions_or_another_ticker_are_refused(session):
    bars, labels = session
    later = bars.with_columns(pl.col("date") + pl.duration(days=3))
    with pytest.raises(WeightError, match="one whole session"):
        sample_weights(labels, pl.concat([bars, later]), None)
    with pytest.raises(WeightError, match="labels are of .*BB.*, bars of .*AAME"):
        sample_weights(labels.with_columns(ticker=pl.lit("BB")), bars, None)


def test_label_spans_given_sessions_end_with_their_own():
    closes = [10, 20, 30, 110, 120]
    starts, ends = [0, 1, 2, 3], [15, 99, 115, 999]
    assert weights.label_spans(closes, starts, ends, [0, 0, 0, 1, 1]).tolist() == [1, 2, 2, 4]
    assert weights.label_spans(closes, starts, ends).tolist() == [1, 3, 4, 4]


def test_label_spans_given_two_days_without_sessions_are_refused():
    closes = [at("15:00:00"), at("15:59:00"), at("09:31:00", DAY + timedelta(days=3))]
    with pytest.raises(ArrayError, match="2021-02-05 to 2021-02-08.*pass the session of each bar"):
        weights.label_spans(closes, [0], [at("16:00:00")])
    assert weights.label_spans(closes, [0], [at("16:00:00")], [5, 5, 8]).tolist() == [1]


@pytest.mark.parametrize(
    ("starts", "session", "message"),
    [
        ([3], None, "starts reach from 3 to 3, expected bars 0 to 2"),
        ([-1], None, "starts reach from -1"),
        ([0], [1, 1], "session has 2 values, close_times has 3"),
        ([0], [1, 2, 1], "session 1 comes back at row 2"),
    ],
)
def test_label_spans_given_nonsense_are_refused(starts, session, message):
    with pytest.raises(ArrayError, match=message):
        weights.label_spans([1, 2, 3], starts, [9], session)


@pytest.mark.parametrize("oldest", [-1.0, 1.1, float("nan")])
def test_time_decay_outside_its_range_is_refused(oldest):
    with pytest.raises(WeightError, match="-1 < c <= 1"):
        weights.time_decay([1.0], oldest)


def test_normalise_sums_to_the_number_and_survives_zeros():
    assert weights.normalise([1.0, 3.0]).tolist() == [0.5, 1.5]
    assert weights.normalise([0.0, 0.0]).tolist() == [1.0, 1.0]
    assert weights.normalise([]).size == 0


def test_class_weights_balance_classes_and_keep_the_total():
    found = weights.class_weights([1, 0, 0, -1], [1.0, 1.0, 3.0, 1.0])
    assert found.tolist() == pytest.approx([2.0, 0.5, 1.5, 2.0])
    assert weights.class_weights([], []).size == 0
    with pytest.raises(WeightError, match="class 2 has no weight"):
        weights.class_weights([1, 2], [1.0, 0.0])


@pytest.mark.parametrize("span", [(3, 3), (-1, 2), (2, 7)])
def test_spans_outside_the_bars_are_refused(span):
    with pytest.raises(ArrayError, match="drop labels without a span"):
        weights.concurrency(7, [span[0]], [span[1]])


def test_sequential_bootstrap_is_repeatable_and_more_unique_than_chance():
    starts = np.array([0] * 10 + [10, 20, 30])
    ends = starts + 8
    first, second = (
        weights.sequential_bootstrap(40, starts, ends, np.random.default_rng(1)) for _ in range(2)
    )
    assert first.tolist() == second.tolist()
    draws = [
        np.isin(weights.sequential_bootstrap(40, starts, ends, np.random.default_rng(n)), [10, 11])
        for n in range(30)
    ]
    assert np.mean(draws) > 2 / 13
