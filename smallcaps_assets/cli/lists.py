"""`smallcaps watchlist` and `smallcaps runners`: what the rules have found by a session."""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.cli.output import show_rows
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.lake import Lake, scan
from smallcaps_assets.lake.selection import as_day, stored_keys

_WATCHED = ("ticker", "rule", "known_at", "price", "change", "relative_volume", "dollar_volume")


def show_watchlist(
    market: str | None,
    lake: str | None,
    overrides: tuple[str, ...],
    config: str | None,
    day: str | None,
    is_json: bool,
    is_csv: bool,
) -> int:
    """The ticker-days that a session's rules have selected, and when each was known."""
    rows, session = _of_session(market, lake, overrides, config, "watchlist", day)
    named = rows.sort("known_at", "ticker", "rule")
    shown = named if is_json or is_csv else named.select(_WATCHED)
    show_rows(shown, f"watchlist of {session}, times in UTC", is_json, is_csv)
    return 0


def show_runners(
    market: str | None,
    lake: str | None,
    overrides: tuple[str, ...],
    config: str | None,
    day: str | None,
    is_json: bool,
    is_csv: bool,
) -> int:
    """The tickers that were info-rich most often in the 12 months up to a session."""
    rows, session = _of_session(market, lake, overrides, config, "runners", day)
    show_rows(rows, f"runners of the 12 months to {session}", is_json, is_csv)
    return 0


def _of_session(
    market: str | None,
    lake: str | None,
    overrides: tuple[str, ...],
    config: str | None,
    table: str,
    day: str | None,
) -> tuple[pl.DataFrame, date]:
    """A session's rows of a table; by default those of the newest that is stored."""
    settings = settings_of(market, lake, overrides, config)
    store = stored_lake(settings)
    session = as_day(day, "DATE") or _newest(store, table)
    return scan(table, start=session, end=session, root=settings.lake.root).collect(), session


def _newest(lake: Lake, table: str) -> date:
    return date.fromisoformat(stored_keys(lake, table)[-1])
