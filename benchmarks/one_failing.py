"""One bad ticker-session among hundreds: what arrives, what is shown as failed, what a rerun does.

    python benchmarks/one_failing.py                  # 300 and more ticker-sessions, five minutes
    python benchmarks/one_failing.py --wild-days 60   # a small one

The main job runs on a simulated market whose server spoils the trades of one ticker-session for
good, and answers a tenth of other requests for trades with 503. Every other ticker-session must
reach sample_weights, and Dagster must show just the bad one FAILED, from trades on. A second run,
without the faults, must make what is missing and nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import dagster as dg
import polars as pl

from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS
from smallcaps_assets.sandbox import SandboxConfig, SimulatedMarket
from smallcaps_assets.schemas import TICK_CHAIN

TICKERS, TRADES_SCALE = 200, 0.1
PROGRAM = [sys.executable, "-m", "smallcaps_assets"]


def bad_ticker_session(config: SandboxConfig) -> tuple[str, str]:
    """The wild day of a market with the most dollars: one that selection is sure to find."""
    market = SimulatedMarket(config)
    found = []
    for number, index in market.wild_days:
        day = market.sessions[index]
        listing = next(listing for listing in market.listings if listing.number == number)
        ticker = listing.ticker_on(day) or ""
        bars = market.daily_bars(day).filter(pl.col("ticker") == ticker, pl.col("close") < 15)
        dollars = (bars["volume"] * bars["vwap"]).sum()
        found.append((dollars, ticker, day.isoformat()))
    _, ticker, day = max(found)
    return ticker, day


def run(root: Path, *settings: str) -> tuple[int, float]:
    """Exit status and seconds of the main job on a lake; its table goes to standard output."""
    options = [part for setting in settings for part in ("--set", setting)]
    began = time.perf_counter()
    command = [*PROGRAM, "run", "--no-report"]
    status = subprocess.run([*command, "--lake", str(root), *options], check=False).returncode
    return status, time.perf_counter() - began


def statuses(root: Path, table: str, keys: list[str] | None = None) -> dict[str, list[str]]:
    """Ticker-sessions of a table, all or some, by what Dagster shows of them."""
    os.environ.pop("DAGSTER_HOME", None)
    with open_instance(root) as instance:
        keys = keys or [*instance.get_dynamic_partitions(TICKER_SESSIONS.name or "")]
        found = instance.get_status_by_partition(dg.AssetKey(table), keys, TICKER_SESSIONS) or {}
    shown: dict[str, list[str]] = {}
    for key in keys:
        status = found.get(key)
        shown.setdefault(status.name if status else "MISSING", []).append(key)
    return shown


def written(root: Path) -> dict[Path, int]:
    """When each partition of the tick chain was stored."""
    files = (path for path in root.rglob("*.parquet") if path.stem in TICK_CHAIN)
    return {path: path.stat().st_mtime_ns for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wild-days", type=int, default=650, help="of the simulated market")
    values = {
        "tickers": TICKERS,
        "trades_scale": TRADES_SCALE,
        "pump_days": parser.parse_args().wild_days,
    }
    ticker, day = bad_ticker_session(SandboxConfig.model_validate(values))
    key = f"{ticker}_{day}"
    market = [f"sandbox.{name}={value}" for name, value in values.items()]
    faults = f"sandbox.faults=corrupt@trades:{ticker}:{day};503@trades~0.1"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        status, seconds = run(root, *market, faults)
        selected = Lake(root).read("ticker_sessions")["partition_key"].to_list()
        arrived = Lake(root).keys("sample_weights")
        print(f"exit status {status} after {seconds:.0f} s; the bad one is {key}")
        print(f"{len(selected)} ticker-sessions, {len(arrived)} reached sample_weights")
        is_right = status == 1 and set(selected) - set(arrived) == {key}
        for table in TICK_CHAIN:
            shown = statuses(root, table)
            print(f"  {table:<22} {dict(Counter({name: len(k) for name, k in shown.items()}))}")
            is_right &= shown.get("FAILED") == [key]
        before = written(root)
        status, seconds = run(root, "sandbox.faults=")
        after = written(root)
        made = {path.parts[-3:-1] for path in after if after[path] != before.get(path)}
        print(f"second run: exit status {status} after {seconds:.0f} s, made {sorted(made)}")
        is_right &= status == 0 and made == {(f"ticker={ticker}", f"date={day}")}
    print("as it should be" if is_right else "NOT as it should be")
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
