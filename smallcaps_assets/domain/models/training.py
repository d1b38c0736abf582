"""The models of one test month: fitted on the training rows, settled on the validation month.

Features, weights and their scaling come from the training rows alone; rounds of boosting,
calibration, quantiles of scores and tuning from the validation rows alone. Test rows are not given.
What can't be fitted is a row that says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.evaluation import EvaluationError, auc
from smallcaps_assets.domain.labels.folds import fold_weights
from smallcaps_assets.domain.models import algorithms
from smallcaps_assets.domain.models.algorithms import Fitted, Part
from smallcaps_assets.domain.models.calibration import NONE, Calibration, calibrate, score_quantiles
from smallcaps_assets.domain.models.design import OF_SEQUENCES, Design, DesignError, choose
from smallcaps_assets.domain.models.events import FEATURES, TARGETS, Target, target_spans
from smallcaps_assets.domain.models.folds import check_split
from smallcaps_assets.domain.models.importance import importances, told_by
from smallcaps_assets.domain.models.scoring import Ensemble, Single, seal
from smallcaps_assets.domain.models.tuning import Tuned, tune
from smallcaps_assets.settings import ModelSettings

Row = dict[str, Any]


class TrainingError(ValueError):
    """Rows of which no model can be made."""


@dataclass(frozen=True)
class Parts:
    """The training and the validation rows of a fold for one target, without its nulls."""

    target: Target
    train: pl.DataFrame
    validate: pl.DataFrame

    @property
    def name(self) -> str:
        """The target's name."""
        return self.target.name


@dataclass(frozen=True)
class Prepared:
    """What every algorithm of a target is fitted on."""

    design: Design
    train: Part
    validate: Part
    effective: tuple[float, float]


def parts_of(target: Target, train: pl.DataFrame, validate: pl.DataFrame, least: int) -> Parts:
    """The rows that tell a target. Raises TrainingError when they are too few or of one class."""
    kept = [part.filter(pl.col(target.name).is_not_null()) for part in (train, validate)]
    if kept[0].height < least:
        raise TrainingError(
            f"{kept[0].height:,} rows to train on, {least:,} are needed; take more sessions, or"
            " lower models.min_rows"
        )
    for part, name in zip(kept, ("training", "validation"), strict=True):
        positives, rows = part[target.name].sum(), part.height
        if positives in (0, rows):
            raise TrainingError(
                f"one class only: {positives:,} of {rows:,} {name} rows are positive; take more"
                " months"
            )
    check_split(kept[0], kept[1], ("training", "validation"))
    return Parts(target, *kept)


def prepare(parts: Parts, settings: ModelSettings) -> Prepared:
    """Features chosen and weights computed on the training rows. Raises DesignError."""
    design = choose(parts.train, FEATURES[parts.target.sample])
    weighted = [_weights(rows, parts.target, settings) for rows in (parts.train, parts.validate)]
    made = [
        Part(design.matrix(rows), rows[parts.name].to_numpy(), weights["weight"].to_numpy())
        for rows, weights in zip((parts.train, parts.validate), weighted, strict=True)
    ]
    effective = [float(weights["uniqueness"].sum()) for weights in weighted]
    return Prepared(design, made[0], made[1], (effective[0], effective[1]))


def of_sequences(parts: Parts, prepared: Prepared) -> Prepared:
    """The same rows by their sequences."""
    made = [
        part._replace(matrix=OF_SEQUENCES.matrix(rows))
        for part, rows in ((prepared.train, parts.train), (prepared.validate, parts.validate))
    ]
    return Prepared(OF_SEQUENCES, made[0], made[1], prepared.effective)


def _weights(rows: pl.DataFrame, target: Target, settings: ModelSettings) -> pl.DataFrame:
    named = rows.select(
        "ticker", "date", "t0", bar_id="event_id", label=pl.col(target.name).cast(pl.Int8)
    )
    return fold_weights(named, target_spans(rows, target), settings.time_decay)


# Models ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Trained:
    """The models of a test month as rows, and what each looks at."""

    models: list[Row]
    importances: list[pl.DataFrame]


def train_target(
    target: Target,
    train: pl.DataFrame,
    validate: pl.DataFrame,
    settings: ModelSettings,
    tuned: Mapping[str, Tuned] | None = None,
) -> Trained:
    """The models of one target by algorithm, and the ensemble of them.

    `tuned` has the parameters of a month before in the same year by algorithm; without, they are
    tuned here. Where no model can be made, each row has a `refusal` instead.
    """
    try:
        parts = parts_of(target, train, validate, settings.min_rows)
        prepared = prepare(parts, settings)
    except (TrainingError, DesignError) as error:
        return Trained(refused(target, settings.algorithms, str(error)), [])
    rows, told = [], []
    known = told_by(prepared.design, prepared.validate)
    singles: dict[str, Single] = {}
    for algorithm in settings.algorithms:
        is_of_sequences = algorithm == algorithms.CONVOLUTION
        own = of_sequences(parts, prepared) if is_of_sequences else prepared
        try:
            chosen = _chosen(algorithm, own, settings, tuned)
            fitted = _fit(algorithm, own, chosen, settings)
        except EvaluationError as error:
            rows += refused(target, [algorithm], str(error))
            continue
        row, single = _row_of(parts, own, algorithm, fitted, chosen)
        rows.append(row)
        singles[algorithm] = single
        told.append(importances(fitted, own.design, own.validate, known).with_columns(
            target=pl.lit(target.name), algorithm=pl.lit(algorithm)
        ))  # fmt: skip
    return Trained([*rows, *_ensemble(parts, prepared, singles, rows)], told)


