"""Kernels are compiled once on a machine, which is said, and not where nothing can be kept."""

import threading
import time
from pathlib import Path

import pytest

from smallcaps_assets.domain.warm_up import PARTS
from smallcaps_assets.kernels import compiled
from smallcaps_assets.lake.files import alone
from smallcaps_assets.pipeline import compilation


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done and said, in order; the compilation itself is left out."""
    found: list[str] = []
    monkeypatch.setattr(compilation, "compile_kernels", found.extend)
    monkeypatch.setattr(compilation, "say_once", found.append)
    return found


def test_kernels_are_compiled_once_and_said_to_be(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path / "kernels")
    for _ in range(2):
        compilation.announce_compilation()
        compilation.compile_once()
    said = "compiling the kernels for this processor, once: half a minute to two minutes"
    assert told == [said, *PARTS]
    monkeypatch.setattr(compiled.config, "CPU_NAME", "another")
    compilation.announce_compilation()
    compilation.compile_once()
    assert told[4:] == told[:4]


def test_part_that_another_process_is_at_comes_last(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The lock is of an open file, so that a thread's keeps out this one too."""
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)
    first, *others = PARTS
    name = compiled.mark().with_suffix(f".{first}-lock")
    held, is_done = threading.Event(), threading.Event()

    def other() -> None:
        with alone(name):
            held.set()
            is_done.wait()

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    waiter = threading.Thread(target=compilation.compile_once)
    waiter.start()
    while told != others:
        time.sleep(0.01)
    assert not compiled.mark().exists()
    is_done.set()
    waiter.join()
    thread.join()
    assert told == [*others, first]
    assert compiled.mark().exists()


def test_kernels_of_a_compilation_that_failed_are_compiled_again(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)
    good = compilation.compile_kernels

    def broken(parts: list[str]) -> None:
        raise ValueError(parts)

    monkeypatch.setattr(compilation, "compile_kernels", broken)
    with pytest.raises(ValueError):
        compilation.compile_once()
    monkeypatch.setattr(compilation, "compile_kernels", good)
    compilation.compile_once()
    assert told == [*PARTS]


def test_nothing_is_compiled_ahead_where_nothing_can_be_kept(
    told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path / "file" / "kernels")
    compilation.compile_once()
    assert told == []
