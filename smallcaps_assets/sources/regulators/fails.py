"""The SEC's fails-to-deliver: what a half-month's zip must look like, and its rows.

One pipe-separated text in a zip, ended by two lines that count the rows and sum the shares; both
are held against the rows. Descriptions may hold the separator, prices may be a dot, symbols may be
missing, and `NA` and `TRUE` are symbols. Where the files lie is in `sec.py`.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from datetime import date

import polars as pl

from smallcaps_assets.domain.feeds.publication import fails_known_at
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer, TruncatedAnswer, WrongContent
from smallcaps_assets.sources.regulators import text_tables

LARGEST = 100_000_000
# What the zipfile of Python 3.11 raises on spoiled archives.
BAD_ZIP: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
"""Bytes of an unpacked file; real ones have four million (2022)."""
LONGEST_SPAN = 3
"""Days by which a settlement date may lie outside its half: the split is the SEC's own."""
_HEADER = ("settlementdate", "cusip", "symbol", "quantity(fails)", "description", "price")
_COLUMNS = ("settlement_date", "cusip", "symbol", "quantity", "description", "price")
_ROWS = re.compile(r"Trailer record count\s+([0-9]{1,15})\s*$", re.IGNORECASE)
_SHARES = re.compile(r"Trailer total quantity of shares\s+([0-9]{1,15})\s*$", re.IGNORECASE)


def unzipped(body: bytes, path: str) -> bytes:
    """The one file in a zip, at most LARGEST bytes.

    Raises WrongContent for a web page, several members, a member with a path in its name, or too
    large a one; TruncatedAnswer for a damaged or cut zip.
    """
    text_tables.refuse_page(body, path)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            member = _only_member(archive, path)
            with archive.open(member) as file:
                content = file.read(LARGEST + 1)
    except BAD_ZIP as problem:
        raise TruncatedAnswer(f"the zip is cut or damaged: {problem}", path=path) from None
    if len(content) > LARGEST:
        raise _bomb(path)
    return content


def _only_member(archive: zipfile.ZipFile, path: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        names = [member.filename for member in members[:3]]
        raise WrongContent(f"{len(members)} files in the zip, {names}; expected one", path=path)
    (member,) = members
    if re.search(r"[/\\:]|\.\.", member.filename):
        raise WrongContent(f"a path in the zip: {member.filename!r}; expected a name", path=path)
    if member.file_size > LARGEST:
        raise _bomb(path)
    return member


def _bomb(path: str) -> WrongContent:
    return WrongContent(f"the zip unpacks to more than {LARGEST:,} bytes", path=path)


def parse_fails(body: bytes, half_month: date, path: str = "") -> pl.DataFrame:
    """The text of the file of the half-month that begins on `half_month`, as fails_to_deliver.

    Raises TruncatedAnswer when a trailer is missing or differs, BadAnswer for another layout,
    WrongContent for a settlement date of another half-month.
    """
    text_tables.refuse_page(body, path)
    text = text_tables.lines_of(text_tables.decoded(body, path))
    lines, rows, shares = _without_trailers(text, path)
    header, _, rest = lines.partition("\n")
    names = tuple(name.replace(" ", "").lower() for name in header.split("|"))
    if names != _HEADER:
        raise BadAnswer(f"the header is {header[:80]!r}, not that of fails", path=path)
    raw = _typed(_cells(rest, path), path)
    if raw.height != rows:
        raise TruncatedAnswer(f"{raw.height} rows came, {rows} counted", path=path)
    if int(raw["quantity"].sum()) != shares:
        raise TruncatedAnswer(f"{raw['quantity'].sum()} shares came, {shares} counted", path=path)
    _check_days(raw, half_month, path)
    return _as_table(raw, half_month)


def _without_trailers(text: str, path: str) -> tuple[str, int, int]:
    """The lines before the two trailers, and what these say."""
    body, _, last = text.rpartition("\n")
    body, _, last_but_one = body.rpartition("\n")
    rows, shares = _ROWS.match(last_but_one), _SHARES.match(last)
    if rows is None or shares is None:
        raise TruncatedAnswer("the two lines that count rows and shares are missing", path=path)
    return body, int(rows[1]), int(shares[1])


def _cells(rest: str, path: str) -> pl.DataFrame:
    """Six cells a line; the description is what lies between the fourth and the last separator."""
    if not rest:
        return pl.DataFrame(schema=dict.fromkeys(_COLUMNS, pl.String))
    lines = pl.DataFrame({"line": rest.split("\n")})
    usual = pl.col("line").str.count_matches("|", literal=True) == len(_COLUMNS) - 1
    if lines.select(usual.all()).item():
        return text_tables.records(rest, _COLUMNS, "|", path)
    pattern = r"^([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|(.*)\|([^|]*)$"
    parts = lines.select(pl.col("line").str.extract_groups(pattern).alias("parts"))
    cells = parts.unnest("parts").rename(dict(zip("123456", _COLUMNS, strict=True)))
    bad = cells["settlement_date"].is_null()
    if bad.any():
        number = int(bad.arg_true()[0]) + 2
        raise BadAnswer(f"line {number} has fewer than {len(_COLUMNS)} cells", path=path)
    return cells.with_columns(pl.all().replace("", None))


def _typed(cells: pl.DataFrame, path: str) -> pl.DataFrame:
    dated = text_tables.whole_days(cells, "settlement_date", path)
    typed = dated.with_columns(
        pl.col("cusip", "symbol").str.strip_chars().replace("", None),
        pl.col("description").str.strip_chars().replace("", None),
        pl.col("quantity").str.strip_chars().cast(pl.Int64, strict=False),
        pl.col("price").str.strip_chars().replace([".", ""], None).cast(pl.Float64, strict=False),
    )
    is_price = pl.col("price").str.strip_chars().is_in([".", ""]).not_()
    lost = cells.select(is_price.fill_null(False)).to_series() & typed["price"].is_null()
    for name, is_bad in (
        ("quantity", typed["quantity"].is_null() | (typed["quantity"] < 0)),
        ("cusip", typed["cusip"].is_null()),
        ("price", lost | (typed["price"] < 0).fill_null(False)),
    ):
        if is_bad.any():
            number, value = int(is_bad.arg_true()[0]), cells[name].filter(is_bad)[0]
            raise BadAnswer(f"{name} {value!r} in line {number + 2} makes no sense", path=path)
    return typed.with_columns(pl.col("price").replace(0.0, None))


def _check_days(raw: pl.DataFrame, half_month: date, path: str) -> None:
    """Settlement dates lie in the half, or just beside it."""
    first = half_month.day - LONGEST_SPAN if half_month.day > 1 else 1
    last = 31 if half_month.day > 1 else 15 + LONGEST_SPAN
    month = pl.col("settlement_date").dt.strftime("%Y-%m") == f"{half_month:%Y-%m}"
    inside = month & pl.col("settlement_date").dt.day().is_between(first, last)
    others = raw.filter(~inside)["settlement_date"].unique().sort().head(3)
    if len(others):
        days = [str(day) for day in others]
        raise WrongContent(f"settlement dates {days} in the half of {half_month}", path=path)


def _as_table(raw: pl.DataFrame, half_month: date) -> pl.DataFrame:
    key = ("settlement_date", "cusip")
    known = pl.lit(fails_known_at(half_month)).cast(INSTANT)
    return TABLES["fails_to_deliver"].conform(
        raw.sort(*key, "symbol", "quantity", "price").with_columns(
            pl.lit(half_month).alias("half_month"),
            pl.int_range(pl.len()).over(key).alias("sequence"),
            known.alias("known_at"),
        )
    )
