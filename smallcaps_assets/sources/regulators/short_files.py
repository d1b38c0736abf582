"""Daily short-volume files: FINRA's of off-exchange trades, and those of exchanges.

One reader for all of them, because they differ in little: names and order of the columns, the
separator, line ends, whole or fractional shares, whether exempt shares are told, and whether the
last line counts the records (FINRA's does and is held against them; the exchanges' files end
without, or with a blank line). Where the files come from is in `finra.py` and `exchanges.py`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date, time

import polars as pl

from smallcaps_assets.domain.market.calendar import new_york_ns
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer, TruncatedAnswer, WrongContent
from smallcaps_assets.sources.regulators import text_tables
from smallcaps_assets.sources.symbols import from_finra

FINRA_KNOWN_AT = time(18)
_COLUMNS = {
    "date": "day",
    "symbol": "symbol",
    "shortvolume": "short_volume",
    "shortexemptvolume": "short_exempt_volume",
    "totalvolume": "total_volume",
    "market": "venues",
}
_OPTIONAL = "short_exempt_volume"
_VOLUMES = ("short_volume", _OPTIONAL, "total_volume")


@dataclass(frozen=True)
class ShortVolumeFile:
    """A day's file: its rows, and the SHA-256 of its bytes (files get corrected)."""

    frame: pl.DataFrame
    sha256: str


def short_volume_file(body: bytes, day: date, path: str = "") -> ShortVolumeFile:
    """A FINRA file of the whole market, in the columns of the table short_volume."""
    return ShortVolumeFile(parse_short_volume(body, day, path), sha256(body))


def sha256(body: bytes) -> str:
    """The SHA-256 of a file's bytes, as hex."""
    return hashlib.sha256(body).hexdigest()


def parse_short_volume(body: bytes, day: date, path: str = "") -> pl.DataFrame:
    """The bytes of a FINRA file as ShortVolume; a file without records gives an empty frame.

    Raises TruncatedAnswer when the record count is missing or differs, BadAnswer when the layout
    is another, WrongContent when it is no such file, a record is of another day or a symbol comes
    twice.
    """
    raw = read_short_file(body, day, path, has_trailer=True)
    if _OPTIONAL not in raw.columns:
        raise BadAnswer("no column 'shortexemptvolume' in the header", path=path)
    return TABLES["short_volume"].conform(with_known_at(raw, day, FINRA_KNOWN_AT))


def with_known_at(raw: pl.DataFrame, day: date, clock: time) -> pl.DataFrame:
    """Rows of a file with session, our ticker, and publication at a New York time of the day."""
    return raw.with_columns(
        pl.lit(day).alias("date"),
        from_finra("symbol").alias("ticker"),
        pl.lit(new_york_ns(day, clock)).cast(INSTANT).alias("known_at"),
    )


def read_short_file(body: bytes, day: date, path: str, *, has_trailer: bool) -> pl.DataFrame:
    """Rows as they stand in a file: symbol, short_volume, total_volume, venues, and
    short_exempt_volume where the file has it.

    A last line that is a bare number counts the records; with `has_trailer` it must be there.
    Raises as `parse_short_volume`.
    """
    text_tables.refuse_page(body, path)
    text = text_tables.lines_of(text_tables.decoded(body, path))
    if not text:
        raise TruncatedAnswer("an empty file; even one without records has a header", path=path)
    header, _, rest = text.partition("\n")
    columns, separator = _layout(header, path)
    rest = _without_count(rest, separator, has_trailer, path)
    if separator == ",":  # venues are a comma list themselves: only the last column may hold more
        rest = "\n".join("|".join(x.split(",", len(columns) - 1)) for x in rest.splitlines())
        separator = "|"
    raw = _numbers(text_tables.records(rest, columns, separator, path), path)
    _check(raw, day, path)
    return raw.select(name for name in _COLUMNS.values() if name in columns and name != "day")


def _layout(header: str, path: str) -> tuple[list[str], str]:
    """Column names, ours, and the separator; names may have blanks and any case."""
    separator = max("|,\t;", key=header.count)
    names = [re.sub(r"[^a-z]", "", name.lower()) for name in header.split(separator)]
    needed = [name for name, ours in _COLUMNS.items() if ours != _OPTIONAL]
    missing = [name for name in needed if name not in names]
    if missing:
        raise BadAnswer(f"no column {missing[0]!r} in the header {header[:80]!r}", path=path)
    twice = [name for name in _COLUMNS if names.count(name) > 1]
    if twice:
        raise BadAnswer(f"column {twice[0]!r} comes twice in the header", path=path)
    return [_COLUMNS.get(name, f"_{position}") for position, name in enumerate(names)], separator


def _without_count(rest: str, separator: str, has_trailer: bool, path: str) -> str:
    """The records without the line that counts them, and their number held against it."""
    before, _, last = rest.rpartition("\n")
    announced = text_tables.count_in(last.strip().strip(separator))
    if announced is None:
        if has_trailer:
            raise TruncatedAnswer("the line that counts the records is missing", path=path)
        return rest
    count = before.count("\n") + 1 if before else 0
    if announced != count:
        raise TruncatedAnswer(f"{count} records came, {announced} counted", path=path)
    return before


def _numbers(raw: pl.DataFrame, path: str) -> pl.DataFrame:
    """`raw` with volumes as numbers. Raises BadAnswer where one is none."""
    volumes = [name for name in _VOLUMES if name in raw.columns]
    typed = raw.with_columns(pl.col(volumes).str.strip_chars().cast(pl.Float64, strict=False))
    for name in volumes:
        if typed[name].null_count() or not typed[name].is_finite().all() or (typed[name] < 0).any():
            raise BadAnswer(f"{name} is no number of shares somewhere", path=path)
    for name in ("symbol", "venues"):
        if typed[name].null_count():
            raise BadAnswer(f"{name} is empty somewhere", path=path)
    return typed


def _check(raw: pl.DataFrame, day: date, path: str) -> None:
    wanted = f"{day:%Y%m%d}"
    if not (raw["day"] == wanted).fill_null(False).all():
        others = raw.filter(pl.col("day").ne_missing(wanted))["day"].unique().sort().head(3)
        raise WrongContent(f"records of {others.to_list()} in the file of {day}", path=path)
    if raw["symbol"].n_unique() != raw.height:
        twice = raw.filter(pl.col("symbol").is_duplicated())["symbol"].unique().sort().head(3)
        raise WrongContent(f"symbols {twice.to_list()} come twice", path=path)
