"""Switching schedules and sensors: on a real instance, as Dagster itself would see it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.defs.automation import instigators, is_needed, requests_runs
from smallcaps_assets.defs.feed_schedules import OPS_SCHEDULED
from smallcaps_assets.orchestration.automation import look_of, switch
from smallcaps_assets.orchestration.instance import open_instance, workspace_file
from smallcaps_assets.settings import load_settings
from smallcaps_assets_tests.end_to_end.command import environment, smallcaps

SIMULATED_ONLY = ("news", "statements", "ticker_events")
MADE_BY_RUN = [f"daily_{op}" for op in OPS_SCHEDULED if op not in SIMULATED_ONLY]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def instance(lake: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    with open_instance(lake) as found:
        yield found


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(load_settings())


def states(instance: dg.DagsterInstance, definitions: dg.Definitions) -> dict[str, bool]:
    return {x.name: look_of(instance, x).is_on for x in instigators(definitions)}


def test_on_then_off_changes_what_makes_something(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    all_of = instigators(definitions)
    assert [x.name for x in all_of if look_of(instance, x).is_on] == ["upkeep"]
    assert [x.name for x in all_of if not requests_runs(x)] == ["upkeep"]
    registry = definitions.resolve_sensor_def("registry")
    assert switch(instance, registry, is_on=True) and not switch(instance, registry, is_on=True)
    assert states(instance, definitions)["registry"]
    assert switch(instance, registry, is_on=False) and not switch(instance, registry, is_on=False)
    assert not states(instance, definitions)["registry"]


def test_cursor_stays_when_a_sensor_is_switched(
    instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    registry = definitions.resolve_sensor_def("registry")
    switch(instance, registry, is_on=True)
    (state,) = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    data = state.sensor_instigator_data
    assert data is not None
    instance.update_instigator_state(state.with_data(data._replace(cursor="kept")))
    for is_on in (False, True):
        switch(instance, registry, is_on)
    (state,) = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    assert state.sensor_instigator_data and state.sensor_instigator_data.cursor == "kept"


def test_status_tells_the_last_look(
    lake: Path, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    registry = definitions.resolve_sensor_def("registry")
    switch(instance, registry, is_on=True)
    (state,) = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    tick = TickData(
        state.instigator_origin_id,
        *("registry", InstigatorType.SENSOR, TickStatus.SKIPPED, 1_736_550_000.0),
        skip_reason="no watchlist was made since",
        selector_id=state.selector_id,
    )
    instance.create_tick(tick)
    smallcaps("automation", "on", "--lake", lake, cwd=lake.parent)
    done = smallcaps("automation", "--lake", lake, cwd=lake.parent)
    line = next(line for line in done.out.splitlines() if " registry " in line)
    assert done.status == 0 and "2025-01-10 18:00" in line and " on " in line
    assert "no watchlist" in line and "start one with `smallcaps ui`" in done.out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), [f"daily_{op}" for op in OPS_SCHEDULED]),
        (("market.name=polygon",), ["daily_halts", "daily_short_interest", "daily_free_float"]),
        (("market.name=polygon", "sec.contact=Jane Doe jane@example.com"), MADE_BY_RUN),
        (("market.name=recorded",), []),
    ],
    ids=["simulated", "nobody asks the SEC", "polygon", "recorded"],
)
def test_needed_are_the_facts_that_a_run_makes(given: tuple[str, ...], expected: list[str]) -> None:
    settings = load_settings(given)
    names = [f"daily_{op}" for op in OPS_SCHEDULED]
    assert [name for name in names if is_needed(settings, name)] == expected
    assert is_needed(settings, "daily") and is_needed(settings, "ticks")


def test_command_switches_on_what_dagster_sees_in_the_workspace_of_the_ui(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own code server loads the definitions, as for the web server and the daemon."""
    done = smallcaps("automation", "on", "--lake", lake, cwd=lake.parent)
    assert done.status == 0 and "leaves their tables out" not in done.out
    monkeypatch.setattr("os.environ", environment(SMALLCAPS_LAKE_ROOT=str(lake)))
    with open_instance(lake) as instance:
        place = WorkspaceFileTarget([str(workspace_file(Path(os.environ["DAGSTER_HOME"])))])
        with WorkspaceProcessContext(instance, place) as process:
            (location,) = process.create_request_context().code_locations
            (repository,) = location.get_repositories().values()
            found = [*repository.get_schedules(), *repository.get_sensors()]
            states = {
                x.name: x.get_current_instigator_state(
                    instance.get_instigator_state(x.get_remote_origin_id(), x.selector_id)
                ).is_running
                for x in found
            }
    assert all(states.values())
    assert len(states) == 21
    smallcaps("automation", "off", "--lake", lake, cwd=lake.parent)
    told = smallcaps("automation", "--lake", lake, "--json", cwd=lake.parent).out
    assert [row["name"] for row in json.loads(told) if row["state"] == "on"] == ["upkeep"]
