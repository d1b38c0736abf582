"""How well scores tell rises from falls, how sure that is, and what of an oracle's edge they reach.

Holds the area under the ROC curve, its standard error over clusters and that of a mean, Brier score
and reliability, a model's share of an oracle, blocks of whole sessions, and a plain cross-fitted
logistic regression: enough to ask whether rows hold an edge at all. Splitters that purge and
embargo belong to the cross-validation, models to trade with are no part of this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

ENOUGH_DEVIATIONS = 3.0
"""Standard errors by which an oracle's edge has to stand out, and a leak does."""
MAX_NEWTON_STEPS = 50
NEWTON_TOLERANCE = 1e-8
MAX_DEVIATIONS = 5.0
# What two folds have in common by chance counts twice in a cross-fitted area, once with each as the
# test, while a standard error that takes the fits as given counts it once: without any edge it is
# too small by the root of two; with an edge, by less.
CROSS_FIT_INFLATION = 2.0**0.5


class EvaluationError(ValueError):
    """Scores or targets that can't be judged."""


@dataclass(frozen=True)
class OracleShare:
    """A model beside an oracle on the same rows; areas under the ROC curve.

    share: (auc - 0.5) / (oracle_auc - 0.5), `low` and `high` the bounds of its 95 % interval; all
    three are None where the oracle's own edge is under three standard errors. difference: auc -
    oracle_auc, with its standard error. is_leak: it is above three of them: the model knows what
    nobody could.
    """

    auc: float
    oracle_auc: float
    share: float | None
    low: float | None
    high: float | None
    difference: float
    difference_error: float
    is_leak: bool


def auc(scores: ArrayLike, is_positive: ArrayLike) -> float:
    """Probability that a positive row scores above a negative one; a tie counts half.

    It is the rank-sum statistic of Mann and Whitney divided by the number of pairs (Hanley and
    McNeil 1982), so ties take their mean rank. Raises EvaluationError without both classes.
    """
    values, positive = _judged(scores, is_positive)
    return float(_placements(values, positive)[positive].mean())


def clustered_standard_error(
    scores: ArrayLike, is_positive: ArrayLike, clusters: ArrayLike
) -> float:
    """Standard error of `auc` when rows of one cluster may depend on each other in any way.

    Each row moves the area by its placement: a positive's is the share of negatives below it, a
    negative's the share of positives above it (DeLong et al. 1988). What the rows of a cluster move
    is added up, and the clusters are taken as independent draws (Obuchowski 1997). Linear in
    memory, no random numbers. Raises EvaluationError with fewer than two clusters.
    """
    values, positive = _judged(scores, is_positive)
    return _spread(_influence(values, positive, _members(clusters, values.size)))


def clustered_mean(values: ArrayLike, clusters: ArrayLike) -> tuple[float, float | None]:
    """Mean of values, and its standard error when those of one cluster may depend on each other.

    Deviations from the mean are added up by cluster; the sum of their squares bears the factor
    G / (G - 1) for G clusters. The error is None with a single cluster. Raises EvaluationError
    without values, or where one is not finite.
    """
    found = np.asarray(values, np.float64)
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    if not found.size or found.shape != members.shape or not np.isfinite(found).all():
        raise EvaluationError(
            f"{found.size} values ({(~np.isfinite(found)).sum()} not finite) in {members.size} "
            "clusters; give at least one finite value, and the name of its cluster for each"
        )
    mean = float(found.mean())
    if names.size < 2:
        return mean, None
    return mean, _spread(np.bincount(members, (found - mean) / found.size))


def brier_score(chances: ArrayLike, is_positive: ArrayLike) -> float:
    """Mean squared difference of probabilities and outcomes (Brier 1950)."""
    return float(((np.asarray(chances) - np.asarray(is_positive, bool)) ** 2).mean())


def reliability_slope(chances: ArrayLike, is_positive: ArrayLike) -> float | None:
    """Slope of a logistic regression of the outcome on the log odds of the probability.

    1 is calibrated, below 1 too sure of itself (Cox 1958). None where it can't be had: outcomes of
    one class only, or a single probability.
    """
    inside, positive = np.clip(np.asarray(chances), 1e-4, 1 - 1e-4), np.asarray(is_positive, bool)
    odds = np.log(inside / (1 - inside))
    if positive.all() or not positive.any() or np.ptp(odds) == 0:
        return None
    try:
        return float(fit_logistic(odds[:, None], positive.astype(np.float64), ridge=1e-6)[1])
    except EvaluationError:
        return None


