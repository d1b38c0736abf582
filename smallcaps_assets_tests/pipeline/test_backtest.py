"""The backtest's tables on a lake of one test month: what is stored, what puts it out of date."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import NEW_YORK, sessions
from smallcaps_assets.domain.quality.backtest_checks import cash_conserved
from smallcaps_assets.lake.trials import trials
from smallcaps_assets.pipeline import backtest
from smallcaps_assets.pipeline.backtest_lines import backtest_lines
from smallcaps_assets.pipeline.models import folds
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS, TABLES
from smallcaps_assets_tests.domain.models.rows import dataset_rows
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.pipeline.small_dataset import put

END = date(2024, 3, 8)
ROWS = dataset_rows(end=END, tickers=2, events=2)
MONTH = "2024-03"
NAMES = ("always_long", "random_side", "gap_and_go")
PAIR = list(OPS["backtest"].tables)


def work_on(root: Path, only: tuple[str, ...] = NAMES, **more: object) -> Workspace:
    """A lake with the ticks of a test month's ticker-sessions."""
    days = {"start": "2024-01-02", "end": str(END)}
    models = {"train_months": 1, "min_rows": 50}
    chosen = {"only": list(only), "timeout_seconds": 120, **more}
    work = workspace(root, sandbox=days, models=models, backtest=chosen, run={"processes": 1})
    put(work, "ml_dataset", "union", ROWS)
    keys = ROWS.select("ticker", "date").unique().sort("date", "ticker")
    put(work, "ticker_sessions", None, registry(keys))
    for day in sessions(date(2024, 3, 1), END):
        put(work, "daily_metrics", str(day), TABLES["daily_metrics"].empty())
        for ticker in ("T0", "T1"):
            put_ticks(work, ticker, day)
    assert [o.error for o in folds(work, ["folds"], [])] == [None]
    return work


def registry(keys: pl.DataFrame) -> pl.DataFrame:
    """Every ticker-session, admitted before its first event."""
    return TABLES["ticker_sessions"].conform(
        keys.with_columns(
            partition_key=pl.format("{}_{}", "ticker", "date"),
            identity=pl.col("ticker"),
            rules=pl.lit("info_rich"),
            selection_rule=pl.lit("info_rich"),
            eligible_from=pl.col("date").cast(pl.Datetime("ns", "UTC")),
            is_qualified=pl.lit(True),
        )
    )


def put_ticks(work: Workspace, ticker: str, day: date) -> None:
    """An hour of prints, one in two seconds, each after a quote around it."""
    random = np.random.default_rng(day.toordinal() + len(ticker))
    start = datetime(day.year, day.month, day.day, 9, 45, tzinfo=NEW_YORK)
    times = [start + timedelta(seconds=2 * k) for k in range(1800)]
    prices = np.round(10 + 0.01 * np.cumsum(random.integers(-1, 2, len(times))), 2)
    base = pl.DataFrame({"sip_timestamp": times}).with_columns(
        pl.col("sip_timestamp").dt.convert_time_zone("UTC").cast(pl.Datetime("ns", "UTC")),
        ticker=pl.lit(ticker),
        date=pl.lit(day),
        sequence_number=pl.int_range(pl.len()),
        conditions=pl.lit([], pl.List(pl.Int16)),
        tape=pl.lit(3),
    )
    prints = base.with_columns(
        exchange=pl.lit(11), trf_id=pl.lit(0), correction=pl.lit(0),
        id=pl.col("sequence_number").cast(pl.String), size=pl.lit(400.0), price=pl.Series(prices),
    )  # fmt: skip
    quotes = base.with_columns(
        pl.col("sip_timestamp") - timedelta(seconds=1), bid_exchange=pl.lit(11),
        ask_exchange=pl.lit(11), bid_price=pl.Series(prices - 0.01), bid_size=pl.lit(300.0),
        ask_price=pl.Series(prices + 0.01), ask_size=pl.lit(300.0), size_unit=pl.lit(1),
        indicators=pl.lit([], pl.List(pl.Int16)),
    )  # fmt: skip
    key = f"{ticker}_{day}"
    for name, frame in (("trades", prints), ("quotes", quotes)):
        absent = [pl.lit(None).alias(n) for n in TABLES[name].columns if n not in frame.columns]
        put(work, name, key, TABLES[name].conform(frame.with_columns(absent)))
    put(work, "dollar_imbalance_bars", key, TABLES["dollar_imbalance_bars"].empty())


