"""Ctrl-C and termination of the `smallcaps` program, from its first import to its last line.

While nothing is under way, and inside any import, a signal ends the process at once: an exception
raised in an import may be caught by a library that only tries whether another one is there. While
a command works, the signal raises KeyboardInterrupt, so that what is under way ends in order.
A second signal ends the process at once, and so does the time: whatever catches the exception,
nothing outlives the first signal by more than `GRACE` seconds. All files are written so that a
process may end anywhere. The status is 128 and the signal's number, and one line says how to go on.

Only standard modules that load quickly are imported here.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LINE = "smallcaps: interrupted; run the same command again to go on"
GRACE = 8.0  # seconds; ten after its SIGTERM a container is killed
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TWICE = 0.3  # seconds within which a signal is the same one: to the process and to its group
_IMPORT = "<frozen importlib._bootstrap>"


class _State:
    """What is known of this process's signals."""

    received: int | None = None
    is_installed = is_working = is_left_to_command = is_raised = is_told = False
    is_heeded = has_error = False
    ending = threading.Lock()


def install() -> None:
    """Heed both signals from now on, also where a shell has them ignored. For the main thread.

    Libraries put handlers of their own before ours for a while. So a thread of its own is told of
    each signal, whoever handles it.
    """
    if _State.is_installed:
        return
    _State.is_installed = True
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, _handle)
    threading.Thread(target=_watch, args=(reader,), name="interrupts", daemon=True).start()


@contextmanager
def working() -> Iterator[None]:
    """While something is under way that should end in order."""
    _State.is_working = True
    try:
        yield
    finally:
        _State.is_working = False


@contextmanager
def left_to_command() -> Iterator[Callable[[], bool]]:
    """What tells whether a first signal has come, which nothing else heeds meanwhile.

    For a command that holds positions: no exception cuts through its work, no time is set to what
    the signal makes it do, and it says itself what has been done. A second signal ends the process.
    An error is the command's own, not the signal's, and is told as if none had come.
    """
    _State.is_left_to_command = _State.is_told = True
    try:
        yield is_received
    except BaseException:
        _State.has_error = True
        raise
    finally:
        _State.is_left_to_command, _State.is_told = False, is_received()


def hand_over(handler: Any) -> None:
    """Let `handler` alone take both signals, as a process that serves others needs it."""
    _State.is_installed = False
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, handler)


def is_received() -> bool:
    """Whether a signal has come that is still to be heeded, even if something has caught its
    exception."""
    return _State.received is not None and not _State.has_error


def tell() -> str:
    """The line for the user, which is then not told again; empty if the command has told more."""
    line, _State.is_told = "" if _State.is_told else LINE, True
    return line


def status() -> int:
    """The exit status that says which signal came."""
    return 128 + (_State.received or signal.SIGINT)


def _handle(number: int, frame: FrameType | None) -> None:
    _State.received = _State.received or number
    if _State.is_left_to_command:
        _State.is_heeded = True
        return
    if not _State.is_working or _is_importing(frame):
        _end()
    if not _State.is_raised:
        _State.is_raised = True
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False


def _watch(reader: int) -> None:
    """Wait for a signal; end the process if nothing is under way, at the next one, or in time."""
    while (number := os.read(reader, 1)[0]) not in SIGNALS:
        pass
    if not _State.is_installed:
        return
    _State.received = _State.received or number
    if _State.is_working or _State.is_heeded:
        time.sleep(_TWICE)
        while select.select([reader], [], [], 0)[0]:
            os.read(reader, 1)
        is_left = _State.is_left_to_command or _State.is_heeded
        select.select([reader], [], [], None if is_left else GRACE - _TWICE)
    _end()


def _end() -> None:
    """End the process at once. The first thread to come here does it."""
    if not _State.ending.acquire(blocking=False):
        time.sleep(GRACE)
    if not _State.is_told:
        os.write(2, f"{LINE}\n".encode())
    os._exit(status())
