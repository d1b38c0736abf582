"""Values made once: per process for all threads, or per object for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any, Generic, TypeVar

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


class kept(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """A property made once per object, which must belong to one thread.

    functools.cached_property holds one lock for all objects of a class in Python 3.11, so that
    threads with an object each would wait for one another.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, instance: Any, owner: type) -> T:
        value = instance.__dict__[self._name] = self._make(instance)
        return value
