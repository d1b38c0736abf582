"""The sensor of the desk's sessions, and the check of their reconciliation as Dagster shows it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg

from smallcaps_assets.defs.automation import is_needed
from smallcaps_assets.defs.common import Location
from smallcaps_assets.defs.ops import all_assets
from smallcaps_assets.defs.sensors import desk
from smallcaps_assets.orchestration.partitions import Partitions
from smallcaps_assets.orchestration.resources import resources_of
from smallcaps_assets.pipeline.desk_folder import DESK
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.pipeline.desk_session import DeskSession
from smallcaps_assets_tests.pipeline.test_desk_records import traded

FIRST, WITHOUT, LAST = "2024-10-02", "2024-10-03", "2024-10-04"
CHECK = dg.AssetCheckKey(dg.AssetKey("desk_reconciliation"), "quality")


def test_sensor_ingests_what_has_ended_once_and_the_check_shows_it(tmp_path: Path) -> None:
    work = workspace(tmp_path / "lake")
    location = Location(work.settings, Partitions.of_market(work.settings))
    resources = resources_of(work.settings)
    cursor: list[str | None] = [None]
    sensor = desk(location)

    def asked(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            instance=instance, cursor=cursor[0], resources=resources
        ) as context:
            data = sensor.evaluate_tick(context)
        cursor[0] = data.cursor
        return list(data.run_requests or [])

    [made] = [one for one in all_assets(location) if one.op.name == "desk_records"]
    folder = work.settings.desk_folder
    with dg.DagsterInstance.ephemeral() as instance:
        assert asked(instance) == []
        first, last = (DeskSession(folder, date.fromisoformat(day)) for day in (FIRST, LAST))
        first.close(*traded(first))
        fills = traded(last)
        [request] = asked(instance)  # of the one that has ended
        assert request.tags["dagster/partition"] == FIRST
        last.close(*fills[:2])
        [request] = asked(instance)
        assert asked(instance) == []
        result = dg.materialize(
            [made], instance=instance, resources=resources, run_config=request.run_config,
            tags=request.tags, selection=[dg.AssetKey(name) for name in DESK],
        )  # fmt: skip
        assert result.success
        for table in DESK:
            assert work.lake.keys(table) == [FIRST, WITHOUT, LAST]
        assert work.lake.rows("desk_orders", WITHOUT) == 0
        store = instance.event_log_storage
        [shown] = store.get_asset_check_execution_history(CHECK, limit=1)
        told = shown.evaluation
        assert isinstance(told, dg.AssetCheckEvaluation)
        assert told.partition == LAST and not told.passed
        assert told.severity is dg.AssetCheckSeverity.ERROR
        assert told.metadata["only ours"].value == 1


def test_a_lake_without_a_desk_is_complete_and_the_sensor_goes_with_the_others() -> None:
    from smallcaps_assets.settings import Settings

    assert {*DESK} <= market_of(Settings()).left_out
    assert is_needed(Settings(), "desk")
