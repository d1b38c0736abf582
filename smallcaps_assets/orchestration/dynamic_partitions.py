"""Partition keys that follow from stored tables: tickers and ticker-sessions."""

from __future__ import annotations

from contextlib import closing

import dagster as dg

from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, TICKERS
from smallcaps_assets.pipeline.outcome import Outcomes
from smallcaps_assets.pipeline.workspace import Workspace


def registering(instance: dg.DagsterInstance, work: Workspace, outcomes: Outcomes) -> Outcomes:
    """The outcomes of a stage; the keys that follow from them are added meanwhile.

    Ticker-sessions before anybody is told of the registry, tickers after the last universe, however
    the run ends.
    """
    has_universe = False
    with closing(outcomes):
        try:
            for outcome in outcomes:
                has_universe |= outcome.table == "universe"
                if outcome.table == "ticker_sessions" and outcome.error is None:
                    register_ticker_sessions(instance, work)
                yield outcome
        finally:
            if has_universe:
                register_tickers(instance, work)


def register_tickers(instance: dg.DagsterInstance, work: Workspace) -> None:
    """Make ticker_history partitions of every ticker that was ever in the stored universe."""
    rows = work.lake.scan("universe").select("ticker").unique().sort("ticker").collect()
    _add(instance, TICKERS, rows["ticker"].to_list())


def register_ticker_sessions(instance: dg.DagsterInstance, work: Workspace) -> None:
    """Make partitions of the registry's ticker-sessions, by session and ticker."""
    if not work.lake.exists("ticker_sessions"):
        return
    rows = work.lake.read("ticker_sessions").sort("date", "ticker")
    _add(instance, TICKER_SESSIONS, rows["partition_key"].to_list())


def _add(
    instance: dg.DagsterInstance, cut: dg.DynamicPartitionsDefinition, keys: list[str]
) -> None:
    """Add the keys that are not there yet, behind the others; keys are never deleted."""
    assert cut.name is not None
    known = set(instance.get_dynamic_partitions(cut.name))
    new = [key for key in keys if key not in known]
    if new:
        instance.add_dynamic_partitions(cut.name, new)
