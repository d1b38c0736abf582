"""Families of whole days that look alike: clusters of descriptors of selected ticker-sessions.

A day is described by its regular hours and known at its close only: families tell what kinds of
days were selected, and are never a feature. Clusters are of HDBSCAN (Campello, Moulavi and Sander
2013) on scaled descriptors; a day that belongs to none has the family -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.models.extra import require

DESCRIPTORS = (
    *("gap", "log_relative_volume", "day_return", "rise", "fall", "fade", "close_position"),
    *("high_at", "low_at", "first_hour_volume", "premarket_volume", "steadiness"),
)
NONE = -1
LEAST_DAYS = 5
STABLE_DAYS = 40
_MINUTE = 60_000_000_000
_FARTHEST = 3.0
_KEY = ("date", "ticker")


def day_descriptors(
    minutes: pl.DataFrame, metrics: pl.DataFrame, hours: SessionHours
) -> pl.DataFrame:
    """Date, ticker and DESCRIPTORS of each ticker of a session that traded in its regular hours.

    From rows of minute_bars and daily_metrics. Returns are logarithms: `day_return` from open to
    close, `rise` from open to high, `fall` to low, `fade` from high to close; `high_at`, `low_at`
    are shares of the session, `first_hour_volume`, `premarket_volume` of the volume to the close;
    `steadiness` is |day_return| by the sum of the |returns| of all minutes.
    """
    length = (hours.close - hours.open) / _MINUTE
    minute = (pl.col("window_start").cast(pl.Int64) - hours.open) / _MINUTE
    until_close = minutes.with_columns(minute=minute).filter(pl.col("minute") < length)
    regular, volume = pl.col("minute") >= 0, pl.col("volume")
    whole = until_close.sort(*_KEY, "minute").group_by(_KEY, maintain_order=True)
    inside = {n: pl.col(n).filter(regular) for n in ("open", "high", "low", "close", "minute")}
    steps = (
        inside["close"].log().diff().abs().sum()
        + (inside["close"].first() / inside["open"].first()).log().abs()
    )
    found = whole.agg(
        opened=inside["open"].first(),
        highest=inside["high"].max(),
        lowest=inside["low"].min(),
        closed=inside["close"].last(),
        high_at=inside["minute"].get(inside["high"].arg_max(), null_on_oob=True) / length,
        low_at=inside["minute"].get(inside["low"].arg_min(), null_on_oob=True) / length,
        first_hour_volume=volume.filter(regular & (pl.col("minute") < 60)).sum() / volume.sum(),
        premarket_volume=volume.filter(~regular).sum() / volume.sum(),
        path=steps,
    ).filter(pl.col("opened").is_not_null())
    known = metrics.select(*_KEY, "gap", log_relative_volume=pl.col("rvol30").log())
    opened, range_ = pl.col("opened"), pl.col("highest") - pl.col("lowest")
    day = (pl.col("closed") / opened).log()
    return (
        found.join(known, on=_KEY, how="left", maintain_order="left")
        .with_columns(
            day_return=day,
            rise=(pl.col("highest") / opened).log(),
            fall=(pl.col("lowest") / opened).log(),
            fade=(pl.col("closed") / pl.col("highest")).log(),
            close_position=pl.when(range_ > 0).then((pl.col("closed") - pl.col("lowest")) / range_),
            steadiness=pl.when(pl.col("path") > 0).then(day.abs() / pl.col("path")),
        )
        .select(*_KEY, pl.col(DESCRIPTORS).cast(pl.Float64))
        .with_columns(pl.col(DESCRIPTORS).replace([np.inf, -np.inf], None).fill_nan(None))
    )


def day_families(days: pl.DataFrame, share: float) -> pl.DataFrame:
    """`days` (as of `day_descriptors`) with family, name and strength.

    A family has at least so much of a `share` of the days, and five; families are numbered from the
    largest. `strength` is HDBSCAN's probability of belonging, 0 for the days of none.
    """
    ordered = days.sort(_KEY)
    numbers, strength = _clustered(_scaled(ordered), share)
    found = ordered.with_columns(
        family=pl.Series(numbers, dtype=pl.Int32), strength=pl.Series(strength, dtype=pl.Float64)
    )
    names = _names(found)
    told = [names[family] for family in found["family"]]
    return found.with_columns(pl.Series("name", told, dtype=pl.String))


def _scaled(days: pl.DataFrame) -> np.ndarray:
    """Distance from the median in quartile ranges, at most three; unknown is the median."""
    values = days.select(DESCRIPTORS).to_numpy()
    if not len(values):
        return values
    middle, low, high = (np.nan_to_num(_quantiles(values, q)) for q in (0.5, 0.25, 0.75))
    width = np.where(high > low, high - low, np.inf)
    return np.clip(np.nan_to_num((values - middle) / width), -_FARTHEST, _FARTHEST)


def _quantiles(values: np.ndarray, share: float) -> np.ndarray:
    """The quantile of each column among its known values; NaN where there is none."""
    columns = [pl.Series(column, nan_to_null=True).quantile(share, "linear") for column in values.T]
    return np.array([np.nan if value is None else value for value in columns])


def _clustered(points: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Family, from 0 for the largest, and strength of each point."""
    least = max(LEAST_DAYS, round(share * len(points)))
    if len(points) < 2 * least:
        return np.full(len(points), NONE), np.zeros(len(points))
    with require("threadpoolctl").threadpool_limits(1):
        model = require("sklearn.cluster").HDBSCAN(
            min_cluster_size=least, min_samples=LEAST_DAYS, n_jobs=1, copy=True
        )
        labels = model.fit(points).labels_
    sizes = np.bincount(labels[labels >= 0])
    number = np.full(sizes.size + 1, NONE)  # the last is that of none
    number[np.argsort(-sizes, kind="stable")] = np.arange(sizes.size)
    return number[labels], np.where(labels >= 0, model.probabilities_, 0.0)


