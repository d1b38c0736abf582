"""The placebo market: the default view holds no edge, the naive one does.

A smaller version of `benchmarks/placebo.py`, run as it is. Bounds are three standard errors, taken
over ticker-sessions. At the default threshold the naive bias is one to three standard errors at
this size, so the naive view is held to its bound where it has the power: at the higher threshold.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "benchmarks/placebo.py", "--quick", "--markets", "2", "--json")
pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="takes hours without the JIT"
)


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, float], dict]:
    """Lines of the benchmark by view and threshold."""
    done = subprocess.run(COMMAND, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(line["view"], line["min_change"]): line for line in json.loads(done.stdout)}


def deviations(line: dict, name: str) -> float:
    """How many standard errors a score lies above one half."""
    return (line[name] - 0.5) / line[f"{name}_error"]


@pytest.mark.parametrize("min_change", [0.15, 0.30])
@pytest.mark.parametrize("name", ["running_return", "model", "thinned"])
def test_default_view_given_placebo_market_holds_no_edge(table, name, min_change):
    line = table["default", min_change]
    assert line["ticker_sessions"] > 400
    assert line[f"{name}_error"] < 0.015
    assert abs(deviations(line, name)) < 3.0


@pytest.mark.parametrize("name", ["running_return", "thinned"])
def test_naive_view_given_placebo_market_shows_an_edge_that_is_none(table, name):
    assert deviations(table["naive", 0.30], name) > 3.0


@pytest.mark.parametrize("min_change", [0.15, 0.30])
def test_naive_view_given_placebo_market_is_above_the_default_one(table, min_change):
    naive, default = table["naive", min_change], table["default", min_change]
    assert all(naive[name] > default[name] for name in ("running_return", "model", "thinned"))
