"""What is compiled is kept only as long as no kernel's source changes."""

from __future__ import annotations

import shutil

import pytest
from numba import config

from smallcaps_assets.kernels import checks
from smallcaps_assets.kernels.compiled import KERNELS, PACKAGE, sources_digest
from smallcaps_assets.sandbox.simulation import oracle, tape


def test_digest_given_a_changed_or_a_new_file_is_another(tmp_path):
    digests = [sources_digest(KERNELS)]
    for name, text in (("checks.py", "CHUNK = 2"), ("checks.py", "CHUNK = 3"), ("new.py", "")):
        folder = tmp_path / str(len(digests))
        shutil.copytree(KERNELS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / name).write_text(text)
        digests.append(sources_digest(folder))
    assert len(set(digests)) == len(digests)


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")  # type: ignore[attr-defined]
def test_kernels_are_kept_below_their_digest_and_others_where_they_were():
    assert sources_digest(KERNELS) in checks.first_outside.stats.cache_path
    assert "kernels-" not in (config.CACHE_DIR or "")  # type: ignore[attr-defined]


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")  # type: ignore[attr-defined]
def test_simulation_is_compiled_anew_when_any_file_of_the_sandbox_changes(tmp_path):
    """A tape holds the code of process.py, an oracle that of both."""
    sandbox = PACKAGE / "sandbox"
    for kernel in (tape.simulate_day, oracle.foretell):
        assert sources_digest(sandbox) in kernel.stats.cache_path
    shutil.copytree(sandbox, tmp_path / "s", ignore=shutil.ignore_patterns("__pycache__"))
    before = sources_digest(tmp_path / "s")
    sources_digest.cache_clear()
    assert sources_digest(tmp_path / "s") == before == sources_digest(sandbox)
    with (tmp_path / "s" / "simulation" / "process.py").open("a") as file:
        file.write("PRESSURE = 0.2\n")
    sources_digest.cache_clear()
    assert sources_digest(tmp_path / "s") != before
