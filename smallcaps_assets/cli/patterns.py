"""`smallcaps patterns`: hit rates of the pattern events by pattern, rule and year.

Tables in the terminal or JSON; with `--html` a page with a chart of a typical event of each
pattern. Nothing is contacted, nothing in the lake changes.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows, write_file
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.cli.spans import check_page
from smallcaps_assets.domain.patterns.hit_rates import GROUPS, hit_rates, typical_events
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.selection import stored_keys
from smallcaps_assets.settings import Settings

_KNOWN = "Events from the moment on at which some rule had admitted their day."
_ALL = (
    "All events, also those before their day had been admitted: such a day was chosen by what"
    " followed, so that these rates could not have been had."
)
_EVENT = ["ticker", "date", "event_id", "level", "is_selection_known"]


def show_patterns(options: LakeOptions, is_all: bool, html: str | None, is_json: bool) -> int:
    """Print the tables, or JSON, and write the page."""
    settings = settings_of(options)
    store = stored_lake(settings)
    check_page(html)
    found = labelled_events(store, stored_keys(store, "pattern_labels"))
    events = found if is_all else found.filter("is_selection_known")
    rates = {by: hit_rates(events, by) for by in GROUPS}
    if html is not None:
        words = _ALL if is_all else _KNOWN
        write_file(html, _page(settings, store, events, rates, words).encode(), "--html")
    if is_json:
        echo_json({f"by_{by}": plain_rows(found) for by, found in rates.items()})
        return 0
    from smallcaps_assets.reports.pattern_page import rate_grid
    from smallcaps_assets.reports.sections import terminal_table

    console = wide_console()
    console.print(_ALL if is_all else _KNOWN, soft_wrap=True)
    for by, found in rates.items():
        console.print(terminal_table(rate_grid(found, by)))
    if html is not None:
        console.print(f"page  {html}", soft_wrap=True, markup=False)
    return 0


def labelled_events(lake: Lake, keys: list[str]) -> pl.DataFrame:
    """Labels of the events of some ticker-sessions with their level, and the rules that selected
    their day."""
    labels = lake.read_many("pattern_labels", keys)
    events = lake.read_many("pattern_events", lake.keys("pattern_events"), _EVENT)
    days = lake.read("ticker_sessions", columns=["ticker", "date", "rules", "is_qualified"])
    qualified = days.filter("is_qualified").drop("is_qualified")
    found = labels.join(events, on=_EVENT[:3]).join(qualified, on=["ticker", "date"])
    return found.sort("t0", "ticker", "event_id")


def _page(
    settings: Settings,
    lake: Lake,
    events: pl.DataFrame,
    rates: dict[str, pl.DataFrame],
    words: str,
) -> str:
    from smallcaps_assets.cli.day import any_day
    from smallcaps_assets.reports.pattern_page import PatternFigures, pattern_page
    from smallcaps_assets.reports.spans import Span

    instants = [name for name, kind in events.schema.items() if isinstance(kind, pl.Datetime)]
    rows = typical_events(events).with_columns(pl.col(instants).cast(pl.Int64))
    typical = [
        (row, any_day(settings, lake, row["ticker"], row["date"]))
        for row in rows.iter_rows(named=True)
    ]
    days = [key.rpartition("_")[2] for key in lake.keys("pattern_labels")]
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    figures = PatternFigures(Span(f"{first} to {last}", first, last), rates, typical)
    return pattern_page(figures, settings.market.name, words)
