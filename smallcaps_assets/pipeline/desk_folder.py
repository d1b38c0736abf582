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
from smallcaps_assets.schemas.desk_columns import LIVE
from smallcaps_assets.settings import Settings

DESK = OPS["desk_records"].tables
PAPER, _DATE = "paper", len("2026-11-20")


def runs_of(settings: Settings, key: str) -> dict[str, Path]:
    """Folders of a session by the name of the run: `live`, then sessions on paper by their folder's
    name; of those that have a journal, or a list of the broker's."""
    desk = settings.desk_folder
    paper = {path.name: path for path in sorted((desk / PAPER).glob(f"{key}-*"))}
    runs = {LIVE: desk / key, **paper}
    return {name: folder for name, folder in runs.items() if _files(folder)}


def ended_sessions(settings: Settings) -> dict[str, str]:
    """Sessions of which no desk writes a journal any more, in order: by their key names and digests
    of the files."""
    desk = settings.desk_folder
    names = {path.name[:_DATE] for folder in (desk, desk / PAPER) for path in _children(folder)}
    runs = {name: runs_of(settings, name) for name in sorted(filter(_is_day, names))}
    return {
        name: source_of(settings, name)
        for name, folders in runs.items()
        if folders and not any(is_open(path) for one in folders.values() for path in _files(one))
    }


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _files(folder: Path) -> list[Path]:
    listed = folder / DROP_COPY
    return [*journals(folder), *([listed] if listed.exists() else [])]


def source_of(settings: Settings, key: str) -> str:
    """Names and digests of a session's files; empty for none."""
    runs = runs_of(settings, key).items()
    return " ".join(
        f"{run}/{path.name} {_digest(path)}" for run, folder in runs for path in _files(folder)
    )


def _digest(path: Path) -> str:
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def desk_digests(work: LakeContext, table: str, key: str) -> Iterator[str]:
    """What a partition of the desk's tables is made from: journals, the list, the model."""
    yield source_of(work.settings, key)
    if table == "desk_slippage":
        yield work.lake.digest("desk_orders", key)
        yield work.lake.digest("backtest_candidates", key[:7])
