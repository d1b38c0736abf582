"""A workspace on a small embedded market, to run stages without the orchestrator."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from smallcaps_assets.defs.findings import find
from smallcaps_assets.defs.inputs import input_digests
from smallcaps_assets.defs.reference import _actions, _details
from smallcaps_assets.defs.sessions import Stages
from smallcaps_assets.domain.calendar import sessions
from smallcaps_assets.lake import open_lake
from smallcaps_assets.orchestration.market import market_identity, market_range
from smallcaps_assets.orchestration.partitions import Cuts
from smallcaps_assets.orchestration.resources import (
    finra_client,
    polygon_client,
    regulators,
    router,
    spool,
)
from smallcaps_assets.orchestration.runner import RunConfig
from smallcaps_assets.orchestration.workspace import Outcome, Workspace
from smallcaps_assets.settings import Settings

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
    return Workspace(
        settings=settings,
        lake=open_lake(str(root), market_identity(settings)),
        cuts=Cuts(*market_range(settings), settings.dataset.periods),
        get_polygon=lambda: polygon_client(settings),
        get_router=lambda: router(settings),
        get_finra=lambda: finra_client(settings),
        get_regulators=lambda: regulators(settings),
        get_spool=lambda: spool(settings),
        digests=input_digests,
        findings=find,
    )


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
    keys = keys or work.cuts.session_keys(work.cuts.start, work.cuts.end)
    stages = Stages(work, RunConfig(skip_complete=is_resumed))
    try:
        return {(o.table, str(o.key)): o for o in stages.run(tables, keys)}
    finally:
        stages.close()
