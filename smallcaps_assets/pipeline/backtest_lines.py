"""What a run says of its backtests in its last lines."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from smallcaps_assets.domain.models.extra import INSTALL, is_installed
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.fold_digests import test_months
from smallcaps_assets.settings import BacktestSettings


def backtest_lines(lake: Lake, settings: BacktestSettings) -> Iterator[str]:
    """A line each: how many strategies earned what, what was left out, what had no quotes."""
    names = [name for name in settings.names if lake.exists("backtest_days", name)]
    if not test_months(lake):
        return
    left = [s.name for s in settings.chosen if s.asks_models and s.name not in names]
    if left and not is_installed():
        yield f"left out: strategy {', '.join(left)}, which asks models; get them with `{INSTALL}`"
    if not names:
        yield "backtest none: no strategy could be tried"
        return
    days = lake.read_many("backtest_days", names)
    totals = days.group_by("strategy").agg(pl.col("net_profit", "trades").sum())
    best = totals.sort("net_profit", "strategy", descending=[True, False]).row(0, named=True)
    won = totals.filter(pl.col("net_profit") > 0).height
    yield (
        f"backtest {len(names)} strategies, of which {won} ended with a profit after costs; the"
        f" best, {best['strategy']}, with {best['net_profit']:,.2f} USD in {best['trades']} trades"
    )
    yield from _notes(days)


def _notes(days: pl.DataFrame) -> Iterator[str]:
    """Months in which a strategy had nothing to choose from."""
    noted = days.filter(pl.col("note").is_not_null()).select("strategy", "month", "note").unique()
    for row in noted.sort("strategy", "month").iter_rows(named=True):
        yield f"no trades of {row['strategy']} in {row['month']}: {row['note']}"
