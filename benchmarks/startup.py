"""How long the command takes to begin: CPU and wall seconds of a whole process, the least of some.

    python benchmarks/startup.py

`--help` shall take 0.2 s, commands that need no Dagster 0.5 s, the others 2 s. The commands answer
from an empty folder, so that only their start is measured: they read settings, look for a lake and
end in one line. Beside them the interpreter alone, and imports that no command can do without.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time

ROUNDS = 5
PROGRAM = [sys.executable, "-m", "smallcaps_assets"]
PLAIN = (
    ["sql", "select 1"],
    ["watchlist"],
    ["runners"],
    ["coverage"],
    ["density"],
    ["show", "GEVO", "2024-12-13"],
    ["export", "daily_bars", "x.csv"],
)
ALONE = {
    "python": "pass",
    "import polars": "import polars",
    "import duckdb": "import duckdb",
    "import dagster": "import dagster",
    "smallcaps_assets.lake": "from smallcaps_assets import lake",
    "the same, with SQLAlchemy": "import dataframely; from smallcaps_assets import lake",
    "the same, fewer collections": "import gc; gc.set_threshold(50_000);"
    " from smallcaps_assets import lake",
    "what run needs": "import smallcaps_assets.jobs.run",
    "what status needs": "import smallcaps_assets.cli.status",
    "what sandbox needs": "import smallcaps_assets.sandbox",
}


def main() -> None:
    """Print a line for each."""
    print(f"{'':28}{'CPU s':>8}{'wall s':>8}")
    for name, code in ALONE.items():
        show(name, [sys.executable, "-c", code])
    show("smallcaps --help", [*PROGRAM, "--help"])
    for arguments in PLAIN:
        show(f"smallcaps {arguments[0]}", [*PROGRAM, *arguments])


def show(name: str, command: list[str]) -> None:
    """The least CPU and wall seconds of some processes."""
    with tempfile.TemporaryDirectory() as folder:
        taken = [measured(command, folder) for _ in range(ROUNDS)]
    print(f"{name:28}{min(cpu for cpu, _ in taken):8.2f}{min(wall for _, wall in taken):8.2f}")


def measured(command: list[str], folder: str) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, wall


if __name__ == "__main__":
    main()
