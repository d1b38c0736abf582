"""What the stage modules share: how an op gets its workspace, and how it hands over outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from smallcaps_assets.defs.findings import find
from smallcaps_assets.defs.inputs import input_digests
from smallcaps_assets.orchestration.partitions import Cuts
from smallcaps_assets.orchestration.resources import (
    FinraResource,
    LakeResource,
    PolygonResource,
    RegulatorsResource,
)
from smallcaps_assets.orchestration.runner import RunConfig, done_in
from smallcaps_assets.orchestration.workspace import Built, Observer, Outcome, Workspace
from smallcaps_assets.settings import Settings

RESOURCES = {"lake", "polygon", "finra", "regulators"}


@dataclass(frozen=True)
class Location:
    """What every declaration of one code location is made from."""

    settings: Settings
    cuts: Cuts
    observer: Observer | None = None

    def workspace(self, context: dg.AssetExecutionContext, config: RunConfig) -> Workspace:
        """The workspace of one run."""
        tickers = tuple(sorted(config.tickers))
        work = self.workspace_of(context.resources)
        return replace(work, done=done_in(context.run_id), tickers=tickers)

    def workspace_of(self, resources: Any) -> Workspace:
        """A workspace over some resources; a sensor's or schedule's has no run."""
        lake: LakeResource = resources.lake
        polygon: PolygonResource = resources.polygon
        finra: FinraResource = resources.finra
        regulators: RegulatorsResource = resources.regulators
        return Workspace(
            settings=self.settings,
            lake=lake.open(),
            cuts=self.cuts,
            get_polygon=polygon.client,
            get_router=polygon.router,
            get_finra=finra.client,
            get_regulators=regulators.clients,
            get_spool=polygon.spool,
            digests=input_digests,
            findings=find,
        )


def make(
    work: Workspace, config: RunConfig, table: str, key: str | None, build: Callable[[], Built]
) -> Outcome:
    """Build and store one partition, or find it complete when the run may skip those.

    A retry of the run's op leaves what its first attempt has finished.
    """
    if (table, key) in work.done:
        return work.reuse(table, key)
    if config.skip_complete and work.is_current(table, key):
        return work.reuse(table, key)
    return work.store(table, key, build)
