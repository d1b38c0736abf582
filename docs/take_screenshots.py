"""The pictures of docs/tour.md, taken in headless Chromium of a lake that is served.

    smallcaps run --lake lake
    smallcaps ui --lake lake --port 4100 &
    python docs/take_screenshots.py http://127.0.0.1:4100 lake [NAME ...]

A session's short volume is set aside for one of them and put back. With names only those pictures
are taken. Pictures are 1280 pixels wide, and reduced to 256 colours where Pillow is installed.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from smallcaps_assets.lake import Lake

IMAGES = Path(__file__).parent / "images"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
SIZE = {"width": 1280, "height": 800}
TICKER, DAY = "PUX", "2024-12-26"
RUNS = "{ runsOrError { ... on Runs { results { runId assetSelection { path } } } } }"
# A path tells of one machine; another one is shown in its place.
HIDE = """([place, other]) => document.querySelectorAll(".CodeMirror span").forEach(
    part => { if (part.textContent.trim() === place) part.textContent = other })"""


class Tour:
    """One browser page on one served lake; each public method takes the picture of its name."""

    def __init__(self, page: Any, url: str, root: str) -> None:
        self._page, self._url, self._root = page, url, Path(root).resolve()

    def lineage(self) -> None:
        self._open("/asset-groups", "14_quality")

    def catalogue(self) -> None:
        self._open("/assets", "114 partitions")

    def asset(self) -> None:
        self._open("/assets/watchlist", "Latest check results")

    def dataset(self) -> None:
        self._open("/assets/ml_dataset?view=partitions&partition=union", "Latest materialization")

    def partition(self) -> None:
        place = f"view=partitions&partition={TICKER}_{DAY}"
        self._open(f"/assets/triple_barrier_labels?{place}", "path of price")
        self._page.locator("img[src^='data:image/svg']").first.scroll_into_view_if_needed()

    def launch(self) -> None:
        self._open("/assets/trades?view=partitions", "Partitions Selected")
        self._page.get_by_role("button", name="Materialize").first.click()
        self._page.get_by_text("Select a partition or create one").last.click()

    def launchpad(self) -> None:
        self._open("/assets/watchlist?view=partitions", "Partitions Selected")
        button = self._page.get_by_role("button", name="Materialize").first.bounding_box()
        self._page.mouse.click(button["x"] + button["width"] + 15, button["y"] + 15)
        self._page.get_by_text("Open launchpad").click()
        self._page.get_by_text("session_tables").first.wait_for()
        self._page.wait_for_timeout(3000)
        self._page.evaluate(HIDE, [str(self._root), "/srv/lake"])

    def check(self) -> None:
        self._open("/assets/session_summary?view=checks&checkDetail=quality", "Plots")
        self._page.locator("canvas").first.scroll_into_view_if_needed()

    def failing_check(self) -> None:
        with self._without_a_session("short_volume"):
            self._execute("short_volume", "coverage", "1 missing")
            self._shoot("failing_check")
        self._execute("short_volume", "coverage", "100.0% of")

    def automation(self) -> None:
        self._open("/automation", "daily_coverage")
        name = self._page.get_by_text("registry", exact=True).first
        name.locator("xpath=following::*[@aria-label='info'][1]").hover()

    def run(self) -> None:
        body = json.dumps({"query": RUNS}).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self._url}/graphql", body, headers)
        with urllib.request.urlopen(asked) as answer:
            runs = json.load(answer)["data"]["runsOrError"]["results"]
        ticks = next(
            r["runId"] for r in runs if {"path": ["trades"]} in (r["assetSelection"] or ())
        )
        self._open(f"/runs/{ticks}", "RUN_SUCCESS")

    def report(self) -> None:
        self._page.goto((self._root / "reports/run_report.html").as_uri())

    def day(self) -> None:
        page = self._root / "day.html"
        command = ["smallcaps", "show", TICKER, DAY, "--lake", str(self._root), "--out", str(page)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self._page.goto(page.as_uri())
        page.unlink()

    def take(self, name: str) -> None:
        """One picture, as soon as the page no longer changes."""
        getattr(self, name)()
        if name != "failing_check":
            self._shoot(name)

    def _open(self, path: str, text: str) -> None:
        self._page.goto(f"{self._url}{path}")
        self._page.get_by_text(text).first.wait_for()

    def _execute(self, table: str, check: str, text: str) -> None:
        self._open(f"/assets/{table}?view=checks&checkDetail={check}", "Latest execution")
        buttons = self._page.get_by_role("button", name="Execute")
        buttons.filter(has_not_text="all").first.click()
        self._page.get_by_text(text).first.wait_for()
        self._open(f"/assets/{table}?view=checks&checkDetail={check}", text)

    @contextmanager
    def _without_a_session(self, table: str) -> Iterator[None]:
        lake = Lake(self._root)
        folder = Path(str(lake.path(table, lake.keys(table)[-5]))).parent
        aside = self._root / "aside"
        shutil.move(folder, aside)
        try:
            yield
        finally:
            shutil.move(aside, folder)

    def _shoot(self, name: str) -> None:
        self._page.wait_for_timeout(3000)
        file = IMAGES / f"{name}.png"
        self._page.screenshot(path=file)
        with suppress(ImportError):
            from PIL import Image

            Image.open(file).convert("RGB").quantize(256).save(file, optimize=True)
        sys.stdout.write(f"{file.name} {file.stat().st_size / 1000:.0f} kB\n")


NAMES = [name for name in vars(Tour) if not name.startswith("_") and name != "take"]


def main(url: str, root: str, *names: str) -> None:
    """Take the pictures of some names, or all."""
    found = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    browser = next(path for name in found if name and (path := shutil.which(name)))
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=ARGUMENTS)
        page = opened.new_page(viewport=SIZE)
        page.set_default_timeout(60_000)
        tour = Tour(page, url, root)
        for name in names or NAMES:
            tour.take(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
