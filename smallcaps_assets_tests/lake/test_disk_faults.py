"""What a process meets that can't write: a full disk, no permission, no file handles, a kill.

Each fault is real and happens in a child process. The stored partition stays whole, the error names
the cause, nothing temporary is left, and the next writer succeeds.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.files import TEMPORARY
from smallcaps_assets_tests.lake.frames import KEY, STAMP, bars

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from smallcaps_assets.lake import Lake
from smallcaps_assets_tests.lake.frames import KEY, STAMP, bars
lake = Lake(sys.argv[1])
{before}
try:
    lake.write("daily_bars", KEY, bars(*[f"T{{n}}" for n in range({rows})]), STAMP)
except OSError as error:
    print(error)
    sys.exit(3)
"""
# Root may write whatever the permissions say, as long as it holds the first of its capabilities:
# CAP_DAC_OVERRIDE, see capabilities(7). Any process may give one up.
WITHOUT_OVERRIDE = """
import ctypes
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc = ctypes.CDLL(None)
assert libc.capget(header, sets) == 0
sets[0] &= ~(1 << 1)
assert libc.capset(header, sets) == 0
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    return lake


def write_in_child(
    lake: Lake, *, before: str = "", rows: int = 20_000, limit: Callable[[], None] | None = None
) -> tuple[int, str]:
    """Status and output of a process that tries to replace the partition."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER.format(before=before, rows=rows), str(lake.root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def assert_untouched(lake: Lake) -> None:
    assert lake.read("daily_bars", KEY)["ticker"].to_list() == ["A"]
    assert not list(Path(lake.root).rglob(f"{TEMPORARY}*"))


def assert_written_again(lake: Lake) -> None:
    assert write_in_child(lake)[0] == 0
    assert lake.read("daily_bars", KEY).height == 20_000


def test_write_on_a_full_disk_leaves_what_was_there(lake: Lake) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))

    status, told = write_in_child(lake, limit=small_files)
    assert status == 3 and "File too large" in told, told
    assert_untouched(lake)
    assert_written_again(lake)


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A real file system of half a megabyte; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid():
        pytest.skip("mounting needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    return folder


def fill(path: Path) -> None:
    """Take all the space but two pages."""
    with path.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        file.truncate(file.tell() - 2 * 4096)


def test_write_on_a_small_file_system_says_that_no_space_is_left(small_disk: Path) -> None:
    try:
        lake = Lake(small_disk)
        lake.write("daily_bars", KEY, bars("A"), STAMP)
        fill(small_disk / "filler")
        status, told = write_in_child(lake)
        assert status == 3 and "No space left on device" in told, told
        assert_untouched(lake)
        (small_disk / "filler").unlink()
        assert_written_again(lake)
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)


def test_write_without_permission_leaves_what_was_there(lake: Lake) -> None:
    folder = Path(lake.path("daily_bars", KEY)).parent
    folder.chmod(0o555)
    try:
        status, told = write_in_child(lake, before=WITHOUT_OVERRIDE)
    finally:
        folder.chmod(0o755)
    assert status == 3 and "Permission denied" in told and ".tmp-" in told, told
    assert_untouched(lake)
    assert_written_again(lake)


def test_write_without_file_handles_leaves_what_was_there(lake: Lake) -> None:
    before = (
        "import os, resource; lake.read('daily_bars', KEY)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(open('/dev/null'))\n"
        "except OSError: pass"
    )
    status, told = write_in_child(lake, before=before)
    assert status == 3 and "Too many open files" in told, told
    assert_untouched(lake)
    assert_written_again(lake)


def test_killed_writer_leaves_a_temporary_file_at_most_and_the_next_start_removes_it(
    lake: Lake,
) -> None:
    code = WRITER.format(before="", rows=20_000).replace("try:", "while True:\n  try:", 1)
    code = code.replace("    lake.write", "      lake.write").replace("except", "  except")
    code = code.replace("    print", "      print").replace("    sys.exit", "      sys.exit")
    kept = {**os.environ, "PYTHONPATH": str(ROOT)}
    for number in range(5):
        child = subprocess.Popen([sys.executable, "-c", code, str(lake.root)], env=kept)
        deadline = time.monotonic() + 60
        while lake.read("daily_bars", KEY).height == 1 and time.monotonic() < deadline:
            pass
        time.sleep(0.003 * number)  # another place in the loop each time
        child.kill()
        child.wait()
        assert lake.read("daily_bars", KEY).height == 20_000
        lake.sweep()
        assert not list(Path(lake.root).rglob(f"{TEMPORARY}*"))
        lake.write("daily_bars", KEY, bars("A"), STAMP)


def test_file_of_the_future_is_replaced_like_any_other(lake: Lake) -> None:
    """The clock was wrong, or has jumped back, since the file was written."""
    path = Path(lake.path("daily_bars", KEY))
    digest = lake.digest("daily_bars", KEY)
    tomorrow = time.time() + 86_400
    os.utime(path, (tomorrow, tomorrow))
    assert lake.digest("daily_bars", KEY) == digest
    lake.write("daily_bars", KEY, bars("B"), STAMP)
    os.utime(path, (tomorrow, tomorrow))
    assert lake.digest("daily_bars", KEY) != digest
    assert lake.read("daily_bars", KEY)["ticker"].to_list() == ["B"]


def test_two_processes_end_in_one_whole_file_each_and_readers_see_whole_ones(lake: Lake) -> None:
    code = """
import sys
from smallcaps_assets.lake import Lake
from smallcaps_assets_tests.lake.frames import STAMP, bars
import polars as pl
lake = Lake(sys.argv[1])
for number in range(40):
    for day in ("2024-05-03", "2024-05-06"):
        frame = bars(*[f"T{n}" for n in range(int(sys.argv[2]))])
        frame = frame.with_columns(date=pl.lit(day).str.to_date())
        lake.write("daily_bars", day, frame, STAMP)
    lake.sweep()
"""
    kept = {**os.environ, "PYTHONPATH": str(ROOT)}
    sizes = {100, 3000}
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(lake.root), str(size)], env=kept)
        for size in sizes
    ]
    seen = set()
    while any(child.poll() is None for child in children):
        seen.add(lake.read("daily_bars", KEY).height)
        days = lake.scan("daily_bars").collect().group_by("date").len()
        seen |= set(days["len"].to_list())
    assert [child.wait() for child in children] == [0, 0]
    assert seen <= {1} | sizes and seen & sizes
    assert lake.keys("daily_bars") == [KEY, "2024-05-06"]
    assert not list(Path(lake.root).rglob(f"{TEMPORARY}*"))
