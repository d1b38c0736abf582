"""`smallcaps show`: one ticker-session as a card in the terminal and as a chart in a file."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows, write_file
from smallcaps_assets.cli.setup import UserError, settings_of, stored_lake
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.paths import encode
from smallcaps_assets.lake.selection import as_day, select
from smallcaps_assets.reports.human import nanoseconds

if TYPE_CHECKING:
    from smallcaps_assets.reports.days import DayView

FOLDER = "reports/days"


def show_day(
    options: LakeOptions, ticker: str, day: str, out: str | None, has_chart: bool, is_json: bool
) -> int:
    """Print the card; draw the chart into the lake, or into the named file."""
    settings = settings_of(options)
    store = stored_lake(settings)
    session = _session(store, ticker, day)
    if out is not None and Path(out).suffix not in (".png", ".html"):
        raise UserError(f"{out}: the format follows the name; end it in .png or .html")
    from smallcaps_assets.cli.day import any_day
    from smallcaps_assets.reports.day_card import day_card

    view = any_day(settings, store, ticker, session)
    if is_json:
        echo_json(_raw(view))
        return 0
    console = wide_console()
    console.print(day_card(view))
    if has_chart:
        console.print(f"chart  {draw_day(store, view, out)}", soft_wrap=True, markup=False)
    return 0


def _session(lake: Lake, ticker: str, day: str) -> date:
    """The requested session. Raises RequestError for a ticker or day that is not in the lake."""
    session = as_day(day, "DATE")
    assert session is not None
    select(lake, "daily_bars", (ticker,), session, session)
    return session


def draw_day(lake: Lake, view: DayView, out: str | None) -> str:
    """Write the chart; returns its path."""
    from smallcaps_assets.reports.day_card import day_page
    from smallcaps_assets.reports.day_plot import day_png

    if out is None:
        place = f"{FOLDER}/{encode(view.ticker)}_{view.date}.html"
        lake.write_bytes(place, day_page(view).encode())
        return str(lake.root / place)
    is_png = Path(out).suffix == ".png"
    write_file(out, day_png(view) if is_png else day_page(view).encode(), "--out")
    return out


def _raw(view: DayView) -> dict[str, Any]:
    """What the card says, as values."""
    labels = view.labels["label"]
    return {
        "ticker": view.ticker,
        "date": view.date,
        "name": view.name,
        "identity": view.identity,
        "has_trades": view.has_trades,
        "trades": len(view.ticks) if view.has_trades else None,
        "dollar_imbalance_bars": len(view.bars),
        "labels": {str(v): int((labels == v).sum()) for v in (1, 0, -1)},
        "patterns": plain_rows(view.patterns),
        "halts": [[_instant(start), _instant(end)] for start, end in view.halt_intervals],
        "rules": [rule for rule in view.rules.split(",") if rule],
        "eligible_from": _instant(view.eligible_from),
        "daily": dict(view.metrics),
    }


def _instant(moment: datetime | int | None) -> str | None:
    """UTC, ISO 8601."""
    if moment is None:
        return None
    return datetime.fromtimestamp(nanoseconds(moment) / 1e9, UTC).isoformat()
