"""Kernels are compiled once on a machine, which is said, and not where nothing can be kept."""

from pathlib import Path

import pytest

from smallcaps_assets.kernels import compiled
from smallcaps_assets.pipeline import compilation


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done and said, in order; the compilation itself is left out."""
    found: list[str] = []
    monkeypatch.setattr(compilation, "compile_kernels", lambda: found.append("compiled"))
    monkeypatch.setattr(compilation, "say_once", found.append)
    return found


def test_kernels_are_compiled_once_and_said_to_be(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path / "kernels")
    for _ in range(2):
        compilation.announce_compilation()
        compilation.compile_once()
    assert told == ["compiling the kernels for this processor, once: some 20 s", "compiled"]
    monkeypatch.setattr(compiled.config, "CPU_NAME", "another")
    compilation.announce_compilation()
    compilation.compile_once()
    assert told[2:] == told[:2]


def test_kernels_of_a_compilation_that_failed_are_compiled_again(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)
    good = compilation.compile_kernels

    def broken() -> None:
        raise ValueError

    monkeypatch.setattr(compilation, "compile_kernels", broken)
    with pytest.raises(ValueError):
        compilation.compile_once()
    monkeypatch.setattr(compilation, "compile_kernels", good)
    compilation.compile_once()
    assert told[-1] == "compiled"


def test_nothing_is_compiled_ahead_where_nothing_can_be_kept(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path / "file" / "kernels")
    compilation.compile_once()
    assert told == []
