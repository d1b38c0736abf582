"""How long the walk-forward takes at full size, in how much memory, and whether its bytes repeat.

    python benchmarks/models.py            # 1.6 million rows x 80 features, 65 test months
    python benchmarks/models.py --quick    # 40,000 rows, 6 test months
    python benchmarks/models.py --rows 200000 --months 20 --processes 2 --again 3

A made-up dataset is written to a lake of its own by a process that ends before anything is timed:
events of 300 tickers on every session of so many months, with 80 features of which one tells a
little of the next 15 minutes. Then folds, models, importances and predictions are made as a run
makes them, months over worker processes, LightGBM with its defaults on the sign of the next 15
minutes. Of some months everything is made again in a second lake, and compared byte for byte.

Memory is the largest sum of the resident memory of this process and its workers, read ten times a
second.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.lake import Stamp, open_lake
from smallcaps_assets.pipeline.fold_digests import test_months
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.models import folds, walk_forward
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS, TABLES
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.settings import UNION, Settings

START = date(2019, 1, 2)
TICKERS = 300
FEATURES = 80
TABLES_MADE = list(OPS["walk_forward"].tables)
GIGABYTE = 1e9


@dataclass(frozen=True)
class Size:
    """Rows, and months that are tested; seven more come before them."""

    rows: int = 1_600_000
    months: int = 65

    @property
    def end(self) -> date:
        """The last day of the dataset."""
        number = START.year * 12 + START.month - 1 + self.months + 7
        return date.fromordinal(date(number // 12, number % 12 + 1, 1).toordinal() - 1)


FULL, QUICK = Size(), Size(40_000, 6)


# Lake --------------------------------------------------------------------------------------------
def settings_of(root: Path, size: Size, processes: int | None) -> Settings:
    """LightGBM alone, on the sign of the next 15 minutes."""
    market = {"tickers": 20, "start": str(START), "end": str(size.end)}
    values: dict[str, Any] = {
        "lake": {"root": str(root)},
        "sandbox": {**market, "season": len(sessions(START, size.end))},
        "models": {"targets": ["sign_15m"], "algorithms": ["lightgbm"]},
        "run": {} if processes is None else {"processes": processes},
    }
    return Settings.model_validate(values)


def workspace(root: Path, size: Size, processes: int | None) -> Workspace:
    """A workspace on the lake."""
    settings = settings_of(root, size, processes)
    span = MarketSpan(START, size.end, settings.dataset.periods)
    return Workspace(settings, open_lake(str(root), market_of(settings).identity), span)


def fill(root: Path, size: Size) -> None:
    """Write the dataset."""
    work, table = workspace(root, size, None), TABLES["ml_dataset"]
    stamp = Stamp("ml_dataset", table.version, work.settings.digest(table.settings))
    work.lake.write("ml_dataset", UNION, table.conform(dataset(size)), stamp)


def dataset(size: Size) -> pl.DataFrame:
    """The rows, in order of time."""
    random, days = np.random.default_rng(1), sessions(START, size.end)
    place = np.sort(random.integers(0, len(days), size.rows))
    second = random.integers(0, 390 * 60, size.rows)
    keys = pl.DataFrame(
        {
            "date": pl.Series(days).gather(place),
            "ticker": pl.Series([f"T{n:03d}" for n in random.integers(0, TICKERS, size.rows)]),
            "second": second,
        }
    ).sort("date", "second", "ticker")
    opened = pl.col("date").cast(pl.Datetime("ns")).dt.replace_time_zone("America/New_York")
    t0 = opened.dt.offset_by("9h30m").dt.convert_time_zone("UTC") + pl.duration(seconds="second")
    gain = random.standard_normal(size.rows)
    informed = 1 / (1 + np.exp(-0.1 * gain - random.standard_normal(size.rows)))
    rows = keys.with_columns(
        bar_id=(pl.int_range(pl.len()).over("ticker", "date")).cast(pl.Int32),
        t0=t0,
        t1=t0 + pl.duration(minutes=10),
        identity=pl.col("ticker"),
        label=pl.Series(np.sign(gain).astype(np.int8)),
        label_return=pl.Series(gain / 100),
        forward_return_5m=pl.Series(gain / 100),
        forward_return_15m=pl.Series(gain / 100),
        is_selection_known=pl.lit(True),
        eligible_from=t0,
    ).drop("second")
    numbers = [n for n in CATALOGUE if TABLES["ml_dataset"].columns[n] == pl.Float64][:FEATURES]
    values = {n: random.random(size.rows) for n in numbers[1:]}  # allowed for every feature
    found = rows.with_columns(pl.Series(n, v) for n, v in {numbers[0]: informed, **values}.items())
    filler: dict[pl.DataType, Any] = {
        **{pl.Float64(): 1.0, pl.Int64(): 1, pl.Int32(): 1, pl.Int8(): 1},
        **{pl.Boolean(): True, pl.String(): "x"},
    }
    absent = {n: k for n, k in TABLES["ml_dataset"].columns.items() if n not in found.columns}
    return found.with_columns(
        pl.lit(None if n.startswith("forward_mid") else filler.get(k), k).alias(n)
        for n, k in absent.items()
    )


# Measurement -------------------------------------------------------------------------------------
@dataclass
class Memory:
    """The most that this process and its children held at once, in bytes."""

    most: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Memory:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.most = max(self.most, sum(map(resident, [os.getpid(), *children()])))


def children() -> list[int]:
    """Processes that this one has started."""
    own = Path(f"/proc/{os.getpid()}/task")
    return [int(n) for task in own.iterdir() for n in (task / "children").read_text().split()]


def resident(process: int) -> int:
    """Resident memory of a process in bytes; 0 when it has ended."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def made(work: Workspace, months: list[str]) -> None:
    """Make the months, a line for each as it finishes."""
    for outcome in walk_forward(work, TABLES_MADE, months):
        if outcome.error is not None:
            raise outcome.error
        if outcome.table == TABLES_MADE[-1]:
            print(f"  {outcome.key}: {outcome.written.rows:,} predictions", flush=True)  # type: ignore[union-attr]


