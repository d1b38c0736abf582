"""The algorithms: fitted deterministically on one thread, kept as their own text, loaded from it.

Each gives raw scores, log odds of a balanced set, that depend on a row alone and not on those
beside it. Calibration, features and weights are settled elsewhere. No pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from smallcaps_assets.domain.bars.convolutions import convolved, fitted_biases, fixed_kernels
from smallcaps_assets.domain.bars.sequences import LENGTH
from smallcaps_assets.domain.evaluation import ridge_logistic, scaled, standardised
from smallcaps_assets.domain.models.extra import require

LIGHTGBM, XGBOOST, LOGISTIC, ENSEMBLE = "lightgbm", "xgboost", "logistic", "ensemble"
CONVOLUTION = "convolution"
Parameters = Mapping[str, float | int]
DEFAULTS: dict[str, dict[str, float | int]] = {
    LIGHTGBM: {
        **{"learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 50},
        **{"feature_fraction": 0.8, "lambda_l2": 1.0},
    },
    XGBOOST: {
        **{"learning_rate": 0.05, "max_depth": 5, "min_child_weight": 20.0},
        **{"colsample_bytree": 0.8, "reg_lambda": 1.0},
    },
    LOGISTIC: {"ridge": 1.0},
    CONVOLUTION: {"ridge": 300.0},
}
"""What is fitted with unless it is tuned."""


class Part(NamedTuple):
    """Rows of a fold: a matrix float64[rows, columns], what is true of them, and their weights."""

    matrix: np.ndarray
    target: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Stopping:
    """Rounds of boosting at most, and how many without a better validation end it."""

    rounds: int = 400
    patience: int = 40


class Fitted(Protocol):
    """A model in memory."""

    text: str
    rounds: int

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """Raw scores, float64[rows]."""
        ...


@runtime_checkable
class Explained(Protocol):
    """A model that says what its columns contribute."""

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each column adds to each score, exactly; float64[rows, columns]."""
        ...


def fit(
    algorithm: str,
    train: Part,
    validate: Part,
    parameters: Parameters,
    stopping: Stopping = Stopping(),
    seed: int = 0,
) -> Fitted:
    """A model of the training part; the validation part ends its rounds."""
    if algorithm == LOGISTIC:
        return Logistic.fit(train, parameters)
    if algorithm == CONVOLUTION:
        return Convolution.fit(train, parameters)
    kind = LightGbm if algorithm == LIGHTGBM else XgBoost
    return kind.fit(train, validate, parameters, stopping, seed)


def load(algorithm: str, text: str) -> Fitted:
    """The model of a text, which gives the scores that it gave when it was made."""
    kinds = {LIGHTGBM: LightGbm, XGBOOST: XgBoost, LOGISTIC: Logistic, CONVOLUTION: Convolution}
    return kinds[algorithm](text)


