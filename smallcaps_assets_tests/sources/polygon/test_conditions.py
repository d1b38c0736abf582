"""The vendor's conditions, read over HTTP and compared with the shipped table."""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.domain.ticks.conditions import VENDOR_COLUMNS, condition_differences
from smallcaps_assets.sandbox import Sandbox, SandboxConfig
from smallcaps_assets.sources import PolygonClient


def test_conditions_of_the_vendor_given_the_sandbox_differ_only_in_what_it_lacks() -> None:
    config = SandboxConfig(tickers=20, start=date(2024, 10, 1), end=date(2024, 10, 4))
    with Sandbox(config) as sandbox, PolygonClient(sandbox.url, "sandbox") as client:
        found = client.conditions()
    assert found.schema == pl.Schema(VENDOR_COLUMNS)
    assert found["id"].is_sorted()
    assert found.filter(pl.col("id") == 37).rows() == [(37, "Odd Lot Trade", False, False, True)]
    differences = condition_differences(found)
    assert differences["difference"].unique().to_list() == ["not at the vendor"]
