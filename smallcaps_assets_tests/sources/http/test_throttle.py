"""The pace: what it allows, how it gives way and how it comes back, in simulated time."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.sources.errors import Unauthorized
from smallcaps_assets.sources.http.throttle import FREE_PLAN, Throttle
from smallcaps_assets_tests.sources.http.pace_simulation import (
    FakeClock,
    SlidingWindow,
    TokenBucket,
    simulate,
)


def make_throttle(clock: FakeClock, **options: object) -> Throttle:
    return Throttle(clock=clock, sleep=clock.sleep, wall_clock=clock, **options)  # type: ignore


def dropping(now: float) -> float:
    """100 a second, and 25 from the third to the ninth second."""
    return 25 if 3 <= now < 9 else 100


def ideal_seconds(needed: int) -> float:
    return 9 + (needed - 300 - 150) / 100


@pytest.mark.parametrize(
    "server",
    [SlidingWindow(dropping), SlidingWindow(dropping, is_strict=True), TokenBucket(dropping)],
    ids=["window", "strict_window", "bucket"],
)
def test_throttle_given_limit_that_drops_for_6_s_expected_fast_and_few_refusals(server) -> None:
    outcome = simulate(server, needed=1500)
    assert outcome.seconds <= 1.25 * ideal_seconds(1500)
    assert outcome.refused <= 0.05 * outcome.requests


def test_throttle_given_no_limit_expected_at_least_90_percent_of_the_cap() -> None:
    outcome = simulate(TokenBucket(lambda now: 1e6), needed=950)
    assert 950 / outcome.seconds >= 0.9 * 95
    assert outcome.refused == 0


def test_throttle_given_any_second_expected_at_most_cap_plus_burst() -> None:
    clock, times = FakeClock(), []
    throttle = make_throttle(clock, cap=95.0)
    for number in range(400):
        throttle.acquire()
        times.append(clock.now)
        clock.now += 0.2 if number == 100 else 0.0
    for start in times:
        assert sum(start <= t < start + 1 for t in times) <= 95 + 4


def test_throttle_given_many_429_at_once_expected_one_cut() -> None:
    clock = FakeClock()
    throttle = make_throttle(clock, cap=90.0)
    for _ in range(8):
        throttle.refused()
        clock.now += 0.01
    assert throttle.rate == pytest.approx(90 * 0.6, rel=0.05)
    assert throttle.counters().rate_limited == 8


def test_throttle_given_retry_after_expected_silence_for_that_long() -> None:
    clock = FakeClock()
    throttle = make_throttle(clock)
    throttle.refused(retry_after=7.5)
    throttle.acquire()
    assert clock.now == pytest.approx(1007.5)


def test_throttle_given_only_refusals_expected_longer_and_longer_pauses() -> None:
    clock, gaps = FakeClock(), []
    throttle = make_throttle(clock)
    for _ in range(9):
        before = clock.now
        throttle.acquire()
        gaps.append(clock.now - before)
        throttle.refused()
        clock.now += 0.6
    assert gaps[-1] > 30
    assert max(gaps) <= 60


def test_throttle_given_quiet_minute_after_429_expected_cap_again() -> None:
    clock = FakeClock()
    throttle = make_throttle(clock)
    throttle.refused()
    clock.now += 61
    assert throttle.rate == 95


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 90), max_size=40), st.sets(st.integers(0, 40)))
def test_throttle_given_free_plan_expected_at_most_5_in_any_61_s(
    idle: list[float], refusals: set[int]
) -> None:
    clock, times = FakeClock(), []
    throttle = make_throttle(clock, window=FREE_PLAN)
    for number, seconds in enumerate([*idle, *[0.0] * 12]):
        clock.now += seconds
        throttle.acquire()
        times.append(clock.now)
        if number in refusals:
            throttle.refused()
    for start in times:
        assert sum(start <= t < start + 60.999 for t in times) <= 5


def test_throttle_given_429_on_free_plan_expected_whole_window_waited() -> None:
    clock = FakeClock()
    throttle = make_throttle(clock, window=FREE_PLAN)
    throttle.acquire()
    throttle.refused()
    throttle.acquire()
    assert clock.now == pytest.approx(1061)


def test_throttle_given_new_process_on_free_plan_expected_window_goes_on(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "state" / "pace.json"
    first = make_throttle(clock, window=FREE_PLAN)
    first.remember_in(path)
    for _ in range(5):
        first.acquire()
    second = make_throttle(clock, window=FREE_PLAN)
    second.remember_in(path)
    second.acquire()
    assert clock.now == pytest.approx(1061)


def test_throttle_given_two_processes_on_free_plan_expected_one_window(tmp_path: Path) -> None:
    clock, path, times = FakeClock(), tmp_path / "pace.json", []
    throttles = [make_throttle(clock, window=FREE_PLAN) for _ in range(2)]
    for throttle in throttles:
        throttle.remember_in(path)
    for number in range(24):
        throttles[number % 2].acquire()
        times.append(clock.now)
        clock.now += 0.01
    for start in times:
        assert sum(start <= t < start + 60.999 for t in times) <= 5


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_throttle_given_wall_clock_set_expected_no_pause_longer_than_a_window(
    tmp_path: Path, jump: float
) -> None:
    """Whoever starts after the clock was set finds calls of an hour ahead in the shared state."""
    clock, path, shift = FakeClock(), tmp_path / "pace.json", 0.0

    def start() -> Throttle:
        throttle = Throttle(
            window=FREE_PLAN,
            clock=clock,
            sleep=clock.sleep,
            wall_clock=lambda: clock() + 1e9 + shift,
        )
        throttle.remember_in(path)
        return throttle

    first, times = start(), []
    for number in range(20):
        if number == 7:
            shift, second = jump, start()
        (first if number < 7 or number % 2 else second).acquire()
        times.append(clock.now)
    assert max(b - a for a, b in pairwise(times)) <= 122
    if jump < 0:
        for begin in times:
            assert sum(begin <= t < begin + 60.999 for t in times) <= 5


def test_throttle_given_saved_pace_expected_it_starts_there(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "pace.json"
    throttle = make_throttle(clock)
    throttle.refused()
    throttle.save(path)
    other = make_throttle(clock)
    other.load(path)
    assert other.rate == pytest.approx(57, rel=0.01)


@pytest.mark.parametrize("content", ["", "[]", '{"rate": "x"}', '{"rate": 1, "calls": 3}', "null"])
def test_throttle_given_damaged_state_expected_it_is_ignored(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pace.json"
    path.write_text(content, encoding="utf-8")
    throttle = make_throttle(FakeClock())
    throttle.load(path)
    assert throttle.rate == 95


def test_throttle_given_stop_expected_waiting_threads_raise_at_once() -> None:
    throttle = Throttle(window=FREE_PLAN)
    for _ in range(5):
        throttle.acquire()
    raised: list[Exception] = []

    def wait() -> None:
        try:
            throttle.acquire()
        except Unauthorized as error:
            raised.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    throttle.stop(Unauthorized("unknown key", status=401))
    for thread in threads:
        thread.join(timeout=2)
    assert len(raised) == 3
