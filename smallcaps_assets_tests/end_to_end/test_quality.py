"""Checks on the small lake: logged beside each partition, and over whole tables."""

from __future__ import annotations

import shutil
from datetime import date
from math import isfinite
from pathlib import Path

import dagster as dg

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.checks import QUALITY
from smallcaps_assets.orchestration.location import location_settings
from smallcaps_assets.pipeline.findings import find
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.end_to_end.conftest import instance_of


def quality(instance: dg.DagsterInstance, table: str) -> dict[str | None, bool]:
    """Whether each partition of a table was found good, by what was found last."""
    key = dg.AssetCheckKey(dg.AssetKey(table), QUALITY)
    found = instance.event_log_storage.get_asset_check_execution_history(key, limit=10_000)
    return {r.partition: r.status.value == "SUCCEEDED" for r in reversed(found)}


def test_every_stored_partition_has_its_quality_check(small_lake: Path) -> None:
    lake = Lake(small_lake)
    with instance_of(small_lake) as instance:
        for table in TABLES:
            keys = [key or None for key in lake.keys(table)]
            assert set(quality(instance, table)) == set(keys), table


def test_errors_of_data_are_nowhere_in_the_small_market(small_lake: Path) -> None:
    with instance_of(small_lake) as instance:
        for table in TABLES:
            key = dg.AssetCheckKey(dg.AssetKey(table), QUALITY)
            log = instance.event_log_storage.get_asset_check_execution_history(key, limit=10_000)
            for record in log:
                found = record.evaluation
                assert found is not None
                assert found.passed or found.severity is dg.AssetCheckSeverity.WARN, found


def workspace_of(root: Path) -> Workspace:
    """A workspace over a lake with the settings that it remembers."""
    settings = location_settings({}, [f"lake.root={root}"])
    span = MarketSpan.of_market(settings)
    return Workspace(settings, Lake(root), span)


def test_no_figure_of_a_partition_hides_another(small_lake: Path) -> None:
    work, lake = workspace_of(small_lake), Lake(small_lake)
    for table in TABLES:
        for key in lake.keys(table)[-1:]:
            found = find(work, table, key or None, lake.read(table, key or None))
            names = [name for finding in found for name in (finding.name, *finding.figures)]
            assert len(set(names)) == len(names), table
            values = [value for finding in found for value in finding.figures.values()]
            assert values and all(type(v) in (int, float) and isfinite(v) for v in values), table


def run_table_checks(
    lake: Path, instance: dg.DagsterInstance, *overrides: str
) -> dict[tuple[str, str], dict]:
    """Run every check over whole tables; verdict and description by table and check."""
    settings = location_settings({}, [f"lake.root={lake}", *overrides])
    job = build_definitions(settings).resolve_job_def("table_checks_job")
    result = job.execute_in_process(instance=instance)
    return {
        (e.asset_key.to_user_string(), e.check_name): {"passed": e.passed, "text": e.description}
        for e in result.get_asset_check_evaluations()
    }


def test_missing_session_is_a_gap_that_says_how_to_fill_it(own_lake: Path) -> None:
    lake = Lake(own_lake)
    gap = lake.keys("daily_bars")[5]
    shutil.rmtree(Path(str(lake.path("daily_bars", gap))).parent)
    with instance_of(own_lake) as instance:
        found = run_table_checks(own_lake, instance)
    bad = {key for key, verdict in found.items() if not verdict["passed"]}
    made_from_it = {table for table, check in bad if check == "up_to_date"}
    assert bad - {(table, "up_to_date") for table in made_from_it} == {("daily_bars", "coverage")}
    assert {"universe", "session_summary"} < made_from_it < TABLES.keys() - {"daily_bars"}
    text = found["daily_bars", "coverage"]["text"]
    assert gap in text and "backfill" in text
    assert {key for key in found if key[1] == "freshness"} == {
        (table, "freshness") for table in ("daily_bars", "minute_bars", "short_volume", "watchlist")
    }


def test_lake_without_the_last_session_is_not_fresh(own_lake: Path) -> None:
    lake = Lake(own_lake)
    newest = lake.keys("watchlist")[-1]
    assert date.fromisoformat(newest)
    shutil.rmtree(Path(str(lake.path("watchlist", newest))).parent)
    with instance_of(own_lake) as instance:
        found = run_table_checks(own_lake, instance)
    assert not found["watchlist", "freshness"]["passed"]
    assert found["watchlist", "coverage"]["passed"]
