"""The footer of a stored file: which contract, code and settings made it.

The stamp is key-value metadata of Parquet. A file of another version of its contract is refused
here, with what to do; how its rows are brought to the present version is in `migrate.py`.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl

from smallcaps_assets import __version__
from smallcaps_assets.lake.errors import DamagedFileError, UnknownContractError
from smallcaps_assets.lake.scope import Scope
from smallcaps_assets.lake.seal import NAME
from smallcaps_assets.schemas import Table

if TYPE_CHECKING:
    from upath import UPath

FOOTER = 1 << 16
_VERSION = re.compile(rb"smallcaps_version..([0-9]+)", re.DOTALL)


@dataclass(frozen=True)
class Stamp:
    """What a file's footer says about its making.

    `scope` says which tickers are in it, see `Scope`. `inputs` is a digest of the files that it was
    made from; another digest means that they have changed since. `source` names the flat file that
    raw rows came from, with its ETag.
    """

    table: str
    version: int
    config: str
    scope: str = str(Scope())
    inputs: str = ""
    source: str = ""
    code: str = __version__

    def as_metadata(self) -> dict[str, str]:
        """Key-value metadata of the Parquet footer."""
        return {f"smallcaps_{name}": str(value) for name, value in self.__dict__.items()}

    @staticmethod
    def of(metadata: dict[str, str]) -> Stamp | None:
        """The stamp in a footer, or None when the file is not of this project."""
        known = {field.name for field in fields(Stamp)}
        values: dict[str, Any] = {
            name: value
            for key, value in metadata.items()
            if (name := key.removeprefix("smallcaps_")) != key and name in known
        }
        if not {"table", "version", "config"} <= values.keys() or NAME not in metadata:
            return None
        return Stamp(**{**values, "version": int(values["version"])})


def footer_of(file: BinaryIO) -> bytes:
    """The end of a Parquet file from its footer on."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - FOOTER))
    end = file.read()
    length = footer_length(end)
    if len(end) < length <= size:
        file.seek(size - length)
        end = file.read()
    return end[-length:]


def footer_length(end: bytes) -> int:
    """Bytes of a footer from the last bytes of its file."""
    return 8 + int.from_bytes(end[-8:-4], "little")


def has_version(footer: bytes, version: int) -> bool:
    """Whether a footer is stamped with a version; tells in a microsecond what `stamp_in` parses."""
    found = _VERSION.search(footer)
    return found is not None and int(found[1]) == version and NAME.encode() in footer


def stamp_in(footer: bytes) -> Stamp | None:
    """The stamp of a footer; None when there is none of this project."""
    try:
        return Stamp.of(pl.read_parquet_metadata(io.BytesIO(b"PAR1" + footer)))
    except (pl.exceptions.PolarsError, ValueError):
        return None


def check_contract(path: Path | UPath, table: Table, found: Stamp | None) -> None:
    """Raises UnknownContractError for another version, DamagedFileError for no stamp at all."""
    if found is None:
        raise DamagedFileError(
            f"{path} was not written by this project, or is damaged;"
            " `smallcaps verify --repair` marks it, and the next run makes it again"
        )
    if found.version == table.version:
        return
    remedy = "update the project" if found.version > table.version else "run `smallcaps migrate`"
    raise UnknownContractError(
        f"{path} has version {found.version} of the contract {table.name},"
        f" this code reads {table.version}; {remedy}"
    )
