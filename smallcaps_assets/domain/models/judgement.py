"""How good predictions were: area under the curve with a clustered error, Brier score, reliability.

Rows of one ticker-session may depend on each other in any way; it is a cluster. Rows whose outcome
is null are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from smallcaps_assets.domain.columns import group_numbers
from smallcaps_assets.domain.evaluation import (
    EvaluationError,
    auc,
    brier_score,
    clustered_mean,
    clustered_standard_error,
    reliability_slope,
)

BINS = 10
_MODEL = ("target", "algorithm")


def judged(predictions: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Figures of each model, apart by some more columns of the predictions.

    Columns: rows, share (of positive ones), auc and auc_error (of ranks among the validation
    scores, so that those of different months compare), brier, reliability (slope of the outcome on
    the log odds of the probability; 1 is calibrated), top_return (mean return of the top decile)
    and top_error. What can't be had is null.
    """
    group = [*_MODEL, *by]
    kept = predictions.filter(pl.col("outcome").is_not_null())
    found = [
        {**dict(zip(group, names, strict=True)), **_figures(rows)}
        for names, rows in kept.group_by(group, maintain_order=True)
    ]
    types = {name: predictions.schema[name] for name in group} | _FIGURES
    return pl.DataFrame(found, schema=types).sort(group)


def _figures(rows: pl.DataFrame) -> dict[str, float | int | None]:
    positive = rows["outcome"].to_numpy().astype(bool)
    clusters = group_numbers(rows, "ticker", "date")
    chances, ranks = rows["probability"].to_numpy(), rows["rank"].to_numpy()
    top = rows.filter(pl.col("decile") == 10, pl.col("outcome_return").is_not_null())
    returns = top["outcome_return"], group_numbers(top, "ticker", "date")
    mean, error = clustered_mean(*returns) if top.height else (None, None)
    told: dict[str, float | int | None] = {
        "rows": rows.height,
        "ticker_sessions": int(clusters.max()),
        "share": float(positive.mean()),
        "brier": brier_score(chances, positive),
        "reliability": reliability_slope(chances, positive),
        "top_rows": top.height,
        "top_return": mean,
        "top_error": error,
    }
    try:
        told["auc"] = auc(ranks, positive)
        told["auc_error"] = clustered_standard_error(ranks, positive, clusters)
    except EvaluationError:
        told |= {"auc": None, "auc_error": told.get("auc_error")}
    return told


_FIGURES: dict[str, type[pl.DataType]] = {
    **{"rows": pl.Int64, "ticker_sessions": pl.Int64, "share": pl.Float64, "auc": pl.Float64},
    **{"auc_error": pl.Float64, "brier": pl.Float64, "reliability": pl.Float64},
    **{"top_rows": pl.Int64, "top_return": pl.Float64, "top_error": pl.Float64},
}


def reliability(predictions: pl.DataFrame) -> pl.DataFrame:
    """Mean probability and share of positive outcomes in ten bins of each model's probability."""
    kept = predictions.filter(pl.col("outcome").is_not_null())
    cut = (pl.col("probability").rank("ordinal").over(_MODEL) - 1) * BINS // pl.len().over(_MODEL)
    binned = kept.with_columns(bin=cut.cast(pl.Int64))
    return (
        binned.group_by(*_MODEL, "bin")
        .agg(pl.len().alias("rows"), pl.col("probability").mean(), pl.col("outcome").mean())
        .sort(*_MODEL, "bin")
    )
