"""Values made once: under a lock for all threads, or without one for an object of one thread."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from smallcaps_assets.pipeline.shared import kept, shared


def test_shared_asked_by_many_threads_at_once_makes_one_object():
    made = []

    @shared
    def client(name: str) -> object:
        time.sleep(0.01)
        made.append(name)
        return object()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(client, ["a"] * 8))
    assert len(found) == 1
    assert made == ["a"]
    assert client("b") not in found


def test_kept_makes_once_per_object_and_objects_do_not_wait_for_one_another():
    barrier = threading.Barrier(2, timeout=5)

    class Day:
        calls = 0

        @kept
        def tape(self) -> int:
            """The tape."""
            barrier.wait()
            self.calls += 1
            return self.calls

    days = [Day(), Day()]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda day: day.tape, days)) == [1, 1]
    assert [day.tape for day in days] == [1, 1]
