"""What is made of stored files: made once, and anew when the file has changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from smallcaps_assets.lake import Lake, Stamp
from smallcaps_assets.pipeline.file_cache import FileCache
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.lake.frames import bars

STAMP = Stamp("daily_bars", TABLES["daily_bars"].version, "0")
KEYS = ("2024-05-01", "2024-05-02", "2024-05-03")


class Tickers:
    """The tickers of a session, and for which sessions they were read."""

    def __init__(self, most: int = 600) -> None:
        self.read: list[str | None] = []
        self.cache = FileCache("daily_bars", self._make, most)

    def _make(self, lake: Lake, key: str | None) -> list[str]:
        self.read.append(key)
        return lake.read("daily_bars", key)["ticker"].to_list()


def test_file_given_threads_is_read_once_and_again_when_it_has_changed(tmp_path: Path) -> None:
    lake, tickers, key = Lake(tmp_path), Tickers(), KEYS[-1]
    assert tickers.cache.get(lake, key) is None
    lake.write("daily_bars", key, bars("A"), STAMP)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: tickers.cache.get(lake, key), range(40)))
    assert found == [["A"]] * 40 and tickers.read == [key]
    lake.write("daily_bars", key, bars("A", "B"), STAMP)
    assert tickers.cache.get(lake, key) == ["A", "B"] and tickers.read == [key, key]


def test_most_files_are_held_and_the_oldest_goes(tmp_path: Path) -> None:
    lake, tickers = Lake(tmp_path), Tickers(most=2)
    for key in KEYS:
        lake.write("daily_bars", key, bars("A"), STAMP)
    for key in (*KEYS, KEYS[2], KEYS[0]):
        tickers.cache.get(lake, key)
    assert tickers.read == [*KEYS, KEYS[0]]


def test_lakes_do_not_share_what_is_made(tmp_path: Path) -> None:
    tickers = Tickers()
    for name in ("one", "two"):
        lake = Lake(tmp_path / name)
        lake.write("daily_bars", KEYS[0], bars(name), STAMP)
        assert tickers.cache.get(lake, KEYS[0]) == [name]
