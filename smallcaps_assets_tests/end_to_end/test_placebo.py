"""The placebo market: the default view holds no edge, the naive one does, and models find none.

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
COMMAND = (
    *(sys.executable, "benchmarks/placebo.py", "--quick", "--markets", "2", "--models", "--json"),
)
pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"), reason="takes hours without the JIT"
)


pytest.importorskip("xgboost")


@pytest.fixture(scope="module")
def lines() -> list[dict]:
    """Lines of the benchmark; those of the package's models have an algorithm."""
    done = subprocess.run(COMMAND, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def table(lines: list[dict]) -> dict[tuple[str, float], dict]:
    """Lines by view and threshold."""
    return {(line["view"], line["min_change"]): line for line in lines if "min_change" in line}


@pytest.fixture(scope="module")
def proofs(lines: list[dict]) -> dict[tuple[str, str], dict]:
    """Lines of models by view and algorithm."""
    return {(line["view"], line["algorithm"]): line for line in lines if "algorithm" in line}


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


# Models ------------------------------------------------------------------------------------------
ALGORITHMS = ("lightgbm", "xgboost", "logistic", "ensemble")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_models_of_placebo_rows_find_no_edge(proofs, algorithm):
    line = proofs["honest", algorithm]
    assert line["error"] < 0.03
    assert line["is_without_edge"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_models_find_a_planted_feature(proofs, algorithm):
    assert proofs["planted", algorithm]["auc"] > 0.55
    assert not proofs["planted", algorithm]["is_without_edge"]


@pytest.mark.parametrize("algorithm", ["lightgbm", "xgboost"])
def test_rows_shuffled_over_days_fail_the_proof_that_whole_days_pass(proofs, algorithm):
    leaky, honest = proofs["leaky", algorithm], proofs["honest", algorithm]
    assert not leaky["is_without_edge"]
    assert leaky["auc"] - honest["auc"] > 3 * (leaky["error"] ** 2 + honest["error"] ** 2) ** 0.5
