"""One object per process, also when many threads ask for it first at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")
_LOCK = threading.RLock()


def shared(make: Callable[..., T]) -> Callable[..., T]:
    """Call `make` once for equal arguments, under a lock; later calls get the same object.

    Two clients in one process would each find a rate of their own and together exceed the plan's.
    """
    kept = lru_cache(maxsize=4)(make)

    @wraps(make)
    def get(*arguments: Hashable) -> T:
        with _LOCK:
            return kept(*arguments)

    return get
