"""Nine tables of 11,054 ticker-sessions, launched as the UI does, through `smallcaps ui`.

    python benchmarks/full_size.py                # the full size, about 50 minutes
    python benchmarks/full_size.py --share 0.02   # a fiftieth of it, to try it out

The tables are trades, the bars, their features, labels and weights: what needs no quotes.
The simulated market has as many ticker-sessions as are asked for, since selection is opened, with
about 20,000 trades each; the trades of one come damaged. A main job makes what comes before ticks.
Then one backfill is launched over HTTP and followed to its end: every ticker-session but the
damaged one has to arrive in all tables, and Dagster has to show that one as failed, alone. After it
the pages are measured as in `orchestration.py`, on the web server that has been running all along.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from one_failing import PROGRAM, statuses
from orchestration import (
    LAUNCH,
    Servers,
    children,
    free_port,
    measure_pages,
    print_memory,
    wait_for,
)

from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS
from smallcaps_assets.schemas import TICK_CHAIN

COUNT, SESSIONS_OF_A_TICKER, TRADES_SCALE = 11_054, 30, 25.0
OPENED = {
    "selection.min_relative_volume": 0,
    "selection.min_change": 0,
    "selection.min_dollar_volume": 0,
    "metrics.min_sessions": 1,
    "sandbox.trades_scale": TRADES_SCALE,
}
LONGEST = 2 * 3600
MADE = tuple(name for name in TICK_CHAIN if "quote" not in name and "pattern" not in name)


def options(lake: Path, tickers: int, **more: object) -> list[str]:
    """Options of every command on the lake."""
    settings = {**OPENED, "sandbox.tickers": tickers, **more}
    given = (("--set", f"{name}={value}") for name, value in settings.items())
    return ["--lake", str(lake), *(part for pair in given for part in pair)]


@contextmanager
def served(lake: Path, given: list[str]) -> Iterator[Servers]:
    """`smallcaps ui` on a free port."""
    port = free_port()
    log = lake.with_name("ui.log").open("wb")
    command = [*PROGRAM, "ui", "--port", str(port), *given]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    running = Servers(f"http://127.0.0.1:{port}", {"smallcaps ui": process.pid})
    try:
        wait_for(running.is_loaded, 180, "the web server")
        for pid in children(process.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            for name in ("webserver", "daemon"):
                if any(name.encode() in word for word in words):
                    running.processes.setdefault(name, pid)
        yield running
    finally:
        process.terminate()
        process.wait()
        log.close()


def launch(running: Servers, keys: list[str]) -> None:
    """A backfill of the whole tick chain."""
    params = {
        "assetSelection": [{"path": [table]} for table in MADE],
        "partitionNames": keys,
        "title": "full size",
    }
    answer = running.ask({"query": LAUNCH, "variables": {"params": params}})
    launched = answer["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched


def follow(root: Path, running: Servers, keys: list[str]) -> float:
    """Wait until no ticker-session is left to be made; the most memory of the web server in MB."""
    began, most = time.perf_counter(), 0.0
    while True:
        most = max(most, running.memory().get("webserver", 0.0))
        shown = {name: len(of) for name, of in statuses(root, MADE[-1], keys).items()}
        seconds = time.perf_counter() - began
        print(f"  after {seconds:5.0f} s: {shown}", flush=True)
        if sum(shown.get(name, 0) for name in ("MATERIALIZED", "FAILED")) == len(keys):
            return most
        if seconds > LONGEST:
            raise TimeoutError(f"{shown} after {seconds:.0f} s")
        time.sleep(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the full size")
    wanted = max(50, round(COUNT * parser.parse_args().share))
    tickers = max(20, wanted // SESSIONS_OF_A_TICKER)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        until = ["run", "--no-report", "--until", "ticker_sessions"]
        began = time.perf_counter()
        subprocess.run([*PROGRAM, *until, *options(root, tickers)], check=True)
        with open_instance(root) as instance:
            # In Dagster's order: from its pages it makes neighbours in one run, others in many.
            selected = instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")
        keys = [*selected][:wanted]
        print(
            f"{len(selected):,} ticker-sessions selected in {time.perf_counter() - began:.0f} s,"
            f" of which {len(keys):,} are made",
            flush=True,
        )
        if len(keys) < wanted:
            sys.exit(f"{wanted:,} were wanted; lower SESSIONS_OF_A_TICKER for more tickers")
        bad = keys[len(keys) // 3]
        faults = f"corrupt@trades:{bad.replace('_', ':')}"
        with served(root, options(root, tickers, **{"sandbox.faults": faults})) as running:
            began = time.perf_counter()
            launch(running, keys)
            most = follow(root, running, keys)
            seconds = time.perf_counter() - began
            print(f"{len(keys) * len(MADE):,} partitions in {seconds / 60:.1f} minutes")
            trades = Lake(root).scan("trades").select(pl.len()).collect().item()
            print(f"{trades / len(keys):,.0f} trades each; web server at most {most:,.0f} MB")
            expected = {"FAILED": [bad], "MATERIALIZED": [key for key in keys if key != bad]}
            wrong = [table for table in MADE if statuses(root, table, keys) != expected]
            told = f"NOT so in {', '.join(wrong)}" if wrong else "so it is"
            print(f"{bad} failed alone, all others arrived: {told}")
            measure_pages(running)
            print_memory(running)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
