"""A stored session of a lake through the desk, beside what the backtest made of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.desk.replay import DeskAccount, Replayed, replay
from smallcaps_assets.domain.execution.account import as_integers
from smallcaps_assets.domain.execution.signals import StrategyError
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.pipeline.backtest import Run
from smallcaps_assets.pipeline.workspace import Workspace


def replay_session(
    work: Workspace, name: str, day: date, folder: Path, speed: float = 0
) -> Replayed:
    """A strategy's session, after those before it. Raises StrategyError where there is no backtest
    of it, and for a session that is in no test month."""
    run, settings = Run(work), work.settings.backtest
    known = {one.name: one for one in settings.chosen}
    if name not in known or not work.lake.exists("backtest_trades", name):
        made = [one for one in known if work.lake.exists("backtest_trades", one)]
        raise StrategyError(f"no backtest of {name!r} is stored; choose from {', '.join(made)}")
    if day not in run.sessions:
        months = ", ".join(run.months) or "none"
        raise StrategyError(f"{day} is no session of a test month; those are {months}")
    strategy = known[name]
    rules = settings.rules_of(strategy)
    notes, rows = run.wanted_by_session(strategy, rules)
    stored = work.lake.read("backtest_trades", name).filter(pl.col("date") == day)
    account = DeskAccount(strategy, rules, settings.equity, settings.locate_shares, notes)
    sessions = [session_hours(one) for one in run.sessions if one <= day]
    return replay(account, sessions, rows, folder, as_integers(stored).to_dicts(), speed)
