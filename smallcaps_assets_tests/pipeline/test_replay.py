"""A stored session through the desk comes to the backtest's trades."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.desk.journal import read
from smallcaps_assets.domain.execution.signals import StrategyError
from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.pipeline.replay import replay_session
from smallcaps_assets_tests.pipeline.small_dataset import put
from smallcaps_assets_tests.pipeline.test_backtest import END, made, work_on

DAYS = sessions(date(2024, 3, 1), END)
RULES = {
    "a loss that ends the day, both sides": {"max_day_loss": 0.0002, "long_only": False},
    "passive, one position at a time": {"max_positions": 1, "entry": "passive",
                                        "entry_seconds": 20},
    "near barriers": {"take_profit": 0.004, "stop_loss": 0.003, "risk": 0.05, "account_share": 2},
}  # fmt: skip


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_desk_and_backtest_agree(tmp_path: Path, rules: dict) -> None:
    work = work_on(tmp_path / "lake", only=("random_side",), **rules)
    assert set(made(work).values()) == {None}
    stored = work.lake.read("backtest_trades", "random_side")
    trades = 0
    for day in DAYS:
        found = replay_session(work, "random_side", day, tmp_path / "desk")
        assert found.differences == []
        rows = stored.filter(pl.col("date") == day)
        taken = rows.filter(pl.col("refused_by").is_null())
        assert len(found.refused) == rows.height and len(found.trades) == taken.height
        whole = [trade for trade in found.trades.values() if trade]
        assert sum(t["net_profit"] for t in whole) == pytest.approx(taken["net_profit"].sum())
        trades += len(whole)
    assert trades > 2
    entries, torn = read(tmp_path / "desk" / "journal.jsonl")
    assert torn == b"" and {"decision", "intent", "sent", "order", "fill"} <= {
        entry.kind for entry in entries
    }


def test_what_differs_is_named_and_what_has_no_backtest_refused(tmp_path: Path) -> None:
    work = work_on(tmp_path / "lake", only=("always_long",))
    with pytest.raises(StrategyError, match="no backtest of 'always_long'"):
        replay_session(work, "always_long", END, tmp_path)
    made(work)
    with pytest.raises(StrategyError, match="2024-02-29 is no session of a test month"):
        replay_session(work, "always_long", date(2024, 2, 29), tmp_path)
    trades = work.lake.read("backtest_trades", "always_long")
    is_taken = pl.col("refused_by").is_null()
    bent = trades.with_columns(
        exit_price=pl.col("exit_price") + 1e-12,
        refused_by=pl.when(~is_taken).then(pl.lit("kill")),
    )
    put(work, "backtest_trades", "always_long", bent)
    replays = [replay_session(work, "always_long", day, tmp_path) for day in DAYS]
    found = [line for replayed in replays for line in replayed.differences]
    assert len(found) == trades.height
    assert sum("exit_price is" in line for line in found) == trades.filter(is_taken).height
