"""What a model looks at: mutual information, exact TreeSHAP, permutation by cluster of features.

All on the validation rows of a fold. A cluster holds features whose ranks are correlated, which are
permuted together, since a model makes up for one of them with the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from smallcaps_assets.domain.models.algorithms import Explained, Fitted, Part, log_loss
from smallcaps_assets.domain.models.design import Design, rank_correlation

BINS = 32
MOST_ROWS = 1_000
ALIKE = 0.5
_SEED = 0


@dataclass(frozen=True)
class Told:
    """What the validation rows tell of the features of a target, whatever the algorithm.

    `owner` is the number of the feature that each column of the matrix is of, `cluster` and
    `information` have a number for each feature.
    """

    owner: np.ndarray
    cluster: np.ndarray
    information: np.ndarray


def told_by(design: Design, validate: Part) -> Told:
    """Clusters of the features, and the mutual information of each with the target in nats."""
    owner = _owners(design)
    firsts = np.searchsorted(owner, np.arange(len(design.features)))
    information = [
        mutual_information(validate.matrix[:, owner == place], validate.target)
        for place in range(len(design.features))
    ]
    return Told(owner, clusters(validate.matrix)[firsts], np.array(information))


def importances(fitted: Fitted, design: Design, validate: Part, told: Told) -> pl.DataFrame:
    """A row per feature: mutual_information, shap (mean |log odds|), cluster, permutation.

    None of a model that can't say what its columns contribute.
    `permutation` is how much the weighted log loss grows when the feature's cluster is permuted, on
    1,000 rows at most, evenly spread, as `shap` is; that of the cluster, alike for its features.
    """
    if not isinstance(fitted, Explained):
        return pl.DataFrame(schema=_COLUMNS)
    some = np.unique(np.linspace(0, validate.target.size - 1, MOST_ROWS).astype(np.int64))
    part = Part(*(values[some] for values in validate))
    shap = np.abs(fitted.contributions(part.matrix)).mean(axis=0)
    grown = permuted_losses(fitted, part, told.cluster[told.owner])
    return pl.DataFrame(
        {
            "feature": list(design.features),
            "mutual_information": told.information,
            "shap": np.bincount(told.owner, shap, len(design.features)),
            "cluster": pl.Series(told.cluster, dtype=pl.Int32),
            "permutation": grown[told.cluster],
        }
    )


_COLUMNS = {
    **{"feature": pl.String, "mutual_information": pl.Float64, "shap": pl.Float64},
    **{"cluster": pl.Int32, "permutation": pl.Float64},
}


def _owners(design: Design) -> np.ndarray:
    """Number of the feature that each column of the matrix is of."""
    lengths = [len(design.categories.get(name, (None,))) for name in design.features]
    return np.repeat(np.arange(len(lengths)), lengths)


def mutual_information(columns: np.ndarray, target: np.ndarray) -> float:
    """Nats that a feature tells of the target: of a number in 32 quantile bins, NaN a bin of its
    own; of a text by category."""
    if columns.shape[1] > 1:
        codes = np.where(columns.any(axis=1), columns.argmax(axis=1), columns.shape[1])
    else:
        codes = _binned(columns[:, 0])
    joint = np.zeros((codes.max() + 1, 2))
    np.add.at(joint, (codes, target.astype(np.int64)), 1.0)
    joint /= joint.sum()
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    known = joint > 0
    return float((joint[known] * np.log(joint[known] / apart[known])).sum())


def _binned(values: np.ndarray) -> np.ndarray:
    known = values[~np.isnan(values)]
    if not known.size:
        return np.zeros(values.size, np.int64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, "right"))


def clusters(matrix: np.ndarray) -> np.ndarray:
    """Number of the cluster of each column: columns joined, directly or over others, by rank
    correlations above 0.5, in order of their first column."""
    joined = np.abs(rank_correlation(matrix)) > ALIKE
    names = np.arange(joined.shape[0])
    for _ in range(names.size):
        found = np.minimum(
            names, np.where(joined, names, names.size).min(axis=1, initial=names.size)
        )
        if np.array_equal(found, names):
            break
        names = found
    return np.unique(names, return_inverse=True)[1]


def permuted_losses(fitted: Fitted, part: Part, groups: np.ndarray) -> np.ndarray:
    """How much the log loss grows when the columns of each group are permuted together."""
    whole = log_loss(fitted.scores(part.matrix), part.target, part.weights)
    order = np.random.default_rng(_SEED).permutation(part.target.size)
    grown = np.zeros(int(groups.max()) + 1)
    for group in range(grown.size):
        mixed = part.matrix.copy()
        mixed[:, groups == group] = mixed[order][:, groups == group]
        grown[group] = log_loss(fitted.scores(mixed), part.target, part.weights) - whole
    return grown


def most_looked_at(importance: pl.DataFrame, count: int) -> pl.DataFrame:
    """The features with the greatest mean share of |TreeSHAP| over models, in order."""
    model = ["month", "target", "algorithm"]
    shares = importance.with_columns(share=pl.col("shap") / pl.col("shap").sum().over(model))
    by = shares.group_by("feature").agg(
        pl.col("share").mean(),
        pl.col("share").std().fill_null(0).alias("spread"),
        pl.col("mutual_information", "permutation").mean(),
    )
    return by.sort("share", "feature", descending=[True, False]).head(count)
