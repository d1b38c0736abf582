"""Sample weights of the rows of one training fold, recomputed after purging.

How many labels overlap, what is oldest and how rare a class is depend on the rows in use, so that
stored weights don't fit a fold. The factors of whole ticker-sessions are in `weights.py`, the
splits in `cross_validation.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.labels.cross_validation import Splitter
from smallcaps_assets.domain.labels.weights import (
    WeightError,
    average_uniqueness,
    class_weights,
    normalise,
    return_attribution,
    time_decay,
)

SESSION = ["ticker", "date"]
KEY = [*SESSION, "bar_id"]


class Fold(NamedTuple):
    """One split: row numbers to train on and to test, and the weights of the training rows."""

    train: np.ndarray
    test: np.ndarray
    weights: pl.DataFrame


def weighted_folds(
    splitter: Splitter,
    rows: pl.DataFrame,
    spans: pl.DataFrame,
    oldest: float = 1.0,
    bars: pl.DataFrame | None = None,
) -> Iterator[Fold]:
    """The splits of a splitter with `fold_weights` of each training set.

    `rows` are those that the splitter was made from, with the columns that `fold_weights` wants.
    """
    for train, test in splitter.split(rows):
        yield Fold(train, test, fold_weights(rows[train], spans, oldest, bars))


def fold_weights(
    rows: pl.DataFrame,
    spans: pl.DataFrame,
    oldest: float = 1.0,
    bars: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Weight factors of the rows of a training set, in their order.

    `rows` (of ml_dataset) has ticker, date, bar_id, t0 and label; `spans` (sample_weights) the
    span_start and span_end of at least these rows; `oldest` is the time decay of `time_decay`.
    With `bars` (dollar_imbalance_bars of these ticker-sessions) labels count by attributed return,
    without by uniqueness. Columns: uniqueness, return_attribution (null without bars), time_decay,
    and weight, their product, balanced over classes, summing to the number of rows. Raises
    WeightError when a row has no span or no bars.
    """
    known = rows.select(*KEY, "t0", "label").join(
        spans.select(*KEY, "span_start", "span_end"), on=KEY, how="left", maintain_order="left"
    )
    _require(known, "span_start", "no span in the sample weights; pass those of all its rows")
    placed, closes = _placed(known, bars)
    starts = (placed["span_start"] + placed["first"]).to_numpy()
    ends = (placed["span_end"] + placed["first"]).to_numpy()
    count = int(ends.max()) + 1 if ends.size else 0
    unique = average_uniqueness(count, starts, ends)
    attributed = None if closes is None else return_attribution(closes, starts, ends)
    decay = _decayed(rows, unique, oldest)
    raw = (unique if attributed is None else attributed) * decay
    return pl.DataFrame(
        {
            "uniqueness": unique,
            "return_attribution": pl.Series(attributed, dtype=pl.Float64)
            if attributed is not None
            else pl.repeat(None, rows.height, dtype=pl.Float64, eager=True),
            "time_decay": decay,
            "weight": class_weights(rows["label"].to_numpy(), normalise(raw)),
        }
    )


def _require(known: pl.DataFrame, column: str, fault: str) -> None:
    missing = known.filter(pl.col(column).is_null())
    if not missing.is_empty():
        key = "{ticker}_{date} bar {bar_id}".format(**missing.row(0, named=True))
        raise WeightError(f"{missing.height} rows, the first {key}, have {fault}")


def _placed(
    known: pl.DataFrame, bars: pl.DataFrame | None
) -> tuple[pl.DataFrame, np.ndarray | None]:
    """Rows with the place `first` of their session among all bars, and the closes of those."""
    if bars is None:
        lengths = known.group_by(SESSION, maintain_order=True).agg(
            length=pl.col("span_end").max().cast(pl.Int64) + 1
        )
        closes = None
    else:
        ordered = bars.sort(KEY)
        lengths = ordered.group_by(SESSION, maintain_order=True).agg(length=pl.len())
        closes = ordered["close"].to_numpy()
    first = (pl.col("length").cum_sum() - pl.col("length")).cast(pl.Int64)
    places = lengths.select(*SESSION, "length", first=first)
    placed = known.join(places, on=SESSION, how="left", maintain_order="left")
    inside = pl.when(pl.col("span_end") < pl.col("length")).then(pl.col("first"))
    placed = placed.with_columns(first=inside)
    _require(placed, "first", "a span beyond the bars; pass all bars of their ticker-sessions")
    return placed, closes


def _decayed(rows: pl.DataFrame, uniqueness: np.ndarray, oldest: float) -> np.ndarray:
    """Time decay in order of t0, ticker and bar_id."""
    order = rows.select(pl.arg_sort_by("t0", "ticker", "bar_id")).to_series().to_numpy()
    decay = np.empty(uniqueness.size)
    decay[order] = time_decay(uniqueness[order], oldest)
    return decay
