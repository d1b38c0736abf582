"""What the tables of the backtest are made from: test months, sessions, and digests of files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from smallcaps_assets.domain.feeds.publication import month_end
from smallcaps_assets.lake.trials import trials_digest
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.fold_digests import month_digest, test_months
from smallcaps_assets.pipeline.halt_feed import halts_digest
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.registered import ticker_sessions_of
from smallcaps_assets.schemas import OPS, TABLES

BACKTEST = ("backtest_candidates", *OPS["backtest"].tables, "backtest_report")
_OF_SESSION = ("trades", "quotes", "dollar_imbalance_bars")
LATE_SESSIONS = 10
"""Sessions after its own in which a trapped position may still be closed."""


def month_sessions(span: MarketSpan, month: str) -> list[date]:
    """The market's sessions of a month."""
    first = date.fromisoformat(f"{month}-01")
    return [date.fromisoformat(key) for key in span.session_keys(first, month_end(first))]


def digests_of(work: LakeContext, table: str, key: str | None) -> Iterator[str]:
    """Digests of what a partition of the backtest is made from."""
    if table == "backtest_candidates":
        yield from _of_candidates(work, key or "")
    elif table == "backtest_trades":
        yield from _of_trades(work, key or "")
    elif table == "backtest_days":
        yield work.lake.digest("backtest_trades", key)
    else:
        yield trials_digest(work.lake)
        yield from (work.lake.digests(upstream) for upstream in TABLES[table].upstream)


def _of_candidates(work: LakeContext, month: str) -> Iterator[str]:
    from smallcaps_assets.domain.execution.strategies import executions_digest  # loads the kernels

    lake, settings = work.lake, work.settings.backtest
    yield executions_digest(settings, settings.chosen)
    yield month_digest(lake, month)
    days = month_sessions(work.span, month)
    for day in days:
        for ticker, key in sorted(ticker_sessions_of(lake, day).items()):
            yield from (lake.digest(name, key) for name in _OF_SESSION)
            yield halts_digest(lake, ticker, day, work.settings.ticks)
        yield lake.digest("daily_metrics", day.isoformat())
    later = work.span.session_keys(days[-1] + timedelta(1), work.span.end) if days else []
    yield from (lake.digest("daily_bars", key) for key in later[:LATE_SESSIONS])
    yield lake.digests("splits")


def _of_trades(work: LakeContext, name: str) -> Iterator[str]:
    from smallcaps_assets.domain.execution.strategies import strategy_digest

    lake, settings = work.lake, work.settings.backtest
    strategy = next((one for one in settings.chosen if one.name == name), None)
    if strategy is None:
        return
    yield strategy_digest(settings, strategy)
    for month in test_months(lake):
        yield lake.digest("backtest_candidates", month)
        yield month_digest(lake, month)
        if strategy.asks_models:
            yield lake.digest("predictions", month)