def made(work: Workspace) -> dict[tuple[str, str | None], Exception | None]:
    """Errors of all tables of the backtest."""
    done = [
        *backtest.candidates(work, ["backtest_candidates"], [MONTH]),
        *backtest.backtests(work, PAIR, list(work.settings.backtest.names)),
        *backtest.report(work, ["backtest_report"], []),
    ]
    return {(o.table, o.key): o.error for o in done}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A lake with its backtest. Not to be changed."""
    work = work_on(tmp_path_factory.mktemp("backtest"))
    assert set(made(work).values()) == {None}
    return work


def test_strategies_trade_the_test_month_on_its_quotes(whole: Workspace) -> None:
    trades, days = (whole.lake.read(name, "always_long") for name in PAIR)
    made_trades = trades.filter(pl.col("refused_by").is_null())
    assert made_trades.height > 5 and set(made_trades["fill_source"]) == {"quotes"}
    assert trades.height == ROWS.filter(pl.col("date") >= date(2024, 3, 1)).height
    assert days["date"].to_list() == sessions(date(2024, 3, 1), END)
    total = 50_000 + made_trades["net_profit"].sum()
    assert days["equity"][-1] == pytest.approx(total, abs=1e-9)
    assert cash_conserved(trades).is_good
    report = whole.lake.read("backtest_report")
    assert set(report["strategy"]) == set(NAMES) and set(report["trials"]) == {3}


def test_a_strategy_without_events_says_why_and_not_just_0(whole: Workspace) -> None:
    days = whole.lake.read("backtest_days", "gap_and_go")
    assert set(days["note"]) == {"no events of patterns: no usable fold"}
    assert any("no trades of gap_and_go in 2024-03" in line for line in lines(whole))


def lines(work: Workspace) -> list[str]:
    return list(backtest_lines(work.lake, work.settings.backtest))


def test_made_again_the_files_have_the_same_bytes(whole: Workspace, tmp_path: Path) -> None:
    again = work_on(tmp_path)
    made(again)
    for table in ("backtest_candidates", *PAIR, "backtest_report"):
        for key in again.lake.keys(table):
            paths = [Path(str(w.lake.path(table, key or None))) for w in (again, whole)]
            assert paths[0].read_bytes() == paths[1].read_bytes(), (table, key)


def test_a_changed_rule_puts_just_its_strategy_out_of_date(whole: Workspace) -> None:
    own = {"name": "gap_and_go", "signal": "pattern", "patterns": ["gap_and_go"],
           "rules": {"max_positions": 1}}  # fmt: skip
    values = whole.settings.backtest.model_dump(mode="json") | {"strategies": [own]}
    chosen = type(whole.settings.backtest).model_validate(values)
    other = replace(whole, settings=whole.settings.model_copy(update={"backtest": chosen}))
    assert other.is_complete("backtest_candidates", MONTH)
    assert [n for n in NAMES if not other.is_complete("backtest_trades", n)] == ["gap_and_go"]
    assert len({trial.strategy for trial in trials(whole.lake)}) == 3


def test_a_changed_tape_puts_the_month_and_what_follows_out_of_date(tmp_path: Path) -> None:
    work = work_on(tmp_path, only=("always_long",))
    made(work)
    assert work.is_complete("backtest_trades", "always_long")
    trades = work.lake.read("trades", f"T0_{END}")
    put(work, "trades", f"T0_{END}", trades.with_columns(size=pl.col("size") + 1))
    assert not work.is_complete("backtest_candidates", MONTH)
    list(backtest.candidates(work, ["backtest_candidates"], [MONTH]))
    assert not work.is_complete("backtest_trades", "always_long")


def test_what_can_not_be_tried_is_refused_in_a_line_and_nothing_is_lost(whole: Workspace) -> None:
    chosen = whole.settings.backtest.model_copy(update={"only": (*NAMES, "model")})
    work = replace(whole, settings=whole.settings.model_copy(update={"backtest": chosen}))
    (model,) = backtest.backtests(work, PAIR, ["model"])
    assert "'model' follows predictions, and the lake has none of 2024-03" in str(model.error)
    (absent,) = backtest.backtests(work, PAIR, ["moon"])
    assert "no strategy 'moon' is declared; choose from always_long" in str(absent.error)
    assert whole.lake.exists("backtest_trades", "always_long")
