"""Kill commands at random moments and see whether anything is lost, half or done twice.

    python benchmarks/chaos.py --kills 100                  # the main job on an empty lake
    python benchmarks/chaos.py --kills 100 --scene repair   # another scene

| scene | what is killed |
|---|---|
| main | the main job on an empty lake |
| ticks | the main job where everything is stored up to the tick chain |
| backfill | a backfill of selection, tick chain and dataset on a whole lake |
| repair | `verify --repair` on a lake whose files are damaged anew before each kill |
| daemon | Dagster's daemon with its sensors on, and the main job beside it |
| together | the main job and a backfill beside each other |

The commands work on a small embedded market, each in a process group of its own, which is killed
whole (SIGKILL) a random time after a random number of files has changed, one time in ten as it
starts. Where two run, one of them is killed or both; one that was spared goes on. After some kills
the commands run to their end, the main job last, and the lake is compared with an uninterrupted
one. The next lake follows until the kills are done. Checked: every file is the same byte for byte,
and `verify` finds nothing; nothing temporary is left, and no process; Dagster holds exactly the
stored partitions for materialized, and shows no dead run as running; no partition that it holds for
materialized was half or absent at a kill; where only the main job runs, nothing that was complete
at a kill is written again.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.files import TEMPORARY
from smallcaps_assets.lake.verify import check_partition
from smallcaps_assets.orchestration.automation import switch
from smallcaps_assets.orchestration.instance import known_keys, open_instance, workspace_file
from smallcaps_assets.orchestration.location import location_settings
from smallcaps_assets.schemas import TABLES, TICK_CHAIN

MARKET = {
    "sandbox.tickers": "20",
    "sandbox.start": "2024-12-09",
    "sandbox.end": "2024-12-30",
    "sandbox.season": "15",
    "sandbox.pump_days": "4",
}
FROM_TRADES = (*TICK_CHAIN, "coverage", "ml_dataset", "ticker_history")
AGAIN = ("daily_metrics", "watchlist", "runners", *TICK_CHAIN, "ml_dataset")
DAEMON = "daemon"
SENSORS = ("registry", "ticks", "dataset", "corrections")
KILLS_PER_LAKE = 10
DAMAGED = 12
EARLY_KILLS, START = 0.1, 3.0
POLL, LATER = 0.1, 0.1
LAUNCH, PATIENCE, GRACE = 60.0, 120.0, 30.0
LAYERS = ("raw", "processed")
MARK = "CHAOS_LAKE"
HEEDED = ("SMALLCAPS_", "POLYGON_", "DAGSTER_")
# The commands are forked from a process that has loaded them, which saves seconds at each kill.
PROCESSES = multiprocessing.get_context("forkserver")
LOADED = [
    "dagster._core.executor.in_process",
    "dagster._core.storage.local_compute_log_manager",
    "smallcaps_assets.jobs.backfill",
    "smallcaps_assets.cli.backfill",
    "smallcaps_assets.cli.run",
    "smallcaps_assets.cli.verify",
    "smallcaps_assets.lake.catalog",
    "smallcaps_assets.jobs.run",
    "smallcaps_assets.orchestration.storage.sqlite",
    "smallcaps_assets.sandbox",
]

Written = dict[str, int]


@dataclass(frozen=True)
class Scene:
    """Commands by name, what is made of a whole lake before they start, and what they change.

    `damage` is done before every start; `goes_on` says that a start goes on where the last one was
    killed, so that all is done at some time, and nothing twice unless two commands do it.
    """

    commands: dict[str, tuple[str, ...]]
    prepare: Callable[[Path], None]
    tables: Sequence[str] = tuple(TABLES)
    damage: Callable[[Path, random.Random], None] = lambda lake, rng: None
    goes_on: bool = False

    @property
    def is_once(self) -> bool:
        """Whether nothing that is complete may be made again."""
        return self.goes_on and len(self.commands) == 1

    def most(self, whole: Path) -> int:
        """How many files may change before a kill; where work goes on, a share of all."""
        if self.damage is damage:
            return DAMAGED
        count = sum(len(Lake(whole).keys(table)) for table in self.tables)
        return 2 * count // KILLS_PER_LAKE if self.goes_on else count


@dataclass
class Result:
    """What became of the lakes; `moments` are the numbers of changed files at the kills."""

    kills: int = 0
    lakes: int = 0
    moments: list[int] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unlike_dagster: list[str] = field(default_factory=list)
    done_twice: list[str] = field(default_factory=list)
    still_running: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, list[str]]:
        """What was found, by kind."""
        counts = ("kills", "lakes", "moments")
        return {name: found for name, found in vars(self).items() if name not in counts}

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, half or done twice."""
        return not any(self.faults.values())

    def add(self, other: Result) -> None:
        """Take another's findings in."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


# Commands ----------------------------------------------------------------------------------------
def start(lake: Path, arguments: Sequence[str]) -> BaseProcess:
    """A command on a lake in a process group of its own; it tells into a file beside the lake."""
    PROCESSES.set_forkserver_preload(LOADED)
    child = PROCESSES.Process(target=_command, args=(lake, arguments))
    child.start()
    return child


def _command(lake: Path, arguments: Sequence[str]) -> None:
    os.setsid()
    os.chdir(lake.parent)
    with told(lake, arguments[0]).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in [name for name in os.environ if name.startswith(HEEDED)]:
        del os.environ[name]
    os.environ[MARK] = str(lake)
    if arguments[0] == DAEMON:
        _serve(lake)
    from smallcaps_assets.cli import main

    main([*arguments, "--lake", str(lake)])


def _serve(lake: Path) -> None:
    """Dagster's daemon on a lake, as `smallcaps ui` starts it beside the web server."""
    from dagster._daemon.cli import cli

    os.environ |= {"SMALLCAPS_LAKE_ROOT": str(lake), "DAGSTER_HOME": str(lake / "dagster")}
    cli(["run", "-w", str(workspace_file(lake / "dagster"))])


