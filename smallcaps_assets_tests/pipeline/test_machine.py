"""Processors and memory: the least of what the system and the control groups leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.pipeline.machine import cores, free_memory

GROUP = "0::/box/run\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    write(tmp_path / "proc/self/cgroup", GROUP)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_memory_is_what_the_system_has_available(root: Path):
    assert free_memory(root) == 8000 * 1024


def test_group_without_a_limit_changes_nothing(root: Path):
    write(root / "sys/fs/cgroup/box/run/memory.max", "max\n")
    write(root / "sys/fs/cgroup/box/run/memory.current", "5000\n")
    assert free_memory(root) == 8000 * 1024


def test_narrowest_group_counts_and_cached_files_are_free(root: Path):
    outer = root / "sys/fs/cgroup/box"
    write(outer / "memory.max", "100000")
    write(outer / "memory.current", "70000")
    write(outer / "memory.stat", "anon 5\ninactive_file 20000\n")
    write(outer / "run/memory.max", "90000")
    write(outer / "run/memory.current", "10000")
    assert free_memory(root) == 50000


def test_groups_of_the_first_version(root: Path):
    write(root / "proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n")
    write(root / "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "50000")
    write(root / "sys/fs/cgroup/memory/a/memory.usage_in_bytes", "60000")
    assert free_memory(root) == 0


def test_quota_of_processors_is_rounded_up(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores(root) == 8
    write(root / "sys/fs/cgroup/box/cpu.max", "250000 100000")
    assert cores(root) == 3
    write(root / "sys/fs/cgroup/box/run/cpu.max", "max 100000")
    assert cores(root) == 3
