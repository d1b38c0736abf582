"""Short volume of the exchanges themselves, from files in a local folder.

Nasdaq and NYSE sell these files, older ones were free; a user who has them names their folder. A
file is called by its exchange and date, such as `NQBXshvol20210127.txt` or `.zip`, `.gz`; every
layout of `short_files.py` is read, with or without a line that counts the records.
"""

from __future__ import annotations

import re
from datetime import date, time
from pathlib import Path

import polars as pl

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import NotConfigured, NotFound, TruncatedAnswer
from smallcaps_assets.sources.http.transport import decompress
from smallcaps_assets.sources.regulators.fails import unzipped
from smallcaps_assets.sources.regulators.short_files import read_short_file, sha256, with_known_at

KNOWN_AT = time(23, 59, 59)
_NAME = re.compile(r"([A-Za-z]+?)_?shvol_?(\d{8})\.(txt|csv|zip|txt\.gz|csv\.gz)", re.IGNORECASE)
_EXEMPT = "short_exempt_volume"


def exchange_files(folder: str, day: date) -> dict[str, Path]:
    """Files of a session by what stands before the date in their names.

    Raises NotConfigured when no folder is set, NotFound when it is none.
    """
    if not folder:
        raise NotConfigured(
            "no folder of exchanges' files is configured",
            remedy="set short.exchange_dir to the folder of the files you have",
        )
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise NotFound(f"the folder {folder!r} does not exist", remedy="mend short.exchange_dir")
    found: dict[str, Path] = {}
    for file in sorted(path.rglob(f"*{day:%Y%m%d}*")):
        match = _NAME.fullmatch(file.name)
        if match and match[2] == f"{day:%Y%m%d}":
            found.setdefault(match[1].upper(), file)
    return found


def exchange_short_volume(folder: str, day: date) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table exchange_short_volume of a session, and the SHA-256 of each file.

    Raises as `exchange_files`, NotFound when the folder has no file of the session, and as
    `parse_short_volume` naming the file.
    """
    files = exchange_files(folder, day)
    if not files:
        raise NotFound(f"no file of {day} in {folder!r}", remedy="add it, or choose other sessions")
    table = TABLES["exchange_short_volume"]
    bodies = {name: _content(path) for name, path in files.items()}
    frames = [_frame(name, body, day, files[name].name) for name, body in bodies.items()]
    hashes = {name: sha256(body) for name, body in bodies.items()}
    return table.conform(pl.concat(frames, how="diagonal_relaxed")), hashes


def _frame(name: str, body: bytes, day: date, file_name: str) -> pl.DataFrame:
    raw = read_short_file(body, day, file_name, has_trailer=False)
    found = with_known_at(raw, day, KNOWN_AT).with_columns(pl.lit(name).alias("file"))
    has_exempt = _EXEMPT in raw.columns
    return found if has_exempt else found.with_columns(pl.lit(None, pl.Float64).alias(_EXEMPT))


def _content(path: Path) -> bytes:
    body = path.read_bytes()
    if path.suffix.lower() == ".zip":
        return unzipped(body, path.name)
    if path.suffix.lower() != ".gz":
        return body
    try:
        return decompress(body, "gzip")
    except ValueError as problem:
        raise TruncatedAnswer(str(problem), path=path.name) from None
