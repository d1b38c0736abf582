"""Kill the main job at random moments and see whether anything is lost, half or done twice.

    python benchmarks/chaos.py --kills 100

The main job of a small embedded market runs in a child process that is killed (SIGKILL) a random
time after it has stored a random number of files, one time in ten while it starts, and started
again. Killed several times, spread over its whole course however fast the machine is, it then runs
to its end. Every file is compared with an uninterrupted run. The next lake follows until the kills
are done. Checked: every file is the same byte for byte; no temporary file is left by the next
start; Dagster holds exactly the stored partitions for materialized; no partition that was complete
when the job was killed is written again.
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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.files import TEMPORARY
from smallcaps_assets.lake.verify import check_partition
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
EARLY_KILLS, START = 0.1, 5.0
POLL, LATER = 0.02, 0.3
FAULTS = ("different", "strays", "broken", "unlike_dagster", "done_twice")
LAYERS = ("raw", "processed")


@dataclass
class Result:
    """What became of the lakes; `moments` are the numbers of stored files at the kills."""

    kills: int = 0
    lakes: int = 0
    moments: list[int] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unlike_dagster: list[str] = field(default_factory=list)
    done_twice: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, half or done twice."""
        return not any(getattr(self, name) for name in FAULTS)


def start(lake: Path) -> subprocess.Popen[bytes]:
    """The main job on a lake, in the background; what it tells is in a file beside the lake."""
    options = [part for name, value in MARKET.items() for part in ("--set", f"{name}={value}")]
    heeded = ("SMALLCAPS_", "POLYGON_", "DAGSTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(heeded)}
    with told(lake).open("wb") as file:
        return subprocess.Popen(
            [*PROGRAM, "run", "--lake", str(lake), *options],
            cwd=lake.parent,
            env={**kept, "PYTHONUNBUFFERED": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def told(lake: Path) -> Path:
    """The file of what the last job of a lake told."""
    return lake.with_suffix(".txt")


def finish(lake: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a job. Raises RuntimeError when it failed."""
    if child.wait():
        words = told(lake).read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the main job ended with {child.returncode}: {words}")


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
    finish(lake, start(lake))
    return files(lake), time.monotonic() - began


def kill_and_finish(lake: Path, expected: dict[str, str], kills: int, rng: random.Random) -> Result:
    """Kill the job of a lake a number of times, let it end, and look at what is there."""
    result, complete = Result(lakes=1), {}
    tables = sum(name.endswith(".parquet") for name in expected)
    for stored in sorted(rng.randrange(tables + 1) for _ in range(kills)):
        result.kills += kill_after(lake, start(lake), stored, rng)
        result.done_twice += _again(complete, written_at(lake), lake)
        result.broken += _broken(lake) if complete else []
        now = files(lake)
        complete = {
            name: at for name, at in written_at(lake).items() if now[name] == expected.get(name)
        }
        result.moments.append(len(complete))
    finish(lake, start(lake))
    result.done_twice += _again(complete, written_at(lake), lake)
    _inspect(lake, expected, result)
    return result


def kill_after(lake: Path, child: subprocess.Popen[bytes], stored: int, rng: random.Random) -> bool:
    """Kill a job a random time after it has stored some files, or as it starts; whether it ran.

    Raises RuntimeError when it has failed by itself.
    """
    if rng.random() > EARLY_KILLS:
        while child.poll() is None and len(written_at(lake)) < stored:
            time.sleep(POLL)
        wait = rng.expovariate(1 / LATER)
    else:
        wait = rng.uniform(0, START)
    with suppress(subprocess.TimeoutExpired):
        child.wait(wait)
    if child.poll() is None:
        child.kill()
        child.wait()
        return True
    finish(lake, child)
    return False


def _broken(lake: Path) -> list[str]:
    """Partitions that Dagster calls materialized and that are absent or damaged."""
    if not (lake / "dagster").exists():
        return []
    stored = Lake(lake)
    with open_instance(lake) as instance:
        return [
            f"{lake.name}: {found}"
            for table in TABLES
            for key in sorted(known_keys(instance, table))
            for found in check_partition(stored, table, key)[0]
        ]


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
    rng, total, began = random.Random(seed), Result(), time.monotonic()
    expected, seconds = uninterrupted(folder / "whole")
    print(f"uninterrupted: {len(expected)} files in {seconds:.0f} s", flush=True)
    while total.kills < kills:
        lake = folder / f"lake{total.lakes}"
        wanted = min(KILLS_PER_LAKE, kills - total.kills)
        one = kill_and_finish(lake, expected, wanted, rng)
        for name, value in vars(one).items():
            setattr(total, name, getattr(total, name) + value)
        print(f"{time.monotonic() - began:.0f} s: {total.kills} kills on {total.lakes} lakes,"
              f" complete files at the kills: {one.moments}", flush=True)  # fmt: skip
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
    for name in FAULTS:
        found = getattr(result, name)
        print(f"{name}: {len(found)}", *found[:20], sep="\n  ")
    print(f"{result.kills} kills on {result.lakes} lakes: {'good' if result.is_good else 'BAD'}")
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
