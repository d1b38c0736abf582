"""Ticker-sessions in processes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from smallcaps_assets.domain import map_sessions


def process_of(item: int) -> tuple[int, int]:
    if item == 99:
        raise ValueError("item 99 is no good")
    return item, os.getpid()


def test_map_sessions_keeps_the_order_uses_processes_and_asks_for_items_in_time():
    asked: list[int] = []

    def items() -> Iterator[int]:
        for n in range(40):
            asked.append(n)
            yield n

    results = map_sessions(process_of, items(), 2)
    found = [next(results)]
    assert len(asked) == 4
    found += list(results)
    assert [item for item, _ in found] == list(range(40))
    assert os.getpid() not in {process for _, process in found}


def test_map_sessions_raises_what_the_function_raises():
    with pytest.raises(ValueError, match="item 99"):
        list(map_sessions(process_of, [1, 99, 2], 1))
