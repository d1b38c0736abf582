"""What the launchpad's configuration asks of a run, as the UI starts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.location import location_settings
from smallcaps_assets_tests.end_to_end.conftest import instance_of

DAY = "2024-12-20"


def launch(lake: Path, tickers: list[str]) -> dg.ExecuteInProcessResult:
    """The minutes of one session again, of some tickers."""
    definitions = build_definitions(location_settings({"SMALLCAPS_LAKE_ROOT": str(lake)}))
    job = definitions.resolve_implicit_global_asset_job_def()
    config: dict[str, Any] = {"ops": {"session_tables": {"config": {"tickers": tickers}}}}
    with instance_of(lake) as instance:
        return job.execute_in_process(
            run_config=config,
            instance=instance,
            asset_selection=[dg.AssetKey("minute_bars")],
            partition_key=DAY,
            raise_on_error=False,
        )


def test_unknown_ticker_is_refused_and_nothing_stored_changes(own_lake: Path) -> None:
    path = Path(str(Lake(own_lake).path("minute_bars", DAY)))
    before = path.read_bytes(), path.stat().st_mtime_ns
    result = launch(own_lake, ["NOPE"])
    told = [
        event.event_specific_data.error.message  # type: ignore[union-attr]
        for event in result.all_events
        if event.is_step_failure
    ]
    assert not result.success and "unknown ticker 'NOPE' in the run's config" in told[0]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    ticker = Lake(own_lake).read("minute_bars", DAY)["ticker"][0]
    assert launch(own_lake, [ticker]).success
    assert path.read_bytes() == before[0] and path.stat().st_mtime_ns != before[1]
