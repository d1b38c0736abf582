"""What durable writes cost the main job, and how fast `smallcaps verify` reads.

    python benchmarks/durability.py

The main job of the small market runs in this process with a clock around every flush, whose seconds
are added up over all threads, which overstates their share; and in turn without flushing. Renaming
costs nothing beside it. Before that, files of trades are written and verified, out of the page
cache, and compared with reading alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.cli.verify import verify_files
from smallcaps_assets.lake import Lake, Stamp
from smallcaps_assets.schemas import TABLES

PASSES = 7
MARKET = ("tickers=20", "start=2024-12-09", "end=2024-12-30", "season=15", "pump_days=4")


class Clock:
    """Seconds and calls of the functions put under it."""

    def __init__(self) -> None:
        self.seconds, self.calls, self._lock = 0.0, 0, threading.Lock()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                with self._lock:
                    self.seconds += time.perf_counter() - began
                    self.calls += 1

        return timed


def main_jobs(folder: Path, repeats: int) -> None:
    """Run the main job with and without flushing, in turn, and print what flushing costs."""
    fsync = os.fsync
    flushed, plain, shares = [], [], []
    main_job(folder / "warm-up")
    for number in range(repeats):
        clock = Clock()
        os.fsync = clock.around(fsync)
        flushed.append(main_job(folder / f"flushed{number}"))
        shares.append(clock.seconds / flushed[-1])
        os.fsync = lambda descriptor: None
        plain.append(main_job(folder / f"plain{number}"))
        os.fsync = fsync
    print(
        f"flushing: at most {min(shares):.1%} of the main job (seconds of all threads), all"
        f" {[f'{share:.1%}' for share in shares]}; with {min(flushed):.1f} s, without"
        f" {min(plain):.1f} s"
    )


def main_job(lake: Path) -> float:
    """Seconds of the main job into a new lake."""
    from smallcaps_assets.cli import main as command

    began = time.perf_counter()
    options = [part for option in MARKET for part in ("--set", f"sandbox.{option}")]
    with suppress(SystemExit):
        command(["run", "--no-report", "--lake", str(lake), *options])
    return time.perf_counter() - began


def trades(rows: int, seed: int) -> pl.DataFrame:
    """Trades of one ticker-session, as hard to compress as real ones."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(1_714_743_000_000_000_000, 1_714_766_400_000_000_000, rows))
    frame = pl.DataFrame(
        {
            "ticker": ["AAME"] * rows,
            "date": [None] * rows,
            "sip_timestamp": times,
            "participant_timestamp": times - rng.integers(1000, 1_000_000, rows),
            "sequence_number": np.arange(rows),
            "price": rng.integers(200, 900, rows) / 100,
            "size": rng.integers(1, 2000, rows).astype(float),
            "exchange": rng.integers(1, 20, rows),
            "trf_id": 0,
            "id": rng.integers(0, 10**9, rows).astype(str),
            "correction": 0,
            "tape": 3,
        }
    )
    columns = TABLES["trades"].columns
    absent = [pl.lit(None, t).alias(n) for n, t in columns.items() if n not in frame.columns]
    lists = pl.lit([], dtype=pl.List(pl.Int16)).alias("conditions")
    day = pl.lit("2024-05-03").str.to_date().alias("date")
    return frame.with_columns(absent).with_columns(lists, day)


def verification(folder: Path, count: int, rows: int) -> None:
    """Verify large files and print the rate beside the one of reading them."""
    lake, stamp = Lake(folder / "large"), Stamp("trades", TABLES["trades"].version, "benchmark")
    for number in range(count):
        ticker = f"T{number}"
        frame = trades(rows, number).with_columns(pl.lit(ticker).alias("ticker"))
        lake.write("trades", f"{ticker}_2024-05-03", frame, stamp)
    paths = [Path(lake.path("trades", key)) for key in lake.keys("trades")]
    found = []
    for _ in range(PASSES):
        began = time.perf_counter()
        size = sum(len(path.read_bytes()) for path in paths)
        reading = time.perf_counter() - began
        began, cpu = time.perf_counter(), time.process_time()
        done = verify_files(lake, ["trades"], os.cpu_count() or 1)
        found.append((time.perf_counter() - began, time.process_time() - cpu, reading))
        assert not done.findings, done.findings
    rate, per_processor, reading_rate = (
        size / 1e6 / min(times) for times in zip(*found, strict=True)
    )
    print(
        f"verify: {count} files, {size / 1e6:.0f} MB: {rate:,.0f} MB/s,"
        f" {per_processor:,.0f} MB per processor second; reading alone {reading_rate:,.0f} MB/s;"
        f" the best of {PASSES} passes each"
    )


def main() -> None:
    """Both measurements."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=8)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--jobs", type=int, default=3, help="jobs with and without flushing")
    options.add_argument("--verify-only", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="durability-") as folder:
        verification(Path(folder), given.files, given.rows)
        if not given.verify_only:
            main_jobs(Path(folder), given.jobs)


if __name__ == "__main__":
    main()
