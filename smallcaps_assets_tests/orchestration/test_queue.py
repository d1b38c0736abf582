"""A command's runs on the queue, followed while another process works on them."""

import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from smallcaps_assets.orchestration.in_process import create_run
from smallcaps_assets.orchestration.instance import open_instance
from smallcaps_assets.orchestration.queue import (
    PATIENCE,
    check_daemon,
    enqueue,
    follow,
    withdraw,
)
from smallcaps_assets.orchestration.storage.private import InMemoryJob, execute_run
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings import SettingsError

QUEUED = dg.DagsterRunStatus.QUEUED
KEYS = ["2024-12-09", "2024-12-10"]


class Keys(dg.Config):
    """The partitions to make; the process is gone after some."""

    keys: list[str]
    is_bad: bool = False


@dg.asset
def trades(context: dg.AssetExecutionContext, config: Keys) -> None:
    for key in config.keys:
        size = {
            "dagster/row_count": 7,
            "bytes": 70,
            "path": f"raw/{key}",
            "seal": "s",
            "seconds": 2,
        }
        context.log_event(dg.AssetMaterialization("trades", partition=key, metadata=size))
    if config.is_bad:
        raise ValueError("broken tape")


DEFINITIONS = dg.Definitions([trades], executor=dg.in_process_executor)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        with open_instance(tmp_path_factory.mktemp("lake")) as found:
            yield found


def queued(
    instance: dg.DagsterInstance, tags: dict[str, str] | None = None, is_bad: bool = False
) -> str:
    config = {"ops": {"trades": {"config": {"keys": KEYS, "is_bad": is_bad}}}}
    run = create_run(DEFINITIONS, instance, ["trades"], config, tags or {})
    enqueue(instance, run)
    return run.run_id


def execute(instance: dg.DagsterInstance, run_id: str) -> None:
    """Work on a run as the process would that it is handed to."""
    run = instance.get_run_by_id(run_id)
    assert run is not None and run.status is QUEUED
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, run.job_name), run_id
    )
    job = DEFINITIONS.get_repository_def().get_implicit_global_asset_job_def()
    again = instance.get_run_by_id(run_id)
    assert again is not None
    execute_run(InMemoryJob(job), again, instance)


def beat(instance: dg.DagsterInstance, seconds_ago: float = 0) -> None:
    told = DaemonHeartbeat(time.time() - seconds_ago, "SENSOR", "daemon", [])
    instance.add_daemon_heartbeat(told)


def test_partitions_are_told_as_they_are_made(instance: dg.DagsterInstance) -> None:
    beat(instance)
    ids = [queued(instance), queued(instance)]
    left, seen = [*ids], []

    def work(_: float) -> None:
        execute(instance, left.pop())

    ended = follow(instance, ids, seen.append, work)
    assert [one.run.run_id for one in ended] == ids
    assert all(one.run.is_success and not one.failure for one in ended)
    assert [outcome.key for outcome in seen if outcome.key] == KEYS * 2
    first: Outcome = seen[0]
    assert (first.table, first.seconds, first.is_failed) == ("trades", 2, False)
    assert first.written is not None
    assert (first.written.rows, first.written.bytes, first.written.seal) == (7, 70, "s")


def test_failure_is_told_in_its_own_words(instance: dg.DagsterInstance) -> None:
    run_id = queued(instance, is_bad=True)
    ended = follow(instance, [run_id], lambda _: None, lambda _: execute(instance, run_id))
    assert not ended[0].run.is_success
    assert ended[0].failure == "ValueError: broken tape"
    assert {key for _, key in ended[0].made} == set(KEYS)


def test_repetition_that_was_promised_takes_the_place_of_a_run(
    instance: dg.DagsterInstance,
) -> None:
    lost = queued(instance, {"dagster/will_retry": "true"})
    again: list[str] = []

    def work(_: float) -> None:
        if not again:
            run = instance.get_run_by_id(lost)
            assert run is not None
            instance.report_run_failed(run, "the process is gone")
            again.append(queued(instance, {"dagster/parent_run_id": lost}))
        else:
            execute(instance, again[0])

    ended = follow(instance, [lost], lambda _: None, work)
    assert [one.run.run_id for one in ended] == again
    assert ended[0].run.is_success and not ended[0].failure


def test_failed_run_is_followed_until_it_is_noted_whether_it_is_repeated(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = queued(instance)
    run = instance.get_run_by_id(lost)
    assert run is not None
    instance.report_run_failed(run, "the process is gone")  # noted as failed, and no more yet
    monkeypatch.setattr(type(instance), "run_retries_enabled", True)
    again: list[str] = []

    def work(_: float) -> None:
        if not again:
            again.append(queued(instance, {"dagster/parent_run_id": lost}))
            instance.add_run_tags(lost, {"dagster/will_retry": "true"})
        else:
            execute(instance, again[0])

    ended = follow(instance, [lost], lambda _: None, work)
    assert [one.run.run_id for one in ended] == again and ended[0].run.is_success


def test_repetition_that_never_comes_is_given_up(instance: dg.DagsterInstance) -> None:
    lost = queued(instance, {"dagster/will_retry": "true"})
    run = instance.get_run_by_id(lost)
    assert run is not None
    instance.report_run_failed(run, "the process is gone")
    now = iter(range(0, 10_000, int(PATIENCE)))
    ended = follow(instance, [lost], lambda _: None, lambda _: None, lambda: next(now))
    assert not ended[0].run.is_success and "the process is gone" in ended[0].failure


def test_queue_without_a_daemon_is_refused_before_and_while_it_is_followed(
    instance: dg.DagsterInstance,
) -> None:
    beat(instance)
    check_daemon(instance)
    beat(instance, 3600)
    with pytest.raises(SettingsError, match="no daemon takes runs from the queue"):
        check_daemon(instance)
    run_id = queued(instance)
    now = iter(range(0, 10_000, 50))
    with pytest.raises(SettingsError, match="no daemon"):
        follow(instance, [run_id], lambda _: None, lambda _: None, lambda: next(now))


def test_runs_that_have_not_begun_are_withdrawn(instance: dg.DagsterInstance) -> None:
    waiting, done = queued(instance), queued(instance)
    execute(instance, done)
    assert withdraw(instance, [waiting, done]) == 0
    run = instance.get_run_by_id(waiting)
    assert run is not None and run.status is dg.DagsterRunStatus.CANCELED
