"""Many ticker-sessions on all cores.

Kernels release Python's lock, but what surrounds them in a session of 100,000 trades holds it for
half of the time: two threads do no more than one there, two processes do twice as much.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_sessions(
    function: Callable[[T], R], items: Iterable[T], processes: int | None = None
) -> Iterator[R]:
    """Results of a function for many items, in their order, each made in one of some processes.

    By default as many processes as cores. At most two items a process are under way, so that
    memory does not grow with their number. Pass what is small, a ticker and a date rather than
    the trades, and let the function read them. It must be one that another process can import; a
    script calls this below `if __name__ == "__main__":`. What the function raises is raised here.
    """
    count = processes or os.cpu_count() or 1
    with ProcessPoolExecutor(count, get_context("spawn")) as pool:
        coming = (pool.submit(function, item) for item in items)
        try:
            running: deque[Future[R]] = deque(islice(coming, 2 * count))
            while running:
                yield running.popleft().result()
                running.extend(islice(coming, 1))
        finally:
            pool.shutdown(cancel_futures=True)
