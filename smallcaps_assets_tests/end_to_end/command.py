"""The `smallcaps` command, here or in a process of its own, and a lake as seen from outside."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from smallcaps_assets.cli import main
from smallcaps_assets.lake import Lake
from smallcaps_assets.schemas import TABLES

PROGRAM = [sys.executable, "-m", "smallcaps_assets"]
# Wild days come after twelve sessions; this is a small market with six of them, planned as
# one season so that they lie in it.
SMALL_MARKET = {
    "sandbox.tickers": "20",
    "sandbox.start": "2024-12-09",
    "sandbox.end": "2024-12-30",
    "sandbox.season": "15",
    "sandbox.pump_days": "6",
    "sandbox.seed": "6",
}
TIMEOUT = 400


@dataclass(frozen=True)
class Finished:
    """Exit status and output of a command."""

    status: int
    out: str
    error: str


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without anything that the command would heed."""
    heeded = ("SMALLCAPS_", "POLYGON_", "DAGSTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(heeded)}
    return kept | variables


def settings(values: dict[str, str]) -> list[str]:
    """The `--set` options of some settings."""
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


def smallcaps(*arguments: str | Path, cwd: Path, **variables: str) -> Finished:
    """Run the command to its end in this process, which saves the seconds that a new one needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.environ", environment(**variables))
        patch.chdir(cwd)
        done = CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)
    return Finished(done.exit_code, done.stdout, done.stderr)


def in_process(
    *arguments: str | Path, cwd: Path, before: Callable[[], None] | None = None, **variables: str
) -> Finished:
    """Run the command in a process of its own; `before` is called in it before it begins."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        preexec_fn=before,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def run_small(lake: Path, *arguments: str | Path) -> Finished:
    """The main job on the small market."""
    return run_again(lake, *settings(SMALL_MARKET), *arguments)


def run_again(lake: Path, *arguments: str | Path) -> Finished:
    """The main job on a lake that knows its market, without the report, which takes seconds."""
    return smallcaps("run", "--no-report", "--lake", lake, *arguments, cwd=lake.parent)


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every Parquet file below a lake's root."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.parquet"))
    }


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder; empty when there is none."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {
        path.relative_to(root).as_posix(): ((stat := path.stat()).st_size, stat.st_mtime_ns)
        for path in files
    }


def changed_tables(before: dict[str, tuple[int, int]], root: Path) -> set[str]:
    """Names of the tables of which a file is new or was written again."""
    after = listing(root)
    names = {path for path in after if after[path] != before.get(path)}
    return {Path(path).stem for path in names if path.endswith(".parquet")}


def partitions(root: Path) -> list[tuple[str, str]]:
    """Table and key of every stored partition."""
    lake = Lake(root)
    return [(table, key) for table in TABLES for key in lake.keys(table)]
