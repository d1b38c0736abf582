"""The notebooks: their cells run in order on a lake; the quickstart ends in a validated model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import smallcaps_assets
from smallcaps_assets_tests.end_to_end.command import environment
from smallcaps_assets_tests.pipeline.model_lake import model_lake

DOCS = Path(smallcaps_assets.__file__).parents[1] / "docs"
NOTEBOOK = DOCS / "quickstart.ipynb"
OF_MODELS = "models"
OTHERS = sorted({path.stem for path in DOCS.glob("*.ipynb")} - {NOTEBOOK.stem})
EXECUTED = """
os.environ["SMALLCAPS_LAKE_ROOT"] = {lake!r}
exec(compile({code!r}, {name!r}, "exec"), {{"__name__": "__main__"}})
plt.close("all")
"""
CHECKS = """
assert rows["is_selection_known"].all()
assert sum(test for _, _, test in folds) == rows.height > 0
assert 0 < auc(scores, y) < 1
"""


def code_of(notebook: Path) -> str:
    """All code cells, one after the other."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def run_code(code: str, folder: Path, lake: Path) -> None:
    """Run code in a process of its own, to its end without an error."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(SMALLCAPS_LAKE_ROOT=str(lake), MPLBACKEND="Agg"),
        capture_output=True,
        text=True,
        check=False,
    )
    if "libgomp" in done.stderr:
        pytest.skip("lightgbm needs libgomp of the system")
    assert done.returncode == 0, done.stderr


def test_quickstart_runs_on_the_simulated_market(small_lake: Path, tmp_path: Path):
    run_code(code_of(NOTEBOOK) + CHECKS, tmp_path, small_lake)


def test_the_other_notebooks_run(small_lake: Path, tmp_path: Path):
    pytest.importorskip("lightgbm")
    model_lake(tmp_path / "lake")
    assert OTHERS == ["features", OF_MODELS, "patterns", "universe"]
    code = "import os\nimport matplotlib.pyplot as plt\n"
    for name in OTHERS:
        lake = tmp_path / "lake" if name == OF_MODELS else small_lake
        code += EXECUTED.format(lake=str(lake), code=code_of(DOCS / f"{name}.ipynb"), name=name)
    run_code(code, tmp_path, small_lake)
