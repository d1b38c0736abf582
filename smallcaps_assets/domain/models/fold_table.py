"""The table `folds`: every fold of a sample with its counts and digests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.labels.folds import fold_weights
from smallcaps_assets.domain.models.events import FEATURES, TARGETS, target_spans
from smallcaps_assets.domain.models.folds import (
    Fold,
    Lengths,
    fitting_lengths,
    fold_digest,
    keys_digest,
    month_numbers,
    walk_forward_folds,
)
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import ModelSettings


def spans_of(settings: ModelSettings, days: pl.Series) -> Lengths:
    """Months to train and to validate on rows of some days. Raises FoldError when none fit."""
    asked = Lengths(settings.train_months, settings.validate_months)
    return fitting_lengths(month_numbers(days.unique().sort()).tolist(), asked)


def folds_of(
    rows: pl.DataFrame,
    lengths: Lengths,
    settings: ModelSettings,
    month: str | None = None,
    until: date | None = None,
) -> list[Fold]:
    """The folds of rows of a sample (columns t0 and known_by), or that of one test month."""
    embargo, spans = settings.embargo_sessions, (rows["t0"], rows["known_by"])
    return walk_forward_folds(*spans, lengths, embargo, month=month, until=until)


def fold_table(
    sample: str,
    rows: pl.DataFrame,
    days: Mapping[date, str],
    settings: ModelSettings,
    until: date | None = None,
) -> pl.DataFrame:
    """The rows of the table `folds` of one sample.

    `rows` has the keys, t0, known_by and the instants at which targets are known, `days` the
    `day_digests` of whole rows; a month that has begun by `until` has a fold before its first row.
    Raises FoldError when not even a month of each part fits.
    """
    lengths = spans_of(settings, rows["date"])
    main = next(t for t in reversed(TARGETS.values()) if t.sample == sample)
    spans = target_spans(rows, main)
    keys = rows.select(pl.format("{} {} {}", "ticker", "date", "event_id")).to_series()
    settled = f"{sample} {lengths} {settings.embargo_sessions} {' '.join(FEATURES[sample])}"
    found = [
        {
            "sample": sample,
            **_bounds(fold),
            **_counts(fold, rows, spans),
            "keys_digest": keys_digest(fold, keys),
            "digest": fold_digest(fold, days, settled),
            "refusal": fold.refusal or None,
        }
        for fold in folds_of(rows, lengths, settings, until=until)
    ]
    return TABLES["folds"].conform(pl.DataFrame(found)) if found else TABLES["folds"].empty()


def _bounds(fold: Fold) -> dict[str, Any]:
    return {
        "month": fold.month,
        "train_start": fold.train.start,
        "validate_start": fold.validate.start,
        "test_start": fold.test.start,
        "test_end": fold.test.end,
    }


def _counts(fold: Fold, rows: pl.DataFrame, spans: pl.DataFrame) -> dict[str, Any]:
    parts = {"train": fold.train_rows, "validate": fold.validate_rows, "test": fold.test_rows}
    counts = {f"{name}_rows": part.size for name, part in parts.items()}
    effective = {f"{name}_effective": _effective(rows[part], spans) for name, part in parts.items()}
    return {**counts, **effective, "purged": fold.purged, "embargoed": fold.embargoed}


def _effective(rows: pl.DataFrame, spans: pl.DataFrame) -> float:
    """Sum of the uniqueness of rows among themselves."""
    if rows.is_empty():
        return 0.0
    named = rows.select("ticker", "date", "t0", bar_id="event_id", label=pl.lit(0))
    return float(fold_weights(named, spans)["uniqueness"].sum())
