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

Processes of one machine share the free plan's window through a file. Machines that work under one
key share all of it through a database, see `shared_pace.py`: each request takes its slot there, and
a 429 that one of them gets slows all.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
LONGEST_TOLD = 300.0  # seconds; no host is believed to want a longer pause
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


@dataclass
class Pace:
    """What a pace has come to, in seconds of one clock; what machines share.

    The pace grows from `ceiling`, of which `base` was left by the last cut. `calls` are the newest
    of a window's.
    """

    ceiling: float
    base: float
    cut_at: float = float("-inf")
    next_slot: float = float("-inf")
    paused_until: float = float("-inf")
    strikes: int = 0
    is_accepted: bool = True
    calls: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, text: str, now: float) -> Pace:
        """What `text` wrote. Moments are brought up to `now`: the clock may have been set back.

        Raises ValueError, TypeError for another text.
        """
        pace = cls(**json.loads(text))
        pace.cut_at, pace.calls = min(pace.cut_at, now), [min(call, now) for call in pace.calls]
        pace.next_slot = min(pace.next_slot, now + LONGEST_PAUSE)
        pace.paused_until = min(pace.paused_until, now + LONGEST_TOLD)
        return pace

    @property
    def text(self) -> str:
        """All of it, to be stored."""
        return json.dumps(asdict(self))


class Shared(Protocol):
    """Where processes and machines keep one pace."""

    def held(self) -> AbstractContextManager[dict[str, Any]]:
        """Hold it alone: `text`, empty at first, can be replaced; `now` is a clock of them all."""
        ...


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
        shared: Shared | None = None,
    ) -> None:
        self._cap, self._window = cap, window
        self._clock, self._wall_clock = clock, wall_clock
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._stop_reason: Exception | None = None
        self._state_path: Path | None = None
        self._turn, self._lock = threading.Lock(), threading.Lock()
        self._pace = Pace(cap, cap)
        self._shared = shared
        self._is_accepted = False  # since the pace was last held
        self._requests = self._rate_limited = 0
        self._shift = 0.0  # of the shared clock, against this process's

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
        with self._held() as now:
            self._rate_limited += 1
            if now - self._pace.cut_at >= CUT_INTERVAL:
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
            return self._at(self._clock() + self._shift)

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
        calls = [call + shift for call in self._pace.calls] if self._window else []
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
            self._pace.ceiling = self._pace.base = min(self._cap, max(SLOWEST, rate))
            self._pace.cut_at = now
            if self._window:
                shift = self._wall_clock() - now
                # The file has every process's calls, ours among them.
                known = sorted(min(call - shift, now) for call in calls)
                self._pace.calls = known[-self._window.calls :]

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
        with self._held() as now:
            wait = self._earliest() - now
            if wait > 0:
                return wait
            pace, gap = self._pace, 1 / self._at(now)
            pace.next_slot = max(pace.next_slot, now - BURST * gap) + gap
            if self._window:
                pace.calls = [*pace.calls, now][-self._window.calls :]
            self._requests += 1
            return 0.0

    @contextmanager
    def _held(self) -> Iterator[float]:
        """The pace held alone, by this process's threads or by all machines; yields the time."""
        with self._lock:
            if self._shared is None:
                self._note_accepted()
                yield self._clock()
                return
            with self._shared.held() as stored:
                now = stored["now"]
                self._shift = now - self._clock()
                with suppress(ValueError, TypeError):
                    self._pace = Pace.read(stored["text"], now)
                self._note_accepted()
                yield now
                stored["text"] = self._pace.text

    def _note_accepted(self) -> None:
        self._pace.is_accepted |= self._is_accepted
        self._is_accepted = False

    def _earliest(self) -> float:
        pace, window = self._pace, self._window
        if window is None:
            return max(pace.next_slot, pace.paused_until)
        if len(pace.calls) < window.calls:
            return pace.paused_until
        return max(pace.calls[-window.calls] + window.seconds, pace.paused_until)

    def _at(self, now: float) -> float:
        """The pace at a moment, requests per second."""
        held = self._pace
        plateau = ((held.ceiling - held.base) / RETURN) ** (1 / 3)
        since = now - max(held.cut_at, min(held.paused_until, now))
        if since > 60:
            return self._cap
        steepness = RETURN if since < plateau else PROBE
        grown = held.ceiling + steepness * (since - plateau) ** 3
        return min(self._cap, max(SLOWEST, grown))

    def _cut(self, now: float) -> None:
        held = self._pace
        held.ceiling = self._at(now)
        held.base = max(SLOWEST, held.ceiling * CUT)
        held.cut_at = now
        # Refused ever since the last cut: slower does not help, so wait, longer each time.
        held.strikes = 0 if held.is_accepted else held.strikes + 1
        held.is_accepted = False
        if held.strikes:
            self._pause_until(now + min(LONGEST_PAUSE, 0.25 * 2**held.strikes))

    def _pause_until(self, moment: float) -> None:
        held = self._pace
        held.paused_until = max(held.paused_until, moment)
        held.next_slot = max(held.next_slot, moment)  # a pause earns no burst