def told(lake: Path, name: str) -> Path:
    """The file of what the last command of a name told."""
    return lake.with_name(f"{lake.name}-{name}.txt")


def finish(lake: Path, child: BaseProcess, name: str) -> None:
    """Wait for the end of a command. Raises RuntimeError when it failed; `verify` may find much."""
    child.join()
    if child.exitcode not in ((0, 1) if name == "verify" else (0,)):
        words = told(lake, name).read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{name} ended with {child.exitcode}: {words}")


def kill(child: BaseProcess) -> None:
    """SIGKILL to a command and all that it has started."""
    with suppress(ProcessLookupError):  # it has not made its group yet
        os.killpg(child.pid or 0, signal.SIGKILL)
    child.kill()
    child.join()


def run_on(lake: Path, *arguments: str) -> None:
    """Run a command to its end. Raises RuntimeError when it failed."""
    finish(lake, start(lake, arguments), arguments[0])


# Lakes -------------------------------------------------------------------------------------------
def files(lake: Path) -> dict[str, str]:
    """SHA-256 of every file of the tables, temporaries included, and of lake.json."""
    found = [path for layer in LAYERS for path in (lake / layer).rglob("*") if path.is_file()]
    named = {path.relative_to(lake).as_posix(): path for path in [*found, lake / "lake.json"]}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(named.items())
        if path.is_file()
    }


def written_at(lake: Path) -> Written:
    """When each table's file was written."""
    found = {}
    for layer in LAYERS:
        for path in (lake / layer).rglob("*.parquet"):
            with suppress(FileNotFoundError):
                found[path.relative_to(lake).as_posix()] = path.stat().st_mtime_ns
    return found


def changed(before: Written, after: Written) -> set[str]:
    """The files that are new, written again or gone."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def begin_again(lake: Path, tables: Sequence[str] = FROM_TRADES) -> None:
    """Take tables out of a lake and of Dagster's history, as if they had never been made."""
    with open_instance(lake) as instance:
        instance.wipe_assets([dg.AssetKey(table) for table in tables])
    for table in tables:
        shutil.rmtree(lake / TABLES[table].layer / table)