def log_loss(scores: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean of the negative log-likelihood of raw scores."""
    signed = np.where(target, -scores, scores)
    return float(np.average(np.logaddexp(0.0, signed), weights=weights))


class LightGbm:
    """Gradient boosting of LightGBM; the text is its own format."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._booster = require("lightgbm").Booster(model_str=text)
        self.rounds = int(self._booster.num_trees())

    @classmethod
    def fit(
        cls, train: Part, validate: Part, parameters: Parameters, stopping: Stopping, seed: int
    ) -> LightGbm:
        """Boosted until the validation part's loss has not improved for some rounds."""
        library = require("lightgbm")
        fixed: dict[str, Any] = {
            **{"objective": "binary", "num_threads": 1, "deterministic": True},
            **{"force_row_wise": True, "seed": seed, "verbosity": -1},
        }
        data = library.Dataset(train.matrix, train.target, weight=train.weights)
        other = data.create_valid(validate.matrix, validate.target, weight=validate.weights)
        stop = library.early_stopping(stopping.patience, verbose=False)
        made = library.train(
            {**fixed, **parameters}, data, stopping.rounds, [other], callbacks=[stop]
        )
        return cls(made.model_to_string(num_iteration=made.best_iteration))

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """Raw scores."""
        return self._booster.predict(matrix, raw_score=True, num_threads=1)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """TreeSHAP of the library."""
        return self._booster.predict(matrix, pred_contrib=True, num_threads=1)[:, :-1]


class XgBoost:
    """Gradient boosting of XGBoost by histograms; the text is its JSON."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._library = require("xgboost")
        self._booster = self._library.Booster({"nthread": 1})
        self._booster.load_model(bytearray(text.encode()))
        self.rounds = int(self._booster.num_boosted_rounds())

    @classmethod
    def fit(
        cls, train: Part, validate: Part, parameters: Parameters, stopping: Stopping, seed: int
    ) -> XgBoost:
        """Boosted until the validation part's loss has not improved for some rounds."""
        library = require("xgboost")
        fixed: dict[str, Any] = {
            **{"objective": "binary:logistic", "tree_method": "hist", "nthread": 1},
            **{"seed": seed, "verbosity": 0, "eval_metric": "logloss"},
        }
        data, other = (
            library.DMatrix(part.matrix, part.target, weight=part.weights, nthread=1)
            for part in (train, validate)
        )
        made = library.train(
            {**fixed, **parameters},
            data,
            stopping.rounds,
            evals=[(other, "validation")],
            early_stopping_rounds=stopping.patience,
            verbose_eval=False,
        )
        kept = made[: made.best_iteration + 1]
        kept.set_attr(best_iteration=None, best_score=None)
        return cls(kept.save_raw("json").decode())

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """Raw scores."""
        data = self._library.DMatrix(matrix, nthread=1)
        return self._booster.predict(data, output_margin=True).astype(np.float64)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """TreeSHAP of the library."""
        data = self._library.DMatrix(matrix, nthread=1)
        return self._booster.predict(data, pred_contribs=True)[:, :-1].astype(np.float64)


class Logistic:
    """Ridge logistic regression on standardised columns; the text is JSON."""

    rounds = 0

    def __init__(self, text: str) -> None:
        self.text = text
        told = json.loads(text)
        self._intercept = told["intercept"]
        names = ("slopes", "means", "deviations")
        self._slopes, self._means, self._deviations = (np.array(told[name]) for name in names)

    @classmethod
    def fit(cls, train: Part, parameters: Parameters) -> Logistic:
        """The columns are standardised by the training part; NaN is their mean."""
        with require("threadpoolctl").threadpool_limits(1):
            table, means, deviations = standardised(train.matrix)
            ridge = float(parameters["ridge"])
            intercept, *slopes = ridge_logistic(table, train.target, ridge, train.weights).tolist()
        told = {"intercept": intercept, "slopes": slopes}
        told |= {"means": means.tolist(), "deviations": deviations.tolist()}
        return cls(json.dumps(told, sort_keys=True))

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """Raw scores."""
        return self._intercept + self.contributions(matrix).sum(axis=1)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """Slope times standardised value."""
        return scaled(matrix, self._means, self._deviations) * self._slopes


class Convolution:
    """Ridge logistic regression on fixed convolutions of the last bars; the text is JSON.

    Takes float64[rows, LENGTH * channels]; channels are standardised, NaN is their mean.
    """

    rounds = 0

    def __init__(self, text: str) -> None:
        self.text = text
        told = json.loads(text)
        names = ("biases", "means", "deviations")
        self._biases, self._means, self._deviations = (np.array(told[name]) for name in names)
        self._kernels = fixed_kernels(self._means.size)
        self._linear = Logistic(told["linear"])

    @classmethod
    def fit(cls, train: Part, parameters: Parameters) -> Convolution:
        """Biases are quantiles of the training part's responses."""
        channels = train.matrix.shape[1] // LENGTH
        kernels = fixed_kernels(channels)
        flat, means, deviations = standardised(train.matrix.reshape(-1, channels))
        series = flat.reshape(-1, LENGTH, channels)
        biases = fitted_biases(series, kernels)
        shares = convolved(series, kernels, biases)
        linear = Logistic.fit(train._replace(matrix=shares), parameters)
        told = {"biases": biases, "means": means, "deviations": deviations}
        words = {name: values.tolist() for name, values in told.items()}
        return cls(json.dumps({**words, "linear": linear.text}, sort_keys=True))

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """Raw scores."""
        series = matrix.reshape(len(matrix), LENGTH, self._means.size)
        known = scaled(series, self._means, self._deviations)
        return self._linear.scores(convolved(known, self._kernels, self._biases))
