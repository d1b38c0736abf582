"""The report on families of days: what their days have in common, year by year, and their paths.

The figures are those of `domain/models/day_families.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import BLUE, MUTED, Plot, Size, draw_plot, panel
from smallcaps_assets.reports.sections import Grid, Section, render_page
from smallcaps_assets.reports.spans import Span

_SHOWN = {
    **{"gap": "gap", "day_return": "open to close", "rise": "to high", "fall": "to low"},
    **{"fade": "high to close", "high_at": "high at", "first_hour_volume": "first hour"},
    "steadiness": "steadiness",
}
_STEPS = 78
_MINUTE = 60_000_000_000
_WORDS = (
    "Selected days that look alike, by descriptors of the whole day: known at its close, and never"
    " a feature. Figures are medians; moves are logarithms, high at is a share of the session. Days"
    " that belong to no family are none."
)
_STABLE = (
    "Families of each year's days alone, compared with those of all days by the adjusted Rand"
    " index: 1 is the same, 0 is chance."
)


@dataclass(frozen=True)
class _Days:
    span: Span


def family_grid(days: pl.DataFrame) -> Grid:
    """Days and medians of each family."""
    medians = days.group_by("family", "name").agg(pl.len(), pl.col(*_SHOWN).median())
    rows = [
        [
            row["name"],
            human.count(row["len"]),
            human.percent(row["len"] / days.height),
            *(human.percent(row[name]) for name in _SHOWN),
        ]
        for row in medians.sort(
            pl.col("family").cast(pl.UInt32, strict=False), nulls_last=True
        ).iter_rows(named=True)
    ]
    return Grid(["family", "days", "share", *_SHOWN.values()], rows, "Families of days")


def year_grid(by_year: pl.DataFrame) -> Grid:
    """The share of each family by year."""
    rows = [
        [str(row["year"]), row["name"], human.count(row["days"]), human.percent(row["share"])]
        for row in by_year.iter_rows(named=True)
    ]
    return Grid(["year", "family", "days", "share"], rows, "By year", names=["family"])


def stability_grid(stable: pl.DataFrame) -> Grid:
    """How well the families of a year alone agree with those of all days."""
    rows = [
        [
            str(row["year"]),
            human.count(row["days"]),
            human.percent(row["unclustered"]),
            human.MISSING if row["agreement"] is None else f"{row['agreement']:.2f}",
        ]
        for row in stable.iter_rows(named=True)
    ]
    return Grid(["year", "days", "of no family", "agreement"], rows, "Stability")


def paths_of(minutes: Iterable[pl.DataFrame]) -> dict[tuple[str, object], np.ndarray]:
    """The price over the regular session of each ticker-day, as a share of its open - 1, at 78
    evenly spread instants; NaN before its first print."""
    found = {}
    for rows in minutes:
        for (ticker, day), own in rows.sort("window_start").group_by("ticker", "date"):
            hours = session_hours(day)  # type: ignore[arg-type]
            at = own["window_start"].cast(pl.Int64).to_numpy()
            inside = (at >= hours.open) & (at < hours.close)
            if inside.any():
                edges = np.linspace(hours.open, hours.close, _STEPS + 1)[1:]
                last = np.searchsorted(at[inside] + _MINUTE, edges, "right") - 1
                closes, first = own["close"].to_numpy()[inside], own["open"].to_numpy()[inside][0]
                found[str(ticker), day] = np.where(
                    last >= 0, closes[np.maximum(last, 0)] / first - 1, np.nan
                )
    return found


def path_plot(name: str, paths: np.ndarray) -> Plot:
    """The median path of a family's days with the middle half of them, and some of the days."""
    middle = np.nanquantile(paths, [0.25, 0.5, 0.75], axis=0) * 100
    clock = 9.5 + 6.5 * np.arange(1, _STEPS + 1) / _STEPS

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.55, 0.35, 0.12, 0.32)
        for path in paths[:: max(1, len(paths) // 6)][:6]:
            axes.plot(clock, 100 * path, color=MUTED, lw=0.5, alpha=0.6)
        axes.fill_between(clock, middle[0], middle[2], color=BLUE, alpha=0.2, lw=0)
        axes.plot(clock, middle[1], color=BLUE, lw=1.6)
        axes.axhline(0, color=MUTED, lw=0.8, ls=(0, (3, 2)))
        axes.set_ylim(float(np.nanmin(middle)) - 10, float(np.nanmax(middle)) + 10)
        axes.set_xticks([10, 12, 14, 16], ["10:00", "12:00", "14:00", "16:00"])
        axes.set_title(f"{name}: {len(paths):,} days, % from the open")

    alt = f"{name}: the median path of {len(paths):,} days, and the middle half of them."
    return draw_plot(draw, alt, Size(5.2, 2.8), Size(4.3, 2.8))


def family_page(
    days: pl.DataFrame,
    by_year: pl.DataFrame,
    stable: pl.DataFrame,
    minutes: Iterable[pl.DataFrame],
    market: str,
) -> str:
    """The HTML of the report; `minutes` are rows of minute_bars of the days of families."""
    found, plots = paths_of(minutes), []
    clustered = days.filter(pl.col("family") >= 0).sort("family", "date", "ticker")
    for (name,), own in clustered.group_by("name", maintain_order=True):
        known = [found[key] for key in own.select("ticker", "date").rows() if key in found]
        if known:
            plots.append(path_plot(str(name), np.array(known)))
    sections = [
        Section("families", "Families", _WORDS, small=plots, grids=[[family_grid(days)]],
                empty="No day was selected."),
        Section("years", "Over the years", _STABLE,
                grids=[[year_grid(by_year), stability_grid(stable)]]),
    ]  # fmt: skip
    cards = [
        (human.count(days.height), "days"),
        (human.count(clustered["family"].n_unique()), "families"),
        (human.percent(1 - clustered.height / max(1, days.height)), "of no family"),
    ]
    first, last = (days["date"].min(), days["date"].max())
    span = Span(f"{first} to {last}", first, last)  # type: ignore[arg-type]
    return render_page("Families of days", market, [_Days(span)], cards, sections)
