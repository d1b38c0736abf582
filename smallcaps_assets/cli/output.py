"""What a command gives: rows as a table, JSON or CSV, and files that its options name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import polars as pl
from rich.markup import escape
from rich.table import Table

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.setup import UserError
from smallcaps_assets.lake.files import publish

SHOWN = 40
_WHOLE = 1e15


def show_rows(rows: pl.DataFrame, title: str, is_json: bool, is_csv: bool = False) -> None:
    """Print rows; the table ends after some of them and says so, the others have all."""
    if is_json:
        echo_json(plain_rows(rows))
    elif is_csv:
        click.echo(flat(rows).write_csv(), nl=False)
    else:
        console = wide_console()
        console.print(_table(rows.head(SHOWN), title))
        if len(rows) > SHOWN:
            left = f"{SHOWN} of {len(rows):,} rows; --json and --csv give all"
            console.print(left, style="dim")


def echo_json(values: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print values as one JSON document."""
    click.echo(json.dumps(values, indent=1, default=str))


def echo_values(values: Mapping[str, Any], width: int) -> None:
    """Print values a line each, behind their names."""
    for name, value in values.items():
        click.echo(f"{name.replace('_', ' '):<{width}} {value}")


def plain_rows(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows of JSON's types: days and instants as ISO 8601, numbers that are none as null."""
    instants = [n for n, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    texts = rows.with_columns(pl.col(instants).dt.to_string("iso:strict")) if instants else rows
    return [{n: _plain(v) for n, v in row.items()} for row in texts.iter_rows(named=True)]


def flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Lists as texts with blanks between, which a CSV file can hold."""
    lists = [name for name, kind in rows.schema.items() if isinstance(kind, pl.List)]
    return rows.with_columns(pl.col(n).cast(pl.List(pl.String)).list.join(" ") for n in lists)


def write_file(file: str, content: bytes, option: str) -> None:
    """Write what a user asked for with an option: it is there whole, or the file is as it was."""
    try:
        publish(Path(file), content)
    except OSError as error:
        raise UserError(
            f"{file} can't be written: {error.strerror or error}; name another file with {option}"
        ) from None


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(rows: pl.DataFrame, title: str) -> Table:
    table = Table(title=escape(title) or None, title_justify="left")
    for name, kind in rows.schema.items():
        table.add_column(escape(name), justify="right" if kind.is_numeric() else "left")
    for row in rows.iter_rows():
        table.add_row(*(escape(_shown(value)) for value in row))
    return table


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        is_whole = value.is_integer() and abs(value) < _WHOLE
        return f"{value:,.0f}" if is_whole else f"{value:,.6g}"
    return str(value)
