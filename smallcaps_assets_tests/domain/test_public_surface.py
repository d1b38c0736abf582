"""What a notebook imports: complete, without Dagster, compiled once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from smallcaps_assets import domain

WATCH = """
import json, sys
import smallcaps_assets.domain as domain
for name in domain.__all__:
    getattr(domain, name)
loaded = sorted(m for m in sys.modules if m.partition(".")[0] in ("dagster", "sklearn"))
print(json.dumps(loaded))
"""
COMPILED = """
import json, sys
from importlib import import_module
from pkgutil import iter_modules
import numpy as np
import smallcaps_assets.kernels as kernels
from smallcaps_assets.domain import *
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.domain.test_chain_twin import LABELS, random_tape

def compiled():
    names = [m.name for m in iter_modules(kernels.__path__)]
    modules = [import_module(f"{kernels.__name__}.{name}") for name in names]
    return {
        f"{m.__name__}.{n}": len(f.signatures)
        for m in modules for n, f in vars(m).items() if hasattr(f, "signatures")
    }

compile_kernels()
before = compiled()
tape = random_tape(1)
bars = dollar_imbalance_bars(tape, Settings().bars, 6_000)
sample_weights(triple_barrier_labels(tape, bars, LABELS), bars, 0)
sweep_tape(tape, "dollar_imbalance_bars").sweep([BarSetting(6_000)])
tick_rule([1.0, 2.0])
arrays = tape.times.copy(), tape.ticks["price"].to_numpy().copy(), tape.ticks["size"].to_numpy()
for kind in BarKind:
    bars_from_arrays(*arrays, kind, 6_000, session=np.zeros(tape.times.size, np.int32))
average_uniqueness(9, [0, 1], [3, 5])
print(json.dumps([before, compiled()]))
"""


LIGHT = """
import json, sys
from smallcaps_assets.domain import *
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.domain.test_chain_twin import LABELS, random_tape

tape = random_tape(1)
bars = dollar_imbalance_bars(tape, Settings().bars, 6_000)
sample_weights(triple_barrier_labels(tape, bars, LABELS), bars, 0)
print(json.dumps("pandas" in sys.modules))
"""


def run(script):
    """The JSON that a fresh interpreter prints."""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_every_public_name_is_there_and_needs_neither_dagster_nor_scikit_learn():
    assert run(WATCH) == []


def test_public_names_are_no_modules_and_say_what_they_do():
    for name in domain.__all__:
        found = getattr(domain, name)
        assert callable(found), name
        assert found.__doc__, name


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="it offers .*bars_from_arrays"):
        domain.unknown  # noqa: B018


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_compile_kernels_leaves_nothing_to_compile():
    before, after = run(COMPILED)
    assert before == after
    assert before["smallcaps_assets.kernels.features.follow"] == 1
    assert before["smallcaps_assets.kernels.bars.cut_ticks"] == 1


def test_way_from_trades_to_weights_loads_no_pandas():
    assert run(LIGHT) is False
