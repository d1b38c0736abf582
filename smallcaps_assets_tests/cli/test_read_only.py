"""Commands that only look, on a lake that may not be written."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smallcaps_assets.lake import open_lake
from smallcaps_assets.orchestration.instance import open_instance, report_stored
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.workspace import written
from smallcaps_assets.settings import load_settings
from smallcaps_assets_tests.end_to_end.command import environment, listing, smallcaps
from smallcaps_assets_tests.lake.desk_lake import DAYS, bars, stamp

COMMANDS = (("status", "--json"), ("verify",), ("sql", "--csv", "select count(*) from daily_bars"))
CHILD = f"""
import json
from click.testing import CliRunner
from smallcaps_assets.cli import main
done = [CliRunner().invoke(main, [*command, "--lake", "lake"]) for command in {COMMANDS!r}]
print(json.dumps([[d.exit_code, d.output] for d in done]))
"""
DROP, OVERRIDE, SEARCH = 24, 1, 2
"""prctl(2): drop a capability; to write, and to read, whatever the permissions say."""


def obeying_permissions() -> None:
    """Root ignores permissions by two capabilities, which the program has no more."""
    libc = ctypes.CDLL(None)
    if os.getuid() == 0 and (libc.prctl(DROP, OVERRIDE) or libc.prctl(DROP, SEARCH)):
        raise OSError("capabilities can't be dropped")


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A lake with two sessions, of which Dagster knows one and one that is lost; all read-only."""
    monkeypatch.setattr("os.environ", environment())
    identity = market_of(load_settings()).identity
    lake = open_lake(tmp_path / "lake", identity, {"market": {"name": "simulated"}})
    keys = [day.isoformat() for day in DAYS]
    for day, key in zip(DAYS, keys, strict=True):
        lake.write("daily_bars", key, bars(day, "A"), stamp("daily_bars"))
    with open_instance(tmp_path / "lake") as instance:
        for key in keys[1:]:
            known = Outcome("daily_bars", key, 0.0, written(lake, "daily_bars", key, 1))
            report_stored(instance, known)
    lake.path("daily_bars", keys[2]).unlink()
    root = Path(str(lake.root))
    set_modes(root, 0o555, 0o444)
    yield root
    set_modes(root, 0o755, 0o644)


def set_modes(root: Path, folders: int, files: int) -> None:
    for path in (*root.rglob("*"), root):
        path.chmod(folders if path.is_dir() else files)


def in_obedient_child(folder: Path) -> list[tuple[int, str]]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD], cwd=folder, env=environment(), check=True,
            preexec_fn=obeying_permissions, capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.SubprocessError as error:
        if "preexec_fn" in str(error):
            pytest.skip("capabilities can't be dropped here")
        raise
    return [(status, text) for status, text in json.loads(done.stdout)]


def test_lake_that_may_only_be_read_is_looked_at_like_any_other(lake: Path) -> None:
    before = listing(lake)
    status, verify, sql = in_obedient_child(lake.parent)
    assert listing(lake) == before
    assert status[0] == 0, status
    stored = {row["table"]: row for row in json.loads(status[1])}["daily_bars"]
    assert stored["present"] == 2 and stored["latest"] == DAYS[1].isoformat()
    assert verify[0] == 1, verify
    assert f"daily_bars {DAYS[0]}: is not the file of Dagster's newest event" in verify[1]
    assert f"daily_bars {DAYS[2]}: is materialized in Dagster but not stored" in verify[1]
    assert f"daily_bars {DAYS[1]}" not in verify[1]
    assert sql == (0, "count_star()\n2\n")
    set_modes(lake, 0o755, 0o644)
    told = smallcaps("status", "--json", "--lake", "lake", cwd=lake.parent)
    assert told.out == status[1]
