"""Pages on disk: whole or not at all, by part and leaf, forgotten when stored or old."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.sources.http.page_cache import LONGEST_KEPT, PageCache, Pages

FRAME = pl.DataFrame({"ticker": ["A", "B"], "price": [1.5, None], "conditions": [[1, 2], []]})


@pytest.fixture(params=["on disk", "in memory"])
def pages(request: pytest.FixtureRequest, tmp_path: Path) -> Pages:
    return Pages(tmp_path / "pages.sqlite" if request.param == "on disk" else None)


def test_pages_given_frames_expected_the_same_back_by_leaf(pages: Pages) -> None:
    pages.add("B", {"monday": FRAME, "tuesday": FRAME.clear()})
    pages.add("A", {"monday": FRAME.head(1)})
    assert pages.names() == {("B", "monday"), ("B", "tuesday"), ("A", "monday")}
    found = pages.frames("monday")
    assert list(found) == ["A", "B"]
    assert found["B"].equals(FRAME)
    assert pages.frames("tuesday")["B"].schema == FRAME.schema


def test_pages_given_the_same_part_again_expected_the_later(pages: Pages) -> None:
    pages.add("A", {"": FRAME})
    pages.add("A", {"": FRAME.head(1)})
    assert pages.frames("")["A"].height == 1


def test_pages_given_nothing_expected_no_file(tmp_path: Path) -> None:
    pages = PageCache(tmp_path).pages("trades", "A", "2024-05-03")
    assert pages.names() == set()
    pages.forget("")
    pages.drop()
    assert list(tmp_path.iterdir()) == []


def test_forget_given_the_last_leaf_expected_the_file_gone(tmp_path: Path) -> None:
    pages = PageCache(tmp_path).pages("minute_bars", "2024-05")
    pages.add("A", {"monday": FRAME, "tuesday": FRAME})
    pages.forget("monday")
    assert pages.names() == {("A", "tuesday")}
    pages.forget("tuesday")
    assert list(tmp_path.iterdir()) == []
    pages.add("A", {"monday": FRAME})
    assert pages.names() == {("A", "monday")}


def test_spool_given_other_names_expected_other_pages(tmp_path: Path) -> None:
    page_cache = PageCache(tmp_path)
    page_cache.pages("trades", "A", "2024-05-03").add("1", {"": FRAME})
    assert page_cache.pages("trades", "A", "2024-05-04").names() == set()
    assert page_cache.pages("trades", "a", "2024-05-03").names() == set()
    assert page_cache.pages("trades", "A", "2024-05-03").names() == {("1", "")}


def test_spool_given_pages_of_yesterday_expected_not_trusted(tmp_path: Path) -> None:
    page_cache = PageCache(tmp_path)
    page_cache.pages("trades", "A").add("1", {"": FRAME})
    page_cache.pages("trades", "B").add("1", {"": FRAME})
    then = time.time() - LONGEST_KEPT - 60
    for path in tmp_path.iterdir():
        os.utime(path, (then, then))
    assert page_cache.pages("trades", "A").names() == set()
    assert page_cache.sweep() == 1
    assert list(tmp_path.iterdir()) == []


def test_pages_given_a_killed_writer_expected_whole_pages_only(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
import polars as pl
from smallcaps_assets.sources.http.page_cache import Pages
pages = Pages(Path(sys.argv[1]))
for number in range(10**6):
    pages.add(f"{number:07}", {"": pl.DataFrame({"row": [number] * 1000})})
    print(number, flush=True)
"""
    path = tmp_path / "pages.sqlite"
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    written = [int(child.stdout.readline()) for _ in range(20)][-1]
    child.send_signal(signal.SIGKILL)
    child.wait()
    found = Pages(path).frames("")
    assert len(found) > written
    assert all(frame["row"].to_list() == [int(part)] * 1000 for part, frame in found.items())


@pytest.mark.parametrize("start", [0, 4096], ids=["header", "pages"])
def test_pages_given_a_damaged_file_expected_it_is_begun_anew(tmp_path: Path, start: int) -> None:
    path = tmp_path / "pages.sqlite"
    first = Pages(path)
    first.add("A", {"monday": pl.DataFrame({"x": list(range(5000))})})
    first.close()
    data = path.read_bytes()
    path.write_bytes(data[:start] + bytes(byte ^ 0x5A for byte in data[start:]))
    pages = Pages(path)
    assert pages.frames("monday") == {} and pages.names() == set()
    pages.add("A", {"monday": FRAME})
    assert pages.frames("monday")["A"].equals(FRAME)
