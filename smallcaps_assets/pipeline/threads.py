"""Many partitions at once, in threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(
    function: Callable[[T], R],
    items: Iterable[T],
    threads: int,
    abandon: Callable[[], None] = lambda: None,
) -> Generator[R, None, None]:
    """Results in the order of completion, the last item's last; at most two items a thread in
    flight.

    When it is ended early, items under way are waited for, once `abandon` has been called. Dagster
    shows as an asset's latest what is logged last, which is so the newest of keys in order.
    """
    source = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="partition") as pool:
        running: set[Future[R]] = set()
        newest: set[Future[R]] = set()
        try:
            while True:
                for item in source:
                    newest = {pool.submit(function, item)}
                    running |= newest
                    if len(running) >= 2 * threads:
                        break
                if not running:
                    return
                done, _ = wait(running - newest or running, return_when=FIRST_COMPLETED)
                running -= done
                yield from (future.result() for future in done)
        except BaseException:
            for future in running:
                future.cancel()
            abandon()
            raise
