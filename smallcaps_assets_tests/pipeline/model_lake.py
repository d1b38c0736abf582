"""A lake with the models and predictions of one month, of a made-up dataset of real tickers."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from smallcaps_assets.lake import open_lake
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.models import folds, walk_forward
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS
from smallcaps_assets_tests.domain.models.rows import dataset_rows
from smallcaps_assets_tests.lake.desk_lake import _lists, bars
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.pipeline.small_dataset import put

FIRST, DAY, LAST = date(2024, 1, 2), date(2024, 3, 12), date(2024, 3, 28)
MONTH = "2024-03"
MODELS = {
    "targets": ["sign_15m", "touch"],
    "algorithms": ["lightgbm", "logistic"],
    **{"train_months": 1, "min_rows": 50, "rounds": 15, "patience": 5},
}


def model_lake(root: Path) -> tuple[str, list[Outcome]]:
    """Make the lake; the first of its two tickers, and the outcomes of folds and models."""
    work = remembering(root, tickers=20, start=str(FIRST), end=str(LAST))
    market = market_of(work.settings).server().market
    stocks = (
        {row["ticker"] for row in market.tickers(day, True) if row["type"] == "CS"}
        for day in (FIRST, LAST)
    )
    names = sorted(set.intersection(*stocks))[:2]
    put(work, "ml_dataset", "union", dataset_rows(FIRST, LAST, len(names), 4, 0.9, names=names))
    listed(work, *names)
    outcomes = [*folds(work, ["folds"], [])]
    outcomes += walk_forward(work, list(OPS["walk_forward"].tables), [MONTH])
    return names[0], outcomes


def remembering(root: Path, **sandbox: object) -> Workspace:
    """A workspace on a lake that knows the settings of its market, as one made by a run does."""
    work = workspace(root, sandbox=sandbox, models=MODELS, run={"processes": 1})
    told = work.settings.sandbox.model_dump(mode="json", exclude_defaults=True)
    open_lake(root, market_of(work.settings).identity, {"sandbox": told, "models": MODELS})
    return work


def listed(work: Workspace, *names: str) -> None:
    """Store a list and daily bars of some tickers on DAY."""
    put(work, "daily_bars", str(DAY), bars(DAY, *names))
    put(work, "tickers", str(DAY), _lists(DAY, {name: name for name in names}))