def differing(one: Workspace, other: Workspace, months: list[str]) -> list[str]:
    """Files of some months whose bytes differ."""
    return [
        f"{table} {month}"
        for month in months
        for table in TABLES_MADE
        if one.lake.read_bytes(table, month) != other.lake.read_bytes(table, month)
    ]


def run(size: Size, processes: int | None, again: int) -> None:
    """Write, make, make again, and tell."""
    with tempfile.TemporaryDirectory() as folder:
        root, second = Path(folder) / "lake", Path(folder) / "again"
        for place in (root, second):
            filler = get_context("spawn").Process(target=fill, args=(place, size))
            filler.start()
            filler.join()
            assert filler.exitcode == 0, "the dataset could not be written"
        work, began = workspace(root, size, processes), time.perf_counter()
        with Memory() as memory:
            (outcome,) = folds(work, ["folds"], [])
            assert outcome.error is None, outcome.error
            folded = time.perf_counter() - began
            months = test_months(work.lake)
            made(work, months)
        took = time.perf_counter() - began
        areas = [a for m in months for a in work.lake.read("models", m)["validate_auc"]]
        print(f"{size.rows:,} rows x {FEATURES} features, {len(months)} test months")
        print(f"{took / 60:.1f} minutes, of which folds {folded:.0f} s")
        print(f"{memory.most / GIGABYTE:.2f} GB; validation AUC {np.mean(areas):.3f} on average")
        other = workspace(second, size, processes)
        list(folds(other, ["folds"], []))
        made(other, months[-again:])
        found = differing(work, other, months[-again:])
        print(f"made again, {again} months: {', '.join(found) or 'the same bytes'}")
        raise SystemExit(1 if found else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small dataset")
    parser.add_argument("--rows", type=int, help="rows of the dataset")
    parser.add_argument("--months", type=int, help="test months")
    parser.add_argument("--processes", type=int, help="worker processes")
    parser.add_argument("--again", type=int, default=3, help="months that are made twice")
    options = parser.parse_args()
    base = QUICK if options.quick else FULL
    size = Size(options.rows or base.rows, options.months or base.months)
    run(size, options.processes, options.again)


if __name__ == "__main__":
    main()