def share_of_oracle(
    scores: ArrayLike,
    oracle: ArrayLike,
    is_positive: ArrayLike,
    clusters: ArrayLike,
    draws: int = 1_000,
    seed: int = 0,
) -> OracleShare:
    """What of an oracle's edge a model reaches, and whether it reaches more than there is.

    scores, oracle: P(> 0), or anything that orders rows like it, by the model and by the oracle.
    The interval is that of a bootstrap over whole clusters, the standard error of the difference
    that of `clustered_standard_error` on paired rows. Raises EvaluationError as those do.
    """
    values, positive = _judged(scores, is_positive)
    best, _ = _judged(oracle, is_positive)
    members = _members(clusters, positive.size)
    parts = _influence(values, positive, members), _influence(best, positive, members)
    areas = auc(values, positive), auc(best, positive)
    error = _spread(parts[0] - parts[1])
    difference = areas[0] - areas[1]
    share = low = high = None
    if areas[1] - 0.5 > ENOUGH_DEVIATIONS * _spread(parts[1]):
        share = (areas[0] - 0.5) / (areas[1] - 0.5)
        drawn = _drawn_shares(values, best, positive, members, draws, seed)
        low, high = (float(bound) for bound in np.quantile(drawn, [0.025, 0.975]))
    is_leak = difference > ENOUGH_DEVIATIONS * error
    return OracleShare(*areas, share, low, high, difference, error, is_leak)


def _drawn_shares(
    values: np.ndarray,
    best: np.ndarray,
    positive: np.ndarray,
    members: np.ndarray,
    draws: int,
    seed: int,
) -> np.ndarray:
    """The share in each of some draws of as many clusters, with replacement."""
    random = np.random.default_rng(seed)
    count = int(members.max()) + 1
    places = [np.unique(column, return_inverse=True)[1] for column in (values, best)]
    shares = []
    for _ in range(draws):
        times = np.bincount(random.integers(count, size=count), minlength=count)[members]
        edges = [_weighted_area(place, positive, times) - 0.5 for place in places]
        shares.append(edges[0] / edges[1])
    return np.array(shares)


def _weighted_area(places: np.ndarray, positive: np.ndarray, times: np.ndarray) -> float:
    """`auc` with each row counted some times; places: rank of each row's score, ties equal."""
    ups = np.bincount(places, times * positive)
    downs = np.bincount(places, times * ~positive)
    below = np.cumsum(downs) - 0.5 * downs
    return float(ups @ below / (ups.sum() * downs.sum()))


def _members(clusters: ArrayLike, rows: int) -> np.ndarray:
    """Number of each row's cluster, 0 and up."""
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    if names.size < 2 or members.size != rows:
        raise EvaluationError(
            f"{names.size} clusters on {members.size} rows, expected at least 2 clusters and "
            f"{rows} rows; give every row the name of its cluster"
        )
    return members


def _influence(values: np.ndarray, positive: np.ndarray, members: np.ndarray) -> np.ndarray:
    """By how much each cluster moves the area."""
    placements = _placements(values, positive)
    counts = np.where(positive, positive.sum(), (~positive).sum())
    return np.bincount(members, (placements - placements[positive].mean()) / counts)


def _spread(influence: np.ndarray) -> float:
    """Standard error of a sum over clusters."""
    return float(np.sqrt((influence**2).sum() * influence.size / (influence.size - 1)))


