"""What the best of many trials is worth: probabilistic and deflated Sharpe, backtest overfitting.

Sharpe ratios here are those of single sessions, not of a year.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from smallcaps_assets.domain.evidence.account import moments
from smallcaps_assets.domain.evidence.figures import EvidenceError, Figure, absent

BLOCKS = 16
LEAST_SESSIONS = 160
LEAST_CONFIGURATIONS = 10
_NORMAL = NormalDist()
_FLAT = "daily profit never varied"


def probabilistic_sharpe(
    sharpe: float, sessions: int, skew: float, kurtosis: float, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark (Bailey and López de Prado 2012).

    `kurtosis` is the raw one, 3 for a normal distribution. Raises EvidenceError for moments that no
    series has.
    """
    variance = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if sessions < 2 or variance <= 0:
        raise EvidenceError(
            f"{sessions} sessions with skew {skew:g} and kurtosis {kurtosis:g} at a Sharpe ratio of"
            f" {sharpe:g}: no series has them; give at least two sessions and the raw kurtosis"
        )
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt((sessions - 1) / variance))


def expected_maximum(trials: int, variance: float) -> float:
    """Sharpe ratio that the best of some trials without any skill is expected to show.

    `variance` is that of the trials' Sharpe ratios (Bailey and López de Prado 2014, equation 1). Of
    one trial it is 0. Raises EvidenceError without trials.
    """
    if trials < 1 or variance < 0:
        raise EvidenceError(
            f"{trials} trials with a variance of {variance:g}; count the trial that is judged too"
        )
    if trials == 1:
        return 0.0
    first, second = (_NORMAL.inv_cdf(1 - 1 / count) for count in (trials, trials * math.e))
    return math.sqrt(variance) * ((1 - np.euler_gamma) * first + np.euler_gamma * second)


def deflated_sharpe(
    sharpe: float, sessions: int, skew: float, kurtosis: float, trials: int, variance: float
) -> float:
    """Probability that the true Sharpe ratio exceeds what luck gives the best of the trials."""
    benchmark = expected_maximum(trials, variance)
    return probabilistic_sharpe(sharpe, sessions, skew, kurtosis, benchmark)


def overfitting_probability(matrix: ArrayLike) -> tuple[float, list[int]]:
    """Probability of backtest overfitting, and the rank out of sample of each choice.

    `matrix` is float64[blocks, configurations], the profit of each in each block. For every half of
    the blocks the configuration that is best in it, the first of equals, is ranked in the other
    half, from 1 for the worst; the probability is the share with rank / (configurations + 1) below
    one half (combinatorially symmetric cross-validation: Bailey, Borwein, López de Prado and Zhu
    2017). Equal profits share their mean rank, which is rounded in the list only. Raises
    EvidenceError for an odd number of blocks or fewer than two configurations.
    """
    blocks = np.asarray(matrix, np.float64)
    if blocks.ndim != 2 or blocks.shape[0] % 2 or not blocks.shape[0] or blocks.shape[1] < 2:
        raise EvidenceError(
            f"a matrix of shape {blocks.shape}: take an even number of blocks, and two "
            "configurations or more"
        )
    halves = list(combinations(range(len(blocks)), len(blocks) // 2))
    chosen = np.zeros((len(halves), len(blocks)))
    np.put_along_axis(chosen, np.array(halves), 1, axis=1)
    inside, outside = chosen @ blocks, (1 - chosen) @ blocks
    best = np.take_along_axis(outside, inside.argmax(axis=1)[:, None], axis=1)
    ranks = (outside < best).sum(axis=1) + ((outside == best).sum(axis=1) + 1) / 2
    share = float((ranks / (blocks.shape[1] + 1) < 0.5).mean())
    return share, [round(rank) for rank in ranks]


# Of a backtest -----------------------------------------------------------------------------------
def sharpe_probabilities(
    profits: ArrayLike, trials: int, sharpes: Sequence[float]
) -> dict[str, Figure]:
    """Probabilistic and deflated Sharpe of daily profits, with the number of all trials.

    `sharpes` holds the daily ratios of those trials that have one; their variance is that of luck.
    The deflated one is absent below 160 sessions.
    """
    found = moments(profits)
    if found is None:
        return {"probabilistic_sharpe": absent(_FLAT), "deflated_sharpe": absent(_FLAT)}
    given = found.sharpe, found.count, found.skew, found.kurtosis
    if found.spread == 0:
        degenerate = absent("two values of daily profit only: the error of the ratio is 0")
        return {"probabilistic_sharpe": degenerate, "deflated_sharpe": degenerate}
    return {
        "probabilistic_sharpe": Figure(probabilistic_sharpe(*given)),
        "deflated_sharpe": _deflated(given, trials, sharpes),
    }


def _deflated(
    given: tuple[float, int, float, float], trials: int, sharpes: Sequence[float]
) -> Figure:
    if given[1] < LEAST_SESSIONS:
        return absent(f"{given[1]} sessions, fewer than {LEAST_SESSIONS}")
    if trials > 1 and len(sharpes) < 2:
        return absent(f"of {trials} trials fewer than two have a Sharpe ratio: no variance")
    variance = float(np.var(sharpes, ddof=1)) if trials > 1 else 0.0
    return Figure(deflated_sharpe(*given, trials, variance))


def overfitting(daily: ArrayLike) -> Figure:
    """Probability of overfitting of daily profits, float64[sessions, configurations].

    Sixteen blocks of consecutive whole sessions. Absent below 160 sessions or 10 configurations.
    """
    table = np.asarray(daily, np.float64)
    sessions, configurations = table.shape
    if sessions < LEAST_SESSIONS:
        return absent(f"{sessions} sessions, fewer than {LEAST_SESSIONS}")
    if configurations < LEAST_CONFIGURATIONS:
        return absent(f"{configurations} configurations, fewer than {LEAST_CONFIGURATIONS}")
    block = np.arange(sessions) * BLOCKS // sessions
    sums = np.zeros((BLOCKS, configurations))
    np.add.at(sums, block, table)
    return Figure(overfitting_probability(sums)[0])
