"""One lake holds one market: the lake remembers which, and refuses another.

`lake.json` in the root names the market, the settings that make it what it is, and the settings
of earlier runs that differ from the defaults, so that the web server sees the same configuration.
It can't be made again from anything else, so that a copy lies in `state`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallcaps_assets.lake.decisions import decisions
from smallcaps_assets.lake.errors import ConflictError, DamagedFileError, LakeError
from smallcaps_assets.lake.file_identity import is_intact, seal_of
from smallcaps_assets.lake.paths import open_root
from smallcaps_assets.lake.store import Lake

FILE = "lake.json"
COPY = "state/lake.json"
FORMAT = 1


@dataclass(frozen=True)
class LakeIdentity:
    """A market and the settings that define it; two lakes of one identity hold the same facts."""

    market: str
    parameters: dict[str, Any]

    def is_like(self, known: LakeIdentity) -> bool:
        """Whether a lake's market differs only in settings that one of the two has not."""
        shared = self.parameters.keys() & known.parameters.keys() - {"generation"}
        return self.market == known.market and all(
            self.parameters[name] == known.parameters[name] for name in shared
        )

    def describe(self) -> str:
        """One line for messages."""
        inside = ", ".join(f"{name}={value}" for name, value in sorted(self.parameters.items()))
        return f"{self.market} ({inside})" if inside else self.market


def read_identity(root: str | Path) -> tuple[LakeIdentity, dict[str, Any]] | None:
    """Identity and remembered settings of a lake, or None when it has none yet.

    Raises DamagedFileError when lake.json is not as it was written, LakeError for one that is not
    readable or of a later format.
    """
    data = _stored(root)
    return None if data is None else _parsed(root, data)


def _stored(root: str | Path) -> bytes | None:
    """The bytes of lake.json; None when there is none. Raises LakeError."""
    try:
        return Lake(root).read_file(FILE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ImportError, ValueError, OSError) as error:
        raise LakeError(f"lake {root} can't be opened: {error}; name another with --lake") from None


def _parsed(root: str | Path, data: bytes) -> tuple[LakeIdentity, dict[str, Any]]:
    path = open_root(root) / FILE
    try:
        _check_seal(root, data)
        values = json.loads(data)
        form, market = values["format"], values["market"]
        identity = LakeIdentity(market, values["parameters"])
        remembered = values["settings"]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise LakeError(
            f"{path} is not readable ({error}); restore it or use another lake"
        ) from None
    if form != FORMAT:
        raise LakeError(
            f"{path} has format {form}, this version reads {FORMAT}; update the project"
        )
    return identity, remembered


def _check_seal(root: str | Path, data: bytes) -> None:
    """Raises DamagedFileError, which says where lake.json can be had again."""
    if is_intact(data):
        return
    file, copy = open_root(root) / FILE, open_root(root) / COPY
    lake = Lake(root)
    remedy = (
        "restore it from a backup, or move it away and run with the settings that made the lake"
    )
    if lake.entry(COPY) and is_intact(lake.read_file(COPY)):
        remedy = f"put its copy {copy} in its place"
    raise DamagedFileError(
        f"{file} is damaged: its bytes are not those that were written; {remedy}"
    )


def check_identity(
    root: str | Path, identity: LakeIdentity, reads_only: bool = False
) -> tuple[LakeIdentity, dict[str, Any]] | None:
    """What the lake holds, as `read_identity`. Raises LakeError when it is another market.

    reads_only: one that an earlier version made by the same settings is readable all the same.
    """
    return _checked(root, identity, _stored(root), reads_only)


def _checked(
    root: str | Path, identity: LakeIdentity, data: bytes | None, reads_only: bool = False
) -> tuple[LakeIdentity, dict[str, Any]] | None:
    known = None if data is None else _parsed(root, data)
    if known and known[0] != identity and not (reads_only and identity.is_like(known[0])):
        told = ", made by an earlier version of the simulation"
        raise LakeError(
            f"lake {root} holds the market {known[0].describe()}"
            f"{told if identity.is_like(known[0]) else ''}, not {identity.describe()};"
            " name another folder with --lake"
        )
    return known


def open_lake(
    root: str | Path, identity: LakeIdentity, settings: dict[str, Any] | None = None
) -> Lake:
    """The lake at `root`, created if need be. `settings` is remembered when given.

    Raises LakeError when the place can't be written or holds another market, or when its
    suspects.csv can't be understood.
    """
    data = _stored(root)
    known = _checked(root, identity, data)
    lake = Lake(root)
    decisions(lake)
    remembered = known[1] if known else {}
    wanted = remembered if settings is None else settings
    try:
        if known is None or wanted != remembered:
            _remember(lake, identity, wanted, "" if data is None else seal_of(data))
        _copy(lake)
    except ConflictError:
        _refuse_others(root, identity, settings)
    except OSError as error:
        raise LakeError(
            f"lake {lake.root} can't be written: {error.strerror or error};"
            " choose another with --lake"
        ) from None
    return lake


def _remember(lake: Lake, identity: LakeIdentity, settings: dict[str, Any], over: str) -> None:
    """Write lake.json in place of one with a seal, so that of two processes one is told."""
    values = {
        "format": FORMAT,
        "market": identity.market,
        "parameters": identity.parameters,
        "settings": settings,
    }
    lake.write_json(FILE, values, over)


def _copy(lake: Lake) -> None:
    """The copy of lake.json, made anew when it is another."""
    data = lake.read_file(FILE)
    try:
        is_like = lake.read_file(COPY) == data
    except FileNotFoundError:
        is_like = False
    if not is_like:
        lake.write_bytes(COPY, data)


def _refuse_others(
    root: str | Path, identity: LakeIdentity, settings: dict[str, Any] | None
) -> None:
    """Raises LakeError when what another process wrote meanwhile is not what this one wants."""
    known = check_identity(root, identity)
    if known and settings not in (None, known[1]):
        raise LakeError(
            f"the settings of lake {root} were changed by another process meanwhile; look at"
            f" {FILE}, and run the same command again"
        )
