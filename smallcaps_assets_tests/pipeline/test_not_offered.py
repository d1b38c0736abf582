"""Feeds that a vendor does not offer: no failure, remembered, and requested again on demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.lake import Failures
from smallcaps_assets.pipeline.feeds import offered
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.sources.errors import NotOffered
from smallcaps_assets_tests.pipeline.bench import BUILDS, workspace

PLACES = {
    "polygon_short_volume": "2024-10-04",
    "short_interest": "2024-10-01",
    "news": "2024-10",
    "balance_sheets": "2024",
    "ticker_events": "ALTU",
    "free_float": "",
}


def made(work: Workspace, table: str, key: str) -> Outcome:
    return work.store(table, key or None, lambda: offered(BUILDS[table], work, table, key))


@pytest.mark.parametrize("table", PLACES)
def test_feed_given_403_expected_not_offered_and_remembered(tmp_path: Path, table: str) -> None:
    key = PLACES[table]
    faults = "403@financials", "403@news", "403@float", "403@ticker_events"
    work = workspace(tmp_path, *faults, "403@short_interest", "403@short_volume_table")
    assert not work.is_not_offered(table, key or None)
    outcome = made(work, table, key)
    assert isinstance(outcome.error, NotOffered) and not outcome.is_failed
    assert f"the vendor does not offer {table}" in str(outcome.error)
    assert "HTTP 403" in str(outcome.error) and work.is_not_offered(table, key or None)


def test_feed_given_offered_again_expected_stored_and_forgotten(tmp_path: Path) -> None:
    made(workspace(tmp_path, "403@float"), "free_float", "")
    mended = workspace(tmp_path)
    assert mended.is_not_offered("free_float", None)
    assert made(mended, "free_float", "").error is None
    assert not mended.is_not_offered("free_float", None)
    assert Failures(mended.lake).find("free_float", None) is None


def test_short_interest_given_a_half_month_without_any_expected_a_failure(tmp_path: Path) -> None:
    """Nothing settled is not the same as no such endpoint."""
    work = workspace(tmp_path, short={"interest_source": "finra"})
    outcome = made(work, "short_interest", "2012-10-01")
    assert outcome.is_failed and not isinstance(outcome.error, NotOffered)
