"""From rows to the matrix that a model takes: which features are kept, how categories are told.

Everything is settled by the rows of the training fold and stored with the model, so that any row,
also one alone, gives the same numbers later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

SEQUENCE = "sequence"
"""Column of rows: the last bars up to each, one place after the other; null without a bar."""
MOST_NULL = 0.5
MOST_ALIKE = 0.98


class DesignError(ValueError):
    """Rows that lack a feature, or of which no feature is left."""


@dataclass(frozen=True)
class Design:
    """The features of a model in order; texts by the categories that the training fold had.

    `dropped` says why each other feature was left out. A null is NaN. A category that the training
    fold had not sets none of its columns.
    """

    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    dropped: Mapping[str, str]

    @property
    def columns(self) -> list[str]:
        """Names of the columns of the matrix."""
        return [
            name if known is None else f"{name}={known}"
            for name in self.features
            for known in self.categories.get(name, (None,))
        ]

    def matrix(self, rows: pl.DataFrame) -> np.ndarray:
        """float64[rows, columns]. Raises DesignError when a feature is missing."""
        absent = [name for name in self.features if name not in rows.columns]
        if absent:
            raise DesignError(
                f"{len(absent)} features of the model, the first {absent[0]}, are not in the rows;"
                " make the dataset again with `smallcaps run`"
            )
        if self.features == (SEQUENCE,):
            return sequence_matrix(rows)
        return expanded(rows, self.features, self.categories)

    def unseen(self, rows: pl.DataFrame) -> pl.Series:
        """Whether a row has a category that the training fold had not."""
        tests = [
            pl.col(name).is_not_null() & ~pl.col(name).is_in(list(known))
            for name, known in self.categories.items()
        ]
        found = pl.any_horizontal(*tests) if tests else pl.repeat(False, rows.height)
        return rows.select(found.alias("unseen")).to_series()

    def as_text(self) -> str:
        """As JSON."""
        told = {"features": self.features, "categories": self.categories, "dropped": self.dropped}
        return json.dumps(told, sort_keys=True)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """From its JSON."""
        told = json.loads(text)
        categories = {name: tuple(values) for name, values in told["categories"].items()}
        return cls(tuple(told["features"]), categories, told["dropped"])


OF_SEQUENCES = Design((SEQUENCE,), {}, {})


def sequence_matrix(rows: pl.DataFrame) -> np.ndarray:
    """Sequences as float64[rows, length * channels], NaN without one."""
    column = rows[SEQUENCE]
    found = np.full((rows.height, column.dtype.shape[0]), np.nan)  # type: ignore[attr-defined]
    is_known = column.is_not_null().to_numpy()
    if is_known.any():
        found[is_known] = column.drop_nulls().to_numpy()
    return found


def expanded(
    rows: pl.DataFrame, names: Sequence[str], categories: Mapping[str, tuple[str, ...]]
) -> np.ndarray:
    """Features as float64[rows, columns], a column of 0 and 1 for each category of a text."""
    values = [
        (pl.col(name) == known).fill_null(False).cast(pl.Float64).alias(f"{name}={known}")
        if known is not None
        else pl.col(name).cast(pl.Float64)
        for name in names
        for known in categories.get(name, (None,))
    ]
    return np.ascontiguousarray(rows.select(values).to_numpy().reshape(rows.height, len(values)))


def choose(rows: pl.DataFrame, names: Sequence[str]) -> Design:
    """The features that the rows of a training fold speak for.

    Left out are those that are null in more than half of the rows, those with one value, and those
    whose ranks are correlated by more than 0.98 with a feature before them. Raises DesignError when
    none is left.
    """
    dropped: dict[str, str] = {}
    for name, nulls, values in _counted(rows, names):
        if nulls > MOST_NULL * rows.height:
            dropped[name] = f"null in {nulls / rows.height:.0%} of the rows"
        elif values < 2:
            dropped[name] = "one value only"
    left = [name for name in names if name not in dropped]
    dropped |= _repeated(rows, [name for name in left if rows[name].dtype != pl.String])
    features = tuple(name for name in left if name not in dropped)
    if not features:
        raise DesignError("no feature has two values and half of its rows; look at the dataset")
    texts = [name for name in features if rows[name].dtype == pl.String]
    categories = {n: tuple(rows[n].drop_nulls().unique().sort().to_list()) for n in texts}
    return Design(features, categories, dropped)


def _counted(rows: pl.DataFrame, names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Nulls and distinct values of each feature."""
    nulls = rows.select(pl.col(names).null_count()).row(0)
    values = rows.select(pl.col(names).drop_nulls().n_unique()).row(0)
    return list(zip(names, nulls, values, strict=True))


def _repeated(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, str]:
    """Features that rank the rows as one before them does."""
    alike = np.abs(rank_correlation(expanded(rows, names, {})))
    kept: list[int] = []
    found: dict[str, str] = {}
    for place, name in enumerate(names):
        twin = next((other for other in kept if alike[place, other] > MOST_ALIKE), None)
        if twin is None:
            kept.append(place)
        else:
            found[name] = f"as {names[twin]}: rank correlation {alike[place, twin]:.3f}"
    return found


def rank_correlation(matrix: np.ndarray) -> np.ndarray:
    """Spearman's correlation of columns, float64[columns, columns]; NaN has the mean rank."""
    ranks = np.zeros(matrix.shape)
    for place, column in enumerate(matrix.T):
        series = pl.Series(column, nan_to_null=True)
        rank = series.rank("average").cast(pl.Float64)
        centred = (rank - (rank.mean() or 0.0)).fill_null(0.0).to_numpy()
        length = np.sqrt((centred**2).sum())
        ranks[:, place] = centred / length if length > 0 else 0.0
    return ranks.T @ ranks
