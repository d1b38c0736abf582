"""Whether the bars of a ticker-session, and the tape below them, are as they should be.

Figures only, and which of them to warn about; nothing is changed or left out here. Bars are made in
`bars.py`, tapes in `ticks.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import integers

if TYPE_CHECKING:
    from smallcaps_assets.domain.ticks.tape import TickTape

MAX_CLAMPED = 0.20
MAX_SPACING_SECONDS = 300.0
MIN_BARS, BUSY_DOLLARS = 30, 5_000_000.0
MAX_EXCLUDED = 0.20
MAX_UNSIGNED = 0.05
FANO_SECONDS = 300
EXCLUDED = {"reason": pl.String, "trades": pl.Int64, "volume": pl.Float64, "share": pl.Float64}


@dataclass(frozen=True)
class BarDiagnostics:
    """Whether a target suits a ticker-session; shares are fractions, spacing in seconds."""

    bars: int
    dollar_volume: float
    clamped_share: float
    median_spacing_seconds: float
    is_often_clamped: bool
    is_slow: bool
    is_scarce: bool


def bar_diagnostics(bars: pl.DataFrame) -> BarDiagnostics:
    """Checks of one ticker-session's bars: clamped over 20 %, over 300 s apart, too few."""
    full = bars.filter(pl.col("reason") == "threshold")
    dollars = float(bars["dollar_volume"].sum())
    clamped = 0.0
    if "is_clamped" in full.columns and full.height:
        clamped = float(full["is_clamped"].to_numpy().mean())
    spacing = np.diff(integers(full["close_timestamp"]))
    median = float(np.median(spacing)) / 1e9 if spacing.size else 0.0
    return BarDiagnostics(
        bars=full.height,
        dollar_volume=dollars,
        clamped_share=clamped,
        median_spacing_seconds=median,
        is_often_clamped=clamped > MAX_CLAMPED,
        is_slow=median > MAX_SPACING_SECONDS,
        is_scarce=full.height < MIN_BARS and dollars > BUSY_DOLLARS,
    )


@dataclass(frozen=True)
class SessionDiagnostics:
    """Figures of one ticker-session and one kind of bar; shares are of volume, from 0 to 1.

    `fano_factor` is the variance over the mean of the number of bars per five minutes from the
    first trade to the last: 1 for a Poisson process, more for bars in bursts, None with fewer than
    two intervals or no bar. `unsigned_share` leaves auctions out, which have no aggressor.
    """

    ticker: str
    date: date
    bars: int
    dollar_volume: float
    clamped_share: float
    median_spacing_seconds: float
    fano_factor: float | None
    excluded_share: float
    unsigned_share: float
    odd_lots_reported: bool


def session_diagnostics(tape: TickTape, bars: pl.DataFrame) -> SessionDiagnostics:
    """Figures of a tape and of the bars made from it."""
    about = bar_diagnostics(bars)
    flow = tape.ticks.filter(~pl.col("is_auction"))
    unsigned = flow.filter(pl.col("sign") == 0)
    excluded, counted = _total(tape.audit["volume"]), _total(tape.ticks["size"])
    return SessionDiagnostics(
        ticker=tape.ticker,
        date=tape.date,
        bars=about.bars,
        dollar_volume=about.dollar_volume,
        clamped_share=about.clamped_share,
        median_spacing_seconds=about.median_spacing_seconds,
        fano_factor=fano_factor(tape.times, bars),
        excluded_share=_share(excluded, excluded + counted),
        unsigned_share=_share(_total(unsigned["size"]), _total(flow["size"])),
        odd_lots_reported=tape.odd_lots_reported,
    )


