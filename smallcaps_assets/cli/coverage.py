"""`smallcaps coverage`: which tickers each vendor table has, and why it lacks the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows
from smallcaps_assets.cli.setup import settings_of, stored_lake
from smallcaps_assets.lake import Empties, Empty, LakeError
from smallcaps_assets.reports.terminal import COVERAGE, coverage_table

_SHOWN = 20


def show_coverage(options: LakeOptions, csv: str | None, is_json: bool) -> int:
    """Print totals and the sessions with gaps, or give every row as CSV or JSON."""
    settings = settings_of(options)
    store = stored_lake(settings)
    rows = store.scan("coverage").sort("date", "table").collect()
    if csv is not None:
        _write(rows, Path(csv))
        return 0
    if is_json:
        echo_json(plain_rows(rows))
        return 0
    console = wide_console()
    console.print(coverage_table(totals(rows), f"lake {settings.lake.root}"))
    for row in gaps(rows).head(_SHOWN).iter_rows(named=True):
        lacking = ", ".join(f"{row[n]} {n}" for n in _GAPS if row[n]).replace("_", " ")
        reason = f": {row['reason']}" if row["reason"] else ""
        console.print(f"{row['date']} {row['table']} {lacking}{reason}", markup=False)
    for line in empty_lines(Empties(store).all()):
        console.print(line, soft_wrap=True, markup=False)
    return 0


_GAPS = ("not_entitled", "failed", "missing")


def totals(rows: pl.DataFrame) -> pl.DataFrame:
    """The number columns of coverage summed by table."""
    return rows.group_by("table", maintain_order=True).agg(pl.col(COVERAGE).sum())


def gaps(rows: pl.DataFrame) -> pl.DataFrame:
    """The sessions and tables that lack tickers, newest first."""
    return rows.filter(pl.sum_horizontal(_GAPS) > 0).sort("date", descending=True)


def empty_lines(empties: Sequence[Empty]) -> list[str]:
    """Empty answers where rows were expected, one line each, unconfirmed ones first."""
    ordered = sorted(empties, key=lambda empty: empty.is_confirmed)
    lines = [f"empty {empty.describe()}" for empty in ordered[:_SHOWN]]
    more = len(ordered) - _SHOWN
    return [*lines, f"empty: {more:,} more; `quality --json` gives all"] if more > 0 else lines


def _write(rows: pl.DataFrame, path: Path) -> None:
    try:
        rows.write_csv(path)
    except OSError as error:
        raise LakeError(f"{path} can't be written: {error}; name another file with --csv") from None
