"""`smallcaps export`: rows of a table as one Parquet, CSV or Arrow file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from smallcaps_assets.cli.console import progress_bar, wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import flat
from smallcaps_assets.cli.setup import UserError, settings_of, stored_lake, ticker_list
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.reading import basis_of, frames
from smallcaps_assets.lake.scanning import groups
from smallcaps_assets.lake.selection import Selection, as_day, select
from smallcaps_assets.reports import human

FORMATS = (".parquet", ".csv", ".arrow")
Write = Callable[[pl.DataFrame], Any]


def run_export(
    options: LakeOptions,
    table: str,
    file: str,
    tickers: str | None,
    start: str | None,
    end: str | None,
    is_adjusted: bool,
    as_of: str | None,
    is_replaced: bool,
) -> int:
    """The command; the file is there whole or not at all."""
    settings = settings_of(options)
    path = _target(file, is_replaced)
    store = stored_lake(settings)
    basis = as_day(as_of, "--as-of")
    if basis and not is_adjusted:
        raise UserError("--as-of goes with --adjusted; add it or leave --as-of out")
    chosen = select(store, table, ticker_list(tickers), start, end or basis)
    console = wide_console()
    count = _export(console, store, chosen, path, basis_of(chosen, basis) if is_adjusted else None)
    size = human.size(path.stat().st_size)
    console.print(f"{count:,} rows of {table}, {size}: {path}", soft_wrap=True, markup=False)
    return 0


def _target(file: str, is_replaced: bool) -> Path:
    path = Path(file)
    if path.suffix not in FORMATS:
        raise UserError(f"{file}: the format follows the name; end it in {', '.join(FORMATS)}")
    if path.exists() and not is_replaced:
        raise UserError(f"{file} exists; name another file, or add --replace")
    return path


def _export(console: Console, lake: Lake, chosen: Selection, path: Path, as_of: date | None) -> int:
    """Write the rows group by group into a file beside, then put it in its place."""
    part, count, name = path.with_name(f".{path.name}.{os.getpid()}"), 0, chosen.table.name
    try:
        with _writer(part, path.suffix, chosen) as write, progress_bar(console) as progress:
            task = progress.add_task(name, total=len(chosen.keys), note="")
            for keys in groups(lake, name, chosen.keys):
                for rows in frames(lake, replace(chosen, keys=keys), as_of):
                    write(rows)
                    count += len(rows)
                progress.update(task, advance=len(keys), note=f"{count:,} rows")
        part.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} can't be written: {error.strerror or error}; name another file"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return count


@contextmanager
def _writer(path: Path, suffix: str, chosen: Selection) -> Iterator[Write]:
    """Appends frames to a file of a format."""
    if suffix == ".csv":
        with path.open("wb") as file:
            file.write(flat(chosen.table.empty()).write_csv().encode())
            yield lambda rows: flat(rows).write_csv(file, include_header=False)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = chosen.table.empty().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    is_arrow = suffix == ".arrow"
    place = str(path)
    with (
        pa.ipc.new_file(place, schema)
        if is_arrow
        else pq.ParquetWriter(place, schema, compression="zstd")
    ) as writer:
        yield lambda rows: writer.write_table(
            rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
        )
