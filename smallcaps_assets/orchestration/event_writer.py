"""Tells Dagster of finished partitions from a thread of its own, what has gathered at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import dagster as dg

from smallcaps_assets.orchestration.storage.batches import together

_SECONDS = 0.5  # that events gather, so that with writing them none is told later than in a second
_MOST = 200


class EventWriter:
    """Makes the calls it is given in their order, those of half a second in one transaction.

    Signals interrupt the main thread alone, so that what is being written is written whole; at the
    end of the block all is written, however it ends. An error of writing is raised by the next
    `add` or at the end, and nothing is written after it.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._calls: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="events")

    def __enter__(self) -> EventWriter:
        self._thread.start()
        return self

    def add(self, call: Callable[[], None]) -> None:
        """Have a call made; waits while many are not yet made."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._calls) < _MOST or self._error is not None)
            if self._error is not None:
                raise self._error
            self._calls.append(call)
            self._changed.notify_all()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        try:
            self._thread.join()
        finally:
            self._thread.join()  # also when a signal has ended the wait
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while calls := self._gathered():
                with together(self._instance):
                    for call in calls:
                        call()
        except BaseException as error:  # noqa: BLE001 - raised where the calls are added
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _gathered(self) -> list[Callable[[], None]]:
        """The calls of half a second from the first one on; none when it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self._is_over)
            self._changed.wait_for(lambda: self._is_over or len(self._calls) >= _MOST, _SECONDS)
            found, self._calls = self._calls, []
            self._changed.notify_all()
            return found
