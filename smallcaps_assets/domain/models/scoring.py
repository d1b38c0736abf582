"""A stored model, applied to rows or to one event as it happens, with the same bits.

A model is a row of the table `models`: its own text, the features it takes, calibration and the
quantiles of its validation scores. An ensemble has none of its own but the names of its members.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import Any, Protocol

import numpy as np
import polars as pl

from smallcaps_assets.domain.models import algorithms
from smallcaps_assets.domain.models.calibration import Calibration, deciles, ranks
from smallcaps_assets.domain.models.design import Design
from smallcaps_assets.domain.models.events import TARGETS, event_types
from smallcaps_assets.schemas.model_columns import BARS

SEALED = ("algorithm", "features", "text", "calibration", "knots_x", "knots_y", "quantiles")
"""Columns of a model that its predictions follow from."""


class ModelError(ValueError):
    """A model that can't be used, or that there is not."""


class Scorer(Protocol):
    """What gives raw scores and probabilities of rows."""

    def scored(self, rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Raw scores and probabilities, float64[rows] each."""
        ...

    def unseen(self, rows: pl.DataFrame) -> pl.Series:
        """Whether a row has a category that the training fold had not."""
        ...


@dataclass(frozen=True)
class Single:
    """A fitted model with the features it takes and its calibration."""

    algorithm: str
    text: str
    design: Design
    calibration: Calibration

    @cached_property
    def fitted(self) -> algorithms.Fitted:
        """The model, loaded once."""
        return algorithms.load(self.algorithm, self.text)

    def scored(self, rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """As in `Scorer`."""
        scores = self.fitted.scores(self.design.matrix(rows))
        return scores, self.calibration.probabilities(scores)

    def unseen(self, rows: pl.DataFrame) -> pl.Series:
        """As in `Scorer`."""
        return self.design.unseen(rows)


@dataclass(frozen=True)
class Ensemble:
    """The mean of the probabilities of some models, which is its score too."""

    members: Sequence[Scorer]

    def scored(self, rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """As in `Scorer`."""
        mean = np.zeros(rows.height)
        for member in self.members:
            mean += member.scored(rows)[1]
        mean /= len(self.members)
        return mean, mean

    def unseen(self, rows: pl.DataFrame) -> pl.Series:
        """As in `Scorer`, of some member."""
        return reduce(or_, (member.unseen(rows) for member in self.members))


def seal(row: Mapping[str, Any]) -> str:
    """sha256 of all that the predictions of a model follow from."""
    told = {name: row[name] for name in SEALED}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


Scorers = Mapping[tuple[str, str], tuple[Scorer, Mapping[str, Any]]]
"""The usable models of a test month by target and algorithm, each with its row."""


def scorers(models: pl.DataFrame) -> Scorers:
    """The usable models of a test month by target and algorithm, each with its row.

    Raises ModelError when a row is not what it was sealed as.
    """
    rows = {(r["target"], r["algorithm"]): r for r in models.iter_rows(named=True)}
    found: dict[tuple[str, str], Scorer] = {}
    for (target, algorithm), row in rows.items():
        if row["refusal"] is None and algorithm != algorithms.ENSEMBLE:
            found[target, algorithm] = _single(row)
    for (target, algorithm), row in rows.items():
        if row["refusal"] is None and algorithm == algorithms.ENSEMBLE:
            members = json.loads(row["text"])["members"]
            found[target, algorithm] = Ensemble([found[target, m["algorithm"]] for m in members])
    return {place: (scorer, rows[place]) for place, scorer in found.items()}


def _single(row: Mapping[str, Any]) -> Single:
    if seal(row) != row["sha256"]:
        raise ModelError(
            f"the model {row['target']} {row['algorithm']} of {row['month']} is not what it was"
            " sealed as; make it again with `smallcaps backfill models`"
        )
    calibration = Calibration(row["calibration"], tuple(row["knots_x"]), tuple(row["knots_y"]))
    return Single(row["algorithm"], row["text"], Design.of_text(row["features"]), calibration)


def predict(rows: pl.DataFrame, models: Scorers, targets: Iterable[str]) -> pl.DataFrame:
    """Score, probability, rank and decile of each row by each model of some targets.

    `rows` are of the sample of the targets (`events.py`): many, or one event as it happens, which
    gets the same bits. `models` are the `scorers` of one test month. Columns beside the keys:
    target, algorithm, score, probability, rank, decile, model, and has_unseen_category, whether the
    row has a category that the model's training fold had not.
    """
    wanted, frames = set(targets), []
    for (target, algorithm), (scorer, row) in models.items():
        if target in wanted:
            scores, chances = scorer.scored(rows)
            quantiles = tuple(row["quantiles"])
            told = rows.select("ticker", "date", "event_id").with_columns(
                target=pl.lit(target),
                algorithm=pl.lit(algorithm),
                score=pl.Series(scores, dtype=pl.Float64),
                probability=pl.Series(chances, dtype=pl.Float64),
                rank=pl.Series(ranks(scores, quantiles), dtype=pl.Float64),
                decile=pl.Series(deciles(scores, quantiles), dtype=pl.Int8),
                model=pl.lit(row["sha256"]),
                has_unseen_category=scorer.unseen(rows),
            )
            frames.append(told)
    return pl.concat(frames) if frames else pl.DataFrame(schema=_SCHEMA)


def score_event(event: Mapping[str, Any], models: Scorers, sample: str = BARS) -> pl.DataFrame:
    """Scores of one event as it happens, by all models of its sample: as in `predictions`.

    `event` has ticker, date, event_id and every feature of the sample (`events.FEATURES`) as it was
    known at t0, None for what was not; more is let be. `models` are the `scorers` of its month.
    Columns as of `predict`. Raises ModelError naming a feature that is not there.
    """
    types = event_types(sample, any(name == algorithms.CONVOLUTION for _, name in models))
    absent = [name for name in types if name not in event]
    if absent:
        raise ModelError(
            f"the event lacks {absent[0]}, and {len(absent) - 1} more of the {len(types)} values"
            " that models may take; give None for what is not known"
        )
    row = pl.DataFrame([[event[name]] for name in types], schema=types, orient="col")
    return predict(row, models, [t.name for t in TARGETS.values() if t.sample == sample])


_SCHEMA = {
    **{"ticker": pl.String, "date": pl.Date, "event_id": pl.Int32, "target": pl.String},
    **{"algorithm": pl.String, "score": pl.Float64, "probability": pl.Float64},
    **{"rank": pl.Float64, "decile": pl.Int8, "model": pl.String},
    "has_unseen_category": pl.Boolean,
}
