"""What the stage modules share: how an op gets its workspace, and how it hands over outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.paths import PartitionKeyError, is_key
from smallcaps_assets.orchestration.maintenance import claim
from smallcaps_assets.orchestration.partitions import TICKERS, Partitions
from smallcaps_assets.orchestration.resources import (
    FinraResource,
    LakeResource,
    PolygonResource,
    RegulatorsResource,
)
from smallcaps_assets.orchestration.runner import RunConfig, done_in
from smallcaps_assets.pipeline.clients import (
    finra_client,
    polygon_client,
    regulators,
    router,
    spool,
)
from smallcaps_assets.pipeline.findings import find
from smallcaps_assets.pipeline.inputs import input_digests
from smallcaps_assets.pipeline.workspace import Built, Observer, Outcome, Workspace
from smallcaps_assets.schemas import TABLES
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
        return replace(work, done=done_in(context.run.run_id), tickers=tickers)

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


def workspace_over(
    settings: Settings, lake: Lake, partitions: Partitions, tickers: tuple[str, ...] = ()
) -> Workspace:
    """A workspace outside Dagster's runs, over the clients of these settings."""
    return Workspace(
        settings=settings,
        lake=lake,
        span=partitions,
        get_polygon=lambda: polygon_client(settings),
        get_router=lambda: router(settings),
        get_finra=lambda: finra_client(settings),
        get_regulators=lambda: regulators(settings),
        get_spool=lambda: spool(settings),
        digests=input_digests,
        findings=find,
        tickers=tickers,
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


def malformed(table: str, key: str) -> PartitionKeyError:
    """What to tell of a key that is not of its table's form."""
    cut = TABLES[table].partitioning.replace("_", "-")
    return PartitionKeyError(
        f"{key!r} is no {cut}; `smallcaps verify --repair` removes such partition keys"
    )


def make(
    work: Workspace, config: RunConfig, table: str, key: str | None, build: Callable[[], Built]
) -> Outcome:
    """Build and store one partition, or find it complete when the run may skip those.

    A retry of the run's op leaves what its first attempt has finished. A key that is none, which
    somebody has added by hand, fails alone.
    """
    if key is not None and not is_key(TABLES[table], key):
        return Outcome(table, key, error=malformed(table, key))
    if (table, key) in work.done:
        return work.reuse(table, key)
    if config.skip_complete and work.is_current(table, key):
        return work.reuse(table, key)
    return work.store(table, key, build)
