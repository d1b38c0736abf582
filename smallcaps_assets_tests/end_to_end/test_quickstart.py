"""The quickstart notebook: its cells run in order on a lake, and end in a validated model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import smallcaps_assets
from smallcaps_assets_tests.end_to_end.command import environment

NOTEBOOK = Path(smallcaps_assets.__file__).parents[1] / "docs" / "quickstart.ipynb"
CHECKS = """
assert rows["is_selection_known"].all()
assert sum(test for _, _, test in folds) == rows.height > 0
assert 0 < auc(scores, y) < 1
"""


def code_of(notebook: Path) -> str:
    """All code cells, one after the other."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def test_quickstart_runs_on_the_simulated_market(small_lake: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", code_of(NOTEBOOK) + CHECKS],
        cwd=tmp_path,
        env=environment(SMALLCAPS_LAKE_ROOT=str(small_lake), MPLBACKEND="Agg"),
        capture_output=True,
        text=True,
        check=False,
    )
    if "libgomp" in done.stderr:
        pytest.skip("lightgbm needs libgomp of the system")
    assert done.returncode == 0, done.stderr
