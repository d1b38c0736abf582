"""Days that look like a split which the vendor's list lacks, judged by what was known when.

A missing split moves the price between two sessions by a simple ratio and the number of shares
traded the other way, while the dollars stay as usual. What is traded after the first print is real,
whatever its size. Holds the ratios, the two verdicts, and the premarket volume that is usual at a
minute. Who asks for a verdict is in `selection`.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import where_known
from smallcaps_assets.domain.elementary import log
from smallcaps_assets.settings import MetricsSettings

_ODD = (3 / 2, 5 / 2, 4 / 3, 5 / 4)
_REVERSE = (*range(2, 11), 12, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 150, 200, 250, *_ODD)
SPLIT_RATIOS = np.array([ratio for n in _REVERSE for ratio in (n, 1 / n)])
"""Price factors of the splits that occur; both ways."""
USUAL_DOLLARS = 5.0
PREMARKET_SESSIONS = 20
PREMARKET_MINUTES = 330
REAL, SPLIT = VERDICTS = ("real", "split")
NO_DECISIONS = pl.DataFrame(schema={"ticker": pl.String, "date": pl.Date, "verdict": pl.String})


# Verdicts ----------------------------------------------------------------------------------------
def with_verdicts(metrics: pl.DataFrame, settings: MetricsSettings) -> pl.DataFrame:
    """`metrics` with jump_ratio, is_suspect_at_open, is_suspect_at_close and suspect_reason.

    Beside columns of daily_metrics it has last_volume and last_dollar_volume, those of the session
    of previous_close, which stand in for means that few sessions don't make.
    """
    shares = pl.col("volume") / pl.coalesce("mean_volume30", "last_volume")
    dollars = pl.col("dollar_volume") / pl.coalesce("median_dollar_volume20", "last_dollar_volume")
    is_usual = dollars.is_between(1 / USUAL_DOLLARS, USUAL_DOLLARS)
    at_open = premarket_suspicion(pl.col("premarket_volume"), pl.col("mean_premarket_volume20"))
    return (
        metrics.with_columns(jump_ratio=_jump_ratios(metrics, settings.split_tolerance))
        .with_columns(
            decided(at_open).alias("is_suspect_at_open"),
            decided(_moved_inversely(shares) & is_usual).alias("is_suspect_at_close"),
        )
        .with_columns(_reason().alias("suspect_reason"))
    )


def _jump_ratios(metrics: pl.DataFrame, tolerance: float) -> pl.Series:
    """The split ratio that first_price / previous_close is near, without a listed split."""
    growth = (metrics["first_price"] / metrics["previous_close"]).to_numpy()
    nearest = SPLIT_RATIOS[np.abs(log(growth)[:, None] - log(SPLIT_RATIOS)).argmin(axis=1)]
    is_near = np.abs(growth / nearest - 1) <= tolerance
    return where_known(is_near & (metrics["split_factor"] == 1.0).to_numpy(), nearest, pl.Float64())


def premarket_suspicion(volume: pl.Expr, mean: pl.Expr) -> pl.Expr:
    """Whether a jump looks like a split, by premarket `volume` so far and its `mean` at that time.

    Fewer shares than usual at a multiple of the price are no rally. More shares at a fraction of it
    may be a crash, which trades many times the usual dollars. Without premarket volume, today or
    in enough earlier sessions, the ratio alone decides.
    """
    shares = volume / mean
    is_crash = (pl.col("jump_ratio") < 1) & (shares * pl.col("jump_ratio") > USUAL_DOLLARS)
    is_silent = (volume.fill_null(0.0) == 0) | mean.is_null()
    is_jump = pl.col("jump_ratio").is_not_null()
    return is_jump & (is_silent | (_moved_inversely(shares) & ~is_crash))


def _moved_inversely(shares: pl.Expr) -> pl.Expr:
    """Shares traded, as a multiple of the usual, moved against the price; null without a jump."""
    ratio = pl.col("jump_ratio")
    return pl.when(ratio > 1).then(shares < 1).when(ratio < 1).then(shares > 1)


def decided(judged: pl.Expr) -> pl.Expr:
    """`judged`, unless a listed split or a decision of `suspects.csv` settles it."""
    decision = pl.col("suspect_decision")
    return (
        pl.when((pl.col("split_factor") != 1.0) | (decision == REAL))
        .then(pl.lit(False))
        .when(decision == SPLIT)
        .then(pl.lit(True))
        .otherwise(judged.fill_null(False))
    )


def _reason() -> pl.Expr:
    at_open, at_close = pl.col("is_suspect_at_open"), pl.col("is_suspect_at_close")
    moment = (
        pl.when(at_open & at_close)
        .then(pl.lit("the open and the close"))
        .when(at_open)
        .then(pl.lit("the open"))
        .otherwise(pl.lit("the close"))
    )
    ratio = pl.col("jump_ratio").round_sig_figs(3)
    jump = pl.format("first price {} x the previous close; suspect at {}", ratio, moment)
    said = pl.col("suspect_decision") == SPLIT
    return pl.when(at_open | at_close).then(
        pl.when(said).then(pl.lit("suspects.csv says split")).otherwise(jump)
    )


# Usual premarket volume --------------------------------------------------------------------------
def premarket_history(history: pl.DataFrame) -> pl.DataFrame:
    """The latest 20 sessions of each chain whose premarket volume is known.

    `history` has chain, date, ticker, split factor and premarket_volume, a chain's latest first.
    """
    known = history.filter(pl.col("premarket_volume").is_not_null())
    columns = known.select("chain", "date", "ticker", "factor", "premarket_volume")
    return columns.group_by("chain", maintain_order=True).head(PREMARKET_SESSIONS)


def fewest_sessions(settings: MetricsSettings) -> int:
    """Sessions below which there is no usual premarket volume."""
    return min(settings.min_sessions, PREMARKET_SESSIONS)


def premarket_means(
    history: pl.DataFrame, minutes: pl.DataFrame, settings: MetricsSettings
) -> pl.DataFrame:
    """Per chain the mean shares from 04:00 to the end of each minute before 09:30, 330 of them.

    `history` is `premarket_history`, `minutes` has premarket_minutes and premarket_minute_volumes
    of (date, ticker). Chains with too few sessions are left out.
    """
    traded = (
        history.join(minutes, on=["date", "ticker"], maintain_order="left")
        .explode("premarket_minutes", "premarket_minute_volumes")
        .drop_nulls("premarket_minutes")
        .with_columns(pl.col("premarket_minute_volumes") / pl.col("factor"))
        .partition_by("chain", as_dict=True)
    )
    counts = history.group_by("chain", maintain_order=True).len()
    enough = counts.filter(pl.col("len") >= fewest_sessions(settings))
    means = [_mean_so_far(traded.get((chain,)), count) for chain, count in enough.iter_rows()]
    column = pl.Series("premarket_mean_so_far", means, dtype=pl.List(pl.Float64))
    return enough.select("chain", column)


def _mean_so_far(traded: pl.DataFrame | None, sessions: int) -> list[float]:
    if traded is None:
        return [0.0] * PREMARKET_MINUTES
    shares = np.bincount(
        traded["premarket_minutes"].to_numpy(),
        traded["premarket_minute_volumes"].to_numpy(),
        PREMARKET_MINUTES,
    )
    return (shares.cumsum() / sessions).tolist()
