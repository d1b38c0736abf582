"""A process killed between the dataset's rows and its meta.json, and what the next run does."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from smallcaps_assets.lake.meta import read_meta
from smallcaps_assets.lake.verify import check_partition
from smallcaps_assets.pipeline.dataset import build_dataset, datasets
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets_tests.end_to_end.command import environment
from smallcaps_assets_tests.pipeline.small_dataset import EVENTS, fill, work_on

KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from smallcaps_assets.pipeline.dataset import build_dataset
from smallcaps_assets.pipeline import workspace
from smallcaps_assets_tests.pipeline.small_dataset import work_on
workspace.write_meta = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
work = work_on(Path(sys.argv[1]))
work.store("ml_dataset", "p", lambda: build_dataset(work, "p"))
"""


def resumed(work: Workspace, key: str) -> Outcome:
    """The outcome of a dataset in a run that leaves what is complete."""
    (outcome,) = datasets(replace(work, skip_complete=True), ["ml_dataset"], [key])
    return outcome


def test_meta_lost_to_a_kill_is_written_again_and_the_rows_stay(tmp_path: Path) -> None:
    work = work_on(tmp_path)
    fill(work, EVENTS[:1])
    assert resumed(work, "p").error is None
    fill(work)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_BETWEEN, str(tmp_path)], env=environment(), check=False
    )
    assert done.returncode == -signal.SIGKILL
    path = Path(str(work.lake.path("ml_dataset", "p")))
    state = path.stat().st_mtime_ns, path.stat().st_ino
    assert work.lake.rows("ml_dataset", "p") == 3 and work.is_complete("ml_dataset", "p")
    assert read_meta(work.lake, "ml_dataset", "p") is None
    assert not work.is_current("ml_dataset", "p")
    assert [found.is_of_meta for found in check_partition(work.lake, "ml_dataset", "p")[0]] == [
        True
    ]

    outcome = resumed(work, "p")
    assert outcome.error is None and outcome.is_reused
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == state
    meta = read_meta(work.lake, "ml_dataset", "p")
    assert meta is not None and meta["rows"] == 3 and work.is_current("ml_dataset", "p")
    # Written by itself or with its rows, it says the same.
    whole = work.store("ml_dataset", "p", lambda: build_dataset(work, "p"))
    assert whole.written is not None
    assert read_meta(work.lake, "ml_dataset", "p") == meta


def test_union_without_its_meta_gets_it_from_its_rows(tmp_path: Path) -> None:
    work = work_on(tmp_path)
    fill(work)
    for key in ("p", "union"):
        assert resumed(work, key).error is None
    meta = read_meta(work.lake, "ml_dataset", "union")
    Path(str(work.lake.path("ml_dataset", "union").parent / "meta.json")).unlink()
    outcome = resumed(work, "union")
    assert outcome.is_reused and read_meta(work.lake, "ml_dataset", "union") == meta
