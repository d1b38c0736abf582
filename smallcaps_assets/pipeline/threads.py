"""Many partitions at once, in threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(
    function: Callable[[T], R], items: Iterable[T], threads: int
) -> Generator[R, None, None]:
    """Results in the order of completion, with at most two items a thread in flight."""
    source = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="partition") as pool:
        running: set[Future[R]] = set()
        try:
            while True:
                for item in source:
                    running.add(pool.submit(function, item))
                    if len(running) >= 2 * threads:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in running:
                future.cancel()
