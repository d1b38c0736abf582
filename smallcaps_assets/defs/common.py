"""What the stage modules share: how an op gets its workspace, and how it hands over outcomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from smallcaps_assets.orchestration.maintenance import claim
from smallcaps_assets.orchestration.partitions import TICKERS, Partitions
from smallcaps_assets.orchestration.resources import (
    FinraResource,
    LakeResource,
    PolygonResource,
    RegulatorsResource,
)
from smallcaps_assets.orchestration.runner import RunConfig, done_in
from smallcaps_assets.pipeline.findings import find
from smallcaps_assets.pipeline.inputs import input_digests
from smallcaps_assets.pipeline.workspace import Observer, Workspace
from smallcaps_assets.settings import Settings

RESOURCES = {"lake", "polygon", "finra", "regulators"}


@dataclass(frozen=True)
class Location:
    """What every declaration of one code location is made from."""

    settings: Settings
    partitions: Partitions
    observer: Observer | None = None

    def workspace(self, context: dg.AssetExecutionContext, config: RunConfig) -> Workspace:
        """The workspace of one run, which is known from then on as this process's.

        Raises dg.Failure for tickers that there are not.
        """
        claim(context.instance, context.run)
        tickers = tuple(sorted(config.tickers))
        work = self.workspace_of(context.resources)
        _refuse_unknown(tickers, work, context.instance)
        return replace(
            work,
            done=done_in(context.run.run_id),
            tickers=tickers,
            skip_complete=config.skip_complete,
        )

    def workspace_of(self, resources: Any) -> Workspace:
        """A workspace over some resources; a sensor's or schedule's has no run."""
        lake: LakeResource = resources.lake
        polygon: PolygonResource = resources.polygon
        finra: FinraResource = resources.finra
        regulators: RegulatorsResource = resources.regulators
        return Workspace(
            settings=self.settings,
            lake=lake.open(),
            span=self.partitions,
            get_polygon=polygon.client,
            get_router=polygon.router,
            get_finra=finra.client,
            get_regulators=regulators.clients,
            get_spool=polygon.spool,
            digests=input_digests,
            findings=find,
        )


def _refuse_unknown(
    tickers: tuple[str, ...], work: Workspace, instance: dg.DagsterInstance
) -> None:
    """A ticker must have been in the universe, or the vendor must know it."""
    known = set(instance.get_dynamic_partitions(TICKERS.name or "")) if tickers else set()
    for ticker in tickers:
        if ticker not in known and work.polygon.find_ticker(ticker).is_empty():
            raise dg.Failure(
                f"unknown ticker {ticker!r} in the run's config; check the spelling, case matters"
                " (BCpC is not BCPC)",
                allow_retries=False,
            )
