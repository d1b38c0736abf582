"""The rows that models are made of, in one form: keys, features known at t0, targets known later.

Two samples: `bars`, the dataset's events, and `patterns`, the pattern events, which take the
features of the last bar that had closed by then. Only rows whose day had been admitted by t0 are
among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.sequences import LENGTH, SEQUENCE_COLUMNS, bar_sequences
from smallcaps_assets.domain.columns import integers
from smallcaps_assets.domain.models.design import SEQUENCE
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.schemas.model_columns import BARS, PATTERNS
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES

KEY = ("ticker", "date", "event_id")
SESSION = ("ticker", "date")
OWN_FEATURES = {
    "event_pattern": "pattern",
    "event_side": "side",
    "event_range_minutes": "range_minutes",
    "event_number": "number",
    "event_gap": "gap",
    "event_relative_volume": "relative_volume",
    "event_minutes_from_open": "minutes_from_open",
    "event_halts_so_far": "halts_so_far",
    "event_is_ssr": "is_ssr",
}
"""Features of a pattern event beside those of its last bar, and the columns they come from."""
BAR_AGE = "event_bar_age"
LOOK_BACK = timedelta(minutes=15)
_LONGEST_SESSION = 10**14  # nanoseconds from midnight UTC to the end of a session's last target
FEATURES = {BARS: tuple(CATALOGUE), PATTERNS: (*OWN_FEATURES, BAR_AGE, *CATALOGUE)}


@dataclass(frozen=True)
class Target:
    """What a model foretells: a column of a sample that is true or false, null where neither.

    `outcome` has the return that goes with it, `decided` the instant at which both are known.
    """

    name: str
    sample: str
    meaning: str

    @property
    def outcome(self) -> str:
        """The column of the return."""
        return f"{self.name}_return"

    @property
    def decided(self) -> str:
        """The column of the instant at which the target is known."""
        return f"{self.name}_known"


TARGETS = {
    target.name: target
    for target in (
        Target("sign_5m", BARS, "the mid is up 5 minutes after t0; null: unchanged, or unknown"),
        Target("sign_15m", BARS, "the mid is up 15 minutes after t0; null: unchanged, or unknown"),
        Target("touch", BARS, "the label is +1: the profit barrier comes first"),
        Target("meta", PATTERNS, "the pattern's side has a positive return: take it"),
    )
}


def with_sequences(dataset: pl.DataFrame) -> pl.DataFrame:
    """Rows of ml_dataset of whole ticker-sessions with the column SEQUENCE."""
    found = bar_sequences(dataset, SEQUENCE_COLUMNS).reshape(dataset.height, -1)
    return dataset.with_columns(pl.Series(SEQUENCE, found, dtype=_SEQUENCE_TYPE))


_SEQUENCE_TYPE = pl.Array(pl.Float32, LENGTH * len(SEQUENCE_COLUMNS))


def bar_rows(dataset: pl.DataFrame) -> pl.DataFrame:
    """The sample `bars` of rows of ml_dataset, in order of date, ticker and event.

    A column SEQUENCE (`with_sequences`) is kept.
    The sign is that of the mid's return where the ticker-session has quotes, else of the print's.
    """
    rows = dataset.filter("is_selection_known").with_columns(event_id=pl.col("bar_id"))
    t0 = pl.col("t0")
    signs = [
        expression
        for minutes in (5, 15)
        for expression in _sign(f"sign_{minutes}m", _forward(minutes), t0, minutes)
    ]
    found = rows.with_columns(
        *signs,
        touch=pl.col("label") == 1,
        touch_return=pl.col("label_return"),
        touch_known=pl.col("t1"),
        known_by=pl.max_horizontal("t1", t0 + timedelta(minutes=15)),
    )
    return _shaped(found, BARS)


def _forward(minutes: int) -> pl.Expr:
    """The forward return that tells the sign."""
    prints, mids = f"forward_return_{minutes}m", f"forward_mid_return_{minutes}m"
    has_quotes = pl.col(mids).is_not_null().any().over(SESSION)
    return pl.when(has_quotes).then(pl.col(mids)).otherwise(pl.col(prints))


def _sign(name: str, forward: pl.Expr, t0: pl.Expr, minutes: int) -> tuple[pl.Expr, ...]:
    return (
        pl.when(forward != 0).then(forward > 0).alias(name),
        forward.alias(f"{name}_return"),
        (t0 + timedelta(minutes=minutes)).alias(f"{name}_known"),
    )


def pattern_rows(events: pl.DataFrame, labels: pl.DataFrame, dataset: pl.DataFrame) -> pl.DataFrame:
    """The sample `patterns` of rows of pattern_events, pattern_labels and ml_dataset.

    An event has the features of the last bar of `dataset` that closed by its t0, at most 15 minutes
    before: null without one; its SEQUENCE too, where the dataset has that column.
    """
    own = [pl.col(column).alias(name) for name, column in OWN_FEATURES.items()]
    known = events.filter("is_selection_known").select(*KEY, "t0", "price", "side", *own)
    told = labels.select(*KEY, "t1", "label_return", "meta_label")
    told_at, more = pl.col("t0").alias("closed"), _sequence_of(dataset)
    bars = dataset.sort("t0").select(*SESSION, "t0", told_at, *CATALOGUE, *more)
    joined = known.join(told, on=KEY).sort("t0").join_asof(
        bars, on="t0", by=SESSION, tolerance=LOOK_BACK, check_sortedness=False
    )  # fmt: skip
    named = joined.join(dataset.select(*SESSION, "identity").unique(), on=SESSION, how="left")
    found = named.with_columns(
        ((pl.col("t0") - pl.col("closed")).dt.total_nanoseconds() / 1e9).alias(BAR_AGE),
        identity=pl.col("identity").fill_null(pl.col("ticker")),
        price_at_t0=pl.col("price"),
        meta=pl.col("meta_label") == 1,
        meta_return=pl.col("side") * pl.col("label_return"),
        meta_known=pl.col("t1"),
        known_by=pl.col("t1"),
    )
    return _shaped(found, PATTERNS)


def _shaped(rows: pl.DataFrame, sample: str) -> pl.DataFrame:
    targets = [target for target in TARGETS.values() if target.sample == sample]
    columns = [name for t in targets for name in (t.name, t.outcome, t.decided)]
    keys = (*KEY, "identity", "t0", "known_by", "price_at_t0")
    shaped = rows.select(*keys, *columns, *FEATURES[sample], *_sequence_of(rows))
    return shaped.sort("date", "ticker", "event_id")


def _sequence_of(rows: pl.DataFrame) -> list[str]:
    return [SEQUENCE] if SEQUENCE in rows.columns else []


def target_spans(rows: pl.DataFrame, target: Target) -> pl.DataFrame:
    """Spans of the rows of a sample in the events of their session, as `fold_weights` takes them.

    A span begins with its row and ends with the first later event of the session that comes when
    the target is known, or one place beyond the last.
    """
    ordered = rows.select(*SESSION, "event_id", "t0", known=target.decided).sort(*SESSION, "t0")
    sessions = ordered.select(pl.struct(SESSION).rle_id()).to_series().cast(pl.Int64).to_numpy()
    begun = integers(ordered["date"].cast(INSTANT))
    closes, known = (
        sessions * _LONGEST_SESSION
        + np.clip(integers(ordered[name]) - begun, 0, _LONGEST_SESSION - 1)
        for name in ("t0", "known")
    )
    first, places = np.searchsorted(sessions, sessions), np.arange(ordered.height)
    ends = np.maximum(np.searchsorted(closes, known), places + 1) - first
    return ordered.select(
        *SESSION,
        bar_id="event_id",
        span_start=pl.Series(places - first, dtype=pl.Int64),
        span_end=pl.Series(ends, dtype=pl.Int64),
    )


def event_types(sample: str, has_sequence: bool = False) -> dict[str, pl.DataType]:
    """What an event of a sample must tell to be scored: its key and features, with their types, and
    its sequence for models that take it."""
    dataset, patterns = (TABLES[name].columns for name in ("ml_dataset", "pattern_events"))
    own = {name: patterns[column] for name, column in OWN_FEATURES.items()}
    known = {**dataset, **own, BAR_AGE: pl.Float64(), "event_id": pl.Int32()}
    types = {name: known[name] for name in (*KEY, *FEATURES[sample])}
    return {**types, SEQUENCE: _SEQUENCE_TYPE} if has_sequence else types
