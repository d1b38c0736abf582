"""`smallcaps density`: how many days the rules select, and what their ticks would cost."""

from __future__ import annotations

import polars as pl
from rich.table import Table as RichTable

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.setup import check_lake, settings_of
from smallcaps_assets.domain.density import selected_days, tick_cost
from smallcaps_assets.lake import Lake, LakeError

_DAYS = ("period", "rule", "days", "sessions", "mean", "median")
_COSTS = ("period", "ticker-sessions", "requests", "hours free", "hours paid", "GB", "ticks")


def show_density(
    market: str | None, lake: str | None, overrides: tuple[str, ...], config: str | None, by: str
) -> int:
    """Print both tables; nothing is contacted and nothing is changed."""
    settings = settings_of(market, lake, overrides, config)
    check_lake(settings)
    store = Lake(settings.lake.root)
    watchlist = store.scan("watchlist").collect()
    if watchlist.is_empty():
        raise LakeError(f"lake {settings.lake.root} has no watchlist; make some sessions first")
    console = wide_console()
    unit = "1mo" if by == "month" else "1y"
    days = _table("selected days", _DAYS)
    sessions = pl.Series(store.keys("watchlist")).str.to_date()
    for row in selected_days(watchlist, sessions, unit).iter_rows():
        days.add_row(
            str(row[0]), row[1], *(f"{value:,.1f}".removesuffix(".0") for value in row[2:])
        )
    console.print(days)

    counts = store.scan("session_summary").select("date", "ticker", "transactions").collect()
    wanted = watchlist.filter(pl.col("rule").is_in(settings.selection.tick_rules))
    chosen = (
        wanted.select("date", "ticker").unique().join(counts, on=["date", "ticker"], how="left")
    )
    costs = _table("what their ticks would cost", _COSTS)
    for period in settings.dataset.periods:
        within = chosen.filter(pl.col("date").is_between(period.start, period.end))
        polygon = settings.polygon
        cost = tick_cost(within, polygon.workers, polygon.requests_per_second)
        costs.add_row(
            period.name,
            f"{cost.ticker_sessions:,}",
            f"{cost.requests:,}",
            f"{cost.hours_free:,.1f}",
            f"{cost.hours_paid:,.2f}",
            f"{cost.gigabytes:,.2f}",
            "fetched" if period.ticks else "newest only; ticks = true fetches them",
        )
    console.print(costs)
    return 0


def _table(title: str, columns: tuple[str, ...]) -> RichTable:
    table = RichTable(title=title)
    for name in columns:
        is_text = name in ("period", "rule", "ticks")
        table.add_column(name, justify="left" if is_text else "right")
    return table