def switch_on(lake: Path) -> None:
    """Take the last tables out of a lake and leave them to the daemon's sensors."""
    begin_again(lake)
    definitions = build_definitions(location_settings({}, [f"lake.root={lake}"]))
    with open_instance(lake) as instance:
        for name in SENSORS:
            switch(instance, definitions.resolve_sensor_def(name), is_on=True)


def damage(lake: Path, rng: random.Random) -> None:
    """Change a byte of some stored files and remove some others."""
    stored = sorted(path for layer in LAYERS for path in (lake / layer).rglob("*.parquet"))
    for number, path in enumerate(rng.sample(stored, min(DAMAGED, len(stored)))):
        if number % 3 == 0:
            path.unlink()
            continue
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)


RUN = ("run", "--no-report")
BACKFILL = ("backfill", *AGAIN)
SCENES = {
    "main": Scene(
        {"run": (*RUN, *(part for item in MARKET.items() for part in ("--set", "=".join(item))))},
        prepare=shutil.rmtree,
        goes_on=True,
    ),
    "ticks": Scene({"run": RUN}, begin_again, FROM_TRADES, goes_on=True),
    "backfill": Scene({"backfill": BACKFILL}, lambda lake: None, AGAIN),
    "repair": Scene({"verify": ("verify", "--repair")}, lambda lake: None, damage=damage),
    "daemon": Scene({DAEMON: (DAEMON,), "run": RUN}, switch_on, FROM_TRADES, goes_on=True),
    "together": Scene({"run": RUN, "backfill": BACKFILL}, begin_again, FROM_TRADES),
}


# Kills -------------------------------------------------------------------------------------------
def kill_often(scene: Scene, lake: Path, kills: int, most: int, rng: random.Random) -> Result:
    """Kill the commands of a lake a number of times and look at it each time; none is left running.

    At most `most` files change before a kill. Ends sooner when nothing is left to be done.
    """
    result, running, complete = Result(), {}, {}
    while result.kills < kills:
        scene.damage(lake, rng)
        before = written_at(lake)
        for name in sorted(scene.commands.keys() - running.keys()):
            running[name] = start(lake, scene.commands[name])
            if name == DAEMON:
                _wait_for_a_run(lake)
        _wait(lake, running, before, rng.randrange(most + 1), rng)
        ended = [name for name, child in running.items() if not child.is_alive()]
        for name in ended:
            finish(lake, running.pop(name), name)
        result.kills += _kill_some(running, rng, kills - result.kills)
        now = written_at(lake)
        result.moments.append(len(changed(before, now)))
        if scene.damage is not damage:
            result.broken += _broken(lake, changed(before, now))
        if scene.is_once:
            result.done_twice += [name for name, at in complete.items() if now.get(name) != at]
            complete = now
        if scene.goes_on and ended:
            break
    for child in running.values():
        kill(child)
    return result


def _wait_for_a_run(lake: Path) -> None:
    """Wait until the daemon of a lake has launched a run, or has had the time to."""
    with open_instance(lake) as instance:
        known, end = instance.get_runs_count(), time.monotonic() + LAUNCH
        while instance.get_runs_count() == known and time.monotonic() < end:
            time.sleep(POLL)


def _wait(
    lake: Path, running: dict[str, BaseProcess], before: Written, count: int, rng: random.Random
) -> None:
    """Wait a random time after some files have changed, or while the commands start."""
    if rng.random() < EARLY_KILLS:
        time.sleep(rng.uniform(0, START))
        return
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and all(child.is_alive() for child in running.values()):
        if len(changed(before, written_at(lake))) >= count:
            time.sleep(rng.expovariate(1 / LATER))
            return
        time.sleep(POLL)


def _kill_some(running: dict[str, BaseProcess], rng: random.Random, most: int) -> int:
    """Kill one of the running commands, or all; returns how many."""
    names = sorted(running)
    chosen = rng.choice([names, *([name] for name in names)])[:most]
    for name in chosen:
        kill(running.pop(name))
    return len(chosen)


def _broken(lake: Path, touched: set[str]) -> list[str]:
    """Partitions among the touched files that Dagster calls materialized, absent or damaged."""
    if not touched:
        return []
    stored, found = Lake(lake), []
    with open_instance(lake) as instance:
        for table in sorted({Path(name).stem for name in touched}):
            for key in sorted(known_keys(instance, table)):
                path = Path(str(stored.path(table, key or None)))
                if path.relative_to(lake).as_posix() in touched:
                    found += check_partition(stored, table, key)[0]
    return [f"{lake.name}: {one}" for one in found]


