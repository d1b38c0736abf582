"""What a stored file is: its seal, for its bytes; its stamp, for its making; its earlier versions.

The seal is the SHA-256 of the whole file, written into the file itself. The digest is taken with 64
zeros in the seal's place, and then put there. Any byte that changes afterwards, the seal's own
included, no longer fits. The file carries its own manifest: there is no second file to lose or to
be torn from it by a kill, a copy is as good as the original, and equal contents stay equal byte for
byte. It shows damage, not forgery: anybody can compute it.

The stamp, key-value metadata of Parquet, says which contract, code and settings made the file. A
file of another version of its contract is refused here, with what to do; how its rows are brought
to the present version is in `migrate.py`.

What a vendor has said once may be gone for good when it is asked again. So a raw file that is
replaced by another one stays recoverable for a while under `state/replaced`: by its time and the
beginning of its seal. Processed tables are not kept, they can be made again.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from smallcaps_assets import __version__
from smallcaps_assets.lake.errors import DamagedFileError, LakeError, UnknownContractError
from smallcaps_assets.lake.footers import FOOTER, footer_length, footer_of
from smallcaps_assets.lake.objects import objects_of
from smallcaps_assets.lake.scope import Scope
from smallcaps_assets.schemas import Table

if TYPE_CHECKING:
    from upath import UPath

__all__ = ["FOOTER", "footer_length", "footer_of"]
NAME = "smallcaps_seal"
BLANK = "0" * 64
_BLANK = BLANK.encode()
_SEALED = re.compile(NAME.encode() + rb".{2,4}?([0-9a-f]{64})", re.DOTALL)
_VERSION = re.compile(rb"smallcaps_version..([0-9]+)", re.DOTALL)
VERSIONS = "state/replaced"
KEEP_DAYS = 30.0
_VERSION_TIME = "%Y%m%dT%H%M%S.%fZ"


# The seal ----------------------------------------------------------------------------------------
def seal(data: bytes) -> bytes:
    """`data`, which holds the name of the seal followed by a blank, with its digest filled in.

    Raises ValueError when there is no blank.
    """
    place = _place(data)
    if place is None or data[place : place + 64] != _BLANK:
        raise ValueError(f"no blank {NAME} to fill")
    return b"".join((data[:place], hashlib.sha256(data).hexdigest().encode(), data[place + 64 :]))


def seal_of(data: bytes) -> str:
    """The seal in a file or its footer; empty when there is none."""
    place = _place(data)
    return "" if place is None else data[place : place + 64].decode()


def is_intact(data: bytes) -> bool:
    """Whether a file is, byte for byte, the one that was sealed."""
    place = _place(data)
    if place is None:
        return False
    view = memoryview(data)
    digest = hashlib.sha256(view[:place])
    digest.update(_BLANK)
    digest.update(view[place + 64 :])
    return digest.hexdigest().encode() == view[place : place + 64]


def _place(data: bytes) -> int | None:
    """Where the digits begin; the last seal counts, a Parquet file has it in its footer."""
    name = data.rfind(NAME.encode())
    found = _SEALED.match(data, name) if name >= 0 else None
    return found.start(1) if found else None


# The stamp ---------------------------------------------------------------------------------------
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


# Earlier versions --------------------------------------------------------------------------------
def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Version:
    """A file that was replaced at an instant (UTC); `name` is what it is asked for by."""

    name: str
    replaced_at: datetime
    path: UPath


def keep_version(
    root: UPath,
    path: UPath,
    old: str,
    new: str,
    clock: Callable[[], datetime] = _now,
    tag: str = "",
) -> None:
    """Keep a stored file that is about to be replaced by one with another seal.

    Its instant is later than that of every version before, also if the clock has been set back. Of
    an object only the one with the tag is kept; raises ConflictError when it is another by now.
    """
    if old == new:
        return
    earlier = [version.replaced_at for version in versions(root, path)]
    now = max([clock(), *(moment + timedelta(microseconds=1) for moment in earlier)])
    place = _folder(root, path) / f"{now.strftime(_VERSION_TIME)}-{old[:12] or 'unsealed'}.parquet"
    if isinstance(path, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        _link(path, Path(str(place)))
    else:
        objects_of(path.fs).copy(path.path, tag, place.path)


def versions(root: UPath, path: UPath) -> list[Version]:
    """What was kept of a file, oldest first."""
    folder = _folder(root, path)
    if isinstance(folder, Path):
        files = [*folder.iterdir()] if folder.exists() else []
    else:
        files = [folder / name.rpartition("/")[2] for name in _objects_below(folder)]
    found = sorted(files, key=lambda file: file.name)
    return [_version(file) for file in found if file.suffix == ".parquet"]


def version_of(root: UPath, path: UPath, name: str) -> Version:
    """The kept version of a name or the beginning of one. Raises LakeError unless there is one."""
    known = versions(root, path)
    found = [version for version in known if version.name.startswith(name)]
    if len(found) != 1:
        names = ", ".join(version.name for version in known) or "none"
        raise LakeError(f"{len(found)} versions begin with {name!r}; there are: {names}")
    return found[0]


def forget_versions(root: UPath, days: float) -> int:
    """Remove versions that were replaced longer ago. Returns their number."""
    base, limit = root / VERSIONS, datetime.now(UTC) - timedelta(days=days)
    if isinstance(base, Path):
        kept = list(base.rglob("*Z-*.parquet"))
    else:
        kept = [base / name for name in _objects_below(base) if "Z-" in name]
    old = [version for file in kept if (version := _version(file)).replaced_at < limit]
    for version in old:
        version.path.unlink(missing_ok=True)
    return len(old)


def _objects_below(folder: UPath) -> list[str]:
    """The names of the objects below a folder."""
    found = objects_of(folder.fs).entries(folder.path)
    return [path.removeprefix(f"{folder.path.rstrip('/')}/") for path in found]


def _link(path: Path, place: Path) -> None:
    """Another name for a file; it is not found while another process is putting a new one there."""
    while True:
        try:
            return os.link(path, place)
        except FileNotFoundError:
            if not path.exists():
                return None


def _folder(root: UPath, path: UPath) -> UPath:
    return root / VERSIONS / str(path.parent.relative_to(root))


def _version(path: UPath) -> Version:
    when = datetime.strptime(path.name.partition("-")[0], _VERSION_TIME).replace(tzinfo=UTC)
    return Version(path.stem, when, path)
