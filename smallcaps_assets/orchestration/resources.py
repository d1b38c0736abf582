"""Dagster resources: the lake, the Polygon client that throttles itself, and FINRA's files.

One client is shared by all threads and runs of a process, so that they share one rate.
"""

from __future__ import annotations

import os
from functools import lru_cache

import dagster as dg
from pydantic import PrivateAttr, SecretStr

from smallcaps_assets.lake import Lake, open_lake
from smallcaps_assets.orchestration.market import endpoints, market_identity
from smallcaps_assets.settings import Settings
from smallcaps_assets.sources.finra import FinraClient
from smallcaps_assets.sources.flatfiles import make_flat_files
from smallcaps_assets.sources.polygon import PolygonClient
from smallcaps_assets.sources.router import Router
from smallcaps_assets.sources.throttle import Throttle

FLATFILE_KEY_VARIABLES = ("POLYGON_S3_ACCESS_KEY", "POLYGON_S3_SECRET_KEY")


class LakeResource(dg.ConfigurableResource):
    """The lake of this code location."""

    root: str
    _settings: Settings = PrivateAttr(default_factory=Settings)

    @classmethod
    def of(cls, settings: Settings) -> LakeResource:
        """The lake that the settings name."""
        resource = cls(root=settings.lake.root)
        resource._settings = settings
        return resource

    def open(self) -> Lake:
        """The lake, refused when it holds another market."""
        return open_lake(self.root, market_identity(self._settings))


class PolygonResource(dg.ConfigurableResource):
    """The vendor's REST API and flat files, or the embedded market that speaks the same."""

    market: str
    plan: str
    requests_per_second: float
    workers: int
    _settings: Settings = PrivateAttr(default_factory=Settings)

    @classmethod
    def of(cls, settings: Settings) -> PolygonResource:
        """The market that the settings name; nothing is contacted before `client`."""
        polygon = settings.polygon
        resource = cls(
            market=settings.market.name,
            plan=polygon.plan,
            requests_per_second=polygon.requests_per_second,
            workers=polygon.workers,
        )
        resource._settings = settings
        return resource

    def client(self) -> PolygonClient:
        """The client of this process."""
        return polygon_client(self._settings)

    def router(self) -> Router:
        """The router of this process."""
        return router(self._settings)


class FinraResource(dg.ConfigurableResource):
    """FINRA's daily short volume files."""

    url: str
    _settings: Settings = PrivateAttr(default_factory=Settings)

    @classmethod
    def of(cls, settings: Settings) -> FinraResource:
        """The files of the settings' market."""
        resource = cls(url=settings.finra.url)
        resource._settings = settings
        return resource

    def client(self) -> FinraClient:
        """The client of this process."""
        return finra_client(self._settings)


@lru_cache(maxsize=4)
def polygon_client(settings: Settings) -> PolygonClient:
    """One client per process and settings."""
    market = endpoints(settings)
    polygon = settings.polygon.model_copy(
        update={"url": market.rest, "flatfiles_url": market.flatfiles}
    )
    return PolygonClient(market.rest, market.key, polygon)


@lru_cache(maxsize=4)
def finra_client(settings: Settings) -> FinraClient:
    """One client per process and settings."""
    is_embedded = settings.market.name != "polygon"
    throttle = Throttle(settings.polygon.requests_per_second) if is_embedded else None
    return FinraClient(settings.finra, endpoints(settings).finra, throttle)


@lru_cache(maxsize=4)
def router(settings: Settings) -> Router:
    """The choice between flat files and REST, over the shared client."""
    client = polygon_client(settings)
    keys = [os.environ.get(name) for name in FLATFILE_KEY_VARIABLES]
    secrets = [SecretStr(key) for key in keys if key]
    has_keys = settings.market.name == "polygon" and len(secrets) == 2
    flat_files = make_flat_files(client.settings, *(secrets if has_keys else ()))
    return Router(client, flat_files, client.settings)
