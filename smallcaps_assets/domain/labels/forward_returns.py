"""Forward-return labels: what the price was a fixed time after a decision.

The first touch of a barrier is in `labels.py`.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.columns import where_known
from smallcaps_assets.domain.guards import fractions_per_event, times_per_event
from smallcaps_assets.domain.labels.paths import SECOND, Path, decisions
from smallcaps_assets.kernels.barriers import TOLERANCE
from smallcaps_assets.settings import LabelSettings

FORWARD_MINUTES = (5, 15)


def forward_return_arrays(
    timestamps: ArrayLike,
    prices: ArrayLike,
    events: ArrayLike,
    session_end: ArrayLike,
    horizon: ArrayLike,
    take_profit: ArrayLike,
    stop_loss: ArrayLike,
    price_forming: ArrayLike | None = None,
) -> pl.DataFrame:
    """Returns to the last print at or before each event plus `horizon`, on plain arrays.

    Arguments as in `triple_barrier_arrays`. Columns: forward_return, forward_label (1 from
    take_profit, -1 from -stop_loss), forward_staleness (age of the print, in the unit of
    `timestamps`); null where the horizon lies after the session's end. Raises ArrayError.
    """
    path, _, times, values = decisions(timestamps, prices, events, price_forming)
    return pl.DataFrame(
        forward_outcomes(
            path,
            times,
            values,
            times_per_event("session_end", session_end, times.size),
            times_per_event("horizon", horizon, times.size),
            fractions_per_event("take_profit", take_profit, times.size),
            fractions_per_event("stop_loss", stop_loss, times.size),
        )
    )


def forward_columns(
    path: Path, times: np.ndarray, bases: np.ndarray, session_end: int, settings: LabelSettings
) -> dict[str, pl.Series]:
    """Columns of the labels' table for each horizon, null where it lies after the session."""
    columns: dict[str, pl.Series] = {}
    for minutes in FORWARD_MINUTES:
        found = forward_outcomes(
            path,
            times,
            bases,
            np.full(times.size, session_end),
            minutes * 60 * SECOND,
            settings.take_profit,
            settings.stop_loss,
            SECOND,
        )
        columns |= {f"{name}_{minutes}m": series for name, series in found.items()}
    return columns


def forward_outcomes(
    path: Path,
    times: np.ndarray,
    bases: np.ndarray,
    session_ends: np.ndarray,
    horizon: int | np.ndarray,
    take_profit: float | np.ndarray,
    stop_loss: float | np.ndarray,
    age_unit: int = 1,
) -> dict[str, pl.Series]:
    """Return, label and age of the last print at or before each time plus the horizon."""
    target = times + horizon
    places = np.searchsorted(path.times, target, "right") - 1
    known = (target <= session_ends) & (places >= 0)
    ratio, age = np.ones(places.size), np.zeros(places.size)
    ratio[known] = path.prices[places[known]] / bases[known]
    age[known] = (target[known] - path.times[places[known]]) / age_unit
    is_up = ratio >= (1 + take_profit) * (1 - TOLERANCE)
    is_down = ratio <= (1 - stop_loss) * (1 + TOLERANCE)
    label = is_up.astype(np.int8) - is_down.astype(np.int8)
    return {
        "forward_return": where_known(known, ratio - 1, pl.Float64()),
        "forward_label": where_known(known, label, pl.Int8()),
        "forward_staleness": where_known(known, age, pl.Float64()),
    }
