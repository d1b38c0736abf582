"""Ctrl-C and termination at every moment: one line, status 130 or 143, and none is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from smallcaps_assets.interrupts import LINE
from smallcaps_assets_tests.end_to_end.command import PROGRAM, environment

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
EARLY = (0.0, 0.1, 0.4)  # seconds after signals are heeded, while modules are imported

# A library that tries whether another one is there, and takes any failure for its absence.
CATCHING = """
import time
try:
    print("importing", flush=True)
    time.sleep(60)
except BaseException:
    print("caught", flush=True)
"""

WORK = """
import time
from smallcaps_assets import interrupts

interrupts.install()
interrupts.GRACE = {grace}
with interrupts.working():
    try:
        print("working", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("caught", flush=True)
    time.sleep(60)
"""

HOLDING = """
import os, time
from smallcaps_assets import interrupts

interrupts.install()
interrupts.GRACE = 0.4
with interrupts.working(), interrupts.left_to_command() as is_asked_to_stop:
    print("holding", flush=True)
    while not is_asked_to_stop():
        time.sleep(0.01)
    time.sleep(1)
    print("asked", flush=True)
    time.sleep(60)
"""

FAILING = """
import time
from smallcaps_assets import interrupts

interrupts.install()
try:
    with interrupts.working(), interrupts.left_to_command() as is_asked_to_stop:
        print("holding", flush=True)
        while not is_asked_to_stop():
            time.sleep(0.01)
        raise OSError("no space left")
except OSError:
    print(interrupts.is_received(), interrupts.tell() == interrupts.LINE, flush=True)
"""


def begin(command: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=folder, env=environment(), text=True, bufsize=1,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    assert child.stdout.readline().strip() == line


def heeds_signals(child: subprocess.Popen[str]) -> bool:
    """Whether a process has a handler for terminations."""
    for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) >> (signal.SIGTERM - 1) & 1)
    return False


def until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        time.sleep(0.002)


def assert_ended(child: subprocess.Popen[str], number: int) -> None:
    out, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (128 + number, f"{LINE}\n"), out


@SIGNALS
def test_signal_inside_an_import_ends_the_program_whatever_catches_its_exception(
    tmp_path: Path, number: int
) -> None:
    (tmp_path / "dagster.py").write_text(CATCHING)
    child = begin([*PROGRAM, "status"], tmp_path)
    wait_for(child, "importing")
    child.send_signal(number)
    assert_ended(child, number)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whether signals are heeded yet")
@SIGNALS
def test_signal_at_any_early_moment_ends_the_program(tmp_path: Path, number: int) -> None:
    children = []
    for seconds in EARLY:
        child = begin([*PROGRAM, "run"], tmp_path)
        until(lambda child=child: heeds_signals(child))
        time.sleep(seconds)
        child.send_signal(number)
        children.append(child)
    for child in children:
        assert_ended(child, number)


@SIGNALS
def test_second_signal_ends_what_goes_on_after_the_first(tmp_path: Path, number: int) -> None:
    child = begin([sys.executable, "-c", WORK.format(grace=60)], tmp_path)
    wait_for(child, "working")
    child.send_signal(number)
    child.send_signal(number)  # as `timeout` does it: to the process, and to its group
    wait_for(child, "caught")
    assert child.poll() is None
    time.sleep(0.5)
    child.send_signal(number)
    assert_ended(child, number)


@SIGNALS
def test_signal_whose_exception_is_caught_ends_the_program_in_time(
    tmp_path: Path, number: int
) -> None:
    child = begin([sys.executable, "-c", WORK.format(grace=0.4)], tmp_path)
    wait_for(child, "working")
    child.send_signal(number)
    wait_for(child, "caught")
    assert_ended(child, number)


@SIGNALS
def test_first_signal_is_left_to_a_command_that_asks_for_it(tmp_path: Path, number: int) -> None:
    child = begin([sys.executable, "-c", HOLDING], tmp_path)
    wait_for(child, "holding")
    child.send_signal(number)
    wait_for(child, "asked")  # later than any time that other commands are given
    child.send_signal(number)
    _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (128 + number, "")


@SIGNALS
def test_error_after_a_signal_that_is_left_to_a_command_is_told(
    tmp_path: Path, number: int
) -> None:
    child = begin([sys.executable, "-c", FAILING], tmp_path)
    wait_for(child, "holding")
    child.send_signal(number)
    wait_for(child, "False True")
    assert child.wait(timeout=60) == 0
