"""The machine-learning dataset of a period: features, labels, weight factors and selection.

Holds the join, the time decay over the period, and meta.json: counts, balance and the stated
selection bias. Class weights, scaling and purging belong to the training fold, see the
cross-validation; uniqueness and return attribution come ready from `weights`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.feeds.asof import Feeds, asof_features, no_feeds
from smallcaps_assets.domain.labels.weights import time_decay
from smallcaps_assets.schemas.tables import ASOF_COLUMNS, FEATURE_COLUMNS, QUOTE_COLUMNS, TABLES
from smallcaps_assets.settings import UNION, DatasetSettings, Period

KEY = ("ticker", "date", "bar_id")
SELECTION_BIAS = (
    "Days are selected by what happened on them. Rows with is_selection_known false lie before the "
    "first moment at which a rule had admitted their day (rows of days admitted by info_rich alone "
    "all do): such a day was chosen by its own outcome, so a model trained on them sees the "
    "future. They are descriptive; train and test on is_selection_known rows only."
)
_LABEL_COLUMNS = (
    "t0",
    "t1",
    "label",
    "label_return",
    "price_at_t0",
    "entry_timestamp",
    "entry_price",
    "return_from_entry",
    "forward_return_5m",
    "forward_label_5m",
    "forward_return_15m",
    "forward_label_15m",
    "is_touch_confirmed",
    "is_session_cut",
    "is_halt_cut",
)


_MID_COLUMNS = ("forward_mid_return_5m", "forward_mid_return_15m")


class DatasetError(ValueError):
    """Tables that don't fit together."""


