"""Where an embedded market is served: once for a process and its children, or anew."""

from __future__ import annotations

import requests

from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import Settings

SMALL = {"tickers": 20, "start": "2024-10-01", "end": "2024-10-09"}


def of(**sandbox: object) -> Settings:
    return Settings.model_validate({"sandbox": {**SMALL, **sandbox}})


def test_children_of_the_same_settings_find_the_market_that_is_served():
    with market_of(of()).served() as environment:
        url = market_of(of()).endpoints(environment).rest
        assert url in "".join(environment.values())
        assert requests.get(f"{url}/v1/marketstatus/now", timeout=10).status_code == 401
        # Another market, also the same at another end, is not that one.
        for other in (of(seed=8), of(end="2024-10-10"), of(faults=("500@trades",))):
            assert market_of(other).endpoints(environment).rest != url
    assert market_of(of()).endpoints({}).rest != url


def test_nothing_is_served_for_the_vendor():
    with market_of(
        Settings.model_validate({"market": {"name": "polygon"}})
    ).served() as environment:
        assert environment == {}
