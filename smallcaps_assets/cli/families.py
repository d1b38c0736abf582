"""`smallcaps families`: which kinds of days were selected, and how stable the kinds are.

Nothing is contacted, nothing in the lake changes.
"""

from __future__ import annotations

import polars as pl

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows, write_file
from smallcaps_assets.cli.setup import UserError, settings_of, stored_lake
from smallcaps_assets.cli.spans import check_page
from smallcaps_assets.domain.models.day_families import DESCRIPTORS, shares_by_year, stability
from smallcaps_assets.lake.selection import stored_keys


def show_families(options: LakeOptions, html: str | None, is_json: bool) -> int:
    """Print the tables, or JSON, and write the page."""
    settings = settings_of(options)
    store = stored_lake(settings)
    check_page(html)
    stored_keys(store, "day_families")
    days = store.read("day_families")
    if days.is_empty():
        raise UserError("no selected day has stored minutes, so that there are no families")
    by_year, stable = shares_by_year(days), stability(days, settings.families.share)
    if html is not None:
        from smallcaps_assets.pipeline.day_families import minutes_of
        from smallcaps_assets.reports.family_page import family_page

        clustered = days.filter(pl.col("family") >= 0)
        minutes = (rows for _, rows in minutes_of(store, clustered))
        page = family_page(days, by_year, stable, minutes, settings.market.name)
        write_file(html, page.encode(), "--html")
    if is_json:
        medians = days.group_by("family", "name").agg(pl.len(), pl.col(DESCRIPTORS).median())
        told = {"families": medians.sort("family"), "by_year": by_year, "stability": stable}
        echo_json({name: plain_rows(rows) for name, rows in told.items()})
        return 0
    from smallcaps_assets.reports.family_page import family_grid, stability_grid, year_grid
    from smallcaps_assets.reports.sections import terminal_table

    console = wide_console()
    for grid in (family_grid(days), year_grid(by_year), stability_grid(stable)):
        console.print(terminal_table(grid))
    if html is not None:
        console.print(f"page  {html}", soft_wrap=True, markup=False)
    return 0
