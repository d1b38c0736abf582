"""A workspace on a small embedded market, to run stages without the orchestrator."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.lake import open_lake
from smallcaps_assets.pipeline import feeds
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.reference import _actions, _details
from smallcaps_assets.pipeline.sessions import session_tables
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS
from smallcaps_assets.settings import Settings

BUILDS = {name: build for op, build in feeds.FEEDS.items() for name in OPS[op].tables}
MARKET = {"tickers": 30, "start": "2024-10-01", "end": "2024-10-09", "trades_scale": 0.2}


def workspace(root: Path, *faults: str, **sections: dict[str, Any]) -> Workspace:
    """A workspace on a lake, whose market is one season; `faults` as the sandbox has them."""
    market = {**MARKET, **sections.get("sandbox", {})}
    days = sessions(*(date.fromisoformat(market[name]) for name in ("start", "end")))
    values = {
        "lake": {"root": str(root)},
        **sections,
        "sandbox": {"season": len(days), **market, "faults": list(faults)},
        "polygon": {"retry_budget": 0.2, "empty_seconds": 0, **sections.get("polygon", {})},
    }
    settings = Settings.model_validate(values)
    span = MarketSpan.of_market(settings)
    return Workspace(settings, open_lake(str(root), market_of(settings).identity), span)


def reference(work: Workspace) -> list[Outcome]:
    """Splits, dividends and details of the market's year and month."""
    return [
        work.store("splits", "2024", lambda: _actions(work, "splits", "2024")),
        work.store("dividends", "2024", lambda: _actions(work, "dividends", "2024")),
        work.store("ticker_details", "2024-10", lambda: _details(work, "2024-10")),
    ]


def make_sessions(
    work: Workspace, tables: list[str], keys: list[str] | None = None, is_resumed: bool = True
) -> dict[tuple[str, str], Outcome]:
    """Outcomes of session tables by table and key; complete ones are skipped when resumed."""
    keys = keys or work.span.session_keys(work.span.start, work.span.end)
    outcomes = session_tables(replace(work, skip_complete=is_resumed), tables, keys)
    return {(o.table, str(o.key)): o for o in outcomes}
