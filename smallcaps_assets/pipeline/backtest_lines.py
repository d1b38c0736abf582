"""What a run says of its backtests in its last lines."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from smallcaps_assets.domain.evidence.trials import trial_count
from smallcaps_assets.domain.models.extra import INSTALL, is_installed
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.trials import trials
from smallcaps_assets.pipeline.evidence import backtests
from smallcaps_assets.pipeline.fold_digests import test_months
from smallcaps_assets.reports.backtest_words import outcome_lines
from smallcaps_assets.settings import BacktestSettings


def backtest_lines(lake: Lake, settings: BacktestSettings) -> Iterator[str]:
    """A line each: what was left out, which strategies survive their costs, empty months."""
    names = [name for name in settings.names if lake.exists("backtest_days", name)]
    if not test_months(lake):
        return
    left = [s.name for s in settings.chosen if s.asks_models and s.name not in names]
    if left and not is_installed():
        yield f"left out: strategy {', '.join(left)}, which asks models; get them with `{INSTALL}`"
    if not names:
        yield "backtest none: no strategy could be tried"
        return
    trades, days = backtests(lake, names)
    yield from outcome_lines(trades, days, trial_count(trials(lake)))
    yield from _notes(days)


def _notes(days: pl.DataFrame) -> Iterator[str]:
    """Months in which a strategy had nothing to choose from."""
    noted = days.filter(pl.col("note").is_not_null()).select("strategy", "month", "note").unique()
    for row in noted.sort("strategy", "month").iter_rows(named=True):
        yield f"no trades of {row['strategy']} in {row['month']}: {row['note']}"
