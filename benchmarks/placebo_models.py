"""What the package's own models make of placebo rows: as they are, with an edge, and with a leak.

Blocks of whole sessions follow each other in time, market after market. A block is scored by models
of the four blocks before the one that they are validated on, with the functions that make the
tables `models` and `predictions`, for the sign of the mid's next 15 minutes. Three views:

* honest: the area under the curve (AUC) has to be within max(0.01, 2.5 standard errors) of 0.5;
* planted: a feature is replaced by x = sqrt(0.05) z + sqrt(0.95) e, where z is the standardised
  rank of the return that is foretold and e is noise: it has to be found, AUC above 0.55;
* leaky: rows are dealt to the blocks without regard for their day, whose neighbours know each
  other's outcome. The split is refused (`check_split`); under made-up days it goes through, and
  then its AUC is one that the honest one would be refused for.

Not by itself: `python benchmarks/placebo.py --models`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from statistics import NormalDist

import numpy as np
import polars as pl

from smallcaps_assets.domain.models.events import TARGETS, bar_rows
from smallcaps_assets.domain.models.folds import FoldError
from smallcaps_assets.domain.models.judgement import judged
from smallcaps_assets.domain.models.scoring import predict, scorers
from smallcaps_assets.domain.models.training import train_target
from smallcaps_assets.settings import ModelSettings

SIGN = TARGETS["sign_15m"]
PLANTED = "gap"
BEFORE = 4
YEAR = timedelta(days=364)  # keeps the days of the week
HONEST, WITH_EDGE, LEAKY = "honest", "planted", "leaky"
BOUND, DEVIATIONS, FOUND, MOST_ERROR = 0.01, 2.5, 0.55, 0.005
SETTINGS = ModelSettings(targets=(SIGN.name,))


@dataclass(frozen=True)
class Plan:
    """Blocks per market, of which the last `tested` are scored (those of the views other than the
    honest one: the last `fewer`), on one of `every` so many rows."""

    blocks: int = 1
    tested: int = 14
    fewer: int = 2
    every: int = 3
    settings: ModelSettings = SETTINGS


QUICK = Plan(3, 1, 1, 4, SETTINGS.model_copy(update={"rounds": 60, "patience": 15}))


@dataclass(frozen=True)
class Proof:
    """Figures of an algorithm in a view, and whether they are those of rows without an edge."""

    view: str
    algorithm: str
    rows: int
    ticker_sessions: int
    auc: float
    error: float
    is_without_edge: bool

    @property
    def is_as_expected(self) -> bool:
        """Whether the view shows what it has to."""
        if self.view == HONEST:
            return self.is_without_edge
        return self.auc > FOUND if self.view == WITH_EDGE else not self.is_without_edge


def is_without_edge(auc: float, error: float) -> bool:
    """Whether an area can be that of scores that know nothing."""
    return abs(auc - 0.5) <= max(BOUND, DEVIATIONS * error)


# Rows --------------------------------------------------------------------------------------------
def sample_of(rows: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Rows of all markets as the sample of bars, one market after the other, in `block`s."""
    parts = []
    for place, (_, own) in enumerate(rows.sort("market").group_by("market", maintain_order=True)):
        sample = bar_rows(own).gather_every(plan.every)
        days = sample["date"].rank("dense").cast(pl.Int64) - 1
        block = place * plan.blocks + days * plan.blocks // (days.max() + 1)  # type: ignore[operator]
        parts.append(moved(sample, place).with_columns(block.alias("block")))
    return pl.concat(parts)


def moved(rows: pl.DataFrame, years: int | pl.Expr) -> pl.DataFrame:
    """Rows some years later."""
    later = pl.lit(YEAR) * years
    moments = [n for n, kind in rows.schema.items() if kind.is_temporal()]
    return rows.with_columns((pl.col(name) + later).cast(rows.schema[name]) for name in moments)


