"""`smallcaps density`: how many days the rules select, and what their ticks would cost.

Two tables in the terminal; with `--html` the whole report as a page, with `--compare` two periods
or date ranges beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.table import Table as RichTable

from smallcaps_assets.cli.console import progress_bar, wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows, write_file
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.cli.spans import check_page, chosen_spans
from smallcaps_assets.domain.selection.density import TickCost, selected_days
from smallcaps_assets.lake import Lake, LakeError
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

if TYPE_CHECKING:
    from smallcaps_assets.reports.density_measures import DensityFigures
    from smallcaps_assets.reports.spans import Span

_DAYS = ("period", "rule", "days", "sessions", "mean", "median")
NO_PERIOD = "in no period"
_TICKS = {
    True: "fetched",
    False: "newest only; ticks = true fetches them",
    None: "in no dataset; widen a period of dataset.periods, or add one",
}
_COSTS = (
    "period",
    "table",
    "ticker-sessions",
    "requests",
    "hours free",
    "hours paid",
    "GB",
    "ticks",
)


def show_density(
    options: LakeOptions, by: str, html: str | None, compare: tuple[str, str] | None, is_json: bool
) -> int:
    """Print the tables, and write the page; nothing is contacted, nothing in the lake changes."""
    settings = settings_of(options)
    store = stored_lake(settings)
    if not store.has("watchlist"):
        raise LakeError(f"lake {settings.lake.root} has no watchlist; make some sessions first")
    if html is None and compare is None:
        _show(settings, store, by, is_json)
    else:
        _report(settings, store, by, html, compare, is_json)
    if other := _made_by_other_rules(settings, store):
        Console(stderr=True).print(
            f"{other:,} of {len(store.keys('watchlist')):,} watchlists were made with other rules"
            " than the current ones; `smallcaps run --until watchlist` makes them again",
            soft_wrap=True,
        )
    return 0


def _made_by_other_rules(settings: Settings, store: Lake) -> int:
    """How many stored watchlists were made with other settings."""
    wanted = settings.digest(TABLES["watchlist"].settings)
    stamps = (store.stamp("watchlist", key) for key in store.keys("watchlist"))
    return sum(stamp is not None and stamp.config != wanted for stamp in stamps)


def _report(
    settings: Settings,
    store: Lake,
    by: str,
    html: str | None,
    compare: tuple[str, str] | None,
    is_json: bool,
) -> None:
    """Write the page; print the comparison or the usual tables."""
    from smallcaps_assets.reports.density_measures import density_measures
    from smallcaps_assets.reports.density_page import density_page
    from smallcaps_assets.reports.sections import measures_grid, terminal_table
    from smallcaps_assets.reports.spans import plain_measures

    check_page(html)
    spans = chosen_spans(settings, store, "watchlist", compare)
    figures = _gather(settings, store, spans)
    measures = density_measures(figures)
    if html is not None:
        write_file(html, density_page(figures, settings.market.name).encode(), "--html")
    if compare is None:
        _show(settings, store, by, is_json)
    elif is_json:
        echo_json(plain_measures(measures, spans))
    else:
        wide_console().print(terminal_table(measures_grid(measures, spans, "density")))
    if html is not None and not is_json:
        wide_console().print(f"page  {html}", soft_wrap=True, markup=False)


def _gather(settings: Settings, store: Lake, spans: list[Span]) -> list[DensityFigures]:
    from smallcaps_assets.cli.density_figures import density_figures, sessions_to_read

    found = []
    with progress_bar(Console(stderr=True)) as progress:
        total = sum(sessions_to_read(store, span) for span in spans)
        task = progress.add_task("sessions", total=total, note="")
        for span in spans:
            progress.update(task, note=span.name)
            found.append(
                density_figures(settings, store, span, lambda n: progress.advance(task, n))
            )
    return found


def _show(settings: Settings, store: Lake, by: str, is_json: bool) -> None:
    """The two tables."""
    watchlist = store.scan("watchlist").select("date", "ticker", "rule").collect()
    sessions = store.keys("watchlist")
    days = selected_days(
        watchlist, pl.Series(sessions).str.to_date(), "1mo" if by == "month" else "1y"
    )
    costs = _costs(settings, store, watchlist, sessions)
    if is_json:
        ticks = [{"period": n, "is_fetched": t, "table": f, **asdict(c)} for n, t, f, c in costs]
        echo_json({"selected_days": plain_rows(days), "cost_of_ticks": ticks})
        return
    console = wide_console()
    console.print(_days_table(days, by))
    console.print(_costs_table(costs))


def _costs(
    settings: Settings, store: Lake, watchlist: pl.DataFrame, sessions: list[str]
) -> list[tuple[str, bool | None, str, TickCost]]:
    """What the trades and the quotes of the days selected in each period would cost, and whether
    sensors fetch them; at the end those of the sessions that no period covers, if any."""
    from smallcaps_assets.cli.density_figures import tick_cost, tick_days

    left = set(sessions)
    found: list[tuple[str, bool | None, str, TickCost]] = []

    def add(name: str, is_fetched: bool | None, keys: Iterable[str]) -> None:
        days = pl.Series(sorted(keys), dtype=pl.String).str.to_date()
        chosen = watchlist.filter(pl.col("date").is_in(days.implode()))
        wanted = tick_days(settings, store, chosen, sorted(keys))
        costs = ((table, tick_cost(settings, wanted, table)) for table in ("trades", "quotes"))
        found.extend((name, is_fetched, *cost) for cost in costs)

    for period in settings.dataset.periods:
        keys = {key for key in sessions if str(period.start) <= key <= str(period.last)}
        left -= keys
        add(period.name, period.ticks, keys)
    if left:
        add(NO_PERIOD, None, left)
    return found


def _days_table(days: pl.DataFrame, by: str) -> RichTable:
    table = _table("selected days", _DAYS)
    for row in days.iter_rows():
        numbers = (f"{value:,.1f}".removesuffix(".0") for value in row[2:])
        table.add_row(f"{row[0]:%Y-%m}" if by == "month" else str(row[0].year), row[1], *numbers)
    return table


def _costs_table(costs: list[tuple[str, bool | None, str, TickCost]]) -> RichTable:
    table = _table("what their ticks would cost", _COSTS)
    for name, is_fetched, feed, cost in costs:
        table.add_row(
            name,
            feed,
            f"{cost.ticker_sessions:,}",
            f"{cost.requests:,}",
            f"{cost.hours_free:,.1f}",
            f"{cost.hours_paid:,.2f}",
            f"{cost.gigabytes:,.2f}",
            _TICKS[is_fetched],
        )
    return table


def _table(title: str, columns: tuple[str, ...]) -> RichTable:
    table = RichTable(title=title)
    for name in columns:
        is_text = name in ("period", "table", "rule", "ticks")
        table.add_column(name, justify="left" if is_text else "right")
    return table
