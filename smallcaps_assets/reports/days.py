"""One ticker-session as the report shows it, and the choice of the sessions to show.

Holds the inputs of a day's plots, the choice of the example days, and the thinning of a tape to
what a picture can show. Drawing belongs to `day_plot.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import SessionHours

TickerDay = tuple[str, date]
Interval = tuple[int, int]


@dataclass(frozen=True)
class DayView:
    """One ticker-session.

    `ticks` has sip_timestamp, price, size, is_price_forming, segment in tape order; `bars` are
    dollar_imbalance_bars, `labels` triple_barrier_labels; `halts` has halt_start and halt_end
    (null: not resumed in the session). `metrics` is the daily_metrics row, of which
    previous_close, pct_change, rvol30 and dollar_volume are shown. `eligible_from` is UTC: an
    aware datetime or nanoseconds. Without `has_trades` each tick stands for a minute.
    `patterns` are pattern_events, without columns where none are given.
    """

    ticker: str
    date: date
    ticks: pl.DataFrame
    bars: pl.DataFrame
    labels: pl.DataFrame
    hours: SessionHours
    halts: pl.DataFrame | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    eligible_from: datetime | int | None = None
    rules: str = ""
    identity: str = ""
    name: str = ""
    has_trades: bool = True
    patterns: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def halt_intervals(self) -> list[Interval]:
        """(start, end) of each halt in UTC nanoseconds; one that did not end lasts to the close."""
        if self.halts is None:
            return []
        columns = pl.col("halt_start", "halt_end").cast(pl.Int64)
        rows = self.halts.select(columns).sort("halt_start").iter_rows()
        return [(start, self.hours.close if end is None else end) for start, end in rows]


def choose_days(
    watchlist: pl.DataFrame, metrics: pl.DataFrame
) -> tuple[TickerDay | None, TickerDay | None]:
    """The (ticker, date) of the best pump and of the clearest fader; None where there is none.

    The pump is the info-rich day that closed up on the most dollars. The fader triggered upwards
    in the session, was not info-rich at its close, and gave back the largest share of its high.
    Ties go to the earlier date, then to the ticker that sorts first.
    """
    days = _days_by_rule(watchlist).join(
        metrics.select("ticker", "date", "high", "close", "pct_change", "dollar_volume"),
        on=["ticker", "date"],
    )
    pumps = days.filter(pl.col("is_info_rich"), pl.col("pct_change") > 0)
    faders = days.filter(
        pl.col("is_trigger"), ~pl.col("is_info_rich"), pl.col("trigger_change").fill_null(1) > 0
    )
    give_back = 1 - pl.col("close") / pl.col("high")
    return _first(pumps, pl.col("dollar_volume")), _first(faders, give_back)


def _days_by_rule(watchlist: pl.DataFrame) -> pl.DataFrame:
    trigger = pl.col("rule") == "intraday_trigger"
    return watchlist.group_by("ticker", "date").agg(
        is_info_rich=(pl.col("rule") == "info_rich").any(),
        is_trigger=trigger.any(),
        trigger_change=pl.col("change").filter(trigger).max(),
    )


def _first(days: pl.DataFrame, merit: pl.Expr) -> TickerDay | None:
    ranked = (
        days.with_columns(merit=merit)
        .drop_nulls("merit")
        .sort("merit", "date", "ticker", descending=[True, False, False])
    )
    if ranked.is_empty():
        return None
    best = ranked.row(0, named=True)
    return best["ticker"], best["date"]


def price_path(ticks: pl.DataFrame, start: int, end: int, buckets: int = 360) -> pl.DataFrame:
    """Price-forming ticks in [start, end], thinned: `time` (UTC nanoseconds) and `price`.

    Of every bucket of time the first, lowest, highest and last print stay, so that no extreme is
    lost and the order is the tape's.
    """
    forming = ticks.filter("is_price_forming").select(
        time=pl.col("sip_timestamp").cast(pl.Int64), price="price"
    )
    inside = forming.filter(pl.col("time").is_between(start, end)).with_row_index("row")
    width = max(1, (end - start) // buckets)
    price = pl.col("price")
    rows = inside.group_by((pl.col("time") - start) // width).agg(
        pl.concat_list(
            pl.col("row").first(),
            pl.col("row").get(price.arg_min()),
            pl.col("row").get(price.arg_max()),
            pl.col("row").last(),
        ).alias("rows")
    )
    kept = rows.get_column("rows").explode().unique().sort()
    return inside.drop("row")[kept]


def dollars_per_minute(ticks: pl.DataFrame, hours: SessionHours) -> np.ndarray:
    """USD traded in each minute from the premarket's open to the close, all ticks."""
    minute = (pl.col("sip_timestamp").cast(pl.Int64) - hours.premarket_open) // 60_000_000_000
    minutes = (hours.close - hours.premarket_open) // 60_000_000_000
    sums = (
        ticks.group_by(minute.alias("minute"))
        .agg(dollars=(pl.col("price") * pl.col("size")).sum())
        .filter(pl.col("minute").is_between(0, minutes - 1))
        .sort("minute")
    )
    values = np.zeros(minutes)
    values[sums["minute"].to_numpy()] = sums["dollars"].to_numpy()
    return values


def pick_events(
    labels: pl.DataFrame, most: int, start: int | None = None, end: int | None = None
) -> list[dict[str, Any]]:
    """A few labels with a path whose windows don't overlap, in time order.

    Touches of either barrier come before timeouts, and take turns as far as there are both. Only
    labels with t0 at or after `start` and vertical barrier at or before `end` qualify.
    """
    rows = _instants(labels).filter("has_path")
    if start is not None:
        rows = rows.filter(pl.col("t0") >= start)
    if end is not None:
        rows = rows.filter(pl.col("vertical_barrier") <= end)
    picked: list[dict[str, Any]] = []
    turn = pl.col("t0").rank("ordinal").over("label")
    for row in rows.sort(pl.col("label") == 0, turn, "t0", "bar_id").iter_rows(named=True):
        if len(picked) == most:
            break
        if all(_are_apart(row, other) for other in picked):
            picked.append(row)
    return sorted(picked, key=lambda row: row["t0"])


def busiest_window(labels: pl.DataFrame, width: int) -> Interval | None:
    """The window of `width` nanoseconds, opening at a label, in which most barriers were touched.

    Without any touch the one with most labels; None without labels.
    """
    rows = _instants(labels).filter("has_path").sort("t0")
    touches = rows.filter(pl.col("label") != 0)
    times = (rows if touches.is_empty() else touches)["t0"].to_numpy()
    if not len(times):
        return None
    inside = np.searchsorted(times, times + width, side="right") - np.arange(len(times))
    start = int(times[int(np.argmax(inside))])
    return start, start + width


def _instants(labels: pl.DataFrame) -> pl.DataFrame:
    return labels.with_columns(pl.col("t0", "t1", "vertical_barrier").cast(pl.Int64))


def _are_apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one["t0"] >= other["vertical_barrier"] or other["t0"] >= one["vertical_barrier"]
