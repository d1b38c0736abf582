"""Calls in worker processes, for what holds Python's lock too long for threads.

Threads hand over calls and wait for the results, so that a stage is written as for threads: each
thread fetches what its partition needs, under the one pace of this process, and has the rest made
in a worker. Workers are started when they are needed, stay for later stages and runs of this
process, and end with it (`worker.py`). One that is killed in the middle of a call fails that call
alone, and the next call gets a fresh one.
"""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from smallcaps_assets.pipeline.machine import cores, free_memory
from smallcaps_assets.pipeline.worker import packed
from smallcaps_assets.settings import RunSettings, SettingsError

R = TypeVar("R")
WORKER_BYTES = 450 << 20
"""Memory that a worker takes at most with usual ticker-sessions, see docs/operations.md."""
ITEMS_PER_WORKER = 8
"""A worker takes some three processor seconds to start; below this, threads are as fast."""
_END_SECONDS = 5.0
_SERVE = "import sys; sys.path[:] = {}; from smallcaps_assets.pipeline.worker import serve; serve()"


class WorkerLostError(RuntimeError):
    """A worker process ended in the middle of a call."""


class _Worker:
    """One worker process; belongs to one thread at a time."""

    def __init__(self, threads: int) -> None:
        library = str(threads)  # one for each worker's share of the processors
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"POLARS_MAX_THREADS": library, **os.environ},
            # A terminal sends Ctrl-C to its own group; the workers of what it ends, end with it.
            process_group=0 if os.name == "posix" else None,
        )
        self._pending = 0

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def is_waiting(self) -> bool:
        """Whether it can take a call, having answered all before."""
        return self.is_alive and not self._pending

    def send(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Begin a call; its result comes before those of later ones."""
        call = packed((function, arguments))
        with suppress(BrokenPipeError):  # told when the answer is read
            pickle.dump(call, self._process.stdin)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]
        self._pending += 1

    def answer(self) -> Any:
        """The result of the last call begun. Raises what it raised, or WorkerLostError."""
        is_good: bool = True
        found: Any = None
        while self._pending:
            try:
                is_good, found = pickle.loads(pickle.load(self._process.stdout))  # type: ignore[arg-type]
            except (EOFError, OSError, pickle.UnpicklingError):
                raise WorkerLostError(self._epitaph()) from None
            self._pending -= 1
        if not is_good:
            raise found
        return found

    def kill(self) -> None:
        """End it at once; whoever waits for its answer is told."""
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Let it end, which it does with its input, and wait until it has."""
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._process.wait(_END_SECONDS)

    def _epitaph(self) -> str:
        number, status = self._process.pid, self._process.wait(_END_SECONDS)
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return (
            f"worker process {number} {how}; the next run makes what it was at. If the system"
            " killed it for want of memory, lower run.processes"
        )


_IDLE: deque[_Worker] = deque()
_RUNNING: set[_Worker] = set()
_LOCK = threading.Lock()


class Workers:
    """So many worker processes; with none, a call is made in the thread that asks for it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(max(1, count))
        self._busy: set[_Worker] = set()
        self._is_abandoned = False

    def prepare(self, function: Callable[[], Any]) -> None:
        """Start the workers that there are not yet, each with a first call; waits for none."""
        for _ in range(self.count - len(_RUNNING)):
            worker = _started(self.count)
            worker.send(function, ())
            _IDLE.append(worker)

    def call(self, function: Callable[..., R], *arguments: Any) -> R:
        """The result of a function that a worker can import, of arguments that can be pickled.

        Raises what it raises, and WorkerLostError when the worker is killed meanwhile.
        """
        if not self.count:
            return function(*arguments)
        with self._free:
            worker = self._idle()
            self._busy.add(worker)
            try:
                if self._is_abandoned:
                    raise WorkerLostError("the run has ended; the next run makes what is left")
                worker.send(function, arguments)
                return worker.answer()
            finally:
                self._busy.discard(worker)
                if worker.is_waiting and not self._is_abandoned:
                    _IDLE.append(worker)
                else:
                    _forget(worker)

    def abandon(self) -> None:
        """Kill the workers at their calls, which fail, as later calls do: the run has ended."""
        self._is_abandoned = True
        for worker in [*self._busy]:
            worker.kill()

    def _idle(self) -> _Worker:
        """A worker that waits; a fresh one for one that has been killed."""
        with suppress(IndexError):
            while True:
                worker = _IDLE.pop()
                if worker.is_alive:
                    return worker
                _forget(worker)
        return _started(self.count)


def workers(settings: RunSettings, items: int) -> Workers:
    """The worker processes that some items are worth: none for few.

    Raises SettingsError when more are asked for than there is memory for.
    """
    count = min(allowed(settings), items // ITEMS_PER_WORKER)
    return Workers(count if count > 1 else 0)


def allowed(settings: RunSettings) -> int:
    """Worker processes of a run: those of the settings, else one for each processor.

    No more than there is memory for. Raises SettingsError when the settings want more.
    """
    running = sum(worker.is_alive for worker in _RUNNING)
    most = running + free_memory() // WORKER_BYTES
    wanted = settings.processes
    if wanted is None:
        return min(cores(), most)
    if wanted > max(1, most):
        raise SettingsError(
            f"setting run.processes={wanted} is invalid: {wanted} worker processes need"
            f" {wanted * WORKER_BYTES / 1e9:.1f} GB of memory, and"
            f" {most * WORKER_BYTES / 1e9:.1f} GB are free; choose {max(1, most)} at most, or leave"
            " it out"
        )
    return wanted


def end_workers() -> None:
    """End all worker processes of this process; the next call starts fresh ones."""
    _IDLE.clear()
    for worker in [*_RUNNING]:
        _forget(worker)


def _started(count: int) -> _Worker:
    worker = _Worker(max(1, cores() // count))
    with _LOCK:
        _RUNNING.add(worker)
    return worker


def _forget(worker: _Worker) -> None:
    worker.kill()
    worker.close()
    with _LOCK:
        _RUNNING.discard(worker)


atexit.register(end_workers)
