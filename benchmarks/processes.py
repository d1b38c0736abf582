"""The tick chain over one process and over several: seconds, processor seconds, memory, bytes.

    python benchmarks/processes.py                  # 1 process with 1 thread, then 2 processes
    python benchmarks/processes.py --processes 4    # or more; --pairs how often, in turn

Each measurement is the stage in a child process, without the orchestrator, on a copy of one lake of
the simulated market whose sessions are made and whose ticks are not. Workers are started before the
clock is, as the main job does. Seconds are wall-clock and mean little on a machine that does other
things; processor seconds are those of the child and its workers together. With as many cores as
processes and nothing else to do, no more can be gained than `bound`: the processor seconds of one
process, shared evenly, or the seconds of what only the run's own process does, if those are more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from smallcaps_assets.lake import open_lake
from smallcaps_assets.pipeline import processes
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.ticks import start_workers, tick_chain
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TICK_CHAIN
from smallcaps_assets.settings import Settings

PROGRAM = [sys.executable, "-m", "smallcaps_assets"]


def make_sessions(lake: Path, tickers: int) -> None:
    """A lake up to its registry of ticker-sessions."""
    market = ["--set", f"sandbox.tickers={tickers}"]
    subprocess.run(
        [*PROGRAM, "run", "--lake", str(lake), "--until", "ticker_sessions", *market], check=True
    )


def measure(lake: Path, tickers: int, count: int, threads: int) -> dict[str, Any]:
    """The tick chain of all ticker-sessions of a lake, in this process and `count` workers."""
    given = {"lake": {"root": str(lake)}, "sandbox": {"tickers": tickers}}
    settings = Settings.model_validate({**given, "run": {"processes": count, "threads": threads}})
    store = open_lake(str(lake), market_of(settings).identity)
    work = Workspace(settings, store, MarketSpan.of_market(settings))
    keys = store.read("ticker_sessions").sort("date", "ticker")["partition_key"].to_list()
    warm = start_workers(settings.run, len(keys))
    for _ in tick_chain(work, list(TICK_CHAIN), keys[: warm.count or 1]):
        pass
    began, own, others = time.perf_counter(), time.process_time(), workers_seconds()
    failed = [o for o in tick_chain(work, list(TICK_CHAIN), keys) if o.error is not None]
    return {
        "seconds": time.perf_counter() - began,
        "own": time.process_time() - own,
        "workers": workers_seconds() - others,
        "memory": [peak(worker._process.pid) for worker in processes._RUNNING],
        "failed": len(failed),
        "keys": len(keys),
        "digest": digest(lake),
    }


def workers_seconds() -> float:
    """Processor seconds of all workers so far (Linux)."""
    found = 0
    for worker in processes._RUNNING:
        fields = Path(f"/proc/{worker._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        found += int(fields[11]) + int(fields[12])
    return found / 100


def peak(process: int) -> float:
    """Largest resident size of a process so far, MB (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3


def digest(lake: Path) -> str:
    """One digest of the places and bytes of all Parquet files."""
    whole = hashlib.sha256()
    for path in sorted(lake.rglob("*.parquet")):
        whole.update(path.relative_to(lake).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def child(base: Path, tickers: int, count: int, threads: int) -> dict[str, Any]:
    """`measure` in a process of its own, on a copy."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(shutil.copytree(base, Path(folder) / "lake"))
        place = ["--measure", str(lake), "--tickers", str(tickers)]
        kind = ["--processes", str(count), "--threads", str(threads)]
        command = [sys.executable, __file__, *place, *kind]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(title: str, runs: list[dict[str, Any]]) -> None:
    """A line of the table: medians of several runs."""
    seconds, own, others = (median(r[name] for r in runs) for name in ("seconds", "own", "workers"))
    memory = max((max(run["memory"], default=0.0) for run in runs), default=0.0)
    print(
        f"{title:<24}{seconds:>9.1f} s{own:>12.1f} s own{others:>10.1f} s workers"
        f"{memory:>9.0f} MB a worker{runs[0]['failed']:>4} failed"
    )


def report(ones: list[dict[str, Any]], many: list[dict[str, Any]], count: int) -> None:
    """The table, and what it says."""
    print(f"{ones[0]['keys']} ticker-sessions; medians of {len(ones)} pairs, one after the other")
    show("1 process, 1 thread", ones)
    show(f"{count} processes", many)
    pairs = zip(ones, many, strict=True)
    ratios = [one["seconds"] / other["seconds"] for one, other in pairs]
    print("ratio of seconds, pair by pair: " + "  ".join(f"{ratio:.2f}" for ratio in ratios))
    one, own = median(r["own"] for r in ones), median(r["own"] for r in many)
    shared = (own + median(r["workers"] for r in many)) / count
    print(f"bound on {count} idle cores: {one / max(shared, own):.2f}")
    print(f"equal bytes: {'yes' if len({r['digest'] for r in (*ones, *many)}) == 1 else 'NO'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2, help="worker processes")
    parser.add_argument("--threads", type=int, default=2, help="threads that fetch for them")
    parser.add_argument("--pairs", type=int, default=3, help="measurements of each, in turn")
    parser.add_argument("--tickers", type=int, default=120, help="tickers of the market")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    tickers, count, threads = options.tickers, options.processes, options.threads
    if options.measure:
        print(json.dumps(measure(options.measure, tickers, count, threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "lake"
        make_sessions(base, tickers)
        ones, many = [], []
        for _ in range(options.pairs):
            ones.append(child(base, tickers, 1, 1))
            many.append(child(base, tickers, count, threads))
    report(ones, many, count)


if __name__ == "__main__":
    main()
