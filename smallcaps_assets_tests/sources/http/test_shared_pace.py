"""One pace for several machines: real processes on a real PostgreSQL, and in simulated time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from smallcaps_assets.pipeline import clients
from smallcaps_assets.settings import POSTGRES_VARIABLE, PolygonSettings, Settings
from smallcaps_assets.sources.errors import SourceUnavailable
from smallcaps_assets.sources.http.shared_pace import SharedPace, pace_name
from smallcaps_assets.sources.http.throttle import FREE_PLAN, Pace, Throttle
from smallcaps_assets.sources.polygon.client import make_throttle
from smallcaps_assets_tests.postgres import postgres_server
from smallcaps_assets_tests.sources.http.pace_simulation import FakeClock, SlidingWindow
from smallcaps_assets_tests.sources.loopback import Asked, Loopback, Reply

KEY = "a-secret-key-of-the-test"
HOSTS, EACH = 4, 60
HOST = """
import sys
from concurrent.futures import ThreadPoolExecutor
from smallcaps_assets.sources.http.shared_pace import SharedPace, pace_name
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.http.transport import Request, Transport

url, address, key, count = sys.argv[1:]
shared = SharedPace(address, pace_name("vendor", key))
transport = Transport(url, key, Throttle(95.0, shared=shared), workers=8)
with shared.held():
    print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(8) as pool:
    request = Request("/x")
    list(pool.map(lambda _: transport.fetch(request, lambda answer: None), range(int(count))))
"""


class InMemory:
    """A pace that throttles of one process share, by a clock that is not theirs."""

    def __init__(self, clock: FakeClock) -> None:
        self.stored: dict[str, Any] = {"text": ""}
        self._clock = clock

    @contextmanager
    def held(self) -> Iterator[dict[str, Any]]:
        self.stored["now"] = self._clock() + 5e8
        yield self.stored


def test_four_hosts_under_one_key_are_refused_no_more_than_one() -> None:
    limit, refused, began = SlidingWindow(lambda now: 100), [], time.monotonic()
    lock = threading.Lock()

    def vendor(asked: Asked) -> Reply:
        with lock:
            is_good = limit.accepts(time.monotonic() - began)
            refused.append(not is_good)
        return Reply(b"{}", status=200 if is_good else 429)

    with postgres_server() as address, Loopback(vendor) as server:
        command = [sys.executable, "-c", HOST, server.url, address, KEY, str(EACH)]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        hosts = [subprocess.Popen(command, **pipes) for _ in range(HOSTS)]
        assert [host.stdout.readline() for host in hosts] == ["ready\n"] * HOSTS
        for host in hosts:
            host.stdin.write("go\n")
            host.stdin.flush()
        assert [host.wait(120) for host in hosts] == [0] * HOSTS
        for host in hosts:
            host.stdin.close()
            host.stdout.close()
    assert len(refused) - sum(refused) == HOSTS * EACH
    assert sum(refused) <= 0.05 * len(refused)


def test_free_plan_of_several_hosts_is_one_window() -> None:
    clock, times = FakeClock(), []
    shared = InMemory(clock)
    hosts = [
        Throttle(window=FREE_PLAN, clock=clock, sleep=clock.sleep, shared=shared) for _ in range(4)
    ]
    for number in range(24):
        hosts[number % 4].acquire()
        times.append(clock.now)
        clock.now += 0.01
    for start in times:
        assert sum(start <= t < start + 60.999 for t in times) <= 5
    assert times[-1] - times[0] < 61 * 5


def test_refusal_of_one_host_slows_the_others() -> None:
    clock = FakeClock()
    shared = InMemory(clock)
    one, other = (Throttle(95.0, clock=clock, sleep=clock.sleep, shared=shared) for _ in range(2))
    one.acquire()
    one.refused(retry_after=7.0)
    before = clock.now
    other.acquire()
    assert clock.now - before == pytest.approx(7.0)
    assert other.rate < 0.7 * 95


def test_stored_pace_of_a_clock_that_was_set_back_holds_nobody_up() -> None:
    text = Pace(95, 95, 1e9, 1e9, 1e9, calls=[1e9] * 5).text
    pace = Pace.read(text, 1000.0)
    assert max(pace.cut_at, *pace.calls) == 1000.0
    assert max(pace.next_slot, pace.paused_until) <= 1300.0


def test_damaged_state_is_replaced_by_what_a_host_knows() -> None:
    clock = FakeClock()
    shared = InMemory(clock)
    shared.stored["text"] = '{"ceiling": '
    throttle = Throttle(95.0, clock=clock, sleep=clock.sleep, shared=shared)
    throttle.acquire()
    assert Pace.read(shared.stored["text"], 1e9).ceiling == 95.0


def test_hosts_without_a_shared_pace_take_parts_of_it() -> None:
    paid = make_throttle(PolygonSettings(hosts=4, requests_per_second=80))
    assert paid.rate == pytest.approx(20)
    free = make_throttle(PolygonSettings(hosts=4, plan="free"))
    assert free.rate == pytest.approx(1 / 61)
    with pytest.raises(ValueError, match="too few for 6 hosts"):
        PolygonSettings(hosts=6, plan="free")
    shared = InMemory(FakeClock())
    assert make_throttle(PolygonSettings(hosts=4), shared=shared).rate == pytest.approx(95)


def test_database_that_is_away_lets_nothing_out_and_tells_no_password() -> None:
    shared = SharedPace("postgresql+psycopg2://lake:pass-word@127.0.0.1:9/lake", "x")
    with pytest.raises(SourceUnavailable) as failed:
        Throttle(95.0, shared=shared).acquire()
    assert "pass-word" not in str(failed.value) + repr(shared)
    assert failed.value.is_transient and "DAGSTER_POSTGRES_URL" in str(failed.value)


def test_client_of_the_vendor_shares_its_pace_where_history_is_in_postgresql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert clients.shared_pace("https://api.massive.com", KEY) is None
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql+psycopg2://lake@127.0.0.1:9/lake")
    monkeypatch.setenv("POLYGON_API_KEY", KEY)
    settings = Settings.model_validate(
        {"market": {"name": "polygon"}, "polygon": {"retry_budget": 0}}
    )
    with pytest.raises(SourceUnavailable):
        clients.polygon_client(settings).market_status()
    assert KEY not in pace_name("api.massive.com", KEY)
