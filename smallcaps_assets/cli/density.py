"""`smallcaps density`: how many days the rules select, and what their ticks would cost."""

from __future__ import annotations

from dataclasses import asdict

import polars as pl
from rich.table import Table as RichTable

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.output import echo_json, plain_rows
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.domain.density import TickCost, selected_days, tick_cost
from smallcaps_assets.lake import Lake, LakeError
from smallcaps_assets.settings import Period, Settings

_DAYS = ("period", "rule", "days", "sessions", "mean", "median")
_COSTS = ("period", "ticker-sessions", "requests", "hours free", "hours paid", "GB", "ticks")


def show_density(
    market: str | None,
    lake: str | None,
    overrides: tuple[str, ...],
    config: str | None,
    by: str,
    is_json: bool,
) -> int:
    """Print both tables; nothing is contacted and nothing is changed."""
    settings = settings_of(market, lake, overrides, config)
    store = stored_lake(settings)
    watchlist = store.scan("watchlist").collect()
    if watchlist.is_empty():
        raise LakeError(f"lake {settings.lake.root} has no watchlist; make some sessions first")
    sessions = pl.Series(store.keys("watchlist")).str.to_date()
    days = selected_days(watchlist, sessions, "1mo" if by == "month" else "1y")
    costs = _costs(settings, store, watchlist)
    if is_json:
        ticks = [{"period": p.name, "is_fetched": p.ticks, **asdict(c)} for p, c in costs]
        echo_json({"selected_days": plain_rows(days), "cost_of_ticks": ticks})
        return 0
    console = wide_console()
    console.print(_days_table(days))
    console.print(_costs_table(costs))
    return 0


def _costs(
    settings: Settings, store: Lake, watchlist: pl.DataFrame
) -> list[tuple[Period, TickCost]]:
    """What the ticks of the days selected in each period would cost."""
    counts = store.scan("session_summary").select("date", "ticker", "transactions").collect()
    wanted = watchlist.filter(pl.col("rule").is_in(settings.selection.tick_rules))
    chosen = (
        wanted.select("date", "ticker").unique().join(counts, on=["date", "ticker"], how="left")
    )
    pace = settings.polygon.workers, settings.polygon.requests_per_second
    return [
        (period, tick_cost(chosen.filter(_within(period)), *pace))
        for period in settings.dataset.periods
    ]


def _within(period: Period) -> pl.Expr:
    return pl.col("date").is_between(period.start, period.end)


def _days_table(days: pl.DataFrame) -> RichTable:
    table = _table("selected days", _DAYS)
    for row in days.iter_rows():
        numbers = (f"{value:,.1f}".removesuffix(".0") for value in row[2:])
        table.add_row(str(row[0]), row[1], *numbers)
    return table


def _costs_table(costs: list[tuple[Period, TickCost]]) -> RichTable:
    table = _table("what their ticks would cost", _COSTS)
    for period, cost in costs:
        table.add_row(
            period.name,
            f"{cost.ticker_sessions:,}",
            f"{cost.requests:,}",
            f"{cost.hours_free:,.1f}",
            f"{cost.hours_paid:,.2f}",
            f"{cost.gigabytes:,.2f}",
            "fetched" if period.ticks else "newest only; ticks = true fetches them",
        )
    return table


def _table(title: str, columns: tuple[str, ...]) -> RichTable:
    table = RichTable(title=title)
    for name in columns:
        is_text = name in ("period", "rule", "ticks")
        table.add_column(name, justify="left" if is_text else "right")
    return table