def ml_dataset(
    features: pl.DataFrame,
    quotes: pl.DataFrame,
    labels: pl.DataFrame,
    weights: pl.DataFrame,
    registry: pl.DataFrame,
    period: Period,
    settings: DatasetSettings,
    feeds: Feeds | None = None,
    *,
    mids: pl.DataFrame | None = None,
    config_hash: str = "",
    code_version: str = "",
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The table `ml_dataset` of one period, and the content of its meta.json.

    One row per row of sample_weights whose session lies in the period and whose ticker-session is
    qualified in the registry (ticker_sessions), joined with its bar_features, the quote_features
    `quotes`, the forward_mids `mids` (null without), and what `feeds` say was known at t0. Raises
    DatasetError when a weight has no features or no label, or was computed for another
    `eligible_from` than the registry's.
    """
    selected = _selected(weights, registry, period)
    reason = pl.col("null_reason").alias("quote_null_reason")
    joined = selected
    for told in (
        features.select(*KEY, "halt_source", *FEATURE_COLUMNS),
        quotes.select(*KEY, reason, *QUOTE_COLUMNS),
        labels.select(*KEY, *_LABEL_COLUMNS),
        (TABLES["forward_mids"].empty() if mids is None else mids).select(*KEY, *_MID_COLUMNS),
    ):
        joined = joined.join(told, on=KEY, how="left")
    featureless = (joined.join(found, on=KEY, how="anti") for found in (features, quotes))
    _check_joined(joined, *featureless)
    named = asof_features(joined, feeds or no_feeds()).with_columns(
        pl.lit(period.name).alias("period"), pl.lit(period.regime).alias("regime")
    )
    frame = TABLES["ml_dataset"].validate(with_time_decay(named, settings.time_decay))
    meta = dataset_meta(
        frame,
        period.name,
        [period],
        settings,
        config_hash=config_hash,
        code_version=code_version,
    )
    return frame, meta | {"labels_without_path": labels_without_path(labels, registry, period)}


def union(
    datasets: Sequence[pl.DataFrame],
    settings: DatasetSettings,
    *,
    config_hash: str = "",
    code_version: str = "",
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """All periods in one frame, with the time decay recomputed over all rows, and its meta.

    Raises DatasetError when periods overlap.
    """
    table = TABLES["ml_dataset"]
    frame = pl.concat([table.conform(d) for d in datasets]) if datasets else table.empty()
    repeated = frame.filter(frame.select(*KEY).is_duplicated())
    if not repeated.is_empty():
        names = ", ".join(sorted(repeated["period"].unique()))
        raise DatasetError(
            f"{repeated.height} rows are in more than one of the periods {names}; give the "
            "periods date ranges that don't overlap"
        )
    whole = table.validate(with_time_decay(frame, settings.time_decay))
    hashes = {"config_hash": config_hash, "code_version": code_version}
    return whole, dataset_meta(whole, UNION, held_periods(whole, settings), settings, **hashes)


# Rows --------------------------------------------------------------------------------------------
def _selected(weights: pl.DataFrame, registry: pl.DataFrame, period: Period) -> pl.DataFrame:
    """Weights of the period's qualified ticker-sessions with their selection."""
    qualified = registry.filter(pl.col("is_qualified")).select(
        "ticker", "date", "identity", "rules", "selection_rule", "eligible_from"
    )
    in_period = pl.col("date").is_between(period.start, period.last)
    return weights.filter(in_period).join(qualified, on=["ticker", "date"])


def labels_without_path(labels: pl.DataFrame, registry: pl.DataFrame, period: Period) -> int:
    """Labels of the period that have no weight and no row, since nothing printed in their time."""
    qualified = registry.filter("is_qualified")
    in_period = pl.col("date").is_between(period.start, period.last)
    found = labels.filter(in_period, ~pl.col("has_path"))
    return found.join(qualified, on=["ticker", "date"], how="semi").height


def _check_joined(joined: pl.DataFrame, featureless: pl.DataFrame, quoteless: pl.DataFrame) -> None:
    stale = joined.filter(pl.col("is_selection_known") != (pl.col("t0") >= pl.col("eligible_from")))
    faults = (
        (featureless, "no features", "bar_features"),
        (quoteless, "no features of quotes", "quote_features"),
        (joined.filter(pl.col("t0").is_null()), "no label", "triple_barrier_labels"),
        (stale, "weights for another eligible_from than the registry's", "sample_weights"),
    )
    for rows, fault, asset in faults:
        if not rows.is_empty():
            key = "{ticker}_{date} bar {bar_id}".format(**rows.row(0, named=True))
            raise DatasetError(
                f"{rows.height} rows have {fault}, the first {key}; rebuild {asset} of their "
                "ticker-sessions"
            )


def with_time_decay(frame: pl.DataFrame, oldest: float) -> pl.DataFrame:
    """`frame` with time_decay over all rows and time_decay_eligible over the known ones.

    Both run on cumulative uniqueness in the order t0, ticker, bar_id, from the weight `oldest` to
    1 for the newest row; the second uses uniqueness_eligible and is null elsewhere.
    """
    ordered = frame.sort("t0", "ticker", "bar_id")
    decay = _decay(ordered["uniqueness"].to_numpy(), oldest)
    is_known = ordered["is_selection_known"] & ordered["uniqueness_eligible"].is_not_null()
    known = is_known.to_numpy()
    eligible = np.full(ordered.height, np.nan)
    eligible[known] = _decay(ordered["uniqueness_eligible"].filter(is_known).to_numpy(), oldest)
    return ordered.with_columns(
        pl.Series("time_decay", decay, dtype=pl.Float64),
        pl.Series("time_decay_eligible", eligible, dtype=pl.Float64).fill_nan(None),
    )


def _decay(uniqueness: np.ndarray, oldest: float) -> np.ndarray:
    return time_decay(uniqueness, oldest) if uniqueness.size else np.empty(0)


# meta.json ---------------------------------------------------------------------------------------
def _ranges(periods: Iterable[Period]) -> dict[str, dict[str, Any]]:
    """First and last day (null: open-ended) and the regime of each period, by name."""
    return {
        p.name: p.model_dump(mode="json", include={"start", "end", "regime"})
        for p in sorted(periods, key=lambda p: p.start)
    }


def held_periods(frame: pl.DataFrame, settings: DatasetSettings) -> list[Period]:
    """The periods of which a dataset has rows."""
    held = frame["period"].unique().to_list()
    return [period for period in settings.periods if period.name in held]


def dataset_meta(
    frame: pl.DataFrame,
    name: str,
    periods: Iterable[Period],
    settings: DatasetSettings,
    *,
    config_hash: str = "",
    code_version: str = "",
) -> dict[str, Any]:
    """The content of meta.json: what the rows of a dataset by this name say of themselves."""
    known = frame.filter(pl.col("is_selection_known"))
    return {
        "period": name,
        "periods": _ranges(periods),
        "rows": frame.height,
        "views": {"all": _view(frame), "selection_known": _view(known)},
        "default_view": "selection_known",
        "rows_by_selection_rule": _by_rule(frame, "selection_rule"),
        "rows_by_rule": _by_rule(
            frame.select("is_selection_known", pl.col("rules").str.split(",")).explode("rules"),
            "rules",
        ),
        "selection_bias": SELECTION_BIAS,
        "features": list(FEATURE_COLUMNS),
        "features_of_quotes": list(QUOTE_COLUMNS),
        "features_as_of_t0": list(ASOF_COLUMNS),
        "no_features": TABLES["ml_dataset"].no_features,
        "time_decay": settings.time_decay,
        "config_hash": config_hash,
        "code_version": code_version,
    }


def _view(frame: pl.DataFrame) -> dict[str, Any]:
    """Counts and class balance of a set of rows."""
    counts = {str(k): (frame["label"] == k).sum() for k in (-1, 0, 1)}
    rows = frame.height
    days = [frame["date"].min(), frame["date"].max()] if rows else []
    return {
        "rows": rows,
        "ticker_sessions": frame.select("ticker", "date").n_unique() if rows else 0,
        "identities": frame["identity"].n_unique() if rows else 0,
        "labels": counts,
        "label_shares": {k: v / rows for k, v in counts.items()} if rows else {},
        "first_and_last_session": [str(day) for day in days],
    }


def _by_rule(frame: pl.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Rows per rule, known at the decision and not; a day under several rules counts in each."""
    counts = frame.group_by(column).agg(
        pl.col("is_selection_known").sum().alias("known"),
        (~pl.col("is_selection_known")).sum().alias("unknown"),
    )
    return {
        row[column]: {"known": row["known"], "unknown": row["unknown"]}
        for row in counts.sort(column).iter_rows(named=True)
    }
