"""Kill the main job at random moments and see whether anything is lost, half or done twice.

    python benchmarks/chaos.py --kills 100

The main job of a small embedded market runs in a child process that is killed (SIGKILL) a random
time after it has begun, one time in ten before, and started again. Killed several times, spread
over its whole course, it then runs to its end. Every file is compared with an uninterrupted run.
The next lake follows until the kills are done. Checked: every file is the same byte for byte; no
temporary file is left by the next start; Dagster holds exactly the stored partitions for
materialized; no partition that was complete when the job was killed is written again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.files import TEMPORARY
from smallcaps_assets.orchestration.instance import known_keys, open_instance
from smallcaps_assets.schemas import TABLES

PROGRAM = [sys.executable, "-c", "from smallcaps_assets.cli import main; main()"]
MARKET = {
    "sandbox.tickers": "20",
    "sandbox.start": "2024-12-09",
    "sandbox.end": "2024-12-30",
    "sandbox.pump_days": "4",
}
KILLS_PER_LAKE = 10
EARLY_KILLS = 0.1
LAYERS = ("raw", "processed")


@dataclass
class Result:
    """What became of the lakes; `moments` are the numbers of stored files at the kills."""

    kills: int = 0
    lakes: int = 0
    moments: list[int] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    unlike_dagster: list[str] = field(default_factory=list)
    done_twice: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, half or done twice."""
        return not (self.different or self.strays or self.unlike_dagster or self.done_twice)


def start(lake: Path) -> subprocess.Popen[bytes]:
    """The main job on a lake, in the background."""
    options = [part for name, value in MARKET.items() for part in ("--set", f"{name}={value}")]
    heeded = ("SMALLCAPS_", "POLYGON_", "DAGSTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(heeded)}
    return subprocess.Popen(
        [*PROGRAM, "run", "--lake", str(lake), *options],
        cwd=lake.parent,
        env={**kept, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a job. Raises RuntimeError when it failed."""
    told, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"the main job ended with {child.returncode}: {told.decode()[-2000:]}")


def files(lake: Path) -> dict[str, str]:
    """SHA-256 of every file of the tables, temporaries included, and of lake.json."""
    found = [path for layer in LAYERS for path in (lake / layer).rglob("*") if path.is_file()]
    named = {path.relative_to(lake).as_posix(): path for path in [*found, lake / "lake.json"]}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(named.items())
        if path.is_file()
    }


def written_at(lake: Path) -> dict[str, int]:
    """When each table's file was written."""
    found = [path for layer in LAYERS for path in (lake / layer).rglob("*.parquet")]
    return {path.relative_to(lake).as_posix(): path.stat().st_mtime_ns for path in found}


def uninterrupted(lake: Path) -> tuple[dict[str, str], float]:
    """The files of a job that nobody kills, and its seconds."""
    began = time.monotonic()
    finish(start(lake))
    return files(lake), time.monotonic() - began


def kill_and_finish(
    lake: Path, expected: dict[str, str], seconds: float, kills: int, rng: random.Random
) -> Result:
    """Kill the job of a lake a number of times, let it end, and look at what is there."""
    result, complete = Result(lakes=1), {}
    for _ in range(kills):
        result.kills += kill_at_random(start(lake), seconds, rng)
        result.done_twice += _again(complete, written_at(lake), lake)
        now = files(lake)
        complete = {
            name: at for name, at in written_at(lake).items() if now[name] == expected.get(name)
        }
        result.moments.append(len(complete))
        if len(complete) == sum(name.endswith(".parquet") for name in expected):
            break
    finish(start(lake))
    result.done_twice += _again(complete, written_at(lake), lake)
    _inspect(lake, expected, result)
    return result


def kill_at_random(child: subprocess.Popen[bytes], seconds: float, rng: random.Random) -> bool:
    """Kill a job within `seconds` of its beginning, early ones more often; whether it was running.

    Raises RuntimeError when it has failed by itself.
    """
    if rng.random() > EARLY_KILLS and child.stdout is not None:
        child.stdout.readline()  # what it says when it begins
    try:
        told, _ = child.communicate(timeout=seconds * 10 ** rng.uniform(-2, 0))
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return True
    if child.returncode:
        raise RuntimeError(f"the main job ended with {child.returncode}: {told.decode()[-2000:]}")
    return False


def _again(before: dict[str, int], after: dict[str, int], lake: Path) -> list[str]:
    return [f"{lake.name}/{name}" for name, at in before.items() if after.get(name) != at]


def _inspect(lake: Path, expected: dict[str, str], result: Result) -> None:
    found = files(lake)
    names = sorted(found.keys() | expected.keys())
    result.different += [f"{lake.name}/{n}" for n in names if found.get(n) != expected.get(n)]
    result.strays += [str(path) for path in lake.rglob(f"{TEMPORARY}*")]
    result.strays += [str(path) for path in (lake / "state" / "spool").glob("*")]
    stored = Lake(lake)
    with open_instance(lake) as instance:
        for table in TABLES:
            odd = known_keys(instance, table) ^ set(stored.keys(table))
            result.unlike_dagster += [f"{lake.name}: {table} {key}" for key in sorted(odd)]


def run(kills: int, seed: int, folder: Path) -> Result:
    """As many kills as asked for, over as many lakes as that takes."""
    rng, total = random.Random(seed), Result()
    expected, seconds = uninterrupted(folder / "whole")
    print(f"uninterrupted: {len(expected)} files in {seconds:.0f} s", flush=True)
    while total.kills < kills:
        lake = folder / f"lake{total.lakes}"
        wanted = min(KILLS_PER_LAKE, kills - total.kills)
        one = kill_and_finish(lake, expected, seconds, wanted, rng)
        for name, value in vars(one).items():
            setattr(total, name, getattr(total, name) + value)
        print(f"{total.kills} kills on {total.lakes} lakes, complete files at the kills:"
              f" {one.moments}", flush=True)  # fmt: skip
        if one.is_good:
            shutil.rmtree(lake)
    return total


def main() -> int:
    """Run and print; status 1 when something was lost, half or done twice."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", type=Path, help="folder for the lakes; bad ones stay there")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = run(given.kills, given.seed, folder.resolve())
    for name in ("different", "strays", "unlike_dagster", "done_twice"):
        found = getattr(result, name)
        print(f"{name}: {len(found)}", *found[:20], sep="\n  ")
    print(f"{result.kills} kills on {result.lakes} lakes: {'good' if result.is_good else 'BAD'}")
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
