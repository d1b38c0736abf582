"""Activity bars of a ticker-session: dollar, volume, dollar-imbalance, volume-imbalance bars.

Bars of a tape and targets scaled by activity. Cutting plain arrays is in `bar_arrays.py`, the
fallback from minute bars in `minute_fallback.py`, time bars in `intervals.py`, and whether a target
suits a ticker-session in `diagnostics.py`.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from smallcaps_assets.domain.bars.arrays import BarKind, bars_from_arrays
from smallcaps_assets.domain.columns import frame_of, integers
from smallcaps_assets.domain.ticks.halts import NEVER
from smallcaps_assets.domain.ticks.tape import TickTape
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import BarSettings, Settings

VOLUME_SHARE = 0.005


def default_target(kind: BarKind, settings: BarSettings) -> float:
    """The fixed target of a kind of bar, in dollars or shares."""
    return {
        BarKind.DOLLAR: settings.dollar_target,
        BarKind.VOLUME: settings.volume_target,
        BarKind.DOLLAR_IMBALANCE: settings.dollar_imbalance_target,
        BarKind.VOLUME_IMBALANCE: settings.volume_imbalance_target,
    }[kind]


def activity_target(median_dollar_volume: float | None, settings: BarSettings) -> float:
    """First threshold of dollar-imbalance bars in USD, scaled by activity if so configured.

    activity_scale x the trailing median dollar volume, which must be known before the open, clipped
    to the configured range; the fixed target where the scale is 0 or the median unknown.
    """
    if not settings.activity_scale or not median_dollar_volume:
        return settings.dollar_imbalance_target
    scaled = settings.activity_scale * median_dollar_volume
    return min(max(scaled, settings.min_activity_target), settings.max_activity_target)


def volume_activity_target(mean_volume: float | None, settings: BarSettings) -> float:
    """Target of volume bars in shares: 0.5 % of the trailing mean daily volume if scaled."""
    if not settings.activity_scale or not mean_volume:
        return settings.volume_target
    return max(VOLUME_SHARE * mean_volume, 1.0)


def build_bars(
    tape: TickTape, kind: BarKind | str, settings: BarSettings, target: float | None = None
) -> pl.DataFrame:
    """Bars of one ticker-session, every column of the kind's table; starts fresh.

    `target` overrides the configured one. Ticks are indexed by their row in `tape.ticks`.
    """
    kind = BarKind(kind)
    ticks = tape.ticks
    frame, _ = bars_from_arrays(
        tape.times,
        ticks["price"].to_numpy(),
        ticks["size"].to_numpy(),
        kind,
        default_target(kind, settings) if target is None else target,
        block=ticks["block"].to_numpy(),
        price_forming=ticks["is_price_forming"].to_numpy(),
        signs=ticks["sign"].to_numpy(),
        alpha=settings.alpha,
        gamma=settings.gamma,
        kappa=settings.kappa,
    )
    frame = _end_in_halt(frame, tape.halts)
    known = _known_at(frame, tape.halts, tape.session_end)
    segment = ticks["segment"].gather(frame["last_tick"])
    return conform_bars(frame, kind, tape.ticker, tape.date, "trades", known, segment)


def dollar_bars(tape: TickTape, target: float) -> pl.DataFrame:
    """Bars of at least `target` dollars (AFML 2.3.1.4)."""
    return build_bars(tape, BarKind.DOLLAR, Settings().bars, target)


def volume_bars(tape: TickTape, target: float) -> pl.DataFrame:
    """Bars of at least `target` shares (AFML 2.3.1.3)."""
    return build_bars(tape, BarKind.VOLUME, Settings().bars, target)


def dollar_imbalance_bars(
    tape: TickTape, settings: BarSettings, target: float | None = None
) -> pl.DataFrame:
    """Bars that close when |signed dollars| reach the adaptive threshold (AFML 2.3.2.1)."""
    return build_bars(tape, BarKind.DOLLAR_IMBALANCE, settings, target)


def volume_imbalance_bars(
    tape: TickTape, settings: BarSettings, target: float | None = None
) -> pl.DataFrame:
    """Bars that close when |signed shares| reach the adaptive threshold (AFML 2.3.2.1)."""
    return build_bars(tape, BarKind.VOLUME_IMBALANCE, settings, target)


def _end_in_halt(frame: pl.DataFrame, halts: pl.DataFrame) -> pl.DataFrame:
    """The last remainder is cut by a halt, not by the session, if no trading followed it."""
    if frame.is_empty() or not halts["halt_end"].null_count():
        return frame
    is_last = pl.int_range(pl.len()) == pl.len() - 1
    is_rest = is_last & (pl.col("reason") == "session")
    return frame.with_columns(
        reason=pl.when(is_rest).then(pl.lit("halt")).otherwise(pl.col("reason"))
    )


def _known_at(frame: pl.DataFrame, halts: pl.DataFrame, session_end: int) -> np.ndarray:
    """When each bar was known: its close, or for a remainder the end of session or the halt."""
    close = frame["close_timestamp"].to_numpy()
    reason = frame["reason"].to_numpy()
    known = np.where(reason == "session", np.maximum(close, session_end), close)
    ends = integers(halts["halt_end"], NEVER)
    halts_known = integers(halts["known_at"])
    for row in np.flatnonzero(reason == "halt"):
        # A remainder belongs to the first halt that ends after its last tick.
        following = np.flatnonzero(ends > close[row])
        known[row] = max(close[row], halts_known[following].min())
    return known


def conform_bars(
    frame: pl.DataFrame,
    kind: BarKind,
    ticker: str,
    day: date,
    source: str,
    known: np.ndarray,
    segment: pl.Series,
) -> pl.DataFrame:
    """The columns of the kind's table from cut bars; `known` is known_at in UTC nanoseconds."""
    columns = frame.to_dict() | {
        "known_at": known,
        "segment": segment,
        "ticker": ticker,
        "date": day,
        "source": source,
        "bar_id": np.arange(frame.height),
    }
    return frame_of(columns, TABLES[kind].columns)