def with_edge(rows: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    """The planted feature in the place of another."""
    known = rows.filter(pl.col(SIGN.outcome).is_not_null())
    rank = (known[SIGN.outcome].rank("average").to_numpy() - 0.5) / known.height
    noise = np.random.default_rng(seed).standard_normal(known.height)
    z = np.array([NormalDist().inv_cdf(share) for share in rank])
    planted = np.sqrt(0.05) * z + np.sqrt(0.95) * noise
    return known.with_columns(pl.Series(PLANTED, planted))


def leaky(rows: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    """Rows dealt to the blocks without regard for their day."""
    order = np.random.default_rng(seed).permutation(rows.height)
    return rows.with_columns(rows["block"].gather(order))


def disguised(rows: pl.DataFrame, block: int) -> pl.DataFrame:
    """What a block's models are made of, under days at which no check can see that blocks share
    sessions: one after the other, further apart than the markets are."""
    span = rows["date"].max() - rows["date"].min()  # type: ignore[operator]
    place = pl.col("block") - (block - 1 - BEFORE)
    return moved(needed(rows, block), (span // YEAR + 1) * place)


# Proofs ------------------------------------------------------------------------------------------
def is_refused(rows: pl.DataFrame, plan: Plan) -> bool:
    """Whether the split of the last block is refused before anything is fitted."""
    try:
        scored(rows, int(rows["block"].max()), plan)  # type: ignore[arg-type]
    except FoldError:
        return True
    return False


def scored(rows: pl.DataFrame, block: int, plan: Plan) -> pl.DataFrame:
    """Predictions of a block's rows with what came of them."""
    train = rows.filter(pl.col("block").is_between(block - 1 - BEFORE, block - 2))
    validate, test = (rows.filter(block=number) for number in (block - 1, block))
    made = train_target(SIGN, train, validate, plan.settings).models
    models = pl.DataFrame(made, infer_schema_length=None)
    for name, value in (("month", str(block)), ("refusal", None)):
        if name not in models.columns:
            models = models.with_columns(pl.lit(value, pl.String).alias(name))
    key = ["ticker", "date", "event_id"]
    told = test.select(*key, outcome=SIGN.name, outcome_return=SIGN.outcome)
    return predict(test, scorers(models), [SIGN.name]).join(told, on=key)


def views(rows: pl.DataFrame, plan: Plan) -> Iterator[tuple[str, pl.DataFrame, int]]:
    """View, rows and block of everything that is to be scored."""
    last = int(rows["block"].max())  # type: ignore[arg-type]
    first = max(2, last - plan.tested + 1)
    late = range(max(first, last - plan.fewer + 1), last + 1)
    yield from ((HONEST, rows, block) for block in range(first, last + 1))
    yield from ((WITH_EDGE, with_edge(rows), block) for block in late)
    hidden = leaky(rows)
    yield from ((LEAKY, disguised(hidden, block), block) for block in late)


def proofs(rows: pl.DataFrame, plan: Plan, workers: int) -> list[Proof]:
    """A line per view and algorithm. Raises AssertionError when the leaky split is not refused."""
    sample = sample_of(rows, plan)
    assert is_refused(leaky(sample), plan), "a split of rows shuffled over days went through"
    wanted = list(views(sample, plan))
    os.environ["POLARS_MAX_THREADS"] = "1"  # read by the new processes; they are the parallelism
    with ProcessPoolExecutor(min(workers, len(wanted)), mp_context=get_context("spawn")) as pool:
        tasks = [
            (view, pool.submit(scored, needed(own, block), block, plan))
            for view, own, block in wanted
        ]
        found = [task.result().with_columns(view=pl.lit(view)) for view, task in tasks]
    figures = judged(pl.concat(found), ["view"])
    lines = [_line(row) for row in figures.iter_rows(named=True)]
    return sorted(lines, key=lambda line: (HONEST, WITH_EDGE, LEAKY).index(line.view))


def needed(rows: pl.DataFrame, block: int) -> pl.DataFrame:
    """The rows of a block and of those that its models are made of."""
    return rows.filter(pl.col("block").is_between(block - 1 - BEFORE, block))


def _line(row: dict) -> Proof:
    area, error = row["auc"], row["auc_error"]
    counts = row["rows"], row["ticker_sessions"]
    named = row["view"], row["algorithm"]
    return Proof(*named, *counts, area, error, is_without_edge(area, error))


def print_proofs(lines: list[Proof]) -> None:
    """A line each, and what is not as expected."""
    print(f"{'view':8} {'model':10} {'rows':>9} {'ticker-sessions':>15} {'AUC':>17}")
    for one in lines:
        told = "" if one.is_as_expected else "  NOT AS EXPECTED"
        if one.view == HONEST and one.error > MOST_ERROR:
            told += f"  standard error above {MOST_ERROR}: take more markets"
        print(
            f"{one.view:8} {one.algorithm:10} {one.rows:9,} {one.ticker_sessions:15,}"
            f" {one.auc:8.4f} ({one.error:.4f}){told}"
        )