def _chosen(
    algorithm: str, prepared: Prepared, settings: ModelSettings, tuned: Mapping[str, Tuned] | None
) -> Tuned:
    if tuned is not None:
        return tuned.get(algorithm, Tuned())
    return tune(algorithm, prepared.train, prepared.validate, settings)


def refused(target: Target, names: Iterable[str], why: str) -> list[Row]:
    """Rows of models that can't be made."""
    return [
        {"target": target.name, "algorithm": name, "sample": target.sample, "refusal": why}
        for name in names
    ]


def _fit(algorithm: str, prepared: Prepared, tuned: Tuned, settings: ModelSettings) -> Fitted:
    parameters = {**algorithms.DEFAULTS[algorithm], **tuned.parameters}
    stopping = algorithms.Stopping(settings.rounds, settings.patience)
    return algorithms.fit(
        algorithm, prepared.train, prepared.validate, parameters, stopping, settings.seed
    )


def _row_of(
    parts: Parts, prepared: Prepared, algorithm: str, fitted: Fitted, tuned: Tuned
) -> tuple[Row, Single]:
    scores = fitted.scores(prepared.validate.matrix)
    calibration = calibrate(scores, prepared.validate.target)
    single = Single(algorithm, fitted.text, prepared.design, calibration)
    row = _common(parts, prepared, algorithm, single.text, calibration, scores) | {
        "features": prepared.design.as_text(),
        "parameters": json.dumps(
            {**algorithms.DEFAULTS[algorithm], **tuned.parameters}, sort_keys=True
        ),
        "rounds": fitted.rounds,
        "trials": tuned.trials,
        "tuned_in": tuned.month,
    }
    return row | {"sha256": seal(row)}, single


def _common(
    parts: Parts,
    prepared: Prepared,
    algorithm: str,
    text: str,
    calibration: Calibration,
    scores: np.ndarray,
) -> Row:
    """What rows of fitted models and of ensembles say alike."""
    chances, target = calibration.probabilities(scores), prepared.validate.target
    return {
        "target": parts.name,
        "algorithm": algorithm,
        "sample": parts.target.sample,
        "train_rows": parts.train.height,
        "validate_rows": parts.validate.height,
        "train_effective": prepared.effective[0],
        "validate_effective": prepared.effective[1],
        "train_share": float(prepared.train.target.mean()),
        "validate_auc": auc(scores, target),
        "validate_brier": float(((chances - target) ** 2).mean()),
        "calibration": calibration.method,
        "knots_x": list(calibration.x),
        "knots_y": list(calibration.y),
        "quantiles": list(score_quantiles(scores)),
        "text": text,
    }


def _ensemble(
    parts: Parts, prepared: Prepared, singles: Mapping[str, Single], rows: Sequence[Row]
) -> list[Row]:
    """The mean of two models or more; of fewer there is none."""
    if len(singles) < 2:
        return []
    scores, _ = Ensemble(list(singles.values())).scored(parts.validate)
    members = [
        {"algorithm": row["algorithm"], "sha256": row["sha256"]} for row in rows if "sha256" in row
    ]
    text = json.dumps({"members": members}, sort_keys=True)
    row = _common(parts, prepared, algorithms.ENSEMBLE, text, Calibration(NONE), scores) | {
        "features": prepared.design.as_text(),
        "parameters": "{}",
        "rounds": 0,
        "trials": 0,
    }
    return [row | {"sha256": seal(row)}]


def train_month(
    samples: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]],
    settings: ModelSettings,
    month: str,
    tuned: Mapping[tuple[str, str], Tuned] | None = None,
) -> Trained:
    """All models of a test month from the training and validation rows of each sample.

    `tuned` has the parameters by target and algorithm; without, they are tuned for this `month`.
    """
    found = Trained([], [])
    for name in settings.targets:
        target = TARGETS[name]
        if target.sample in samples:
            own = None if tuned is None else {a: t for (n, a), t in tuned.items() if n == name}
            made = train_target(target, *samples[target.sample], settings, own)
            found.models.extend(_tuned_in(row, month) for row in made.models)
            found.importances.extend(made.importances)
    return found


def _tuned_in(row: Row, month: str) -> Row:
    """A row that says for which month its parameters were tuned, if they were."""
    return row | {"tuned_in": month} if row.get("trials") else row
