"""What a job's snapshot and a run's configuration hold of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import Field

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.storage.private import InMemoryJob, execute_run
from smallcaps_assets.settings import Settings

NAMES = ("lake", "polygon", "finra", "regulators")
CLOSED = "http://localhost:9"


class OldResource(dg.ConfigurableResource):
    """A resource as version 0.1.0 had four of."""

    overrides: dict[str, Any] = Field(default_factory=dict)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a market whose host is not needed for what is made here."""
    return Settings.model_validate({"lake": {"root": str(tmp_path)}, "finra": {"url": CLOSED}})


def job_of(definitions: dg.Definitions) -> dg.JobDefinition:
    return definitions.get_repository_def().get_job("registry_job")


def test_snapshot_given_a_setting_expected_it_held_by_the_lake_alone(settings: Settings) -> None:
    job = job_of(build_definitions(settings))
    found = job.get_job_snapshot().mode_def_snaps[0].resource_def_snaps
    defaults = {
        snap.name: str(snap.config_field_snap and snap.config_field_snap.default_value_as_json_str)
        for snap in found
    }
    assert set(NAMES) <= defaults.keys()
    assert [name for name in defaults if CLOSED in defaults[name]] == ["lake"]


def test_sources_given_settings_expected_those_of_the_lake(settings: Settings) -> None:
    resources = build_definitions(settings).resources or {}
    assert {resources[name].settings.finra.url for name in NAMES} == {CLOSED}


def test_run_queued_with_settings_in_each_resource_expected_executed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshot is of a job whose resources held the settings, and so may its configuration."""
    held = {"lake": {"root": settings.lake.root}, "finra": {"url": CLOSED}}
    old = {name: OldResource(overrides=held) for name in NAMES}
    with monkeypatch.context() as patch:
        patch.setattr("smallcaps_assets.definitions.resources_of", lambda settings: old)
        before = job_of(build_definitions(settings))
    now = job_of(build_definitions(settings))
    config = {"resources": {name: {"config": {"overrides": held}} for name in NAMES}}
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(
            before, run_config=config, asset_selection={dg.AssetKey("ticker_sessions")}
        )
        assert run.job_snapshot_id != now.get_job_snapshot_id()
        assert execute_run(InMemoryJob(now), run, instance).success
    assert Lake(settings.lake.root).exists("ticker_sessions")
