"""Delimited text files of regulators and exchanges: encodings, lines, and cells as text.

What they have in common: a header, one record a line, no quoting, and encodings that changed over
the years. Which columns there are, what a cell means and how a file ends belongs to the readers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from smallcaps_assets.sources.errors import BadAnswer, WrongContent

_COUNT = re.compile(r"[0-9]{1,15}")
_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml")


def refuse_page(body: bytes, path: str) -> None:
    """Raises WrongContent when a web page came instead of a data file."""
    start = body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_PAGE):
        raise WrongContent("a web page came instead of a data file", path=path)


def decoded(body: bytes, path: str) -> str:
    """The text of a file: UTF-8, else cp1252, else latin-1.

    Raises WrongContent for UTF-16 and for binary content, which those would read as garbage.
    """
    if body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in body:
        raise WrongContent("the file is binary or UTF-16, not a text of one byte a sign", path=path)
    if body.isascii():
        return body.decode("ascii")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    return body.decode("latin-1")


def count_in(text: str) -> int | None:
    """The count that a text is; None when it is none, or beyond all reason."""
    return int(text) if _COUNT.fullmatch(text) else None


def lines_of(text: str) -> str:
    """`text` with line feeds only, and without blank lines at its end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip()


def records(text: str, columns: Sequence[str], separator: str, path: str) -> pl.DataFrame:
    """Lines with one cell per column, as text; an empty cell is null. `text` has no header.

    Raises BadAnswer naming the first line with another number of cells. Lines are counted from 2,
    since the header stands before them.
    """
    schema = dict.fromkeys(columns, pl.String)
    if not text:
        return pl.DataFrame(schema=schema)
    line = pl.DataFrame({"line": text.split("\n")}).with_row_index("number", 2)
    cells = pl.col("line").str.count_matches(separator, literal=True) + 1
    strange = line.lazy().filter(cells != len(columns)).select("number", cells).head(1).collect()
    if strange.height:
        number, count = strange.row(0)
        raise BadAnswer(f"line {number} has {count} cells, expected {len(columns)}", path=path)
    return pl.read_csv(
        text.encode(),
        has_header=False,
        separator=separator,
        quote_char=None,
        schema=schema,
    )


def whole_days(frame: pl.DataFrame, column: str, path: str) -> pl.DataFrame:
    """`frame` with a text column YYYYMMDD as dates. Raises BadAnswer for anything else."""
    parsed = frame.with_columns(pl.col(column).str.to_date("%Y%m%d", strict=False))
    strange = frame.filter(parsed[column].is_null())[column].head(1).to_list()
    if strange:
        raise BadAnswer(f"{strange[0]!r} in {column} is no date YYYYMMDD", path=path)
    return parsed
