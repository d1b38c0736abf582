"""Processors and memory that this process may still use, in a container or outside of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_KILOBYTE = 1024


def cores(root: Path = Path("/")) -> int:
    """Processors that this process may use, by its affinity and its control group's quota.

    `root` holds `proc` and `sys`.
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([found or 1, *_quotas(root)]))


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: what the system has available, and its group.

    Half of the installed memory where the system does not tell; no bound where that is unknown.
    `root` holds `proc` and `sys`.
    """
    left = [limit - used for limit, used in _group_memory(root)]
    with suppress(OSError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        left.append(int(available.split()[1]) * _KILOBYTE)
    if not left:
        with suppress(ValueError, OSError, AttributeError):
            left.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return max(0, min(left)) if left else 1 << 62


def _quotas(root: Path) -> Iterator[int]:
    """Processors that the control groups allow, rounded up."""
    for folder in _groups(root, "cpu"):
        with suppress(OSError, ValueError):
            quota, _, period = (folder / "cpu.max").read_text().partition(" ")
            yield -(-int(quota) // int(period))
        with suppress(OSError, ValueError):
            quota = int((folder / "cpu.cfs_quota_us").read_text())
            if quota > 0:
                yield -(-quota // int((folder / "cpu.cfs_period_us").read_text()))


def _group_memory(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of the memory of each control group that has a limit; caches don't count."""
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    for folder in _groups(root, "memory"):
        for limit, used in names:
            with suppress(OSError, ValueError):
                bound = int((folder / limit).read_text())  # "max" is no number
                yield bound, int((folder / used).read_text()) - _cached(folder)


def _cached(folder: Path) -> int:
    """Bytes of files that a group's memory holds and would give up."""
    with suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text().splitlines()
        values = dict(line.split(maxsplit=1) for line in lines)
        return int(values.get("total_inactive_file", values.get("inactive_file", 0)))
    return 0


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those around it, of both versions."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / (controller if controllers else "")
        folder = base / place.lstrip("/")
        yield folder
        yield from (parent for parent in folder.parents if parent.is_relative_to(base))
