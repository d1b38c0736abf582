"""Many requests at once, in threads.

`in_parallel` wants every answer and stops at the first failure; `gather` lets single items fail.
How many are in flight at the vendor is bounded by the transport, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from smallcaps_assets.sources.errors import NotEntitled, SourceError, Unauthorized

A = TypeVar("A")
B = TypeVar("B")
_OF_ALL = (Unauthorized, NotEntitled)  # what concerns every item, not one


def in_parallel(work: Callable[[A], B], items: Iterable[A], workers: int) -> list[B]:
    """`work` of each item, in the order of the items. Raises the first failure."""
    return [future.result() for future in _run(work, items, workers)]


def gather(
    work: Callable[[A], B], items: Iterable[A], workers: int
) -> tuple[dict[A, B], dict[A, SourceError]]:
    """`work` of each item, and why items failed. Raises what is no matter of one item.

    A refused key, a plan without the data and a defect of the program concern all items.
    """

    def attempt(item: A) -> tuple[A, B | SourceError]:
        try:
            return item, work(item)
        except _OF_ALL:
            raise
        except SourceError as failure:
            return item, failure

    done = [future.result() for future in _run(attempt, items, workers)]
    failed = {item: found for item, found in done if isinstance(found, SourceError)}
    good = {item: found for item, found in done if not isinstance(found, SourceError)}
    return good, failed


def _run(work: Callable[[A], B], items: Iterable[A], workers: int) -> list[Future[B]]:
    """The futures of all items, in their order; raises the first failure."""
    with ThreadPoolExecutor(max_workers=max(1, workers), thread_name_prefix="source") as pool:
        futures = [pool.submit(work, item) for item in items]
        done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        for future in waiting:
            future.cancel()
        failures = [failure for future in done if (failure := future.exception()) is not None]
        if failures:
            raise failures[0]
    return futures
