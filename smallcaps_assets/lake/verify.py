"""Whether a stored file is what its name and its seal say.

The seal shows any changed byte. What the bytes say is checked too, because a defect or a copy to
the wrong place can seal nonsense: the footer, the contract and its version, the columns, the number
of rows, their order, and that all of them belong to the partition. What the rows mean was checked
when they were written; `is_deep` checks it again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.lake.file_identity import check_contract, footer_of, is_intact, stamp_in
from smallcaps_assets.lake.meta import META, is_described, meta_path
from smallcaps_assets.lake.paths import hive_keys
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES, ContractError, Partitioning, Table

if TYPE_CHECKING:
    from upath import UPath

BAD = "state/bad"
SMALL = 1 << 20


@dataclass(frozen=True)
class Finding:
    """What is wrong with one stored partition, or only with what its meta.json says of it."""

    table: str
    key: str
    problem: str
    is_of_meta: bool = False

    def __str__(self) -> str:
        return f"{self.table} {self.key}".strip() + f": {self.problem}"


def check_partition(
    lake: Lake, name: str, key: str, is_deep: bool = False
) -> tuple[list[Finding], int]:
    """What is wrong with a stored partition, and its bytes. Raises OSError if it can't be read."""
    try:
        data = lake.read_bytes(name, key or None)
    except FileNotFoundError:
        return [Finding(name, key, "is not stored")], 0
    found = [Finding(name, key, problem) for problem in _problems(lake, name, key, data, is_deep)]
    problem = _meta_problem(lake, name, key or None)
    if problem:
        found.append(Finding(name, key, f"its {META} {problem}", is_of_meta=True))
    return found, len(data)


def set_aside(lake: Lake, path: UPath) -> str:
    """Move a bad file out of its place, so that the next run makes it again; returns where to."""
    place = f"{BAD}/{path.relative_to(lake.root)}"
    lake.write_bytes(place, lake.whole(path))
    lake.remove_file(str(path.relative_to(lake.root)))
    return place


def _meta_problem(lake: Lake, name: str, key: str | None) -> str:
    """What is wrong with a partition's meta.json; the rows may be good without it."""
    try:
        data = lake.whole(meta_path(lake, name, key))
    except FileNotFoundError:
        data = None
    if data is not None and not is_intact(data):
        return "is damaged: the bytes are not those that were written"
    if is_described(lake, name, key):
        return ""
    fault = "is absent" if data is None else "tells of another file"
    return f"{fault}; the next run writes it again and leaves the rows as they are"


def _problems(lake: Lake, name: str, key: str, data: bytes, is_deep: bool) -> Iterator[str]:
    if not is_intact(data):
        yield "the bytes are not those that were written (checksum)"
        return
    stamp = stamp_in(footer_of(io.BytesIO(data)))
    try:
        check_contract(lake.path(name, key or None), TABLES[name], stamp)
    except LakeError as error:
        yield str(error)
        return
    if stamp is not None and stamp.table != name:
        yield f"holds the table {stamp.table}"
        return
    try:
        yield from _row_problems(TABLES[name], key, data, is_deep)
    except pl.exceptions.PolarsError as error:
        yield f"can't be decoded: {str(error).splitlines()[0]}"


def _row_problems(table: Table, key: str, data: bytes, is_deep: bool) -> Iterator[str]:
    source = io.BytesIO(data)
    columns = dict(pl.read_parquet_schema(source))
    if columns != table.columns:
        yield "its columns are not those of the contract"
        return
    held = partition_values(table, key)
    order = [name for name in table.key if name not in held]
    rows, column = _columns(source, [*held, *order], is_small=len(data) <= SMALL)
    for name, value in held.items():
        strange = rows - int((column(name) == value).sum())
        if strange:
            yield f"{strange} rows have another {name} than {value}"
    if not is_ordered(map(column, order), rows):
        yield f"the rows do not ascend by {', '.join(table.key)}, each once"
    if is_deep:
        try:
            table.validate(pl.read_parquet(source, hive_partitioning=False))
        except ContractError as error:
            yield str(error)


def is_ordered(columns: Iterable[pl.Series], rows: int) -> bool:
    """Whether a number of rows strictly ascends by some columns, nulls first.

    A column is only asked for when the ones before it leave rows tied.
    """
    tied: pl.Series | None = None
    for column in columns:
        if len(column) != rows:
            return False
        here, after = column.head(max(rows - 1, 0)), column.tail(max(rows - 1, 0))
        same, less = here == after, here < after
        if column.null_count():
            same = here.eq_missing(after)
            less = less.fill_null(False) | (here.is_null() & after.is_not_null())
        good = less | same
        if not (good if tied is None else good | ~tied).all():
            return False
        tied = same if tied is None else tied & same
        if not tied.any():
            return True
    return rows <= 1


def partition_values(table: Table, key: str) -> dict[str, date | str | int]:
    """The values that every row of a partition must have, by column.

    A month is the date of its first day. A ticker's history has the symbols of former times, and
    the union has rows of all periods.
    """
    values = hive_keys(table, key or None)
    has_ticker = table.partitioning is Partitioning.TICKER_SESSION
    found: dict[str, date | str | int] = {"ticker": values["ticker"]} if has_ticker else {}
    if "date" in values:
        found["date"] = date.fromisoformat(values["date"])
    if "month" in values:
        found["month"] = date.fromisoformat(f"{values['month']}-01")
    if "year" in values:
        found["year"] = int(values["year"])
    return found


def _columns(
    source: io.BytesIO, names: list[str], is_small: bool
) -> tuple[int, Callable[[str], pl.Series]]:
    """Rows of a file, and a way to each column: those of a small file are read together, which
    takes less time, of others one by one, which takes less memory."""

    def read(columns: list[str]) -> pl.DataFrame:
        return pl.read_parquet(source, columns=columns, hive_partitioning=False)

    if is_small:
        frame = read(names)
        return frame.height, frame.get_column
    rows = pl.scan_parquet(source).select(pl.len()).collect().item()
    return rows, lambda name: read([name])[name]
