"""A command's own runs: as the web server would start them, on the same definitions."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.orchestration.in_process import run_assets
from smallcaps_assets.pipeline.clients import polygon_client
from smallcaps_assets.settings import Settings, load_settings


class Tape(dg.Config):
    """How the ticks come."""

    is_bad: bool = False


@dg.multi_asset(name="chain", specs=[dg.AssetSpec("trades"), dg.AssetSpec("bars")], can_subset=True)
def chain(context: dg.AssetExecutionContext, config: Tape) -> Iterator[dg.MaterializeResult]:
    if config.is_bad:
        raise ValueError("broken tape")
    yield from (dg.MaterializeResult(asset_key=key) for key in context.selected_asset_keys)


def definitions() -> dg.Definitions:
    """What a code location loads."""
    return dg.Definitions([chain], executor=dg.in_process_executor)


def run(instance: dg.DagsterInstance, **config: bool) -> dg.JobExecutionResult:
    """Materialize one of the assets."""
    values = {"ops": {"chain": {"config": config}}}
    return run_assets(definitions(), instance, ["trades"], values, {"smallcaps/reason": "test"})


def test_run_of_a_command_belongs_to_the_code_location_and_to_the_job_that_it_loads(
    tmp_path: Path,
) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = run(instance)
        found = instance.get_run_by_id(result.run_id)
        assert result.success and found is not None and found.remote_job_origin is not None
        label = "__repository__@smallcaps_assets"
        assert instance.get_run_tags([REPOSITORY_LABEL_TAG]) == [(REPOSITORY_LABEL_TAG, {label})]
        assert found.remote_job_origin.location_name == "smallcaps_assets"
        assert found.tags["smallcaps/reason"] == "test"
        loaded = definitions().get_repository_def().get_implicit_global_asset_job_def()
        made = instance.get_job_snapshot(found.job_snapshot_id or "").lineage_snapshot
        assert made is not None and made.parent_snapshot_id == loaded.get_job_snapshot_id()
        assert instance.get_latest_materialization_event(dg.AssetKey("trades")) is not None
        assert instance.get_latest_materialization_event(dg.AssetKey("bars")) is None


def test_failed_step_is_in_the_result_of_a_run() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(instance, is_bad=True)
        assert not result.success
        failed = [event for event in result.all_events if event.is_step_failure]
        assert "broken tape" in str(failed[0].step_failure_data.error)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings of one lake, as commands in two folders and of two paces come to them."""
    monkeypatch.chdir(tmp_path)
    given = (["lake.root=lake"], [f"lake.root={tmp_path / 'lake'}", "run.threads=7"])
    return [load_settings(overrides) for overrides in given]


def test_job_of_a_lake_is_the_same_from_every_folder_and_at_every_pace(settings: list[Settings]):
    """Else the web server takes a command's run for one of another version."""
    jobs = [
        build_definitions(found).get_repository_def().get_implicit_global_asset_job_def()
        for found in settings
    ]
    assert len({job.get_job_snapshot_id() for job in jobs}) == 1


def test_client_of_a_lake_is_the_same_from_every_folder_and_at_every_pace(settings: list[Settings]):
    """Two would each find a rate of their own. A run's resources are made from its definitions."""
    resource = build_definitions(settings[1]).resources["polygon"]  # type: ignore[index]
    assert polygon_client(settings[0]) is polygon_client(settings[1]) is resource.client()
