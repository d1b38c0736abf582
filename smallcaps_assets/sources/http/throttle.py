"""The pace at which all threads together ask one vendor.

Two regimes. A paid plan has no stated limit but "stay under 100 a second": the pace starts at the
cap, is cut when the vendor says 429 (at most once in half a second, since one overload answers
many requests in flight) and grows back. The free plan has a fixed window: at most 5 calls in any
61 s. Sleeping, counting and remembering the pace belong here; what to send again does not.

Growth is cubic in the time since the last cut: flat around the pace at which the 429 came, then
ever faster, as in TCP CUBIC (RFC 9438); straight additive steps meet a lowered limit over and over
or take ten seconds to climb back. The constants were scanned in 2026-11 in simulation, against
windows and buckets whose limit goes 100, 25 for 6 s, 100: at most 1.18 of the ideal time and 3.2 %
of the requests refused.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: processes then share the window without a lock
    fcntl = None

CUT = 0.6  # what is left of the pace
CUT_INTERVAL = 0.5  # seconds
RETURN, PROBE = 2.0, 16.0  # cubic coefficients below and above the pace of the last 429
SLOWEST = 0.2  # requests per second
LONGEST_PAUSE = 60.0  # seconds, when slower does not help
BURST = 3  # slots that a thread woken late may catch up
HOLD = 0.1  # seconds of silence after any 429


@dataclass(frozen=True)
class Window:
    """At most `calls` requests in any `seconds`."""

    calls: int
    seconds: float


FREE_PLAN = Window(5, 61.0)


@dataclass(frozen=True)
class Counters:
    """Requests sent, 429s among them, and the present pace in requests per second."""

    requests: int
    rate_limited: int
    rate: float


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock file beside `path` against other processes, where the system can lock files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Throttle:
    """A pace shared by all threads; `acquire` returns when the next request may go out."""

    def __init__(
        self,
        cap: float = 95.0,
        window: Window | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._cap, self._window = cap, window
        self._clock, self._wall_clock = clock, wall_clock
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._stop_reason: Exception | None = None
        self._state_path: Path | None = None
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._calls: deque[float] = deque(maxlen=window.calls if window else 1)
        self._ceiling, self._base, self._cut_at = cap, cap, float("-inf")
        self._next_slot = self._paused_until = float("-inf")
        self._strikes, self._is_accepted = 0, True
        self._requests = self._rate_limited = 0

    def acquire(self) -> None:
        """Wait for the next slot. Raises what `stop` was given, also while waiting."""
        with self._turn:
            while (wait := self._take_shared()) > 0:
                self._sleep(wait)
        self.raise_if_stopped()

    def pause(self, seconds: float) -> None:
        """Sleep in the calling thread only; ends early when stopped."""
        if seconds > 0:
            self._sleep(seconds)
        self.raise_if_stopped()

    def accepted(self) -> None:
        """The vendor answered something else than 429."""
        self._is_accepted = True

    def refused(self, retry_after: float | None = None) -> None:
        """The vendor answered 429; `retry_after` is its header in seconds, if it sent one."""
        with self._lock:
            now = self._clock()
            self._rate_limited += 1
            if now - self._cut_at >= CUT_INTERVAL:
                self._cut(now)
            # What is in flight will mostly be refused too: let it come back first.
            self._pause_until(now + HOLD)
            if self._window:
                self._pause_until(now + self._window.seconds)
            if retry_after is not None:
                self._pause_until(now + retry_after)

    def stop(self, reason: Exception) -> None:
        """Let nothing through any more; every waiting and later `acquire` raises `reason`."""
        self._stop_reason = reason
        self._stopped.set()

    def raise_if_stopped(self) -> None:
        """Raise what `stop` was given, if it was called."""
        if self._stop_reason is not None:
            raise self._stop_reason

    @property
    def rate(self) -> float:
        """The present pace, requests per second."""
        if self._window:
            return self._window.calls / self._window.seconds
        with self._lock:
            return self._pace(self._clock())

    def counters(self) -> Counters:
        """What has been sent and refused so far, and the pace now."""
        return Counters(self._requests, self._rate_limited, self.rate)

    def remember_in(self, path: Path) -> None:
        """Start from what `path` holds, and keep it up to date."""
        self.load(path)
        self._state_path = path

    def persist(self) -> None:
        """Write to the path of `remember_in`, if there is one."""
        if self._state_path is not None:
            self.save(self._state_path)

    def save(self, path: Path) -> None:
        """Write the learned pace, and the window's recent calls, for the next process."""
        shift = self._wall_clock() - self._clock()
        calls = [call + shift for call in self._calls] if self._window else []
        state = {"rate": self.rate, "calls": calls}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Start from what `save` wrote; a missing or damaged file changes nothing."""
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            rate, calls = float(state["rate"]), [float(call) for call in state["calls"]]
        except (OSError, ValueError, KeyError, TypeError):
            return
        with self._lock:
            now = self._clock()
            self._ceiling = self._base = min(self._cap, max(SLOWEST, rate))
            self._cut_at = now
            if self._window:
                shift = self._wall_clock() - now
                # The file has every process's calls, ours among them.
                known = sorted(min(call - shift, now) for call in calls)
                self._calls = deque(known, maxlen=self._window.calls)

    def _take_shared(self) -> float:
        """`_take`; on the free plan together with the other processes that share the state."""
        if self._window is None or self._state_path is None:
            return self._take()
        with _locked(self._state_path):
            self.load(self._state_path)
            wait = self._take()
            # Saved while it waits too: calls of the future, from before the clock was set back,
            # then count from now on once, and not from each next look.
            self.save(self._state_path)
        return wait

    def _take(self) -> float:
        """Take a slot and return 0, or return the seconds until there may be one."""
        if self._stop_reason is not None:
            return 0.0
        with self._lock:
            now = self._clock()
            wait = self._earliest() - now
            if wait > 0:
                return wait
            gap = 1 / self._pace(now)
            self._next_slot = max(self._next_slot, now - BURST * gap) + gap
            self._calls.append(now)
            self._requests += 1
            return 0.0

    def _earliest(self) -> float:
        if self._window is None:
            return max(self._next_slot, self._paused_until)
        if len(self._calls) < self._window.calls:
            return self._paused_until
        return max(self._calls[0] + self._window.seconds, self._paused_until)

    def _pace(self, now: float) -> float:
        lost = self._ceiling - self._base
        plateau = (lost / RETURN) ** (1 / 3)
        since = now - max(self._cut_at, min(self._paused_until, now))
        if since > 60:
            return self._cap
        steepness = RETURN if since < plateau else PROBE
        grown = self._ceiling + steepness * (since - plateau) ** 3
        return min(self._cap, max(SLOWEST, grown))

    def _cut(self, now: float) -> None:
        self._ceiling = self._pace(now)
        self._base = max(SLOWEST, self._ceiling * CUT)
        self._cut_at = now
        # Refused ever since the last cut: slower does not help, so wait, longer each time.
        self._strikes = 0 if self._is_accepted else self._strikes + 1
        self._is_accepted = False
        if self._strikes:
            self._pause_until(now + min(LONGEST_PAUSE, 0.25 * 2**self._strikes))

    def _pause_until(self, moment: float) -> None:
        self._paused_until = max(self._paused_until, moment)
        self._next_slot = max(self._next_slot, moment)  # a pause earns no burst
