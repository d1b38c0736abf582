"""Area under the curve against pair counting, its standard error against simulation, the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.evaluation import (
    CROSS_FIT_INFLATION,
    EvaluationError,
    auc,
    clustered_standard_error,
    contiguous_folds,
    cross_fitted_scores,
    ridge_logistic,
    share_of_oracle,
)


def pair_count(scores, is_positive) -> float:
    """The share of pairs in the right order, one by one."""
    above = [s for s, p in zip(scores, is_positive, strict=True) if p]
    below = [s for s, p in zip(scores, is_positive, strict=True) if not p]
    won = sum((a > b) + 0.5 * (a == b) for a in above for b in below)
    return won / (len(above) * len(below))


# auc ---------------------------------------------------------------------------------------------
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({p for _, p in rows}) == 2
    )
)
def test_auc_equals_counting_pairs_with_ties(rows):
    scores, is_positive = zip(*rows, strict=True)
    assert auc(scores, is_positive) == pytest.approx(pair_count(scores, is_positive), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "is_positive", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([1, 2, 3, 4], [1, 1, 0, 0], 0.0),
        ([1, 1, 1, 1], [0, 1, 0, 1], 0.5),
        ([1, 2, 2, 3], [0, 1, 0, 1], 0.875),
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
    ],
)
def test_auc_given_small_cases(scores, is_positive, expected):
    assert auc(scores, is_positive) == expected


@pytest.mark.parametrize(
    ("scores", "is_positive", "word"),
    [
        ([1.0, 2.0], [True, True], "both classes"),
        ([1.0, 2.0], [False, False], "both classes"),
        ([], [], "both classes"),
        ([1.0, math.nan], [True, False], "not finite"),
        ([1.0, 2.0, 3.0], [True, False], "shape"),
    ],
)
def test_auc_given_rows_that_cannot_be_judged_raises(scores, is_positive, word):
    with pytest.raises(EvaluationError, match=word):
        auc(scores, is_positive)


# clustered_standard_error ------------------------------------------------------------------------
def test_standard_error_given_single_rows_is_near_hanley_and_mcneil():
    """Without an effect theirs is sqrt((m + n + 1) / (12 m n))."""
    rng = np.random.default_rng(1)
    is_positive = np.arange(4000) % 4 == 0
    error = clustered_standard_error(rng.normal(size=4000), is_positive, np.arange(4000))
    assert error == pytest.approx(math.sqrt(4001 / (12 * 1000 * 3000)), rel=0.03)


def clustered_sample(rng, clusters: int = 60, rows: int = 25):
    """Rows whose score and target share a part per cluster, but not with each other."""
    names = np.repeat(np.arange(clusters), rows)
    scores = rng.normal(size=clusters)[names] + 0.3 * rng.normal(size=names.size)
    lean = rng.normal(size=clusters)[names] + rng.normal(size=names.size)
    return scores, lean > 0, names


def test_standard_error_given_clusters_is_the_spread_of_many_samples():
    rng = np.random.default_rng(2)
    samples = [clustered_sample(rng) for _ in range(400)]
    spread = np.std([auc(scores, up) for scores, up, _ in samples])
    errors = [clustered_standard_error(*sample) for sample in samples]
    alone = np.mean([clustered_standard_error(s, u, np.arange(s.size)) for s, u, _ in samples])
    assert np.mean(errors) == pytest.approx(spread, rel=0.1)
    assert alone < 0.4 * spread


def test_standard_error_ignores_how_clusters_are_named_and_ordered():
    scores, up, names = clustered_sample(np.random.default_rng(3))
    turned = np.random.default_rng(4).permutation(scores.size)
    named = np.array([f"day {n}" for n in names])
    error = clustered_standard_error(scores[turned], up[turned], named[turned])
    assert error == pytest.approx(clustered_standard_error(scores, up, names), rel=1e-12)


def test_standard_error_given_one_cluster_raises():
    with pytest.raises(EvaluationError, match="at least 2 clusters"):
        clustered_standard_error([1.0, 2.0], [True, False], ["a", "a"])


# folds -------------------------------------------------------------------------------------------
def rows_with_an_edge(rng, clusters: int = 120, rows: int = 25, edge: float = 0.4):
    """What an oracle knows of each row, the target, and the clusters, whose volatility differs."""
    names = np.repeat(np.arange(clusters), rows)
    known = edge * rng.normal(size=clusters)[names] * rng.normal(size=names.size)
    return known, known + rng.normal(size=names.size) > 0, names


def test_share_of_a_model_that_knows_a_part_is_between_none_and_all():
    rng = np.random.default_rng(5)
    known, up, names = rows_with_an_edge(rng)
    told = share_of_oracle(known + np.std(known) * rng.normal(size=known.size), known, up, names)
    assert told.share is not None and told.low is not None and told.high is not None
    assert told.share == (told.auc - 0.5) / (told.oracle_auc - 0.5)
    assert 0.4 < told.low < told.share < told.high < 1.0
    assert not told.is_leak and told.difference < -3 * told.difference_error


def test_share_of_the_oracle_itself_is_one_and_no_leak():
    known, up, names = rows_with_an_edge(np.random.default_rng(6))
    told = share_of_oracle(2 * known + 1, known, up, names)
    assert (told.share, told.low, told.high) == (1.0, 1.0, 1.0)
    assert told.difference == 0 and not told.is_leak


def test_share_interval_is_the_spread_of_many_samples():
    rng = np.random.default_rng(7)
    found = []
    for _ in range(60):
        known, up, names = rows_with_an_edge(rng)
        noise = np.std(known) * rng.normal(size=known.size)
        found.append(share_of_oracle(known + noise, known, up, names, draws=100))
    shares = [told.share for told in found if told.share is not None]
    widths = [told.high - told.low for told in found if told.high and told.low]
    assert len(shares) == 60
    assert np.mean(widths) / 3.92 == pytest.approx(np.std(shares), rel=0.25)


def test_model_that_sees_the_target_is_a_leak():
    rng = np.random.default_rng(8)
    known, up, names = rows_with_an_edge(rng)
    assert share_of_oracle(known + 0.2 * up, known, up, names).is_leak


def test_share_is_unknown_where_the_oracle_has_no_edge():
    rng = np.random.default_rng(9)
    _, up, names = rows_with_an_edge(rng)
    told = share_of_oracle(rng.normal(size=up.size), rng.normal(size=up.size), up, names)
    assert told.share is None and told.low is None and told.high is None


def test_contiguous_folds_keep_sessions_whole_and_in_order():
    sessions = ["d", "a", "a", "b", "c", "e", "b"]
    assert contiguous_folds(sessions, 2).tolist() == [1, 0, 0, 0, 0, 1, 0]
    assert contiguous_folds(sessions, 5).tolist() == [3, 0, 0, 1, 2, 4, 1]


@pytest.mark.parametrize("folds", [1, 6])
def test_contiguous_folds_given_too_few_sessions_raises(folds):
    with pytest.raises(EvaluationError, match="number of sessions"):
        contiguous_folds(["a", "b", "c", "d", "e"], folds)


# the model ---------------------------------------------------------------------------------------
def test_ridge_logistic_given_two_groups_is_their_log_odds():
    """One 0/1 column without penalty: intercept and slope are the log odds of the two groups."""
    column = np.repeat([0.0, 1.0], 100)[:, None]
    target = np.concatenate([np.arange(100) < 20, np.arange(100) < 70])
    weights = ridge_logistic(column, target, ridge=0.0)
    low, high = math.log(0.2 / 0.8), math.log(0.7 / 0.3)
    assert weights == pytest.approx([low, high - low], abs=1e-9)


def test_ridge_logistic_meets_the_condition_of_a_maximum():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(500, 3))
    chance = 1 / (1 + np.exp(-(0.4 + features @ [1.0, -0.5, 0.0])))
    target = rng.random(500) < chance
    weights = ridge_logistic(features, target, ridge=7.0)
    left = target - 1 / (1 + np.exp(-(weights[0] + features @ weights[1:])))
    assert left.sum() == pytest.approx(0.0, abs=1e-9)
    assert features.T @ left == pytest.approx(7.0 * weights[1:], abs=1e-9)
    assert weights == pytest.approx([0.4, 1.0, -0.5, 0.0], abs=0.3)


def test_ridge_logistic_given_one_class_raises():
    with pytest.raises(EvaluationError, match="both are needed"):
        ridge_logistic(np.ones((3, 1)), np.ones(3, bool))


def test_ridge_logistic_given_separable_rows_without_ridge_raises():
    with pytest.raises(EvaluationError, match="Newton steps|equally good"):
        ridge_logistic(np.array([[-1.0], [1.0]]), np.array([False, True]), ridge=0.0)


def test_ridge_logistic_given_repeated_columns_needs_a_ridge():
    features = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    target = np.array([False, True, True, False])
    with pytest.raises(EvaluationError, match="equally good"):
        ridge_logistic(features, target, ridge=0.0)
    assert ridge_logistic(features, target, ridge=1.0) == pytest.approx(0.0)


def test_cross_fitted_scores_find_an_effect_behind_gaps_and_constants():
    rng = np.random.default_rng(6)
    features = rng.normal(size=(2000, 3))
    target = rng.random(2000) < 1 / (1 + np.exp(-features[:, 0]))
    features[::7, 0] = np.nan
    features[:, 2] = 4.0
    scores = cross_fitted_scores(features, target, np.arange(2000) // 400)
    assert (scores > 0.0).all() and (scores < 1.0).all()
    best = auc(np.nan_to_num(features[:, 0]), target)
    assert best > 0.7
    assert auc(scores, target) == pytest.approx(best, abs=0.01)


def test_cross_fitted_scores_given_nothing_to_learn_are_not_pulled_below_a_half():
    """Targets that lean by fold: pooled raw predictions would score well below a half."""
    rng = np.random.default_rng(7)
    folds = np.repeat(np.arange(4), 500)
    target = rng.random(2000) < np.array([0.3, 0.7, 0.4, 0.6])[folds]
    scores = cross_fitted_scores(rng.normal(size=(2000, 2)), target, folds)
    assert auc(scores, target) == pytest.approx(0.5, abs=0.04)


def test_cross_fitted_scores_of_a_fold_ignore_its_own_targets():
    rng = np.random.default_rng(8)
    features, folds = rng.normal(size=(300, 2)), np.repeat([0, 1, 2], 100)
    target = rng.random(300) < 0.5
    changed = np.where(folds == 1, ~target, target)
    before, after = (cross_fitted_scores(features, t, folds) for t in (target, changed))
    assert (before[folds == 1] == after[folds == 1]).all()
    assert (before[folds == 0] != after[folds == 0]).any()


def test_cross_fitted_area_without_an_edge_spreads_by_the_inflated_standard_error():
    rng = np.random.default_rng(9)
    rows, folds = np.arange(300), np.arange(300) // 60
    areas, errors = [], []
    for _ in range(400):
        target = rng.random(300) < 0.5
        scores = cross_fitted_scores(rng.normal(size=(300, 8)), target, folds)
        areas.append(auc(scores, target))
        errors.append(CROSS_FIT_INFLATION * clustered_standard_error(scores, target, rows))
    assert np.std(areas) == pytest.approx(np.mean(errors), rel=0.12)
    assert np.mean(areas) == pytest.approx(0.5, abs=3 * np.std(areas) / 20)
