"""What a run says of its models in its last lines."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from smallcaps_assets.domain.models.extra import INSTALL, missing
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.fold_digests import OF_EXTRA, test_months
from smallcaps_assets.schemas.model_columns import BARS

_SHOWN = 5
_SHORT_DAYS = 150


def model_lines(lake: Lake) -> Iterator[str]:
    """A line each: test months, what there is no model of, and what is left out and why."""
    absent = missing()
    if absent:
        names, packages = ", ".join(OF_EXTRA), ", ".join(absent)
        yield f"left out: {names}, since {packages} is not installed; get them with `{INSTALL}`"
        return
    stored = sorted(set(lake.keys("predictions")) & set(test_months(lake)))
    if not stored:
        yield "models   none: a fold needs a month to train, one to validate and one to test"
        return
    yield f"models   test months {', '.join(stored)}{_shortness(lake)}; see `smallcaps models`"
    yield from _refusals(lake, stored)
    yield from _unseen(lake, stored)


def _shortness(lake: Lake) -> str:
    """That a short training shows the machinery alone."""
    rows = lake.read("folds").filter(pl.col("sample") == BARS)
    if rows.is_empty():
        return ""
    span = pl.col("validate_start") - pl.col("train_start")
    days = rows.select(span.dt.total_days().min()).item()
    return (
        ", trained on so few that they show the machinery, not an edge"
        if days < _SHORT_DAYS
        else ""
    )


def _refusals(lake: Lake, months: list[str]) -> Iterator[str]:
    folds = lake.read("folds").filter(pl.col("refusal").is_not_null())
    models = lake.read_many("models", months, ["month", "target", "algorithm", "refusal"])
    found = [f"{r['month']} {r['sample']}: {r['refusal']}" for r in folds.iter_rows(named=True)]
    grouped = (
        models.filter(pl.col("refusal").is_not_null())
        .group_by("month", "target", "refusal", maintain_order=True)
        .agg(pl.col("algorithm").str.join(", "))
    )
    found += [
        f"{r['month']} {r['target']} ({r['algorithm']}): {r['refusal']}"
        for r in grouped.iter_rows(named=True)
    ]
    yield from (f"no model {line}" for line in found[:_SHOWN])
    if len(found) > _SHOWN:
        yield f"and {len(found) - _SHOWN} more; `smallcaps models` names them all"


def _unseen(lake: Lake, months: list[str]) -> Iterator[str]:
    flagged = ["month", "ticker", "date", "event_id", "has_unseen_category"]
    rows = lake.read_many("predictions", months, flagged).filter("has_unseen_category")
    for (month,), events in rows.unique().group_by("month", maintain_order=True):
        yield (
            f"{month}: {events.height:,} events have a category that its models were not trained on"
            " and are scored as of none; train on more months"
        )
