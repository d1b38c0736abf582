"""The desk's records of a session as tables: what its journals say, and the broker's own list.

A session in which no desk ran has no journal and gets partitions without rows that say so. Rows
whose journal is gone since stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import lru_cache, partial
from typing import Any

import polars as pl

from smallcaps_assets.desk.drop_copy import compare, of_fills, read_drop_copy
from smallcaps_assets.desk.records import (
    DROP_COPY,
    Records,
    RecordsError,
    match_rows,
    session_records,
)
from smallcaps_assets.domain.execution.slippage import cost_profile, desk_slippage, priced
from smallcaps_assets.domain.execution.strategies import execution_of
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.desk_folder import DESK, runs_of, source_of
from smallcaps_assets.pipeline.outcome import BuildResult, Outcomes
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.markdown import preview
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import BacktestSettings

NO_JOURNAL = "none: no desk ran in this session"
NO_LIST = "none: neither drop_copy.csv nor an answer to GET TRADES"


def desk_records(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of the desk's tables of some sessions."""
    for key in keys:
        told = lru_cache(maxsize=1)(partial(_records, work, key))
        for table in tables:
            yield work.make(table, key, partial(_build, work, table, key, told))


def _records(work: Workspace, key: str) -> list[Records]:
    """What a session's journals say, by run. Raises RecordsError for a running desk and for
    journals that are gone since, JournalError for a damaged one."""
    runs = runs_of(work.settings, key)
    if gone := sorted(_stored_runs(work, key) - runs.keys()):
        folder = work.settings.desk_folder / key
        raise RecordsError(f"{folder} has no journal of {gone[0]} any more; its stored rows stay")
    day = date.fromisoformat(key)
    return [session_records(folder, day, run) for run, folder in runs.items()]


def _stored_runs(work: Workspace, key: str) -> set[str]:
    """Runs of which a session's partitions have rows."""
    stored = [table for table in DESK if work.lake.exists(table, key)]
    return {run for table in stored for run in work.lake.read(table, key, ["run"])["run"]}


def _build(work: Workspace, table: str, key: str, read: Callable[[], list[Records]]) -> BuildResult:
    runs, source = read(), source_of(work.settings, key)
    metadata: dict[str, Any] = {"journals": source or NO_JOURNAL}
    if torn := [f"{told.run}/{name}" for told in runs for name in told.torn]:
        metadata["cut by a kill"] = ", ".join(torn)
    if table == "desk_slippage":
        frame, more = _slippage(work, date.fromisoformat(key))
    elif table == "desk_reconciliation":
        frame, more = _reconciliation(work, key, runs)
    else:
        rows = [row for told in runs for row in getattr(told, table.removeprefix("desk_"))]
        frame, more = TABLES[table].of_rows(rows), {}
    return BuildResult(frame, metadata | more, source=source)


def _reconciliation(
    work: Workspace, key: str, runs: list[Records]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Our executions beside the broker's. Raises DropCopyError for a file that can't be read."""
    rows, lists = [], {}
    for told in runs:
        path = runs_of(work.settings, key)[told.run] / DROP_COPY
        theirs, source = told.listed, "GET TRADES" if told.listed is not None else NO_LIST
        if path.exists():
            theirs, source = read_drop_copy(path.read_text(encoding="utf-8-sig")), DROP_COPY
        rows += match_rows(compare(of_fills(told.executed), theirs or ()), source, told)
        lists[f"list of the broker, {told.run}"] = source
    frame = TABLES["desk_reconciliation"].of_rows(rows)
    counts = dict(frame["outcome"].value_counts(sort=True).iter_rows())
    return frame, lists | counts


def _slippage(work: Workspace, day: date) -> tuple[pl.DataFrame, dict[str, Any]]:
    key, month, settings = day.isoformat(), f"{day:%Y-%m}", work.settings.backtest
    orders = work.lake.read("desk_orders", key)
    candidates = TABLES["backtest_candidates"].empty()
    if work.lake.exists("backtest_candidates", month):
        candidates = work.lake.read("backtest_candidates", month).filter(
            pl.col("execution") == execution_of(settings),
            pl.col("latency_ms") == settings.latency_ms,
        )
    frame = desk_slippage(day, orders, candidates)
    filled = orders.filter(pl.col("filled") > 0).height
    told: dict[str, Any] = {"without a quote at the decision": filled - priced(orders).height}
    if frame.height:
        shown = ("run", "pattern", "leg", "model", "orders", "excess")
        told["by pattern"] = preview(frame.select(shown), 32)
    return frame, told


def stored_profile(lake: Lake, settings: BacktestSettings) -> dict[str, float]:
    """What executions are charged beyond the model, by pattern; empty unless it is set."""
    if not settings.cost_profile:
        return {}
    rows = lake.scan("desk_slippage").collect()
    return cost_profile(rows, settings.cost_profile_orders)
