"""Tables for the terminal: what a run built, and how complete a lake is.

Rows come in as plain tuples; printing them belongs to the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl
from rich import box
from rich.markup import escape
from rich.table import Table

from smallcaps_assets.reports import human

_COVERAGE_ALARMS = {"not_entitled": "yellow", "failed": "bold red", "missing": "yellow"}
COVERAGE = ("expected", "got", "empty", *_COVERAGE_ALARMS)


class SummaryRow(NamedTuple):
    """What a run did with one table; `seconds` is None where it was not timed."""

    table: str
    partitions: int
    rows: int
    bytes: int
    seconds: float | None
    failed: int


class StatusRow(NamedTuple):
    """How much of one table is stored, against what a complete lake would hold.

    `defects` counts partitions that are stored and whose newest check says: don't use it. `empty`
    partitions, or parts of them, came without rows although some are expected; of these
    `unconfirmed` are read again. `outdated` is None where it was not looked at.
    """

    table: str
    partitioning: str
    expected: int
    present: int
    missing: int
    failed: int
    defects: int
    bytes: int
    latest: str
    empty: int
    unconfirmed: int
    outdated: int | None = None


def summary_table(rows: Sequence[SummaryRow | tuple[Any, ...]], title: str = "") -> Table:
    """The table that ends `smallcaps run`, with a line of totals."""
    items = [SummaryRow._make(row) for row in rows]
    table = _table(title, "table", "partitions", "rows", "size", "time", "failed")
    for row in items:
        _add(table, row, row.table)
    if items:
        table.add_section()
        _add(table, total_of(items), "total")
    return table


def total_of(rows: Sequence[SummaryRow]) -> SummaryRow:
    """The sum of summary rows."""
    timed = [row.seconds for row in rows if row.seconds is not None]
    return SummaryRow(
        "total",
        sum(row.partitions for row in rows),
        sum(row.rows for row in rows),
        sum(row.bytes for row in rows),
        sum(timed) if timed else None,
        sum(row.failed for row in rows),
    )


def status_table(rows: Sequence[StatusRow | tuple[Any, ...]], title: str = "") -> Table:
    """The table of `smallcaps status`: partitions expected, present, missing, failed, and stored
    with a defect.

    Tables of which nothing is expected and nothing stored share the caption.
    """
    items = [row if isinstance(row, StatusRow) else StatusRow(*row) for row in rows]
    is_looked_at = any(row.outdated is not None for row in items)
    stale = ("out of date",) if is_looked_at else ()
    numbers = (
        *("expected", "present", "missing", *stale, "failed", "defects", "unconfirmed"),
        *("size", "latest"),
    )
    table = _table(title, "table", *numbers)
    unused = [row.table for row in items if not row.expected and not row.present]
    if unused:
        table.caption = f"not requested: {', '.join(unused)}"
        table.caption_justify = "left"
    for row in (row for row in items if row.table not in unused):
        table.add_row(
            escape(row.table),
            human.count(row.expected),
            human.count(row.present),
            _alarm(row.missing, "yellow"),
            *([_alarm(row.outdated or 0, "yellow")] if is_looked_at else []),
            _alarm(row.failed, "bold red"),
            _alarm(row.defects, "bold red"),
            _alarm(row.unconfirmed, "yellow"),
            human.size(row.bytes),
            escape(row.latest) or human.MISSING,
        )
    return table


def survey_table(rows: Sequence[Any], title: str = "") -> Table:
    """The table of `smallcaps run --dry-run`: what each step would find, of `main_job.Survey`."""
    table = _table(title, "step", "table", "partitions", "missing", "out of date")
    table.columns[1].justify = "left"
    for row in rows:
        alarms = (_alarm(number, "yellow") for number in (row.missing, row.outdated))
        table.add_row(escape(row.step), escape(row.table), human.count(row.partitions), *alarms)
    return table


def coverage_table(totals: pl.DataFrame, title: str = "") -> Table:
    """Of how many ticker-sessions each vendor table has rows, and what became of the others.

    `totals` has a row per table with the number columns of the coverage table, summed.
    """
    table = _table(title, "tickers x sessions", *(name.replace("_", " ") for name in COVERAGE))
    for row in totals.iter_rows(named=True):
        counts = (row[name] for name in ("expected", "got", "empty"))
        alarms = ((row[name], style) for name, style in _COVERAGE_ALARMS.items())
        table.add_row(
            escape(row["table"]), *map(human.count, counts), *(_alarm(*alarm) for alarm in alarms)
        )
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=escape(title) or None, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, row: SummaryRow, name: str) -> None:
    failed = f"[bold red]{row.failed:,}[/]" if row.failed else "0"
    table.add_row(
        escape(name),
        human.count(row.partitions),
        human.count(row.rows),
        human.size(row.bytes),
        human.duration(row.seconds),
        failed,
    )


def _alarm(number: int, style: str) -> str:
    return f"[{style}]{number:,}[/]" if number else "0"
