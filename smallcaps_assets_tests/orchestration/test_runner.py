"""The partition runner: each key for itself, known to Dagster at once, the failed ones named."""

import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.events import StepMaterializationData

from smallcaps_assets.lake import Written
from smallcaps_assets.orchestration.describe import asset_spec, preview
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    done_in,
    made_by_earlier_attempts,
    materialize,
    partition_keys,
    selected_tables,
)
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.settings import RunSettings
from smallcaps_assets.sources.errors import SourceUnavailable, Unauthorized

KEYS = dg.StaticPartitionsDefinition([f"k{n}" for n in range(6)])
CHAIN = ("trades", "dollar_bars")
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def outcome(table: str, key: str, error: Exception | None = None) -> Outcome:
    """A finished or failed partition."""
    if error is not None:
        return Outcome(table, key, error=error)
    written = Written(table, key, rows=int(key[1:]), bytes=10, path=f"raw/{table}/{key}")
    return Outcome(table, key, 0.5, written, pl.DataFrame({"a": [1]}), {"source": "test"})


def definitions(errors: dict[tuple[str, str], Exception]) -> dg.Definitions:
    """Two tables in one op whose partitions fail as told, and one asset below them."""

    @dg.multi_asset(
        name="chain",
        specs=[asset_spec("trades"), asset_spec("dollar_bars", [dg.AssetDep("trades")])],
        partitions_def=KEYS,
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("quality", asset=table) for table in CHAIN],
    )
    def chain(context: dg.AssetExecutionContext, config: RunConfig) -> Iterator[dg.Output[None]]:
        def outcomes() -> Iterator[Outcome]:
            for key in partition_keys(context, config):
                for table in (t for t in CHAIN if t in selected_tables(context)):
                    error = errors.get((table, key))
                    yield outcome(table, key, error)
                    if error is not None:
                        break

        yield from materialize(context, outcomes())

    @dg.asset(deps=[dg.AssetDep("dollar_bars", partition_mapping=dg.AllPartitionMapping())])
    def below() -> None: ...

    return dg.Definitions(assets=[chain, below], executor=dg.in_process_executor)


def run(
    instance: dg.DagsterInstance,
    errors: dict[tuple[str, str], Exception],
    config: dict | None = None,
    tables: tuple[str, ...] = CHAIN,
    first: str = "k0",
    last: str = "k5",
) -> dg.ExecuteInProcessResult:
    """Materialize a range."""
    tags = {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }
    job = definitions(errors).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags=tags,
        run_config={"ops": {"chain": {"config": config or {}}}} if "trades" in tables else {},
        asset_selection=[dg.AssetKey(table) for table in tables],
    )


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as found:
        yield found


def materialized(instance: dg.DagsterInstance, table: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(table)))


def test_materialize_all_good_logs_each_key_once_with_its_own_metadata(
    instance: dg.DagsterInstance,
):
    assert run(instance, {}).success
    records = instance.fetch_materializations(dg.AssetKey("trades"), limit=100).records
    assert sorted(r.partition_key for r in records if r.partition_key) == [
        f"k{n}" for n in range(6)
    ]
    for record in records:
        event = record.asset_materialization
        assert event is not None
        assert event.metadata["dagster/row_count"].value == int(str(record.partition_key)[1:])
        assert event.metadata["source"].value == "test"


def test_materialize_one_bad_key_fails_alone_from_its_stage_on(instance: dg.DagsterInstance):
    bad = ("dollar_bars", "k2")
    result = run(instance, {bad: ValueError("broken tape")})
    assert not result.success
    assert materialized(instance, "trades") == {f"k{n}" for n in range(6)}
    assert materialized(instance, "dollar_bars") == {f"k{n}" for n in range(6)} - {"k2"}
    statuses = instance.get_status_by_partition(
        dg.AssetKey("dollar_bars"), [f"k{n}" for n in range(6)], KEYS
    )
    assert statuses is not None
    failed = [key for key, status in statuses.items() if status and status.name == "FAILED"]
    assert failed == ["k2"]


def test_materialize_failure_names_key_and_reason(instance: dg.DagsterInstance):
    result = run(instance, {("trades", "k3"): ValueError("broken tape")})
    event = next(e for e in result.all_events if e.is_step_failure)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert failure.description == "1 failed: trades k3"
    assert "broken tape" in str(failure.metadata["k3"].value)


def test_materialize_unauthorized_stops_everything_at_once(instance: dg.DagsterInstance):
    run(instance, {("trades", "k1"): Unauthorized("Unknown API Key")})
    assert materialized(instance, "trades") == {"k0"}


def test_materialize_success_lets_downstream_steps_of_the_run_go_on(instance: dg.DagsterInstance):
    job = definitions({}).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, partition_key="k1")
    assert result.success
    assert instance.get_latest_materialization_event(dg.AssetKey("below")) is not None


def test_materialize_success_leaves_no_output_of_a_check_missing(instance: dg.DagsterInstance):
    result = run(instance, {}, tables=("trades",))
    told = [entry.message for entry in instance.all_logs(result.run_id)]
    assert result.success
    assert not [line for line in told if "did not yield" in line]
    checks = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    assert not instance.all_logs(result.run_id, of_type=checks)  # none was found, none is told


def test_materialize_subset_makes_only_the_selected_table(instance: dg.DagsterInstance):
    assert run(instance, {}, tables=("trades",)).success
    assert materialized(instance, "dollar_bars") == set()


