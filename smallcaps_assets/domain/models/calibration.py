"""From raw scores to probabilities, and to ranks among the validation month's scores.

All of it is settled on the validation month and kept with the model, so that it tells of one event
alone what it would tell of it among others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smallcaps_assets.domain.evaluation import fit_logistic
from smallcaps_assets.domain.models.extra import require

ISOTONIC, PLATT, NONE = "isotonic", "platt", "none"
LEAST_ROWS, LEAST_RARER = 500, 100
QUANTILES = 100


@dataclass(frozen=True)
class Calibration:
    """A probability for a raw score: by straight lines between knots, or Platt's curve.

    The knots `x` and `y` of Platt's method are slope and intercept.
    """

    method: str
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Probability of each score, float64."""
        if self.method == NONE:
            return scores
        if self.method == ISOTONIC:
            return np.interp(scores, self.x, self.y)
        return 1.0 / (1.0 + np.exp(-np.clip(self.x[0] * scores + self.y[0], -30.0, 30.0)))


def calibrate(scores: np.ndarray, target: np.ndarray) -> Calibration:
    """Isotonic on 500 rows of which 100 are of the rarer class, else Platt's method."""
    rarer = min(int(target.sum()), int((~target).sum()))
    if scores.size >= LEAST_ROWS and rarer >= LEAST_RARER:
        fitted = require("sklearn.isotonic").IsotonicRegression(out_of_bounds="clip")
        fitted.fit(scores, target.astype(np.float64))
        knots = (tuple(map(float, k)) for k in (fitted.X_thresholds_, fitted.y_thresholds_))
        return Calibration(ISOTONIC, *knots)
    return _platt(scores, target)


def _platt(scores: np.ndarray, target: np.ndarray) -> Calibration:
    """Platt (1999): a logistic curve on targets drawn in from 0 and 1; never falling."""
    positives, negatives = int(target.sum()), int((~target).sum())
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    spread = float(scores.std()) or 1.0
    fitted = fit_logistic((scores / spread)[:, None], np.where(target, high, low), ridge=1e-3)
    if fitted[1] > 0:
        return Calibration(PLATT, (float(fitted[1]) / spread,), (float(fitted[0]),))
    share = (positives + 1) / (positives + negatives + 2)
    return Calibration(PLATT, (0.0,), (float(np.log(share / (1 - share))),))


def score_quantiles(scores: np.ndarray) -> tuple[float, ...]:
    """The percentiles 0 to 100 of the validation month's scores, by straight lines."""
    return tuple(map(float, np.quantile(scores, np.linspace(0.0, 1.0, QUANTILES + 1))))


def ranks(scores: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Share of the validation month's scores below each score, in [0, 1]; of equal ones half."""
    below = np.searchsorted(quantiles, scores, "left") + np.searchsorted(quantiles, scores, "right")
    return below / (2.0 * len(quantiles))


def deciles(scores: np.ndarray, quantiles: tuple[float, ...]) -> np.ndarray:
    """Decile 1 to 10 of the validation month's scores that each score lies in, int8."""
    return (1 + np.searchsorted(quantiles[10:QUANTILES:10], scores, "right")).astype(np.int8)
