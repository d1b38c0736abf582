"""Where the desk keeps the journals of its sessions, and digests of what lies there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path

from smallcaps_assets.desk.journal import is_open
from smallcaps_assets.desk.records import DROP_COPY, journals
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.schemas import OPS
from smallcaps_assets.settings import Settings

DESK = OPS["desk_records"].tables


def session_folder(settings: Settings, key: str) -> Path:
    """Where a session's journals are."""
    return settings.desk_folder / key


def ended_sessions(settings: Settings) -> dict[str, str]:
    """Sessions with a journal that no desk writes any more, or with a list of the broker's, in
    order; by their key names and digests of the files."""
    folder = settings.desk_folder
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    found = {name: _files(folder / name) for name in sorted(filter(_is_day, names))}
    return {
        name: source_of(folder / name)
        for name, files in found.items()
        if files and not any(map(is_open, files))
    }


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _files(folder: Path) -> list[Path]:
    listed = folder / DROP_COPY
    return [*journals(folder), *([listed] if listed.exists() else [])]


def source_of(folder: Path) -> str:
    """Names and digests of a session's files; empty for none."""
    return " ".join(f"{path.name} {_digest(path)}" for path in _files(folder))


def _digest(path: Path) -> str:
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def desk_digests(work: LakeContext, table: str, key: str) -> Iterator[str]:
    """What a partition of the desk's tables is made from: journals, the list, the model."""
    yield source_of(session_folder(work.settings, key))
    if table == "desk_slippage":
        yield work.lake.digest("desk_orders", key)
        yield work.lake.digest("backtest_candidates", key[:7])
