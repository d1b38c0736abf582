"""Which events a strategy wants to trade, on which side, and by what score.

All follows from what was known at the event's t0: its features, its pattern, and scores of models
that have seen nothing of its month. Whether it can be traded, and how many shares, comes after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from smallcaps_assets.domain.evaluation import fit_logistic
from smallcaps_assets.schemas.model_columns import BARS, PATTERNS
from smallcaps_assets.settings import Strategy

KEY = ("ticker", "date", "event_id")
FEATURES = (*("return_5m", "running_return", "relative_volume", "imbalance_ratio_5", "volatility"),)
"""What the logistic baseline looks at."""
TARGET = "sign_15m"
COLUMNS = (*KEY, "sample", "t0", "side", "score", "pattern", "rule", "source")
_LARGEST = 5.0


class StrategyError(ValueError):
    """A strategy that names what there is not, or needs what is not stored."""


@dataclass(frozen=True)
class Logistic:
    """A logistic regression on `FEATURES`: centres and scales of them, weights, and the least score
    that is taken."""

    centres: np.ndarray
    scales: np.ndarray
    weights: np.ndarray
    least: float

    def scores(self, rows: pl.DataFrame) -> np.ndarray:
        """Log odds of a rise, float64[rows]; a missing feature counts as its mean."""
        return self.weights[0] + _standardised(rows, self.centres, self.scales) @ self.weights[1:]


def logistic_baseline(
    train: pl.DataFrame, validate: pl.DataFrame, quantile: float
) -> Logistic | None:
    """The baseline of a test month; None without rows of both kinds, or none to validate on.

    Scales are of the training rows. `quantile` of the validation rows' scores is the least score.
    """
    known = train.filter(pl.col(TARGET).is_not_null())
    target = known[TARGET].cast(pl.Float64).to_numpy()
    if validate.is_empty() or not 0 < target.sum() < target.size:
        return None
    values = known.select(FEATURES).cast(pl.Float64).to_numpy()
    held = np.where(np.isfinite(values), values, np.nan)
    counts = np.maximum(np.isfinite(held).sum(0), 1)
    centres = np.nansum(held, axis=0) / counts
    scales = np.sqrt(np.nansum((held - centres) ** 2, axis=0) / counts)
    scales[scales == 0] = 1.0
    weights = fit_logistic(_standardised(known, centres, scales), target)
    found = Logistic(centres, scales, weights, 0.0)
    least = float(np.quantile(found.scores(validate), quantile))
    return Logistic(centres, scales, weights, least)


def _standardised(rows: pl.DataFrame, centres: np.ndarray, scales: np.ndarray) -> np.ndarray:
    values = (rows.select(FEATURES).cast(pl.Float64).to_numpy() - centres) / scales
    return np.clip(np.nan_to_num(values), -_LARGEST, _LARGEST)


@dataclass(frozen=True)
class Month:
    """What there is of a test month to choose from: its rows by sample, as models see them, scores
    (None: not made), and the logistic baseline (None: not to be had)."""

    rows: Mapping[str, pl.DataFrame]
    predictions: pl.DataFrame | None
    logistic: Logistic | None


def wanted(strategy: Strategy, month: Month, seed: int) -> tuple[pl.DataFrame, str | None]:
    """The events of a month that a strategy wants, COLUMNS, and why there are none, if so.

    `seed` is that of the random side. Raises StrategyError for a column that no row has.
    """
    sample = sample_of(strategy)
    rows = month.rows[sample]
    if strategy.signal == "prediction":
        chosen, note = _predicted(strategy, month, rows)
    elif strategy.signal in ("pattern", "every_pattern"):
        chosen, note = _of_patterns(strategy, month, rows)
    else:
        chosen, note = _of_bars(strategy, month, rows, seed)
    if rows.is_empty():
        note = f"no events of {sample}: no usable fold"
    is_given = strategy.signal in ("prediction", "pattern")
    pattern = "event_pattern" if sample == PATTERNS else pl.lit(None, pl.String)
    told = _filtered(strategy, chosen).select(
        *KEY,
        "t0",
        "side",
        "score",
        sample=pl.lit(sample),
        pattern=pattern,
        rule="selection_rule",
        source=pl.lit(strategy.signal if is_given else "baseline"),
    )
    return told.select(COLUMNS), note


def sample_of(strategy: Strategy) -> str:
    """Whether a strategy trades bars or patterns."""
    is_pattern = strategy.signal in ("pattern", "every_pattern")
    return PATTERNS if is_pattern or strategy.target == "meta" else BARS


def check_columns(strategy: Strategy, columns: Iterable[str]) -> None:
    """Raises StrategyError for a column that a strategy names and the events have not."""
    held = sorted(columns)
    for name, _ in (*strategy.at_least, *strategy.at_most):
        if name not in held:
            near = [column for column in held if name.split("_", maxsplit=1)[0] in column]
            raise StrategyError(
                f"strategy {strategy.name!r} names the column {name!r}, which its events have not;"
                f" choose from {', '.join((near or held)[:8])} ..., see the data dictionary"
            )


def _filtered(strategy: Strategy, rows: pl.DataFrame) -> pl.DataFrame:
    check_columns(strategy, rows.columns)
    least = [pl.col(name) >= value for name, value in strategy.at_least]
    most = [pl.col(name) <= value for name, value in strategy.at_most]
    return rows.filter(*least, *most) if least or most else rows


def _none(rows: pl.DataFrame) -> pl.DataFrame:
    return _on_side(rows.clear(), pl.lit(1))


def _on_side(rows: pl.DataFrame, side: pl.Expr, score: pl.Expr | None = None) -> pl.DataFrame:
    given = pl.lit(None, pl.Float64) if score is None else score
    return rows.with_columns(side=side.cast(pl.Int8), score=given.cast(pl.Float64))


def _scored(
    month: Month, target: str, algorithm: str, strategy: Strategy, rows: pl.DataFrame
) -> tuple[pl.DataFrame, str | None]:
    """Rows whose score is high enough, with it as `score`, and why there is none to ask."""
    scores = None
    if month.predictions is not None:
        scores = month.predictions.filter(
            pl.col("target") == target, pl.col("algorithm") == algorithm
        )
    if scores is None or scores.is_empty():
        return rows.clear().with_columns(score=pl.lit(0.0)), f"no predictions of {target}"
    is_high = pl.col("rank") >= strategy.quantile
    if strategy.threshold is not None:
        is_high = pl.col("probability") >= strategy.threshold
    high = scores.filter(is_high).select(*KEY, score="probability")
    return rows.join(high, on=KEY), None


def _predicted(
    strategy: Strategy, month: Month, rows: pl.DataFrame
) -> tuple[pl.DataFrame, str | None]:
    found, note = _scored(month, strategy.target, strategy.algorithm, strategy, rows)
    side = pl.col("event_side") if strategy.target == "meta" else pl.lit(1)
    return _on_side(found, side, pl.col("score")), note


def _of_patterns(
    strategy: Strategy, month: Month, rows: pl.DataFrame
) -> tuple[pl.DataFrame, str | None]:
    if strategy.patterns:
        rows = rows.filter(pl.col("event_pattern").is_in(list(strategy.patterns)))
    if not strategy.has_meta:
        return _on_side(rows, pl.col("event_side")), None
    found, note = _scored(month, "meta", strategy.algorithm, strategy, rows)
    return _on_side(found, pl.col("event_side"), pl.col("score")), note


def _of_bars(
    strategy: Strategy, month: Month, rows: pl.DataFrame, seed: int
) -> tuple[pl.DataFrame, str | None]:
    if strategy.signal == "random_side":
        sides = [random_side(seed, *key) for key in rows.select(KEY).iter_rows()]
        return _on_side(rows, pl.lit(pl.Series(sides, dtype=pl.Int8))), None
    if strategy.signal == "momentum":
        moved = rows.filter(pl.col("return_5m").is_not_null() & (pl.col("return_5m") != 0))
        return _on_side(moved, pl.col("return_5m").sign(), pl.col("return_5m")), None
    if strategy.signal == "logistic":
        model = month.logistic
        if model is None:
            return _none(rows), "no rows to train and to validate the logistic baseline on"
        scored = _on_side(rows, pl.lit(1), pl.lit(pl.Series(model.scores(rows), dtype=pl.Float64)))
        return scored.filter(pl.col("score") >= model.least), None
    return _on_side(rows, pl.lit(1)), None


def random_side(seed: int, *key: object) -> int:
    """1 or -1 by the hash of an event's key, whatever other events there are."""
    words = "|".join(map(str, (seed, *key))).encode()
    return 1 if hashlib.blake2b(words, digest_size=1).digest()[0] & 1 else -1
