"""What is looked at in folds, models and predictions: what there is no model of, and why."""

from __future__ import annotations

import polars as pl

from smallcaps_assets.domain.quality.checks import Finding


def folds_usable(folds: pl.DataFrame) -> Finding:
    """Whether a model can be made of every fold."""
    bad = folds.filter(pl.col("refusal").is_not_null())
    figures = {"folds": folds.height, "unusable": bad.height}
    if bad.is_empty():
        return Finding("folds usable", True, f"{folds.height} folds", figures=figures)
    row = bad.row(0, named=True)
    found = f"{bad.height} of {folds.height} folds can't be used, the first {row['sample']}"
    remedy = f"{row['month']}: {row['refusal']}"
    return Finding("folds usable", False, found, remedy, is_error=False, figures=figures)


def models_made(models: pl.DataFrame) -> Finding:
    """Whether every target has its models."""
    bad = models.filter(pl.col("refusal").is_not_null())
    good = models.filter(pl.col("refusal").is_null())
    figures: dict[str, int | float] = {"models": good.height, "not made": bad.height}
    for target, algorithm, area in good.select("target", "algorithm", "validate_auc").iter_rows():
        figures[f"validation AUC, {target} {algorithm}"] = area
    if bad.is_empty():
        return Finding("models made", True, f"{good.height} models", figures=figures)
    row = bad.row(0, named=True)
    found = f"{bad.height} of {models.height} models are not made"
    remedy = f"the first, {row['target']} {row['algorithm']}: {row['refusal']}"
    return Finding("models made", False, found, remedy, is_error=False, figures=figures)


def categories_seen(predictions: pl.DataFrame) -> Finding:
    """Whether the models knew every category of the events that they scored."""
    bad = predictions.filter("has_unseen_category")
    events = bad.select("ticker", "date", "event_id").n_unique()
    figures = {"events of an unseen category": events}
    if bad.is_empty():
        return Finding("categories seen", True, "every category was trained on", figures=figures)
    row = bad.row(0, named=True)
    found = f"{events:,} events have a category that was not trained on"
    remedy = (
        f"the first, {row['ticker']} {row['date']} {row['event_id']}, is scored as of none of those"
        " known; train on more months"
    )
    return Finding("categories seen", False, found, remedy, is_error=False, figures=figures)


def predicted_in_time(predictions: pl.DataFrame, month: str) -> Finding:
    """Whether every scored event lies in the test month that its models are for."""
    outside = predictions.filter(pl.col("date").dt.strftime("%Y-%m") != month).height
    found = f"{predictions.height - outside:,} of {predictions.height:,} scores are of {month}"
    remedy = "a month is scored by its own models only; make it again"
    figures = {"scores": predictions.height}
    return Finding("out of sample", not outside, found, remedy, figures=figures)
