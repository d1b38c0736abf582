"""Earlier versions of raw files, kept for a while under `state/replaced`.

What a vendor has said once may be gone for good when it is asked again. So a raw file that is
replaced by another one stays recoverable: by its time and the beginning of its seal. Processed
tables are not kept, they can be made again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smallcaps_assets.lake.errors import LakeError

if TYPE_CHECKING:
    from upath import UPath

FOLDER = "state/replaced"
KEEP_DAYS = 30.0
_TIME = "%Y%m%dT%H%M%S.%fZ"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Version:
    """A file that was replaced at an instant (UTC); `name` is what it is asked for by."""

    name: str
    replaced_at: datetime
    path: UPath


def keep(
    root: UPath, path: UPath, old: str, new: str, clock: Callable[[], datetime] = _now
) -> None:
    """Keep a stored file that is about to be replaced by one with another seal.

    Its instant is later than that of every version before, also if the clock has been set back.
    """
    if not path.exists() or old == new:
        return
    earlier = [version.replaced_at for version in versions(root, path)]
    now = max([clock(), *(moment + timedelta(microseconds=1) for moment in earlier)])
    place = _folder(root, path) / f"{now.strftime(_TIME)}-{old[:12] or 'unsealed'}.parquet"
    if isinstance(path, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        _link(path, Path(str(place)))
    else:
        path.fs.cp_file(path.path, place.path)


def versions(root: UPath, path: UPath) -> list[Version]:
    """What was kept of a file, oldest first."""
    folder = _folder(root, path)
    found = sorted(folder.iterdir(), key=lambda file: file.name) if folder.exists() else []
    return [_version(file) for file in found if file.suffix == ".parquet"]


def version_of(root: UPath, path: UPath, name: str) -> Version:
    """The kept version of a name or the beginning of one. Raises LakeError unless there is one."""
    known = versions(root, path)
    found = [version for version in known if version.name.startswith(name)]
    if len(found) != 1:
        names = ", ".join(version.name for version in known) or "none"
        raise LakeError(f"{len(found)} versions begin with {name!r}; there are: {names}")
    return found[0]


def forget(root: UPath, days: float) -> int:
    """Remove versions that were replaced longer ago. Returns their number."""
    base, limit = root / FOLDER, datetime.now(UTC) - timedelta(days=days)
    kept = list(base.rglob("*Z-*.parquet")) if base.exists() else []
    old = [version for file in kept if (version := _version(file)).replaced_at < limit]
    for version in old:
        version.path.unlink(missing_ok=True)
    return len(old)


def _link(path: Path, place: Path) -> None:
    """Another name for a file; it is not found while another process is putting a new one there."""
    while True:
        try:
            return os.link(path, place)
        except FileNotFoundError:
            if not path.exists():
                return None


def _folder(root: UPath, path: UPath) -> UPath:
    return root / FOLDER / str(path.parent.relative_to(root))


def _version(path: UPath) -> Version:
    when = datetime.strptime(path.name.partition("-")[0], _TIME).replace(tzinfo=UTC)
    return Version(path.stem, when, path)
