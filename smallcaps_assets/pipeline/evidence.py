"""Backtests of a lake as evidence: their trades with what was known beside them, and their report.

The figures are those of `domain/evidence`; walking the strategies belongs to another module.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from smallcaps_assets.domain.evidence.capacity import CAPACITY_COLUMNS
from smallcaps_assets.domain.evidence.summary import report_rows
from smallcaps_assets.domain.execution.account import Account, with_candidates
from smallcaps_assets.domain.execution.signals import COLUMNS, sample_of
from smallcaps_assets.domain.execution.strategies import execution_of
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.scanning import scan_keys
from smallcaps_assets.lake.trials import trials
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import BacktestSettings, TradingRules

_WINDOW, _LEAST = 20, 5
_MINUTE = pl.duration(minutes=1)
_DECISION = {"price": "decision_price", "mid": "decision_mid"}
CONTEXT = (*CAPACITY_COLUMNS, *_DECISION.values())
"""Columns that `with_context` adds, each known at the trade's t0."""


def backtests(lake: Lake, names: Sequence[str] | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """backtest_trades and backtest_days of strategies, by default of all that are stored."""
    keys = lake.keys("backtest_days") if names is None else names
    trades, days = (lake.read_many(table, keys) for table in ("backtest_trades", "backtest_days"))
    return trades, days.sort("strategy", "date")


def report(lake: Lake, settings: BacktestSettings, names: list[str]) -> pl.DataFrame:
    """The rows of backtest_report of some strategies, with the lake's number of trials.

    Other latencies are those of `backtest.latencies_ms`.
    """
    trades, days = backtests(lake, names)
    if days.is_empty():
        return TABLES["backtest_report"].empty()
    others = [variants(lake, settings, name, latencies(settings)) for name in names]
    rows = report_rows(with_context(lake, trades), days, trials(lake), pl.concat(others))
    return TABLES["backtest_report"].conform(rows)


# Other settings ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class Variant:
    """A rule in place of the strategy's own."""

    part: str
    value: str
    rules: Mapping[str, Any]


def latencies(settings: BacktestSettings) -> list[Variant]:
    """The latencies that all candidates are filled with."""
    every = sorted({*settings.latencies_ms, settings.latency_ms})
    return [Variant("latency", f"{ms} ms", {"latency_ms": ms}) for ms in every]


def other_sizes(rules: TradingRules) -> list[Variant]:
    """Half and twice the rules of size and number, which need no other fills."""
    found = []
    for name in ("risk", "participation", "account_share", "max_positions"):
        value = getattr(rules, name)
        for other in (value / 2, value * 2):
            given = max(1, round(other)) if name == "max_positions" else min(other, 1.0)
            if given != value:
                found.append(Variant(name.replace("_", " "), f"{given:g}", {name: given}))
    return found


def variants(
    lake: Lake, settings: BacktestSettings, name: str, others: Sequence[Variant]
) -> pl.DataFrame:
    """backtest_trades of a stored strategy under other rules, with the columns part and value.

    The events that it wanted are those of its stored trades. Nothing for a strategy that is not
    declared any more, and for a latency that no candidate is filled with.
    """
    strategy = next((one for one in settings.every if one.name == name), None)
    stored, days = backtests(lake, [name])
    columns = {"part": pl.String(), "value": pl.String()}
    parts = [
        stored.clear().with_columns(pl.lit(None, kind).alias(n) for n, kind in columns.items())
    ]
    if strategy is None or stored.is_empty():
        return parts[0]
    wanted = stored.with_columns(sample=pl.lit(sample_of(strategy))).select(COLUMNS)
    hours = [session_hours(day) for day in days["date"]]
    candidates = lake.read_many("backtest_candidates", stored["month"].unique().sort())
    for other in others:
        rules = settings.rules_of(strategy).model_copy(update=dict(other.rules))
        filled = candidates.filter(
            pl.col("execution") == execution_of(rules), pl.col("latency_ms") == rules.latency_ms
        )
        if filled.is_empty():
            continue
        account = Account(strategy, rules, settings.equity, settings.locate_shares)
        trades, _ = account.walk(hours, with_candidates(wanted, filled))
        parts.append(trades.with_columns(part=pl.lit(other.part), value=pl.lit(other.value)))
    return pl.concat(parts)


# Beside the trades -------------------------------------------------------------------------------
def with_context(lake: Lake, trades: pl.DataFrame) -> pl.DataFrame:
    """Trades with `sigma_day`, `volume_so_far`, `decision_price` and `decision_mid`.

    sigma_day: deviation of the ticker's daily log returns in the 20 sessions before, of five at
    least. volume_so_far: shares in the minutes of the session that were over at t0. The decision's
    are those of the candidate. What the lake does not know is null.
    """
    if trades.is_empty():
        return trades.with_columns(pl.lit(None, pl.Float64).alias(name) for name in CONTEXT)
    told = trades.with_row_index("place")
    for add in (_with_volatility, _with_volume, _with_decision):
        told = add(lake, told)
    return told.sort("place").drop("place")


def _with_volatility(lake: Lake, trades: pl.DataFrame) -> pl.DataFrame:
    days = trades["date"].unique().sort()
    keys = lake.keys("daily_metrics")
    first, last = (bisect(keys, str(day)) for day in (days.min(), days.max()))
    wanted = keys[max(0, first - 1 - _WINDOW) : last]
    columns = ["ticker", "date", "log_return"]
    own = _rows(lake, "daily_metrics", wanted, columns, trades.select("ticker").unique())
    spread = pl.col("log_return").rolling_std(_WINDOW, min_samples=_LEAST).shift(1).over("ticker")
    known = own.sort("ticker", "date").select("ticker", "date", spread.alias("sigma_day"))
    return trades.join(known, on=["ticker", "date"], how="left")


def _with_volume(lake: Lake, trades: pl.DataFrame) -> pl.DataFrame:
    days = [str(day) for day in trades["date"].unique().sort()]
    keys = [key for key in days if lake.exists("minute_bars", key)]
    columns = ["ticker", "date", "window_start", "volume"]
    own = _rows(lake, "minute_bars", keys, columns, trades.select("ticker", "date").unique())
    known = own.sort("window_start").select(
        "ticker",
        "date",
        (pl.col("window_start") + _MINUTE).cast(trades.schema["t0"]).alias("t0"),
        pl.col("volume").cum_sum().over("ticker", "date").alias("volume_so_far"),
    )
    return trades.sort("t0").join_asof(
        known, on="t0", by=["ticker", "date"], strategy="backward", check_sortedness=False
    )


def _rows(
    lake: Lake, table: str, keys: list[str], columns: list[str], wanted: pl.DataFrame
) -> pl.DataFrame:
    """Rows of some partitions that agree with `wanted` in its columns, a few files at a time."""
    parts = scan_keys(lake, table, keys, None, columns)
    kept = [part.join(wanted, on=wanted.columns, how="semi") for part in parts]
    return pl.concat([TABLES[table].empty().select(columns), *kept])


def _with_decision(lake: Lake, trades: pl.DataFrame) -> pl.DataFrame:
    months = trades["month"].unique().sort().to_list()
    keys = [key for key in months if lake.exists("backtest_candidates", key)]
    key = ["t0", "ticker", "sample", "event_id", "side"]
    rows = lake.read_many("backtest_candidates", keys, [*key, "execution", *_DECISION])
    known = rows.sort(*key, "execution").unique(key, keep="first").drop("execution")
    is_pattern = pl.col("pattern").is_not_null()
    sample = pl.when(is_pattern).then(pl.lit("patterns")).otherwise(pl.lit("bars"))
    named = trades.with_columns(sample=sample)
    return named.join(known.rename(_DECISION), on=key, how="left").drop("sample")
