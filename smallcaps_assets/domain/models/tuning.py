"""Parameters by a seeded tree-structured Parzen estimator, judged on the validation month alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from smallcaps_assets.domain.models import algorithms
from smallcaps_assets.domain.models.algorithms import (
    CONVOLUTION,
    LIGHTGBM,
    LOGISTIC,
    XGBOOST,
    Part,
    Stopping,
)
from smallcaps_assets.domain.models.extra import require
from smallcaps_assets.settings import ModelSettings

_SPACE: dict[str, dict[str, tuple[float, float]]] = {
    LIGHTGBM: {
        "learning_rate": (0.02, 0.2),
        "num_leaves": (7, 63),
        "min_data_in_leaf": (20, 200),
        "feature_fraction": (0.3, 1.0),
        "lambda_l2": (0.1, 100.0),
    },
    XGBOOST: {
        "learning_rate": (0.02, 0.2),
        "max_depth": (2, 8),
        "min_child_weight": (5.0, 100.0),
        "colsample_bytree": (0.3, 1.0),
        "reg_lambda": (0.1, 100.0),
    },
    LOGISTIC: {"ridge": (0.1, 10_000.0)},
    CONVOLUTION: {"ridge": (1.0, 100_000.0)},
}
"""Lowest and highest value, on a scale of ratios; integers where both are."""


@dataclass(frozen=True)
class Tuned:
    """Parameters beside the defaults, after how many trials, and the test month they were tuned
    for; none tried, none chosen."""

    parameters: dict[str, float | int] = field(default_factory=dict)
    trials: int = 0
    month: str | None = None


def tune(algorithm: str, train: Part, validate: Part, settings: ModelSettings) -> Tuned:
    """The best of `models.trials` parameters by the validation's weighted log loss.

    The first trial is of the defaults. The same rows and seed give the same parameters.
    """
    if not settings.trials:
        return Tuned()
    optuna = require("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stopping = Stopping(settings.rounds, settings.patience)

    def loss(trial: Any) -> float:
        chosen = {name: _drawn(trial, name, *ends) for name, ends in _SPACE[algorithm].items()}
        fitted = algorithms.fit(algorithm, train, validate, chosen, stopping, settings.seed)
        scores = fitted.scores(validate.matrix)
        return algorithms.log_loss(scores, validate.target, validate.weights)

    sampler = optuna.samplers.TPESampler(seed=settings.seed)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(algorithms.DEFAULTS[algorithm])
    study.optimize(loss, n_trials=settings.trials)
    return Tuned(dict(study.best_params), settings.trials)


def _drawn(trial: Any, name: str, low: float, high: float) -> float | int:
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=True)
    return trial.suggest_float(name, low, high, log=True)