def _total(amounts: pl.Series) -> float:
    return float(amounts.to_numpy().sum())


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def fano_factor(times: np.ndarray, bars: pl.DataFrame) -> float | None:
    """Variance over mean of the full bars per five minutes, see `SessionDiagnostics`."""
    closes = integers(bars.filter(pl.col("reason") == "threshold")["close_timestamp"])
    if times.size == 0 or closes.size == 0:
        return None
    step = FANO_SECONDS * 1_000_000_000
    intervals = int((times[-1] - times[0]) // step)
    if intervals < 2:
        return None
    places = (closes - times[0]) // step
    counts = np.bincount(places[places < intervals], minlength=intervals)
    return float(counts.var() / counts.mean()) if counts.any() else None


def excluded_volume(tape: TickTape) -> pl.DataFrame:
    """What was left out of a tape: reason, trades, volume, and share of all volume; most first."""
    return excluded_by_reason([tape.audit], _total(tape.ticks["size"]))


def excluded_by_reason(audits: Iterable[pl.DataFrame], counted: float) -> pl.DataFrame:
    """Volume left out of some tapes: reason, trades, volume and share of all volume; most first.

    `audits` are those of the tapes, `counted` the volume of their ticks.
    """
    parts = list(audits)
    if not parts:
        return pl.DataFrame(schema=EXCLUDED)
    total = counted + sum(_total(part["volume"]) for part in parts)
    return (
        pl.concat(parts)
        .group_by("reason")
        .agg(pl.col("trades", "volume").sum())
        .with_columns((pl.col("volume") / (total or 1.0)).alias("share"))
        .sort("volume", "reason", descending=[True, False])
    )


def against_poisson(counts: pl.DataFrame) -> pl.DataFrame:
    """Bars per day beside what a Poisson process of the ticker's mean rate would give.

    `counts` has ticker, date and bars, one row per ticker-session. Adds `expected_bars`, the mean
    of the ticker's rows; `poisson_deviations`, bars minus that in Poisson standard deviations, the
    root of the mean (null for a mean of 0); and `dispersion`, the ticker's variance over its mean,
    1 for Poisson (null with one row). Descriptive: the mean knows all days.
    """
    mean = pl.col("bars").mean().over("ticker")
    return counts.with_columns(
        expected_bars=mean,
        poisson_deviations=pl.when(mean > 0).then((pl.col("bars") - mean) / mean.sqrt()),
        dispersion=pl.when(mean > 0).then(pl.col("bars").var().over("ticker") / mean),
    )


def diagnostics_frame(found: Iterable[SessionDiagnostics]) -> pl.DataFrame:
    """One row per ticker-session, columns as the fields."""
    return pl.DataFrame([asdict(one) for one in found], infer_schema_length=None)


def warnings_about(found: SessionDiagnostics) -> list[str]:
    """What to warn about, each with the figure, the limit and the remedy; empty when all is well.

    Limits: over 20 % of the bars at a clamp, a median of over 300 s between bars, fewer than 30
    bars on more than 5 million dollars, over 20 % of the volume left out, over 5 % without a sign.
    """
    is_scarce = found.bars < MIN_BARS and found.dollar_volume > BUSY_DOLLARS
    rules = (
        (
            found.clamped_share > MAX_CLAMPED,
            f"{found.clamped_share:.0%} of the bars have a clamped threshold, at most "
            f"{MAX_CLAMPED:.0%} is sound; lower gamma or raise kappa",
        ),
        (
            found.median_spacing_seconds > MAX_SPACING_SECONDS,
            f"half of the bars are over {found.median_spacing_seconds:.0f} s apart, at most "
            f"{MAX_SPACING_SECONDS:.0f} s is sound; lower the target",
        ),
        (
            is_scarce,
            f"{found.bars} bars on {found.dollar_volume:,.0f} dollars, at least {MIN_BARS} are "
            "expected; lower the target or scale it by activity",
        ),
        (
            found.excluded_share > MAX_EXCLUDED,
            f"{found.excluded_share:.0%} of the volume is left out, at most {MAX_EXCLUDED:.0%} is "
            "usual; see excluded_volume for the reasons",
        ),
        (
            found.unsigned_share > MAX_UNSIGNED,
            f"{found.unsigned_share:.0%} of the volume has no sign, at most {MAX_UNSIGNED:.0%} is "
            "usual; the price hardly changed, or trades are out of order",
        ),
    )
    name = f"{found.ticker} {found.date}"
    return [f"{name}: {text}" for is_bad, text in rules if is_bad]
