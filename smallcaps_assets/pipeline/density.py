"""What the assets tell of density: of a session's metrics, and of the registry over all sessions.

Cheap: a few sums of frames that are in memory anyway. The whole report is `smallcaps density`.
"""

import polars as pl

from smallcaps_assets.domain.selection.density import LARGE_CHANGE, selected_days, top_runners
from smallcaps_assets.reports.markdown import preview
from smallcaps_assets.reports.sparkline import columns_of


def day_metadata(metrics: pl.DataFrame) -> dict[str, float]:
    """What a session was like: how many large changes, and how many dollars."""
    is_large = metrics["pct_change"].abs() >= LARGE_CHANGE
    dollars = float(metrics["dollar_volume"].sum())
    return {f"changes of {LARGE_CHANGE:.0%} or more": int(is_large.sum()), "dollar volume": dollars}


def density_metadata(
    watchlist: pl.DataFrame, sessions: list[str], registry: pl.DataFrame
) -> dict[str, str]:
    """How many days the rules select: over time, by year, and of which tickers most."""
    days = pl.Series("date", sessions, pl.String).str.to_date()
    qualified = registry.filter("is_qualified").group_by("date").len()
    counts = days.to_frame().join(qualified, on="date", how="left", maintain_order="left")
    words = f"Qualified ticker-sessions in {len(sessions):,} sessions"
    by_year = selected_days(watchlist, days, "1y").with_columns(pl.col("mean").round(2))
    runners = top_runners(watchlist, "1y").sort("period", descending=True, maintain_order=True)
    return {
        "density": columns_of(counts["len"].fill_null(0).to_list(), words),
        "selected days by year": preview(by_year, len(by_year)),
        "most info-rich days of the year": preview(runners, 10),
    }