def test_partition_keys_of_the_config_win_over_the_range(instance: dg.DagsterInstance):
    assert run(instance, {}, {"keys": ["k4", "k1"]}).success
    assert materialized(instance, "trades") == {"k1", "k4"}


@pytest.mark.parametrize("first", [None, "k1", "k4"])
def test_failed_key_of_a_list_is_shown_failed_from_its_stage_on(
    instance: dg.DagsterInstance, first: str | None
):
    job = definitions(
        {("trades", "k1"): ValueError("broken")}
    ).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance,
        raise_on_error=False,
        partition_key=first,
        run_config={"ops": {"chain": {"config": {"keys": ["k1", "k4"]}}}},
        asset_selection=[dg.AssetKey(table) for table in CHAIN],
    )
    assert not result.success
    for table in CHAIN:
        found = instance.get_status_by_partition(dg.AssetKey(table), ["k0", "k1", "k4"], KEYS) or {}
        names = {key: status.name if status else None for key, status in found.items()}
        assert names == {"k0": None, "k1": "FAILED", "k4": "MATERIALIZED"}, table


def test_retry_after_a_transient_fault_does_only_what_is_missing(instance: dg.DagsterInstance):
    asked: list[str] = []

    @dg.multi_asset(
        name="chain",
        specs=[asset_spec("trades")],
        partitions_def=KEYS,
        can_subset=True,
    )
    def chain(context: dg.AssetExecutionContext, config: RunConfig) -> Iterator[dg.Output[None]]:
        done = done_in(context.run.run_id)
        keys = [k for k in partition_keys(context, config) if ("trades", k) not in done]
        asked.extend(keys)
        is_down = len(asked) <= 6
        error = SourceUnavailable("the vendor is down")
        outcomes = (outcome("trades", k, error if k == "k3" and is_down else None) for k in keys)
        yield from materialize(context, outcomes, None, RunSettings(retries=2, retry_seconds=0.01))

    job = dg.Definitions(
        assets=[chain], executor=dg.in_process_executor
    ).resolve_implicit_global_asset_job_def()
    tags = dict(zip(RANGE_TAGS, ("k0", "k5"), strict=True))
    result = job.execute_in_process(instance=instance, tags=tags)
    assert result.success
    # Dagster's own pause ends at a time of the wall clock, an hour late if that is set back by one.
    [again] = [event for event in result.all_events if event.is_step_up_for_retry]
    assert not again.step_retry_data.seconds_to_wait
    assert asked == [*(f"k{n}" for n in range(6)), "k3"]
    records = instance.fetch_materializations(dg.AssetKey("trades"), limit=100).records
    assert len(records) == 6


def test_in_threads_gives_every_result_and_bounds_what_is_in_flight():
    lock, running, most = threading.Lock(), 0, 0

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return item * item

    assert sorted(in_threads(work, range(50), 3)) == [n * n for n in range(50)]
    assert most <= 3
    assert list(in_threads(work, [], 3)) == []


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_in_threads_gives_the_last_item_last_and_the_others_as_they_come(count: int):
    """The last item is done at once, and the first only when all others are."""
    others = threading.Semaphore(0)

    def work(item: int) -> int:
        if item == 0:
            assert all(others.acquire(timeout=10) for _ in range(count - 1))
        else:
            others.release()
        return item

    found = list(in_threads(work, range(count), 2))
    assert sorted(found) == list(range(count))
    assert found[-1] == count - 1
    assert count < 5 or found[0] != 0  # what is done is told, and waits for nothing


def test_in_threads_error_reaches_the_caller():
    def work(item: int) -> int:
        raise KeyError(item)

    with pytest.raises(KeyError):
        list(in_threads(work, [1, 2], 2))


def test_preview_escapes_cells_and_says_what_it_leaves_out():
    frame = pl.DataFrame({"name": ["a|b"], **{f"c{n}": [n] for n in range(14)}})
    text = preview(frame, columns=3)
    assert "a\\|b" in text
    assert "and 12 more columns" in text
    assert preview(pl.DataFrame()) == "*no rows*"


def attempt(
    instance: dg.DagsterInstance, parent: dg.DagsterRun | None, made: dict[str, str], **tags: str
) -> dg.DagsterRun:
    """A run that has materialized some keys, with the seals of their files."""
    before = {"parent_run_id": parent.run_id, "root_run_id": parent.run_id} if parent else {}
    job = definitions({}).resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(job, tags=tags, **before)
    for key, seal in made.items():
        event = dg.AssetMaterialization("trades", partition=key, metadata={"seal": seal})
        data = StepMaterializationData(event)
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION.value
        told = dg.DagsterEvent(kind, job.name, event_specific_data=data)
        instance.report_dagster_event(told, run.run_id)
    return run


def test_run_that_dagster_launches_again_knows_what_its_earlier_attempts_have_made(
    instance: dg.DagsterInstance,
):
    first = attempt(instance, None, {"k0": "a", "k1": "b"})
    second = attempt(instance, first, {"k1": "newer", "k2": "c"}, **{"dagster/retry_number": "1"})
    third = attempt(instance, second, {}, **{"dagster/retry_number": "2"})
    by_hand = attempt(instance, third, {})
    found = {key: seal for (_, key), seal in made_by_earlier_attempts(instance, third).items()}
    assert found == {"k0": "a", "k1": "newer", "k2": "c"}
    assert made_by_earlier_attempts(instance, by_hand) == {}
    assert made_by_earlier_attempts(instance, first) == {}
