"""Sample weights and the sequential bootstrap against their brute-force twins."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.series import cusum_events
from smallcaps_assets.domain.guards import ArrayError
from smallcaps_assets.domain.labels import weights
from smallcaps_assets.kernels import weights as kernel
from smallcaps_assets.kernels.checks import CHUNK
from smallcaps_assets_tests.kernels import brute_force

SPANS = brute_force.span_lists()


@given(SPANS)
def test_concurrency_given_any_spans_equals_twin(spans):
    assert weights.concurrency(*spans).tolist() == brute_force.concurrency(*spans)


@given(SPANS)
def test_average_uniqueness_given_any_spans_equals_twin(spans):
    found = weights.average_uniqueness(*spans)
    assert found == pytest.approx(brute_force.average_uniqueness(*spans), rel=1e-9)
    assert ((found > 0) & (found <= 1)).all()


@given(SPANS, st.randoms(use_true_random=False))
def test_return_attribution_given_any_spans_equals_twin(spans, random):
    bars, starts, ends = spans
    closes = [random.choice(brute_force.PRICES) for _ in range(bars)]
    found = weights.return_attribution(closes, starts, ends)
    wanted = brute_force.return_attribution(closes, starts, ends)
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_weights_given_more_labels_at_once_than_reciprocals_are_kept_equal_their_definition():
    labels = kernel.USUAL
    starts, ends = np.zeros(labels, np.int64), np.full(labels, 2)
    ends[0] = 1
    shares = 1 / np.array([labels, labels - 1])
    unique = weights.average_uniqueness(3, starts, ends)
    assert unique[[0, -1]] == pytest.approx([shares[0], shares.mean()], rel=1e-12)
    found = weights.return_attribution([4.0, 5.0, 4.5], starts, ends)
    returns = np.log([5.0 / 4.0, 4.5 / 5.0]) * shares
    assert found[[0, -1]] == pytest.approx([returns[0], abs(returns.sum())], rel=1e-12)


@pytest.mark.parametrize("place", [0, CHUNK - 1, CHUNK, CHUNK + 4])
def test_span_of_any_chunk_outside_the_bars_is_named_with_its_place(place):
    starts, ends = np.zeros(CHUNK + 5, np.int64), np.full(CHUNK + 5, 2)
    ends[place] = 3
    with pytest.raises(ArrayError, match=rf"span {place} is \(0, 3\]"):
        weights.average_uniqueness(3, starts, ends)


@pytest.mark.parametrize("seed", [1, 2])
def test_weights_of_more_bars_than_a_chunk_equal_their_twins(seed):
    rng = np.random.default_rng(seed)
    bars = 2 * CHUNK + 7
    starts = np.sort(rng.integers(0, bars - 40, 300))
    spans = bars, starts.tolist(), (starts + rng.integers(1, 40, 300)).tolist()
    closes = np.exp(rng.normal(1, 0.2, bars)).tolist()
    unique, wanted = weights.average_uniqueness(*spans), brute_force.average_uniqueness(*spans)
    assert unique == pytest.approx(wanted, rel=1e-9)
    found = weights.return_attribution(closes, *spans[1:])
    assert found == pytest.approx(brute_force.return_attribution(closes, *spans[1:]), rel=1e-9)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, 1, CHUNK - 1, CHUNK, CHUNK + 4])
def test_return_attribution_names_a_close_that_is_none(bad, place):
    closes = np.full(CHUNK + 5, 5.0)
    closes[place] = bad
    with pytest.raises(ArrayError, match=rf"closes\[{place}\]"):
        weights.return_attribution(closes, [7], [9])
    with pytest.raises(ArrayError, match=r"closes\[0\]"):
        weights.return_attribution([bad], [], [])


@given(st.lists(st.floats(-9, 9), max_size=23), st.floats(-9, 9), st.integers(0, 2))
def test_running_sums_given_any_values_equal_a_plain_sum(values, total, spare):
    sums = np.empty(max(len(values) - spare, 0))
    last = kernel.running_sums(np.array(values), total, sums)
    wanted = [total + sum(values[: n + 1]) for n in range(sums.size)]
    assert sums == pytest.approx(wanted, abs=1e-12)
    assert last == (sums[-1] if sums.size else total)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.data())
def test_label_spans_given_any_closes_equals_twin(gaps, data):
    closes = np.cumsum(gaps)
    start = data.draw(st.integers(0, len(gaps) - 1))
    end_time = data.draw(st.integers(0, 70))
    wanted = brute_force.label_span(closes.tolist(), start, end_time)
    assert weights.label_spans(closes, [start], [end_time]).tolist() == [wanted]
    session = np.cumsum(
        data.draw(st.lists(st.integers(0, 1), min_size=len(gaps), max_size=len(gaps)))
    )
    own = [n for n in range(len(gaps)) if session[n] == session[start]]
    wanted = own[brute_force.label_span(closes[own].tolist(), own.index(start), end_time)]
    assert weights.label_spans(closes, [start], [end_time], session).tolist() == [wanted]


@given(
    st.lists(st.floats(0.01, 1), max_size=20),
    st.sampled_from((-0.9, -0.25, 0.0, 0.5, 1.0)),
)
def test_time_decay_given_any_uniqueness_equals_twin(uniqueness, oldest):
    found = weights.time_decay(uniqueness, oldest)
    wanted = brute_force.time_decay(uniqueness, oldest)
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert found[-1:].tolist() == [1.0] * min(len(uniqueness), 1)


@given(SPANS, st.data())
def test_bootstrap_probabilities_given_any_draws_equal_twin(spans, data):
    labels = len(spans[1])
    if labels:
        drawn = data.draw(st.lists(st.integers(0, labels - 1), max_size=6))
        found = weights.sequential_bootstrap_probabilities(*spans, drawn)
        assert found == pytest.approx(brute_force.bootstrap_probabilities(*spans, drawn))


@given(SPANS, st.integers(0, 2**32 - 1))
def test_sequential_bootstrap_given_any_spans_equals_twin(spans, seed):
    bars, starts, ends = spans
    found = weights.sequential_bootstrap(*spans, np.random.default_rng(seed), draws=12)
    if not starts:
        assert found.size == 0
        return
    order = sorted(range(len(starts)), key=lambda k: starts[k])
    uniforms = np.random.default_rng(seed).random(12).tolist()
    wanted = brute_force.bootstrap_draws(
        bars, [starts[k] for k in order], [ends[k] for k in order], uniforms
    )
    assert found.tolist() == [order[k] for k in wanted]


def test_sequential_bootstrap_given_many_draws_keeps_its_means_exact():
    rng = np.random.default_rng(3)
    starts = np.sort(rng.integers(0, 190, 150))
    ends = np.minimum(starts + rng.integers(1, 12, 150), 199)
    drawn = weights.sequential_bootstrap(200, starts, ends, np.random.default_rng(4), 400)
    chances = weights.sequential_bootstrap_probabilities(200, starts, ends, drawn)
    counts = weights.concurrency(200, starts[drawn], ends[drawn])
    means = kernel.bootstrap_means(counts, starts, ends)
    assert chances == pytest.approx(means / means.sum())
    assert len(set(drawn.tolist())) > 100


@pytest.mark.parametrize("seed", range(4))
def test_sequential_bootstrap_given_long_and_short_spans_equals_twin(seed):
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.integers(0, 90, 50))
    ends = np.minimum(starts + rng.choice([1, 2, 60], 50, p=[0.45, 0.45, 0.1]), 100)
    found = weights.sequential_bootstrap(101, starts, ends, np.random.default_rng(seed), 60)
    uniforms = np.random.default_rng(seed).random(60).tolist()
    wanted = brute_force.bootstrap_draws(101, starts.tolist(), ends.tolist(), uniforms)
    assert found.tolist() == wanted


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 8])
def test_fenwick_tree_given_an_amount_at_a_bound_finds_the_next_value(size):
    tree = kernel.tree_build(np.ones(size))
    found = [kernel.tree_find(tree, float(amount)) for amount in range(size + 1)]
    assert found == [*range(size), size - 1]


def test_average_uniqueness_is_never_above_one():
    rng = np.random.default_rng(1)
    for _ in range(200):
        starts = np.sort(rng.integers(0, 40, 12))
        found = weights.average_uniqueness(60, starts, starts + rng.integers(1, 9, 12))
        assert found.max() <= 1.0


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.data())
def test_fenwick_tree_given_any_values_finds_by_running_sum(values, data):
    tree = kernel.tree_build(np.array(values))
    place = data.draw(st.integers(0, len(values) - 1))
    kernel.tree_add(tree, place, 1.5)
    values[place] += 1.5
    assert kernel.tree_total(tree) == pytest.approx(sum(values))
    running = np.cumsum(values)
    middle = running[place] - values[place] / 2
    assert kernel.tree_find(tree, middle) == place


def test_weights_given_polars_arrays_take_them():
    frame = pl.DataFrame({"start": [0, 2, 4], "end": [3, 4, 6]})
    found = weights.average_uniqueness(7, frame["start"].to_numpy(), frame["end"].to_numpy())
    assert found.tolist() == pytest.approx([5 / 6, 3 / 4, 1.0])


@given(st.lists(st.sampled_from((-0.6, -0.5, -0.1, 0.0, 0.3, 0.5, 0.7)), max_size=30))
def test_cusum_given_any_returns_equals_twin(returns):
    assert cusum_events(returns, 1.0).tolist() == brute_force.cusum(returns, 1.0)


@pytest.mark.parametrize("move", [0.6, -0.6])
def test_cusum_starts_again_from_nothing_after_an_event(move):
    assert cusum_events([move] * 6, 1.0).tolist() == [1, 3, 5]