def _judged(scores: ArrayLike, is_positive: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, positive = np.asarray(scores, np.float64), np.asarray(is_positive, bool)
    if values.ndim != 1 or values.shape != positive.shape:
        raise EvaluationError(
            f"scores have shape {values.shape}, is_positive {positive.shape}; expected one each "
            "per row"
        )
    if not np.isfinite(values).all():
        raise EvaluationError(
            f"{(~np.isfinite(values)).sum()} scores are not finite; drop or fill those rows first"
        )
    if positive.all() or not positive.any():
        raise EvaluationError(
            f"{positive.sum()} of {positive.size} rows are positive; both classes are needed"
        )
    return values, positive


def _placements(values: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Per positive the share of negatives below it, per negative that of positives above it."""
    above, below = np.sort(values[positive]), np.sort(values[~positive])
    placements = np.empty(values.size)
    placements[positive] = share_below(below, values[positive])
    placements[~positive] = 1.0 - share_below(above, values[~positive])
    return placements


def share_below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of `ordered` below each value, equal ones by half."""
    left = np.searchsorted(ordered, values, "left")
    right = np.searchsorted(ordered, values, "right")
    return (left + right) / (2.0 * ordered.size)


# A simple model ----------------------------------------------------------------------------------
def contiguous_folds(sessions: ArrayLike, folds: int) -> np.ndarray:
    """Fold number 0 .. folds - 1 of each row: consecutive sessions, never split between folds.

    `sessions` is any sortable name of the session per row. Raises EvaluationError with fewer
    sessions than folds.
    """
    names, places = np.unique(np.asarray(sessions), return_inverse=True)
    if not 2 <= folds <= names.size:
        raise EvaluationError(
            f"{folds} folds of {names.size} sessions; choose from 2 to the number of sessions"
        )
    return places * folds // names.size


def cross_fitted_scores(
    features: ArrayLike, target: ArrayLike, folds: ArrayLike, ridge: float = 1.0
) -> np.ndarray:
    """Score of each row by a logistic regression fitted on the other folds, in (0, 1).

    `features` is float64[rows, columns] and may hold NaN, `folds` a number per row. Columns are
    standardised by the training rows, limited to five deviations, and NaN becomes 0. The score is
    the rank of the prediction within its own fold: predictions of different fits do not compare,
    and a fold rich in positives leaves a lower intercept to its own fit, so that pooled raw
    predictions would fall below an area of one half without any edge. Multiply the standard error
    of their area by CROSS_FIT_INFLATION.
    """
    table, names = np.asarray(features, np.float64), np.asarray(folds)
    positive = np.asarray(target, bool)
    scores = np.empty(table.shape[0])
    for fold in np.unique(names):
        test = names == fold
        train, mean, deviation = standardised(table[~test])
        slopes = ridge_logistic(train, positive[~test], ridge)[1:]
        scores[test] = _ranks(scaled(table[test], mean, deviation) @ slopes)
    return scores


def ridge_logistic(
    features: np.ndarray,
    target: np.ndarray,
    ridge: float = 1.0,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Intercept and slopes that maximise the log-likelihood minus ridge / 2 |slopes|^2.

    `target` is true or false, `weights` count the rows. Raises EvaluationError when the target has
    one class only, or no single maximum is found.
    """
    positive = np.asarray(target, bool)
    if positive.all() or not positive.any():
        raise EvaluationError(
            f"{positive.sum()} of {positive.size} training rows are positive; both are needed"
        )
    return fit_logistic(features, positive.astype(np.float64), ridge, weights)


def fit_logistic(
    features: np.ndarray,
    chances: np.ndarray,
    ridge: float = 1.0,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """As `ridge_logistic`, for targets in [0, 1].

    Newton's method, that is, iteratively reweighted least squares (Hastie, Tibshirani and Friedman,
    The Elements of Statistical Learning, 4.4.1); the intercept bears no penalty. Raises
    EvaluationError when no single maximum is found.
    """
    design = np.column_stack([np.ones(chances.size), features])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    counts = np.ones(chances.size) if weights is None else weights
    found = np.zeros(design.shape[1])
    for _ in range(MAX_NEWTON_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        gradient = design.T @ (counts * (chances - chance)) - penalty * found
        curvature = (design.T * (counts * chance * (1.0 - chance))) @ design + np.diag(penalty)
        step = _solve(curvature, gradient)
        found += step
        if np.abs(step).max() < NEWTON_TOLERANCE:
            return found
    raise EvaluationError(
        f"no fit after {MAX_NEWTON_STEPS} Newton steps; raise the ridge or drop columns"
    )


def _solve(curvature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(curvature, gradient)
    except np.linalg.LinAlgError:
        raise EvaluationError(
            "columns repeat each other, so that many fits are equally good; use a ridge above 0"
        ) from None


def standardised(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table, scaled, and the mean and deviation of its columns where they are known."""
    known = np.isfinite(table)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, table, 0.0).sum(axis=0) / count
    variance = np.where(known, table - mean, 0.0) ** 2
    deviation = np.sqrt(variance.sum(axis=0) / count)
    return scaled(table, mean, deviation), mean, deviation


def scaled(table: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Columns less their mean in deviations, five at most; constant and unknown ones become 0."""
    scaled = (table - mean) / np.where(deviation > 0, deviation, np.inf)
    return np.clip(np.nan_to_num(scaled, nan=0.0), -MAX_DEVIATIONS, MAX_DEVIATIONS)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean rank of each value as a share of the number of values."""
    return share_below(np.sort(values), values)
