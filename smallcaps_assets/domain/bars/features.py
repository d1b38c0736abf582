"""Features of dollar imbalance bars: what was known at each bar's close, and nothing later.

Holds every column of the table `bar_features`. Each is computed from the tape up to and including
the bar's last tick, from earlier bars, and from a context known before 04:00 of the session. No
same-day daily figure is used: days are selected by those. What quotes tell is in
`quote_features.py`; labels belong to `labels`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import floats, frame_of, integers
from smallcaps_assets.domain.guards import grown, read_only
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.market.metrics import RELATIVE_TOLERANCE, SSR_DECLINE
from smallcaps_assets.kernels import features as kernel
from smallcaps_assets.kernels.minutes import MINUTES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES

ROUND_LOT = 100.0
BURST = 3.0
FLAGS = ("is_high_of_day_break", "is_premarket", "is_ssr", "is_exhaustion")
CENTS = 1024
DROPPED_BARS = kernel.LONG_BARS
"""Bars are dropped in multiples of it: rings of bars, here and of quotes, are as long."""


class FeatureError(ValueError):
    """Ticks and bars that don't belong together."""


@dataclass(frozen=True)
class SessionContext:
    """What is known of a ticker before 04:00 of its session.

    previous_close is in USD on the session's share basis, mean volumes in shares,
    median_dollar_volume20 in USD; is_ssr_carried: the short-sale restriction of the day before
    still holds. None where unknown.
    """

    ticker: str
    date: date
    previous_close: float | None = None
    mean_volume30: float | None = None
    median_dollar_volume20: float | None = None
    is_ssr_carried: bool = False
    mean_volume20: float | None = None


def session_context(ticker: str, day: date, row: Mapping[str, Any] | None) -> SessionContext:
    """The context from the session's daily_metrics row, of which only these columns are early.

    `row` may be None: nothing is known then.
    """
    row = row or {}
    return SessionContext(
        ticker,
        day,
        row.get("previous_close"),
        row.get("mean_volume30"),
        row.get("median_dollar_volume20"),
        bool(row.get("is_ssr_carried")),
        row.get("mean_volume20"),
    )


class FeaturePass:
    """A pass over a session's prints that makes its bars' features, resumed as the tape grows.

    However the tape is cut into calls, the features are the same bits.
    """

    def __init__(self, context: SessionContext, hours: SessionHours) -> None:
        previous = context.previous_close or np.nan
        settings, state = np.zeros(1, kernel.SETTINGS), np.zeros(1, kernel.STATE)
        settings["premarket_open"], settings["open"] = hours.premarket_open, hours.open
        settings["is_ssr_carried"] = context.is_ssr_carried
        settings["previous_close"] = previous
        settings["mean_volume"] = context.mean_volume30 or np.nan
        settings["ssr_price"] = (1 - SSR_DECLINE) * previous * (1 + RELATIVE_TOLERANCE)
        settings["round_lot"] = ROUND_LOT
        state["day_low"] = state["regular_low"] = np.inf
        self.settings, self.state, self.minutes = settings, state, np.zeros(1, MINUTES)
        self._volumes = np.empty(0)
        self._cents = _empty_cents(CENTS)

    def follow(
        self,
        prints: tuple[np.ndarray, ...],
        lasts: np.ndarray,
        bars: np.ndarray,
        curve: np.ndarray | None = None,
    ) -> np.ndarray:
        """Rows of `kernel.COLUMNS` of the bars that close with prints not seen yet.

        `prints` are as of `print_columns`, of the tape from its start; `lasts` and `bars` the last
        tick and the `kernel.BAR_COLUMNS` of every bar so far; `curve` as of `volume_curve`.
        """
        usual = np.empty(0) if curve is None else curve
        given = [read_only(array) for array in (*prints, lasts, bars, usual)]
        self._volumes = grown(self._volumes, prints[0].size)
        done = int(self.state["bars"][0])
        out = np.empty((lasts.size, len(kernel.COLUMNS)))
        given += [self.settings, self.state, self.minutes, self._volumes]
        while kernel.follow(*[*given, *self._cents, out]) < prints[0].size:
            longer = _empty_cents(2 * self._cents[0].size)
            kernel.move_cents(self.state, *self._cents, *longer)
            self._cents = longer
        return out[done : int(self.state["bars"][0])]

    @property
    def needed(self) -> int:
        """The first print that is still looked at."""
        state = self.state[0]
        return max(min(int(state["young"].min()), int(state["burst"].min()) - 1), 0)

    @property
    def followed(self) -> tuple[int, int]:
        """How many prints and bars have been followed, of those still given."""
        return int(self.state["ticks"][0]), int(self.state["bars"][0])

    def drop(self, prints: int, bars: int) -> None:
        """So many of the first prints and bars will not be given any more.

        At most `needed` prints, fewer than have been followed; of more than `DROPPED_BARS` bars so
        many that as many are left.
        """
        for name in ("ticks", "young", "burst"):
            self.state[name] -= prints
        self.state["bars"] -= bars
        kept = self._volumes.size - prints
        self._volumes[:kept] = self._volumes[prints:].copy()


