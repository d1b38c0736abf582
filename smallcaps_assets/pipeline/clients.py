"""The clients of a market's sources: the vendor's REST API and flat files, FINRA, the SEC, halts.

Each is made once per process for equal settings, so that all threads and runs share one rate.
Nothing is contacted, and no embedded market started, before the first client is asked for.
"""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.shared import shared
from smallcaps_assets.settings import (
    FLATFILE_KEY_VARIABLES,
    POSTGRES_VARIABLE,
    RunSettings,
    Settings,
    secret_of,
)
from smallcaps_assets.sources.http.page_cache import PageCache
from smallcaps_assets.sources.http.shared_pace import SharedPace, pace_name
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.http.unreachable import host_of
from smallcaps_assets.sources.polygon.client import PolygonClient
from smallcaps_assets.sources.polygon.flatfiles import FlatFiles, make_flat_files
from smallcaps_assets.sources.polygon.router import Router
from smallcaps_assets.sources.polygon.tick_files import TickFiles
from smallcaps_assets.sources.regulators.finra import FinraClient
from smallcaps_assets.sources.regulators.halts import HaltFeed
from smallcaps_assets.sources.regulators.sec import SecClient

EMBEDDED_PACE = 1000.0
EMBEDDED_CONTACT = "embedded market sandbox@localhost.invalid"
NOTHINGS = ("null_results", "missing_results")  # faults that give empty answers
T = TypeVar("T")


@dataclass(frozen=True)
class Regulators:
    """The SEC's hosts and Nasdaq's halt feed."""

    sec: SecClient
    halts: HaltFeed


def of_sources(settings: Settings) -> Settings:
    """What resources depend on: the lake's place from wherever, not how a machine works on it."""
    return settings.model_copy(update={"lake": settings.lake.absolute, "run": RunSettings()})


def client(make: Callable[[Settings], T]) -> Callable[[Settings], T]:
    """A client that is made once per process for the same resources."""
    get = shared(make)
    return wraps(make)(lambda settings: get(of_sources(settings)))


@client
def polygon_client(settings: Settings) -> PolygonClient:
    """One client per process and settings."""
    market, is_vendor = market_of(settings).endpoints(), not market_of(settings).is_embedded
    # The embedded market says nothing by mistake only if it is told to.
    is_doubted = is_vendor or any(f.startswith(NOTHINGS) for f in settings.sandbox.faults)
    polygon = settings.polygon.model_copy(
        update={
            "url": market.rest,
            "flatfiles_url": market.flatfiles,
            "empty_seconds": settings.polygon.empty_seconds if is_doubted else 0.0,
        }
    )
    pace = Path(settings.lake.local) / "state" / "polygon_pace.json" if is_vendor else None
    shared = shared_pace(market.rest, market.key) if is_vendor else None
    return PolygonClient(market.rest, market.key, polygon, state_path=pace, shared=shared)


def shared_pace(url: str, key: str) -> SharedPace | None:
    """The pace of a key for all machines, where Dagster's history is in PostgreSQL."""
    address = os.environ.get(POSTGRES_VARIABLE, "")
    return SharedPace(address, pace_name(host_of(url), key)) if address else None


@client
def finra_client(settings: Settings) -> FinraClient:
    """One client per process and settings."""
    market = market_of(settings).endpoints()
    throttle = Throttle(EMBEDDED_PACE) if market_of(settings).is_embedded else None
    return FinraClient(
        settings.finra,
        market.finra,
        throttle,
        api_url=market.finra_api,
        retry_budget=settings.polygon.retry_budget,
    )


@client
def regulators(settings: Settings) -> Regulators:
    """The clients of the SEC and of the halt feed; one of each per process and settings.

    The SEC counts requests of an address, so all processes of a user share one pace, whatever
    their lake.
    """
    market, is_embedded = market_of(settings).endpoints(), market_of(settings).is_embedded
    options: dict[str, Any] = {"retry_budget": settings.polygon.retry_budget}
    pace = Path(tempfile.gettempdir()) / f"smallcaps-sec-{getpass.getuser()}.json"
    sec = SecClient(
        settings.sec,
        market.sec,
        market.sec_data,
        Throttle(EMBEDDED_PACE) if is_embedded else None,
        contact=EMBEDDED_CONTACT if is_embedded else "",
        state_path=pace,
        **options,
    )
    feed = HaltFeed(
        settings.halts,
        market.halts,
        Throttle(EMBEDDED_PACE) if is_embedded else None,
        today=lambda: market_of(settings).last_day,
        **options,
    )
    return Regulators(sec, feed)


def page_cache(settings: Settings) -> PageCache:
    """Answers on disk until the partitions made from them are stored."""
    return PageCache(Path(settings.lake.local) / "state" / "spool")


@client
def flat_files(settings: Settings) -> FlatFiles:
    """The vendor's flat files, with the user's keys where it is the vendor's own host."""
    keys = [secret_of(os.environ, name) for name in FLATFILE_KEY_VARIABLES]
    secrets = [key for key in keys if key]
    has_keys = not market_of(settings).is_embedded and len(secrets) == 2
    return make_flat_files(polygon_client(settings).settings, *(secrets if has_keys else ()))


@client
def tick_files(settings: Settings) -> TickFiles:
    """Days of trades and quotes, each file read once for all threads."""
    return TickFiles(flat_files(settings), page_cache(settings))


@client
def router(settings: Settings) -> Router:
    """The choice between flat files and REST, over the shared clients."""
    client = polygon_client(settings)
    return Router(flat_files(settings), client.settings, client.throttle)


class Clients:
    """The clients of some settings, each made when it is first asked for."""

    def __init__(
        self,
        polygon: Settings,
        finra: Settings | None = None,
        regulators: Settings | None = None,
    ) -> None:
        self._polygon, self._finra = polygon, finra or polygon
        self._regulators = regulators or polygon

    @cached_property
    def polygon(self) -> PolygonClient:
        """The vendor's REST API."""
        return polygon_client(self._polygon)

    @cached_property
    def router(self) -> Router:
        """The choice between flat files and REST."""
        return router(self._polygon)

    @cached_property
    def flat_files(self) -> FlatFiles:
        """The vendor's flat files."""
        return flat_files(self._polygon)

    @cached_property
    def tick_files(self) -> TickFiles:
        """Days of trades and quotes, by ticker."""
        return tick_files(self._polygon)

    @cached_property
    def page_cache(self) -> PageCache:
        """Answers on disk until the partitions made from them are stored."""
        return page_cache(self._polygon)

    @cached_property
    def finra(self) -> FinraClient:
        """FINRA's files and its Query API."""
        return finra_client(self._finra)

    @cached_property
    def regulators(self) -> Regulators:
        """The SEC's hosts and the halt feed."""
        return regulators(self._regulators)
