"""What every declaration of a code location shares: how an op gets its workspace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from smallcaps_assets.orchestration.heartbeats import claim
from smallcaps_assets.orchestration.partitions import TICKERS, Partitions
from smallcaps_assets.orchestration.resources import (
    LakeResource,
)
from smallcaps_assets.orchestration.runner import RunConfig, done_in, made_by_earlier_attempts
from smallcaps_assets.pipeline.clients import Clients
from smallcaps_assets.pipeline.outcome import Observer
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.settings import Settings

RESOURCES = {"lake", "polygon", "finra", "regulators"}


@dataclass(frozen=True)
class Location:
    """What every declaration of one code location is made from."""

    settings: Settings
    partitions: Partitions
    observer: Observer | None = None

    def workspace(self, context: dg.AssetExecutionContext, config: RunConfig) -> Workspace:
        """The workspace of one run, which is tagged as this process's.

        Raises dg.Failure for unknown tickers.
        """
        claim(context.instance, context.run)
        tickers = tuple(sorted(config.tickers))
        work = self.workspace_of(context.resources)
        _refuse_unknown(tickers, work, context.instance)
        return replace(
            work,
            done=done_in(context.run.run_id),
            made_before=made_by_earlier_attempts(context.instance, context.run),
            tickers=tickers,
            skip_complete=config.skip_complete,
        )

    def workspace_of(self, resources: Any) -> Workspace:
        """A workspace from some resources, for sensors and schedules too."""
        lake: LakeResource = resources.lake
        sources = (resources.polygon, resources.finra, resources.regulators)
        clients = Clients(*(source.settings for source in sources))
        return Workspace(self.settings, lake.open(), self.partitions, clients=clients)


def _refuse_unknown(
    tickers: tuple[str, ...], work: Workspace, instance: dg.DagsterInstance
) -> None:
    """A ticker must have been in the universe, or the vendor must know it."""
    known = set(instance.get_dynamic_partitions(TICKERS.name or "")) if tickers else set()
    for ticker in tickers:
        if ticker not in known and work.clients.polygon.find_ticker(ticker).is_empty():
            raise dg.Failure(
                f"unknown ticker {ticker!r} in the run's config; check the spelling, case matters"
                " (BCpC is not BCPC)",
                allow_retries=False,
            )
