"""A year of daily short-volume files, and half-months of fails, parsed and stored.

Files of 10,000 rows come from a local server over HTTP, four at a time and without the pace that
FINRA's own host gets; each is read, checked, validated and stored as in the pipeline. Fails are
60,000 rows in a zip. Wall and CPU seconds; the limits are 20 s for the year on two cores and 0.5 s
for a half-month.

    python benchmarks/short_data.py            # 252 sessions
    python benchmarks/short_data.py --sessions 20
"""

from __future__ import annotations

import argparse
import gzip
import io
import random
import re
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.lake import Lake, Stamp
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import FinraSettings
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.regulators.fails import parse_fails, unzipped
from smallcaps_assets.sources.regulators.finra import FinraClient

ROWS, FAILS = 10_000, 60_000
HALF = date(2023, 1, 1)
REPEATS = 5


def symbols(count: int) -> list[str]:
    """Distinct symbols of four letters, sorted."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return ["".join(letters[n // 26**k % 26] for k in (3, 2, 1, 0)) for n in range(count)]


def short_file(rng: random.Random) -> str:
    """A day's file; DAY stands for the date."""
    lines = [
        f"DAY|{name}|{total * 0.4:.6f}|{total * 0.01:.6f}|{total:.6f}|B,Q,N"
        for name in symbols(ROWS)
        for total in (rng.random() * 1e6,)
    ]
    head = "Date|Symbol|ShortVolume|ShortExemptVolume|TotalVolume|Market"
    return "\n".join([head, *lines, str(ROWS), ""])


def fails_zip(rng: random.Random) -> bytes:
    """A half-month of fails."""
    days, total, lines = ("20230103", "20230105", "20230110", "20230113"), 0, []
    for number in range(FAILS):
        shares = rng.randrange(1, 100_000)
        total += shares
        name = f"COMPANY {number % 15_000} COM STK"
        day, cusip = days[number // 15_000], f"{number % 15_000:08d}1"
        lines.append(f"{day}|{cusip}|SYM{number % 15_000}|{shares}|{name}|1.25")
    head = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE"
    trailers = (f"Trailer record count {FAILS}", f"Trailer total quantity of shares {total}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cnsfails202301a.txt", "\n".join([head, *lines, *trailers, ""]))
    return buffer.getvalue()


class FileServer:
    """Serves the same rows under every day, compressed once per day before the clock starts."""

    def __init__(self, days: list[date], text: str) -> None:
        self.files = {
            f"{day:%Y%m%d}": gzip.compress(text.replace("DAY", f"{day:%Y%m%d}").encode(), 1)
            for day in days
        }
        files = self.files

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = re.search(r"(\d{8})\.txt$", self.path)
                body = files[found[1]] if found else b""
                self.send_response(200)
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def store_year(lake: Lake, client: FinraClient, days: list[date], workers: int) -> None:
    """Read, check and store every session."""

    def one(day: date) -> None:
        found = client.short_volume(day)
        stamp = Stamp("short_volume", TABLES["short_volume"].version, "", source=found.sha256)
        lake.write("short_volume", day.isoformat(), found.frame, stamp)

    for _ in in_threads(one, days, workers):
        pass


def store_fails(lake: Lake, body: bytes) -> None:
    """Unpack, read, check and store a half-month."""
    frame = parse_fails(unzipped(body, "x.zip"), HALF)
    stamp = Stamp("fails_to_deliver", TABLES["fails_to_deliver"].version, "")
    lake.write("fails_to_deliver", HALF.isoformat(), frame, stamp)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=252)
    count = parser.parse_args().sessions
    rng, settings = random.Random(7), FinraSettings()
    days = sessions(date(2024, 1, 2), date(2025, 6, 30))[:count]
    server, body = FileServer(days, short_file(rng)), fails_zip(rng)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        with FinraClient(settings, server.url, Throttle(100_000.0)) as client:
            store_year(lake, client, days[:1], 1)  # imports and first calls are not counted
            wall, cpu = timed(lambda: store_year(lake, client, days, settings.workers))
        print(f"{count} short-volume files of {ROWS:,} rows: {wall:.1f} s, {cpu:.1f} s of CPU")
        store_fails(lake, body)
        runs = [timed(lambda: store_fails(lake, body)) for _ in range(REPEATS)]
        wall, cpu = (sorted(values)[REPEATS // 2] for values in zip(*runs, strict=True))
        print(f"a half-month of {FAILS:,} fails: {wall:.2f} s, {cpu:.2f} s of CPU (median)")


if __name__ == "__main__":
    main()
