"""The main job on the simulated market: seconds, memory, repeatability and growth.

    python benchmarks/end_to_end.py                # median of three, 120 tickers x 70 sessions
    python benchmarks/end_to_end.py --growth       # and how 480 tickers compare with 120

Each run is a `smallcaps run` in a child process into an empty temporary lake, which is removed
afterwards, followed by a second run that finds it complete. Seconds are wall-clock; seconds of a
stage are those of its Dagster runs, and the rest is start-up, planning and the report. Memory is
the peak resident size of the child. The first run after an installation also compiles the kernels,
which the median of three leaves out.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import dagster as dg
import polars as pl

from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.schemas import TABLES, TICK_CHAIN, Partitioning

PROGRAM = [sys.executable, "-m", "smallcaps_assets"]
HEEDED = ("SMALLCAPS_", "POLYGON_", "DAGSTER_")
TICKERS, GROWN_TICKERS = 120, 480
KILOBYTE = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Measured:
    """One main job into an empty lake, and the job after it."""

    seconds: float
    processor_seconds: float
    bytes: int
    second_seconds: float
    second_bytes: int
    stages: dict[str, float]
    trades: int
    ticker_sessions: int
    events: int
    digest: str

    @property
    def rest(self) -> float:
        """Seconds outside Dagster's runs."""
        return self.seconds - sum(self.stages.values())


def measure(tickers: int) -> Measured:
    """A main job on so many tickers."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        arguments = ["run", "--lake", str(lake), "--set", f"sandbox.tickers={tickers}"]
        seconds, usage = child(arguments, Path(folder))
        second_seconds, second_usage = child(arguments, Path(folder))
        stored = Lake(lake)
        return Measured(
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * KILOBYTE,
            second_seconds,
            second_usage.ru_maxrss * KILOBYTE,
            stage_seconds(lake),
            rows(stored, "trades"),
            len(stored.keys("trades")),
            rows(stored, "triple_barrier_labels"),
            digest(lake),
        )


def child(arguments: list[str], folder: Path) -> tuple[float, resource.struct_rusage]:
    """Seconds and resources of one command. Exits with its output if it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(HEEDED)}
    output = folder / "output.txt"
    start = time.perf_counter()
    with output.open("w") as file:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        _, state, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        sys.exit(f"`smallcaps {' '.join(arguments)}` failed:\n{output.read_text()}")
    return seconds, usage


def stage_seconds(lake: Path) -> dict[str, float]:
    """Seconds of Dagster's runs by stage, in the order in which they began."""
    with open_instance(lake) as instance:
        records = instance.get_run_records()
    found: dict[str, float] = defaultdict(float)
    for record in sorted(records, key=lambda record: record.start_time or 0):
        found[stage(record.dagster_run)] += (record.end_time or 0) - (record.start_time or 0)
    return dict(found)


def stage(run: dg.DagsterRun) -> str:
    """What a run was for, by the tables that it made."""
    tables = {key.to_user_string() for key in run.asset_selection or ()}
    if tables & set(TICK_CHAIN):
        return "tick chain"
    if any(TABLES[table].partitioning is Partitioning.SESSION for table in tables):
        return "sessions"
    return ", ".join(table for table in TABLES if table in tables)


def rows(lake: Lake, table: str) -> int:
    """Rows of all partitions of a table."""
    return int(lake.scan(table).select(pl.len()).collect().item())


def digest(lake: Path) -> str:
    """One digest of the places and bytes of all Parquet files."""
    whole = hashlib.sha256()
    for path in sorted(lake.rglob("*.parquet")):
        whole.update(path.relative_to(lake).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


# Output ------------------------------------------------------------------------------------------
def show(title: str, unit: str, values: Iterable[float], digits: int = 1) -> None:
    """A line of the table: median, then every run."""
    found = list(values)
    every = "  ".join(f"{value:,.{digits}f}" for value in found)
    print(f"{title:<40}{median(found):>12,.{digits}f} {unit:<10} {every}")


def report(runs: list[Measured], tickers: int) -> None:
    """The table of several runs on one market."""
    one = runs[0]
    print(
        f"{tickers} tickers: {one.ticker_sessions} ticker-sessions, {one.trades:,} trades,"
        f" {one.events:,} labelled events; median, then every run"
    )
    show("main job", "s", (run.seconds for run in runs))
    show("  processor time", "s", (run.processor_seconds for run in runs))
    show("  peak memory", "MB", (run.bytes / 1e6 for run in runs), 0)
    for name in one.stages:
        show(f"  {name}", "s", (run.stages[name] for run in runs))
    show("  start, planning, report", "s", (run.rest for run in runs))
    show("trades per second, tick chain", "1/s", (rate(run) for run in runs), 0)
    show("trades per second, whole job", "1/s", (run.trades / run.seconds for run in runs), 0)
    show("second main job", "s", (run.second_seconds for run in runs))
    show("  peak memory", "MB", (run.second_bytes / 1e6 for run in runs), 0)
    if len(runs) > 1:
        is_equal = len({run.digest for run in runs}) == 1
        print(
            f"Parquet files of {len(runs)} lakes equal byte for byte: {'yes' if is_equal else 'NO'}"
        )


def rate(run: Measured) -> float:
    """Trades per second of the tick chain's runs."""
    return run.trades / run.stages["tick chain"]


def report_growth(small: list[Measured], large: list[Measured]) -> None:
    """How the figures grow with the number of tickers; 1.0 per ticker is linear."""
    factor = GROWN_TICKERS / TICKERS
    print(f"growth from {TICKERS} to {GROWN_TICKERS} tickers (x{factor:g})")
    figures: list[tuple[str, Callable[[Measured], float]]] = [
        ("trades", lambda run: run.trades),
        ("main job, s", lambda run: run.seconds),
        ("processor time, s", lambda run: run.processor_seconds),
        ("peak memory", lambda run: run.bytes),
        ("second main job, s", lambda run: run.second_seconds),
        *((f"{name}, s", lambda run, name=name: run.stages[name]) for name in small[0].stages),
    ]
    for name, figure in figures:
        ratio = median(map(figure, large)) / median(map(figure, small))
        print(f"  {name:<40}x{ratio:<8.2f}{ratio / factor:.2f} per ticker")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="runs, of which the median counts")
    parser.add_argument("--growth", action="store_true", help=f"also {GROWN_TICKERS} tickers")
    parser.add_argument("--tickers", type=int, default=TICKERS, help="tickers of the market")
    options = parser.parse_args()
    tickers = TICKERS if options.growth else options.tickers
    runs = [measure(tickers) for _ in range(options.runs)]
    report(runs, tickers)
    if options.growth:
        grown = [measure(GROWN_TICKERS) for _ in range(options.runs)]
        print()
        report(grown, GROWN_TICKERS)
        print()
        report_growth(runs, grown)


if __name__ == "__main__":
    main()
