"""Which process works on a run, and whether it lives: told apart also in containers.

A run is tagged with its process: its number, when it started, and the place where that number means
something, which is one boot of one machine and one container in it. On that place the system knows
whether it lives. From anywhere else it is known by its heartbeat, which it writes beside Dagster's
own; where that stands still while somebody looks, whatever the clocks say, the process is gone.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import dagster as dg

LOG = logging.getLogger(__name__)
PROCESS_TAG = "smallcaps/process"
BEAT = 5.0  # seconds between two
FRESH = 30.0  # seconds within which a heartbeat needs no second look
_HEARTS: weakref.WeakKeyDictionary[dg.DagsterInstance, threading.Event] = (
    weakref.WeakKeyDictionary()
)
_LOCK = threading.Lock()


def process_tag() -> dict[str, str]:
    """The tag by which a run of this process is known as dead when the process is gone."""
    number = os.getpid()
    return {PROCESS_TAG: f"{number}.{_started(number)}@{_place()}"}


def claim(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Tag a run with this process, if need be, and keep the process's heart beating: who launched
    it doesn't know which one runs it."""
    start_beating(instance)
    tag = process_tag()
    if not run.tags.items() >= tag.items():
        instance.add_run_tags(run.run_id, tag)


def start_beating(instance: dg.DagsterInstance) -> None:
    """Write this process's heartbeat, now and again, as long as the instance is in use."""
    with _LOCK:
        if instance in _HEARTS:
            return
        stopped = _HEARTS[instance] = threading.Event()
    beat(instance)
    arguments = (weakref.ref(instance), stopped)
    threading.Thread(target=_go_on, args=arguments, name="heartbeat", daemon=True).start()


def stop_beating(instance: dg.DagsterInstance) -> None:
    """No more heartbeats: the instance is about to be closed."""
    with _LOCK:
        stopped = _HEARTS.pop(instance, None)
    if stopped is not None:
        stopped.set()


def beat(instance: dg.DagsterInstance) -> None:
    """Write this process's heartbeat once."""
    key = _key(process_tag()[PROCESS_TAG])
    instance.daemon_cursor_storage.set_cursor_values({key: repr(time.time())})


def last_beat(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The last heartbeat of the process that works on a run; empty if it never wrote any."""
    process = run.tags.get(PROCESS_TAG)
    return _heard(instance, [process]).get(process, "") if process else ""


class Silence:
    """How long the processes of some runs have been silent, as one observer has seen it."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[str, float]] = {}

    def lasts(self, instance: dg.DagsterInstance, run: dg.DagsterRun, seconds: float) -> bool:
        """Whether a run's heartbeat has not changed for so long, since it was first looked at."""
        heartbeat, now = last_beat(instance, run), time.monotonic()
        before, since = self._heard.get(run.run_id, (None, now))
        if before != heartbeat:
            self._heard[run.run_id] = (heartbeat, now)
            return False
        return now - since >= seconds

    def forget(self, run: dg.DagsterRun) -> None:
        """Begin anew with a run that has answered or is over."""
        self._heard.pop(run.run_id, None)


def dead_runs(
    instance: dg.DagsterInstance,
    runs: Iterable[dg.DagsterRun],
    pause: Callable[[float], object] = time.sleep,
) -> list[dg.DagsterRun]:
    """Those of some runs whose process is gone.

    It takes two heartbeats' time to tell where one of another place has not been heard of lately.
    """
    found = [(run, run.tags[PROCESS_TAG]) for run in runs if PROCESS_TAG in run.tags]
    dead = [run for run, process in found if _is_known_to_be_gone(process)]
    others = [(run, p) for run, p in found if not _is_of_here(p)]
    first = _heard(instance, [process for _, process in others])
    now = time.time()
    silent = [(r, p) for r, p in others if p in first and abs(now - float(first[p])) > FRESH]
    if not silent:
        return dead
    pause(2 * BEAT + 1)
    again = _heard(instance, [process for _, process in silent])
    return dead + [run for run, process in silent if again.get(process) == first[process]]


def _go_on(instance: weakref.ref[dg.DagsterInstance], stopped: threading.Event) -> None:
    while not stopped.wait(BEAT):
        held = instance()
        if held is None:
            return
        try:
            beat(held)
        except Exception as error:  # noqa: BLE001 - the database is away; the next beat may reach it
            LOG.debug("no heartbeat: %s", error)
        del held


def _heard(instance: dg.DagsterInstance, processes: Iterable[str]) -> dict[str, str]:
    """The last heartbeats of some processes; none of one that never wrote any."""
    keys = {_key(process): process for process in processes}
    values = instance.daemon_cursor_storage.get_cursor_values(set(keys)) if keys else {}
    return {keys[key]: value for key, value in values.items()}


def _key(process: str) -> str:
    return f"smallcaps/heartbeat/{process}"


def _is_of_here(process: str) -> bool:
    """Whether the system here can tell; an earlier version named the host alone."""
    return process.partition("@")[2] in (_place(), socket.gethostname())


def _is_known_to_be_gone(process: str) -> bool:
    number, _, started = process.partition("@")[0].partition(".")
    if not _is_of_here(process) or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(started) and _started(int(number)) != started


def _started(number: int) -> str:
    """When a process started, in ticks since the boot; empty where the system doesn't say."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


@cache
def _place() -> str:
    """Where process numbers mean something: this host, since it booted, in this container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]"))
    return "/".join(parts)