def _empty_cents(room: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table of so many cents, a power of two: cents, their shares, and slots by shares."""
    return np.full(room, kernel.EMPTY, np.int64), np.empty(room), np.empty(room, np.int64)


def print_columns(ticks: pl.DataFrame) -> tuple[np.ndarray, ...]:
    """Times, prices, sizes; which form prices, are of the regular session, and off exchange."""
    return (
        integers(ticks["sip_timestamp"]),
        floats(ticks["price"]),
        floats(ticks["size"]),
        ticks["is_price_forming"].to_numpy(),
        (ticks["segment"] == "regular").to_numpy(),
        ticks["is_off_exchange"].to_numpy(),
    )


def bar_features(
    ticks: pl.DataFrame,
    bars: pl.DataFrame,
    context: SessionContext,
    hours: SessionHours,
    halts: pl.DataFrame,
    curve: np.ndarray | None = None,
) -> pl.DataFrame:
    """The table `bar_features` of one ticker-session: a row per threshold-closed bar.

    `ticks` is the session's tape in order (domain.ticks), `bars` its dollar_imbalance_bars, whose
    partial bars at halts serve as path, `halts` has known_at, and halt_source where told, `curve`
    is the usual volume by minute (see `volume_curve`), None: unknown. Raises FeatureError when a
    bar points beyond the tape.
    """
    path = bars.sort("bar_id")
    if path.is_empty():
        return TABLES["bar_features"].empty()
    _check_indices(ticks, path)
    lasts = integers(path["last_tick"])
    figures = np.column_stack([floats(path[name]) for name in kernel.BAR_COLUMNS])
    rows = FeaturePass(context, hours).follow(print_columns(ticks), lasts, figures, curve)
    keys = {name: path[name] for name in ("ticker", "date", "bar_id")}
    columns = keys | {"known_at": path["close_timestamp"]} | feature_columns(rows)
    columns |= halts_known(halts, integers(path["close_timestamp"]))
    closed = (path["reason"] == "threshold").to_numpy()
    wanted = TABLES["bar_features"].columns
    return TABLES["bar_features"].validate(frame_of(columns, wanted).filter(closed))


def _check_indices(ticks: pl.DataFrame, path: pl.DataFrame) -> None:
    last = path["last_tick"].to_numpy()
    if last[-1] >= ticks.height or (np.diff(last) <= 0).any():
        raise FeatureError(
            f"bars of {path['ticker'][0]} {path['date'][0]} end at tick {last.max()}, the tape has "
            f"{ticks.height} ticks; rebuild the bars from this tape"
        )


def feature_columns(rows: np.ndarray) -> dict[str, pl.Series]:
    """Rows of the kernel as columns: what is no number is null, flags are booleans."""
    columns = np.asfortranarray(np.where(np.isfinite(rows), rows, np.nan)).T
    found = {
        name: pl.Series(name, values > 0 if name in FLAGS else values, nan_to_null=True)
        for name, values in zip(kernel.COLUMNS, columns, strict=True)
    }
    return found | {"is_volume_burst": found["volume_burst"] > BURST}


def feature_row(row: np.ndarray) -> dict[str, Any]:
    """One row of the kernel as values: as `feature_columns`, without columns."""
    values = zip(kernel.COLUMNS, row.tolist(), strict=True)
    found: dict[str, Any] = {
        name: value > 0 if name in FLAGS else value if math.isfinite(value) else None
        for name, value in values
    }
    burst = found["volume_burst"]
    return found | {"is_volume_burst": None if burst is None else burst > BURST}


def halts_known(halts: pl.DataFrame, closes: np.ndarray) -> dict[str, pl.Series]:
    """How many halts were known at each close, and the source of the newest."""
    known = np.sort(integers(halts["known_at"].cast(INSTANT)))
    counts = np.searchsorted(known, closes, side="right")
    ordered = halts.sort("known_at", maintain_order=True)
    unknown = pl.repeat(None, known.size, dtype=pl.String, eager=True)
    sources = [None, *ordered.get_column("halt_source", default=unknown)]
    newest = pl.Series([sources[count] for count in counts], dtype=pl.String)
    return {"halts_so_far": pl.Series(counts, dtype=pl.Int64), "halt_source": newest}
