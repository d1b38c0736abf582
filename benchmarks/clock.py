"""Set the clock back by an hour while the main job runs, and see whether it notices.

    python benchmarks/clock.py --moments 10

The job works on a small embedded market, in a process whose wall clock (CLOCK_REALTIME) jumps back
by an hour once a random number of seconds has passed; the monotonic clock goes on. Checked: it ends
well, every file is the same byte for byte as of a job under a steady clock, `verify` finds nothing,
and a second run has nothing to do. Printed: the moments, and how long each job took beside the
steady one. Needs a C compiler and Linux.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
static time_t first;
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, now);
    const char *after = getenv("CLOCK_JUMPS_AFTER"), *back = getenv("CLOCK_JUMPS_BACK");
    if (status || id != CLOCK_REALTIME || !after || !back) return status;
    if (!first) first = now->tv_sec;
    if (now->tv_sec >= first + atoi(after)) now->tv_sec -= atoi(back);
    return 0;
}
"""
MARKET = (
    *("--set", "sandbox.tickers=20", "--set", "sandbox.start=2024-12-09"),
    *("--set", "sandbox.end=2024-12-30", "--set", "sandbox.season=15"),
    *("--set", "sandbox.pump_days=4"),
)
LONGEST = 10
"""How many times as long as under a steady clock a job may take: more means that it waited."""


def main() -> int:
    """Status 1 when a clock that was set back was noticed."""
    parser = argparse.ArgumentParser(description="The main job under a clock set back by an hour.")
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, bad = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory(prefix="clock-") as folder:
        library = build(Path(folder))
        job(Path(folder) / "warm")  # compiles the kernels
        steady = job(Path(folder) / "steady")
        print(f"steady clock: {steady:.1f} s")
        for number in range(options.moments):
            lake, after = Path(folder) / f"jump{number}", rng.randrange(1, max(2, int(steady)))
            took = job(lake, jump(library, after, 3600), most=LONGEST * steady)
            problems = _problems(lake, Path(folder) / "steady")
            bad += bool(problems)
            print(f"back by an hour after {after} s: {took:.1f} s, {problems or 'the same bytes'}")
    print(f"{options.moments} moments, seed {options.seed}: {bad} noticed")
    return bool(bad)


def jump(library: Path, after: int, back: int) -> dict[str, str]:
    """Variables under which a process's clock is set back some seconds after its first look."""
    return {
        "LD_PRELOAD": str(library),
        "CLOCK_JUMPS_AFTER": str(after),
        "CLOCK_JUMPS_BACK": str(back),
    }


def build(folder: Path) -> Path:
    """The library that sets the clock back. Raises CalledProcessError if it does not compile."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def job(lake: Path, variables: dict[str, str] | None = None, most: float | None = None) -> float:
    """Seconds of the main job on a new lake. Raises when it fails, or takes longer than `most`."""
    start = time.monotonic()
    command("run", lake, "--no-report", *MARKET, variables=variables or {}, most=most)
    return time.monotonic() - start


def command(
    name: str,
    lake: Path,
    *arguments: str,
    variables: dict[str, str] | None = None,
    most: float | None = None,
) -> str:
    """What a command on a lake prints. Raises CalledProcessError or TimeoutExpired."""
    program = [sys.executable, "-m", "smallcaps_assets", name, "--lake", str(lake), *arguments]
    heeded = ("SMALLCAPS_", "POLYGON_", "DAGSTER_")
    kept = {n: v for n, v in os.environ.items() if not n.startswith(heeded)} | (variables or {})
    done = subprocess.run(
        program, env=kept, cwd=lake.parent, capture_output=True, text=True, timeout=most, check=True
    )
    return done.stdout


def _problems(lake: Path, steady: Path) -> str:
    names = {path.relative_to(steady) for path in steady.rglob("*.parquet")}
    others = {path.relative_to(lake) for path in lake.rglob("*.parquet")}
    unlike = names ^ others
    unlike |= {n for n in names & others if (lake / n).read_bytes() != (steady / n).read_bytes()}
    found = [f"{len(unlike)} files differ"] if unlike else []
    if "nothing is wrong" not in command("verify", lake):
        found.append("verify found something")
    if "nothing to do" not in command("run", lake):
        found.append("a second run had something to do")
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
