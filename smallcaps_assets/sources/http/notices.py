"""What the sources have to tell whoever runs them: what is being waited for, and what is said once.

Nothing is printed here. A console reads `waits` as often as it likes and is handed what `say_once`
is told; without one, that goes to the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG = logging.getLogger(__name__)
SHOWN_AFTER = 3.0  # seconds; shorter waits would only flicker
REASON_LENGTH = 90

_LOCK = threading.Lock()
_WAITS: dict[object, tuple[float, bool, str, str]] = {}  # since when, whether long, host, reason
_SAID: set[str] = set()
_LISTENERS: list[Callable[[str], None]] = []


@contextmanager
def waiting(host: str) -> Iterator[Callable[..., None]]:
    """Yields a function of a reason, and the seconds it will last if that is known.

    From its first call on `host` is waited for. Listeners are told of a wait that is long.
    """
    token = object()

    def tell(reason: str, seconds: float = 0.0) -> None:
        now, why = time.monotonic(), " ".join(reason.split())[:REASON_LENGTH]
        with _LOCK:
            since = _WAITS[token][0] if token in _WAITS else now
            is_long = max(seconds, now - since) >= SHOWN_AFTER
            _WAITS[token] = (since, is_long, host, why)
        if is_long:
            _hand_over(f"waiting for {host}: {why}")

    try:
        yield tell
    finally:
        with _LOCK:
            _WAITS.pop(token, None)


def waits() -> str:
    """One line about the longest wait, with the number of others; empty if all are short."""
    now = time.monotonic()
    with _LOCK:
        found = sorted(wait for wait in _WAITS.values() if wait[1] or now - wait[0] >= SHOWN_AFTER)
    if not found:
        return ""
    since, _, host, reason = found[0]
    others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"waiting {now - since:.0f} s for {host}: {reason}{others}"


def say_once(text: str) -> None:
    """Hand a text to the listeners, or the log if there are none; not again in this process."""
    if not _hand_over(text):
        LOG.warning(text)


def _hand_over(text: str) -> bool:
    """Hand a text to the listeners that have not heard it; whether somebody has."""
    with _LOCK:
        is_said, listeners = text in _SAID, [*_LISTENERS]
        _SAID.add(text)
    for listener in () if is_said else listeners:
        listener(text)
    return is_said or bool(listeners)


@contextmanager
def heard_by(listener: Callable[[str], None]) -> Iterator[None]:
    """`listener` is handed what is said meanwhile; what was said before may be said again."""
    with _LOCK:
        _SAID.clear()
        _LISTENERS.append(listener)
    try:
        yield
    finally:
        with _LOCK:
            _LISTENERS.remove(listener)
