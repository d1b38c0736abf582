"""The desk killed at every point, and whether a wrong order of flush and send is found."""

from __future__ import annotations

from pathlib import Path

from benchmarks.desk_kills import POINTS, run


def test_no_order_twice_and_none_forgotten(tmp_path: Path) -> None:
    assert run(tmp_path, [*POINTS, *POINTS[:4]], seed=1) == []


def test_flushing_after_sending_is_found(tmp_path: Path) -> None:
    assert run(tmp_path, ["send"], seed=2, flushes_late=True) != []
