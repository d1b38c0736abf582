"""Figures of an account: Sharpe ratio of daily profit, drawdowns, annual return over the largest.

A session without a trade is a day with a profit of 0. Returns are simple, on the equity at the
start, since sizes follow an account that is not withdrawn from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.evidence.figures import EvidenceError, Figure, absent, with_intervals

SESSIONS_A_YEAR = 252
_ONE_PATH = "of one path of equity: no error"


@dataclass(frozen=True)
class Moments:
    """Of a series: its number, Sharpe ratio (mean over sample deviation), skew, raw kurtosis."""

    count: int
    sharpe: float
    skew: float
    kurtosis: float

    @property
    def spread(self) -> float:
        """Standard error of the Sharpe ratio of a series that need not be normal (Mertens 2002)."""
        variance = 1 - self.skew * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2
        return math.sqrt(max(variance, 0.0) / (self.count - 1))


def moments(profits: ArrayLike) -> Moments | None:
    """Moments of daily profits, the higher ones of the population; None without a spread."""
    values = np.asarray(profits, np.float64)
    if values.size < 2 or np.ptp(values) == 0:
        return None
    centred = values - values.mean()
    second = float((centred**2).mean())
    return Moments(
        values.size,
        float(values.mean() / values.std(ddof=1)),
        float((centred**3).mean()) / second**1.5,
        float((centred**4).mean()) / second**2,
    )


def sharpe(profits: ArrayLike) -> Figure:
    """Sharpe ratio a year of daily profits, zero days included; its interval draws whole days."""
    found, values = moments(profits), np.asarray(profits, np.float64)
    if found is None:
        return absent("fewer than two sessions, or all with the same profit")
    year = math.sqrt(SESSIONS_A_YEAR)

    def drawn(counts: np.ndarray) -> dict[str, np.ndarray]:
        mean = counts @ values / values.size
        variance = (counts @ values**2 / values.size - mean**2) * values.size / (values.size - 1)
        spread = np.sqrt(np.maximum(variance, 0))
        ratio = np.divide(mean, spread, out=np.full(mean.size, np.nan), where=spread > 0)
        return {"sharpe": ratio * year}

    figure = {"sharpe": Figure(found.sharpe * year, found.spread * year)}
    return with_intervals(figure, drawn, values.size)["sharpe"]


def drawdowns(equity: ArrayLike) -> tuple[float, float]:
    """Largest fall from an earlier high in USD, and as a fraction of that high, each by itself.

    `equity` begins with that at the start. Raises EvidenceError where it is not above 0 there.
    """
    path = np.asarray(equity, np.float64)
    if not path.size or path[0] <= 0:
        raise EvidenceError(
            f"equity starts at {path[0] if path.size else 'nothing'}; a drawdown needs an account "
            "above 0 USD"
        )
    high = np.maximum.accumulate(path)
    return float((high - path).max()), float(((high - path) / high).max())


def annual_return(profits: ArrayLike, start_equity: float) -> float:
    """Simple return a year on the equity at the start, of the profit of each session."""
    values = np.asarray(profits, np.float64)
    return float(values.sum()) / start_equity * SESSIONS_A_YEAR / values.size


def account_figures(days: pl.DataFrame) -> dict[str, Figure]:
    """Figures of the sessions of one strategy, in order.

    max_drawdown_usd and max_drawdown are of the equity marked within sessions. Raises EvidenceError
    for an account of 0.
    """
    if days.is_empty():
        names = ("sharpe", "annual_return", "max_drawdown_usd", "max_drawdown", "car_mdd")
        return dict.fromkeys(names, absent("no session was traded"))
    profits, start = days["net_profit"].to_numpy(), start_equity(days)
    usd, fraction = drawdowns(marked_path(days))
    return {
        "sharpe": sharpe(profits),
        "annual_return": Figure(annual_return(profits, start), reason=_ONE_PATH),
        "max_drawdown_usd": Figure(usd, reason=_ONE_PATH),
        "max_drawdown": Figure(fraction, reason=_ONE_PATH),
        "car_mdd": car_mdd(profits, start, fraction),
    }


def marked_path(days: pl.DataFrame) -> np.ndarray:
    """Equity at the start, then at each session's lowest mark and at its end, in turn.

    A mark is below the highest equity before its session: that of the session's end, unless it was
    made then.
    """
    start = start_equity(days)
    highest = pl.col("equity") / (1 - pl.col("drawdown"))
    is_older = pl.col("drawdown") > 0
    before = pl.when(is_older).then(highest).otherwise(highest.shift(1, fill_value=start))
    lowest = pl.min_horizontal(before * (1 - pl.col("marked_drawdown")), "equity")
    path = days.select(lowest, pl.col("equity").alias("end")).to_numpy()
    return np.concatenate([[start], path.ravel()])


def car_mdd(profits: ArrayLike, start_equity: float, drawdown: float) -> Figure:
    """Annual return over the largest drawdown, both fractions."""
    if drawdown <= 0:
        return absent("equity never fell: there is no drawdown to divide by")
    return Figure(annual_return(profits, start_equity) / drawdown, reason=_ONE_PATH)


def start_equity(days: pl.DataFrame) -> float:
    """Equity before the first of some sessions. Raises EvidenceError unless it is above 0."""
    first = days.row(0, named=True)
    start = first["equity"] - first["net_profit"]
    if start <= 0:
        raise EvidenceError(
            f"{first['strategy']} has {start:g} USD before {first['date']}; returns need an"
            " account above 0"
        )
    return start


def monthly(days: pl.DataFrame) -> pl.DataFrame:
    """By month: sessions, trades, gross and net profit, costs, net as a share of the equity before.

    Columns: month, sessions, trades, refused, gross_profit, costs, net_profit, share.
    """
    month = pl.col("date").dt.strftime("%Y-%m").alias("month")
    before = (pl.col("equity") - pl.col("net_profit")).first()
    return (
        days.group_by(month, maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("sessions"),
            pl.col("trades", "refused", "gross_profit").sum(),
            (pl.col("gross_profit") - pl.col("net_profit")).sum().alias("costs"),
            pl.col("net_profit").sum(),
            (pl.col("net_profit").sum() / before).alias("share"),
        )
        .sort("month")
    )
