"""`smallcaps watchlist`, `runners` and `volatile`: what the rules have found by a session."""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import show_rows
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.lake import Lake, scan
from smallcaps_assets.lake.selection import as_day, stored_keys
from smallcaps_assets.schemas import RULES

_WATCHED = ("ticker", "rule", "known_at", "price", "change", "relative_volume", "dollar_volume")


def show_watchlist(
    options: LakeOptions, day: str | None, rules: tuple[str, ...], is_json: bool, is_csv: bool
) -> int:
    """The ticker-days that a session's rules have selected, and when each was known."""
    rows, session = _of_session(options, "watchlist", day)
    order = pl.col("rule").cast(pl.Enum(RULES))
    chosen = rows.filter(pl.col("rule").is_in(rules or RULES)).sort(order, "known_at", "ticker")
    shown = (
        chosen if is_json or is_csv else chosen.select(_WATCHED).with_columns(_clock("known_at"))
    )
    show_rows(shown, f"watchlist of {session}, times in New York", is_json, is_csv)
    return 0


def _clock(name: str) -> pl.Expr:
    """An instant as the time of day in New York, to the second."""
    return pl.col(name).dt.convert_time_zone(NEW_YORK.key).dt.strftime("%H:%M:%S")


def show_runners(options: LakeOptions, day: str | None, is_json: bool, is_csv: bool) -> int:
    """The tickers that were info-rich most often in the 12 months up to a session."""
    rows, session = _of_session(options, "runners", day)
    show_rows(rows, f"runners of the 12 months to {session}", is_json, is_csv)
    return 0


def show_volatile(options: LakeOptions, day: str | None, is_json: bool, is_csv: bool) -> int:
    """The tickers with the largest gaps, volumes and ranges in the 12 months up to a session."""
    rows, session = _of_session(options, "volatile", day)
    show_rows(rows, f"volatile list of the 12 months to {session}", is_json, is_csv)
    return 0


def _of_session(
    options: LakeOptions,
    table: str,
    day: str | None,
) -> tuple[pl.DataFrame, date]:
    """A session's rows of a table; by default those of the newest that is stored."""
    settings = settings_of(options)
    store = stored_lake(settings)
    session = as_day(day, "DATE") or _newest(store, table)
    return scan(table, start=session, end=session, root=settings.lake.root).collect(), session


def _newest(lake: Lake, table: str) -> date:
    return date.fromisoformat(stored_keys(lake, table)[-1])
