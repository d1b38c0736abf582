"""A workspace over the clients of some settings, as commands open one outside Dagster's runs."""

from __future__ import annotations

from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.clients import (
    finra_client,
    polygon_client,
    regulators,
    router,
    spool,
)
from smallcaps_assets.pipeline.findings import find
from smallcaps_assets.pipeline.inputs import input_digests
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.settings import Settings


def workspace_over(
    settings: Settings, lake: Lake, span: MarketSpan, tickers: tuple[str, ...] = ()
) -> Workspace:
    """A workspace over a lake; its clients are made when they are first asked for."""
    return Workspace(
        settings=settings,
        lake=lake,
        span=span,
        get_polygon=lambda: polygon_client(settings),
        get_router=lambda: router(settings),
        get_finra=lambda: finra_client(settings),
        get_regulators=lambda: regulators(settings),
        get_spool=lambda: spool(settings),
        digests=input_digests,
        findings=find,
        tickers=tickers,
    )
