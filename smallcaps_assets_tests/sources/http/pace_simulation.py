"""A vendor with a hidden limit, and workers that ask it through a throttle, in simulated time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from smallcaps_assets.sources.http.throttle import Throttle

Limit = Callable[[float], float]


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.on_tick: Callable[[float], None] = lambda now: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.on_tick(self.now + seconds)
        self.now += seconds


@dataclass
class SlidingWindow:
    """Accepts as many as `limit(t)` in the last second; refusals count too if `is_strict`."""

    limit: Limit
    is_strict: bool = False
    _times: deque[float] = field(default_factory=deque)

    def accepts(self, now: float) -> bool:
        while self._times and self._times[0] <= now - 1:
            self._times.popleft()
        accepted = len(self._times) < self.limit(now)
        if accepted or self.is_strict:
            self._times.append(now)
        return accepted


@dataclass
class TokenBucket:
    """Tokens drip at `limit(t)` a second into a bucket of a tenth of a second's worth."""

    limit: Limit
    _tokens: float = 1.0
    _last: float = 0.0

    def accepts(self, now: float) -> bool:
        pace = self.limit(now)
        self._tokens = min(max(1.0, pace / 10), self._tokens + (now - self._last) * pace)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True)
class Outcome:
    seconds: float
    requests: int
    refused: int


def simulate(
    server: SlidingWindow | TokenBucket, needed: int, workers: int = 8, latency: float = 0.05
) -> Outcome:
    """Until `needed` requests have been accepted."""
    clock = FakeClock()
    throttle = Throttle(95.0, clock=clock, sleep=clock.sleep)
    start, sent, refused, accepted = clock.now, 0, 0, 0
    in_flight: list[tuple[float, bool]] = []

    def deliver(until: float) -> None:
        nonlocal accepted, refused
        while in_flight and in_flight[0][0] <= until:
            done, good = heapq.heappop(in_flight)
            clock.now = max(clock.now, done)
            accepted, refused = accepted + good, refused + (not good)
            throttle.accepted() if good else throttle.refused()

    def tick(until: float) -> None:
        here = clock.now
        deliver(until)
        clock.now = here

    clock.on_tick = tick
    while accepted < needed:
        if len(in_flight) >= workers:
            deliver(in_flight[0][0])
        throttle.acquire()
        sent += 1
        good = server.accepts(clock.now - start + latency / 2)
        heapq.heappush(in_flight, (clock.now + latency, good))
    return Outcome(clock.now - start, sent, refused)
