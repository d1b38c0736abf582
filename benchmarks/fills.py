"""Speed of the fills: nanoseconds per event of a tape, alone and beside hftbacktest.

    python benchmarks/fills.py [--events 200000] [--candidates 100] [--sessions 20] [--peer PYTHON]

A tape is 60 % quotes and 40 % prints of one session; its candidates are spread over the day, each
with entry, take profit, stop and the clock, in every size. The figure is the whole of a pass:
making the tape's arrays usable, bands, and all fills, on one core; compilation is not in it. From
the stated sample of sessions follows what 11,054 of 200,000 events take. PYTHON is an interpreter
that has hftbacktest; it replays the same events, with as many orders, in the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np

from smallcaps_assets.domain.execution.fills import KINDS, candidate_fills, fill_tape
from smallcaps_assets.domain.execution.rules import band_arrays
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.settings import TradingRules

HOURS = session_hours(date(2024, 12, 4))
FULL_SIZE, FULL_EVENTS = 11_054, 200_000
TARGET, RATIO = 15.0, 8.0
REPEATS = 5
PEER = Path(__file__).parent / "fills_peer.py"


def session(seed: int, events: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Quotes and prints of a random session: prices on cents, a spread of one to three of them."""
    rng = np.random.default_rng(seed)
    count = int(0.6 * events)
    times = np.sort(rng.integers(HOURS.open, HOURS.close, count))
    cents = 500 + np.cumsum(rng.choice([-1, 0, 1], count, p=[0.1, 0.8, 0.1]))
    cents = np.abs(cents - 100) + 100
    width = rng.integers(1, 4, count)
    sizes = [100.0 * rng.integers(1, 20, count) for _ in range(2)]
    quotes = (times, cents / 100, sizes[0], (cents + width) / 100, sizes[1])
    moments = np.sort(rng.integers(HOURS.open, HOURS.close, events - count))
    place = np.maximum(np.searchsorted(times, moments, "right") - 1, 0)
    prices = np.where(rng.random(moments.size) < 0.5, quotes[1][place], quotes[3][place])
    lots = rng.choice([1.0, 20.0, 100.0, 100.0, 500.0], moments.size)
    kinds = np.full(moments.size, KINDS["price"], np.int8)
    kinds[lots < 100] = KINDS["flow"]
    return quotes, (moments, prices, lots, kinds)


def fill(
    quotes: tuple[np.ndarray, ...], prints: tuple[np.ndarray, ...], candidates: int
) -> tuple[float, int]:
    """Seconds of a pass over a session, and how many of its candidates were filled."""
    t0 = np.linspace(HOURS.open, HOURS.close - 20 * 60 * 10**9, candidates).astype(np.int64)
    sides = np.where(np.arange(candidates) % 2 == 0, 1, -1)
    rules, forming = TradingRules(long_only=False), prints[3] == KINDS["price"]
    start = time.perf_counter()
    none = np.empty(0, np.int64)
    bands = band_arrays(prints[0][forming], prints[1][forming], none, HOURS, 5.0)
    tape = fill_tape(quotes, prints, (), bands)
    found = candidate_fills(tape, t0, sides, rules, HOURS.close, 0.2, 50_000.0)
    seconds = time.perf_counter() - start
    return seconds, int((found.candidates["entries"] > 0).sum())


def peer(python: str, tape: tuple[tuple[np.ndarray, ...], ...], candidates: int) -> float:
    """Seconds of hftbacktest over the same events with so many orders."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tape.npz"
        arrays = {
            f"{kind}{k}": a
            for kind, part in zip("qp", tape, strict=True)
            for k, a in enumerate(part)
        }
        np.savez(place, **arrays)
        command = [python, str(PEER), str(place), str(candidates), str(REPEATS)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=FULL_EVENTS)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--peer", default="")
    given = parser.parse_args()
    tapes = [session(seed, given.events) for seed in range(given.sessions)]
    fill(*tapes[0], given.candidates)
    runs = [min(fill(*tape, given.candidates) for _ in range(REPEATS)) for tape in tapes]
    seconds = sum(run[0] for run in runs)
    each = seconds / given.sessions / given.events * 1e9
    filled = sum(run[1] for run in runs)
    print(
        f"{given.sessions} sessions of {given.events:,} events, {given.candidates} candidates each"
    )
    print(f"filled entries     {filled:>12,} of {given.sessions * given.candidates:,}")
    print(f"per event          {each:>12.2f} ns   target {TARGET:g}")
    whole = each * FULL_SIZE * FULL_EVENTS / 1e9 / 60
    print(f"{FULL_SIZE:,} sessions of {FULL_EVENTS:,} events: {whole:.1f} minutes, extrapolated")
    if given.peer:
        other = peer(given.peer, tapes[0], given.candidates) / given.events * 1e9
        own = runs[0][0] / given.events * 1e9
        print(f"hftbacktest        {other:>12.2f} ns   {other / own:.1f} times, target {RATIO:g}")


if __name__ == "__main__":
    main()
