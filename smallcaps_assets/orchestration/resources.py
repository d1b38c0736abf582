"""Dagster resources: the lake, the Polygon client that throttles itself, FINRA, and the SEC.

One client is shared by all threads and runs of a process, so that they share one rate.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from pydantic import Field

from smallcaps_assets.lake import Lake, open_lake
from smallcaps_assets.pipeline.clients import (
    Regulators,
    finra_client,
    of_sources,
    polygon_client,
    regulators,
)
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import Settings, explicit
from smallcaps_assets.sources.polygon.client import PolygonClient
from smallcaps_assets.sources.regulators.finra import FinraClient


class LakeResource(dg.ConfigurableResource):
    """The lake of this code location, with its settings; the sources have theirs from it.

    Dagster makes a resource anew from its fields for every run, so all it needs is in a field.
    """

    overrides: dict[str, Any] = Field(
        default_factory=dict, description="settings that differ from the defaults, by section"
    )

    @property
    def settings(self) -> Settings:
        """All settings of the code location."""
        return Settings.model_validate(self.overrides)

    def open(self) -> Lake:
        """The lake, refused when it holds another market."""
        settings = self.settings
        return open_lake(settings.lake.root, market_of(settings).identity)


class _SourceResource(dg.ConfigurableResource):
    """A source of the lake's market."""

    lake: LakeResource
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="for one run: settings in place of the lake's"
    )

    @property
    def settings(self) -> Settings:
        """The settings of the source."""
        return Settings.model_validate(self.overrides or self.lake.overrides)


class PolygonResource(_SourceResource):
    """The vendor's REST API and flat files, or the embedded market that speaks the same."""

    def client(self) -> PolygonClient:
        """The client of this process; it throttles itself."""
        return polygon_client(self.settings)


class FinraResource(_SourceResource):
    """FINRA's daily short volume files."""

    def client(self) -> FinraClient:
        """The client of this process."""
        return finra_client(self.settings)


class RegulatorsResource(_SourceResource):
    """The SEC's hosts and Nasdaq's halt feed."""

    def clients(self) -> Regulators:
        """The clients of this process."""
        return regulators(self.settings)


def resources_of(settings: Settings) -> dict[str, Any]:
    """The resources of a code location; nothing is contacted or opened yet.

    They are part of a job's snapshot, by which the web server tells whether a run is of the job it
    has loaded.
    """
    lake = LakeResource(overrides=explicit(of_sources(settings), Settings.model_fields))
    return {
        "lake": lake,
        "polygon": PolygonResource(lake=lake),
        "finra": FinraResource(lake=lake),
        "regulators": RegulatorsResource(lake=lake),
    }
