"""A figure that may be absent: its value and error, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

DRAWS = 1_000
_AT_ONCE = 50  # draws in memory together
COVERED = 0.025, 0.975
"""Bounds of an interval that holds 95 %."""
Drawn = Callable[[np.ndarray], dict[str, np.ndarray]]


class EvidenceError(ValueError):
    """Trades, days or settings from which no figure can be had."""


@dataclass(frozen=True)
class Figure:
    """A value with its standard error, the bounds of a 95 % interval, or why there is none.

    `reason` is set where the value is None, and may say why the error of a value is.
    """

    value: float | None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise EvidenceError("a figure without a value has no reason; say why it is absent")
        if self.value is not None and not math.isfinite(self.value):
            raise EvidenceError(f"{self.value} is not a figure; leave it out with a reason")


def absent(reason: str) -> Figure:
    """A figure that can't be had."""
    return Figure(None, reason=reason)


def with_intervals(figures: Mapping[str, Figure], drawn: Drawn, clusters: int) -> dict[str, Figure]:
    """Figures with the bounds of those that `drawn` gives: percentiles over draws of clusters.

    `drawn` maps counts[draws, clusters], how often each cluster is in each of some draws with
    replacement, to values per draw by name; a draw without one is NaN, and with a tenth of them or
    more there is no interval (Efron and Tibshirani 1993, chapter 13). Seeded, so always the same.
    """
    found = dict(figures)
    if clusters < 2:
        return found
    random = np.random.default_rng(0)
    parts = [drawn(_counts(random, clusters)) for _ in range(0, DRAWS, _AT_ONCE)]
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        known = values[np.isfinite(values)]
        if found[name].value is not None and known.size > 0.9 * values.size:
            low, high = (float(bound) for bound in np.quantile(known, COVERED))
            found[name] = replace(found[name], low=low, high=high)
    return found


def _counts(random: np.random.Generator, clusters: int) -> np.ndarray:
    """Counts of a few draws, int64[_AT_ONCE, clusters]."""
    chosen = random.integers(clusters, size=(_AT_ONCE, clusters))
    rows = np.arange(_AT_ONCE)[:, None] * clusters
    return np.bincount((chosen + rows).ravel(), minlength=_AT_ONCE * clusters).reshape(
        _AT_ONCE, clusters
    )