# Names -------------------------------------------------------------------------------------------
def _names(days: pl.DataFrame) -> dict[int, str]:
    """A name for each family by the medians of its days; numbered where two have the same."""
    medians = days.group_by("family").agg(pl.col(DESCRIPTORS).median()).sort("family")
    found: dict[int, str] = {}
    for row in medians.iter_rows(named=True):
        name = "none" if row["family"] == NONE else kind_of(row)
        same = sum(other.partition(" ")[0] == name for other in found.values())
        found[row["family"]] = f"{name} {same + 1}" if same else name
    return found


def kind_of(medians: Mapping[str, Any]) -> str:
    """What such a day is called.

    grind: up 5 % or more, steadily; squeeze: the same with its high in the last third; pump: up 5 %
    at least; fader: rose 5 % or more and gave back as much; slide: down 5 % or more; flat: neither.
    """
    day, rise, fade = (medians[name] or 0.0 for name in ("day_return", "rise", "fade"))
    if day >= 0.05:
        if (medians["steadiness"] or 0.0) >= 0.2:
            return "grind"
        return "squeeze" if (medians["high_at"] or 0.0) >= 2 / 3 else "pump"
    if rise >= 0.05 and fade <= -0.05:
        return "fader"
    return "slide" if day <= -0.05 else "flat"


# Stability ---------------------------------------------------------------------------------------
def stability(days: pl.DataFrame, share: float) -> pl.DataFrame:
    """How well the families of each year's days alone agree with those of all days.

    Columns: year, days, unclustered (share of days of no family) and agreement: adjusted Rand index
    (Hubert and Arabie 1985), 1 for the same families, 0 for chance; null below 40 days.
    """
    found = []
    for (year,), own in days.sort(_KEY).group_by(
        pl.col("date").dt.year().alias("year"), maintain_order=True
    ):
        agreement = None
        if own.height >= STABLE_DAYS:
            alone, _ = _clustered(_scaled(own), share)
            index = require("sklearn.metrics").adjusted_rand_score
            agreement = float(index(own["family"].to_numpy(), alone))
        unclustered = float((own["family"] == NONE).mean())  # type: ignore[arg-type]
        found.append((year, own.height, unclustered, agreement))
    types = {"year": pl.Int32, "days": pl.Int64, "unclustered": pl.Float64, "agreement": pl.Float64}
    return pl.DataFrame(found, schema=types, orient="row")


def shares_by_year(days: pl.DataFrame) -> pl.DataFrame:
    """Year, name, days and the share of the year's days that the family has."""
    year = pl.col("date").dt.year().alias("year")
    counts = days.group_by(year, "family", "name").agg(pl.len().cast(pl.Int64).alias("days"))
    share = pl.col("days") / pl.col("days").sum().over("year")
    return counts.with_columns(share=share).sort("year", "family")