# The end -----------------------------------------------------------------------------------------
def complete_and_inspect(scene: Scene, lake: Path, whole: Path) -> Result:
    """Let the commands run to their end, the main job last, and compare with a whole lake."""
    before = written_at(lake) if scene.is_once else {}
    for name, arguments in scene.commands.items():
        if name in ("backfill", "verify"):
            run_on(lake, *arguments)
    run_on(lake, *SCENES["main"].commands["run"] if not (lake / "lake.json").exists() else RUN)
    after = written_at(lake)
    result = Result(lakes=1, done_twice=[n for n, at in before.items() if after.get(n) != at])
    run_on(lake, "verify")
    if "nothing is wrong" not in (words := told(lake, "verify").read_text()):
        result.broken.append(f"{lake.name}: {words[-1000:]}")
    result.still_running += _processes(lake)
    _compare(lake, whole, result)
    return result


def _compare(lake: Path, whole: Path, result: Result) -> None:
    found, expected = files(lake), files(whole)
    names = sorted(found.keys() | expected.keys())
    result.different += [f"{lake.name}/{n}" for n in names if found.get(n) != expected.get(n)]
    known = {path.name for path in whole.iterdir()}
    result.strays += [str(path) for path in lake.iterdir() if path.name not in known | {"state"}]
    result.strays += [str(path) for path in lake.rglob(f"{TEMPORARY}*")]
    result.strays += [str(path) for path in (lake / "state" / "spool").glob("*")]
    stored = Lake(lake)
    with open_instance(lake) as instance:
        for table in TABLES:
            odd = known_keys(instance, table) ^ set(stored.keys(table))
            result.unlike_dagster += [f"{lake.name}: {table} {key}" for key in sorted(odd)]
        started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        for run in instance.get_runs(started):
            result.still_running.append(f"{lake.name}: run {run.run_id} of {run.tags}")


def _processes(lake: Path) -> list[str]:
    """What still runs, a while after its commands were killed or ended."""
    end = time.monotonic() + GRACE
    while (found := _marked(lake)) and time.monotonic() < end:
        time.sleep(POLL)
    return found


def _marked(lake: Path) -> list[str]:
    mark, found = f"{MARK}={lake}\0".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes() + b"\0":
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{lake.name}: {process.name} {command.decode(errors='replace')}")
    return found


def run(name: str, kills: int, seed: int, folder: Path) -> Result:
    """As many kills as asked for, over as many lakes as that takes."""
    rng, total, began = random.Random(seed), Result(), time.monotonic()
    scene, whole = SCENES[name], folder / "whole"
    if not whole.exists():
        run_on(whole, *SCENES["main"].commands["run"])
    print(f"uninterrupted: {len(files(whole))} files", flush=True)
    while total.kills < kills:
        lake = Path(shutil.copytree(whole, folder / f"{name}{total.lakes}"))
        scene.prepare(lake)
        wanted = min(KILLS_PER_LAKE, kills - total.kills)
        one = kill_often(scene, lake, wanted, scene.most(whole), rng)
        one.add(complete_and_inspect(scene, lake, whole))
        total.add(one)
        print(f"{time.monotonic() - began:.0f} s: {total.kills} kills on {total.lakes} lakes,"
              f" changed files at the kills: {one.moments}", flush=True)  # fmt: skip
        if one.is_good:
            shutil.rmtree(lake)
    return total


def main() -> int:
    """Run and print; status 1 when something was lost, half or done twice."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--scene", choices=SCENES, default="main")
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", type=Path, help="folder for the lakes; bad ones stay there")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = run(given.scene, given.kills, given.seed, folder.resolve())
    for name, found in result.faults.items():
        print(f"{name}: {len(found)}", *found[:20], sep="\n  ")
    print(f"{given.scene}: {result.kills} kills on {result.lakes} lakes:"
          f" {'good' if result.is_good else 'BAD'}")  # fmt: skip
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
