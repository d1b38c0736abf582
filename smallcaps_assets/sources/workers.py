"""Many requests at once: threads, first failure wins, nothing keeps running behind it.

How many are in flight at the vendor is bounded by the transport, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_parallel(work: Callable[[A], B], items: Iterable[A], workers: int) -> list[B]:
    """`work` of each item, in the order of the items. Raises the first failure."""
    with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="source") as pool:
        futures = [pool.submit(work, item) for item in items]
        done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        for future in waiting:
            future.cancel()
        failures = [future.exception() for future in done if future.exception() is not None]
        if failures and failures[0] is not None:
            raise failures[0]
    return [future.result() for future in futures]
