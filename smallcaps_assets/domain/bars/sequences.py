"""The last bars up to each event as a sequence; nothing is computed of it here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

LENGTH = 64
SEQUENCE_COLUMNS = (
    *("bar_return", "imbalance_ratio", "duration_seconds", "range_expansion"),
    *("lee_ready_delta_ratio", "quote_imbalance_last", "microprice_distance", "spread_last"),
)
"""Features of a bar that a sequence has unless others are named."""


def bar_sequences(rows: pl.DataFrame, columns: Sequence[str], length: int = LENGTH) -> np.ndarray:
    """float32[rows, length, columns]: what some columns were at the last bars up to each row.

    A row is a bar of a session (ticker, date, bar_id); the last place is its own. Places before the
    session's first row, and unknown values, are NaN.
    """
    ordered = rows.with_row_index("place").sort("ticker", "date", "bar_id")
    values = ordered.select(pl.col(columns).cast(pl.Float32)).to_numpy()
    sessions = ordered.select(pl.struct("ticker", "date").rle_id()).to_series().to_numpy()
    first, places = np.searchsorted(sessions, sessions), np.arange(rows.height)
    own = ordered["place"].to_numpy()
    found = np.full((rows.height, length, len(columns)), np.nan, np.float32)
    for back in range(length):
        is_there = places - back >= first
        found[own[is_there], length - 1 - back] = values[places[is_there] - back]
    return found
