"""What a command loads before it begins, what Ctrl-C does then, and what the shell is offered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from smallcaps_assets.cli import main
from smallcaps_assets.schemas import RULES, TABLES
from smallcaps_assets_tests.end_to_end.command import PROGRAM, environment

HEAVY = ("dagster", "pandas", "sqlalchemy", "exchange_calendars", "numba", "matplotlib")
LOADED = f"""
import atexit, sys
from smallcaps_assets.cli import main
atexit.register(lambda: print("LOADED", *(n for n in {HEAVY!r} + ("polars",) if n in sys.modules)))
main()
"""


def loaded(folder: Path, *arguments: str) -> list[str]:
    """Which of the heavy modules a command has loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True, text=True, cwd=folder, env=environment(), timeout=100, check=False,
    )  # fmt: skip
    return done.stdout.rpartition("LOADED")[2].split()


@pytest.mark.parametrize("command", [(), ("run",), ("sql",)], ids=["itself", "run", "sql"])
def test_help_loads_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert loaded(tmp_path, *command, "--help") == []


@pytest.mark.parametrize(
    "command",
    [
        ("sql", "select 1"),
        ("watchlist",),
        ("runners",),
        ("coverage",),
        ("density",),
        ("show", "GEVO", "2024-12-13"),
        ("export", "daily_bars", "x.csv"),
        ("diff", "a", "b"),
        ("restore", "daily_bars", "2024-12-13"),
    ],
    ids=lambda command: command[0],
)
def test_command_without_dagster_loads_little(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert loaded(tmp_path, *command) == ["polars"]


def test_status_loads_dagster_and_compiles_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = loaded(tmp_path, "status")
    assert "dagster" in found
    assert not {"numba", "matplotlib", "pandas"} & set(found)


def test_main_job_loads_no_pandas_and_builds_no_definitions(tmp_path: Path) -> None:
    (tmp_path / "smallcaps.toml").write_text("[nonsense]\n")
    code = "import sys; import smallcaps_assets.jobs.run; assert 'pandas' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), timeout=100, check=False
    )
    assert done.returncode == 0


def offered(*words: str) -> list[str]:
    """What completion offers for the last of some words."""
    complete = ShellComplete(main, {}, "smallcaps", "_SMALLCAPS_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_completion_offers_tables_groups_and_markets() -> None:
    assert offered("export", "daily_") == ["daily_bars", "daily_metrics"]
    assert offered("verify", "trades", "dollar_i") == ["dollar_imbalance_bars"]
    assert offered("backfill", "t") == [
        *(name for name in TABLES if name.startswith("t")),
        "tick_chain",
    ]
    assert tuple(offered("watchlist", "--rule", "")) == RULES
    assert offered("run", "--market", "r") == ["recorded:"]
    assert offered("backfill", "state") == ["statements"]


def test_completion_works_in_bash(tmp_path: Path) -> None:
    variables = {
        "_SMALLCAPS_COMPLETE": "bash_complete",
        "COMP_WORDS": "smallcaps backfill tick_",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [PROGRAM[0], "-c", "from smallcaps_assets.cli import main; main(prog_name='smallcaps')"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | variables, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stdout == "plain,tick_chain\n"
