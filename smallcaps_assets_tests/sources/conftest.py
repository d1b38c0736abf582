"""Clients of the loopback server, with short patience and no jitter to wait for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import PolygonClient
from smallcaps_assets_tests.sources.loopback import Loopback, Script

KEY = "k3y-that-must-stay-secret"


class ShortJitter(random.Random):
    """Backoff without the wait."""

    def uniform(self, a: float, b: float) -> float:
        return 0.001


def make_client(url: str, **settings: object) -> PolygonClient:
    chosen = {
        "read_timeout": 0.5,
        "connect_timeout": 2,
        "retry_budget": 5,
        "empty_seconds": 0,
        **settings,
    }
    return PolygonClient(url, KEY, PolygonSettings.model_validate(chosen), rng=ShortJitter())


Serve = Callable[..., tuple[PolygonClient, Loopback]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(*script, **settings) -> a client and the server that plays the script for it."""
    with ExitStack() as stack:

        def start(*script: Script, **settings: object) -> tuple[PolygonClient, Loopback]:
            server = stack.enter_context(Loopback(*script))
            return stack.enter_context(make_client(server.url, **settings)), server

        yield start
