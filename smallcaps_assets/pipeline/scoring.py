"""What stored models say of single events, as they happen or as they happened."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from smallcaps_assets.domain.models.algorithms import CONVOLUTION
from smallcaps_assets.domain.models.events import KEY
from smallcaps_assets.domain.models.scoring import ModelError, score_event, scorers
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.models import sample_rows
from smallcaps_assets.schemas.model_columns import SAMPLES

_ORDER = ("t0", "target", "algorithm")


def models_of(lake: Lake, day: date) -> pl.DataFrame:
    """The models that score a day: those of its month. Raises ModelError when there are none."""
    month = day.isoformat()[:7]
    if not lake.exists("models", month):
        stored = lake.keys("models")
        held = f"those of {stored[0]} to {stored[-1]}" if stored else "none"
        raise ModelError(
            f"the lake has no models of {month}, only {held}; make them with `smallcaps run`, once"
            " there are enough months before it"
            if stored
            else f"the lake has no models; make them with `smallcaps run` ({month} was asked for)"
        )
    return lake.read("models", month)


def day_scores(lake: Lake, ticker: str, day: date) -> pl.DataFrame:
    """Scores of each event of a ticker-session by each model of its month, in order of time.

    Every event is scored alone, with nothing of those beside it, and gets what `predictions` has.
    """
    models, found = scorers(models_of(lake, day)), []
    has_sequences = any(algorithm == CONVOLUTION for _, algorithm in models)
    for sample in SAMPLES:
        rows = sample_rows(lake, sample, day, day + timedelta(1), has_sequences)
        rows = rows.filter(pl.col("ticker") == ticker)
        moments = rows.select(*KEY, "t0", "price_at_t0")
        for event in rows.iter_rows(named=True):
            found.append(moments.join(score_event(event, models, sample), on=KEY))
    return pl.concat(found).sort(_ORDER) if found else pl.DataFrame()
