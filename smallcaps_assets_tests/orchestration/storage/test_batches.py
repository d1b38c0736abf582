"""Events stored in batches: what a reader finds is what the stock log would have stored."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEventBatchMetadata,
    StepMaterializationData,
)
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)
from sqlalchemy import event, select

from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.lake import Written
from smallcaps_assets.orchestration.checks import evaluation
from smallcaps_assets.orchestration.instance import open_instance, report_stored
from smallcaps_assets.orchestration.storage.batches import together
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets_tests.postgres import postgres_server

KEYS = dg.StaticPartitionsDefinition(["a", "b", "c"])
TABLE = dg.AssetKey("trades")
PLAN = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
GOOD, BAD = (Finding("contract", is_good, "rows") for is_good in (True, False))
VERSION = {"dagster/data_version": "7"}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lake(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A lake whose events are on either storage."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("DAGSTER_HOME", "")
        if request.param == "postgres":
            patch.setenv("DAGSTER_POSTGRES_URL", stack.enter_context(postgres_server()))
        yield tmp_path_factory.mktemp(request.param)


@pytest.fixture(scope="module")
def opened(lake: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(lake) as found:
        yield found


@pytest.fixture
def instance(opened: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance of ours without events."""
    opened.event_log_storage.wipe()
    return opened


def run_of(instance: dg.DagsterInstance) -> str:
    """A run that has planned two partitions and a check of them."""
    return planned(instance, KEYS, ["a", "b"])


def planned(
    instance: dg.DagsterInstance, partitions: dg.PartitionsDefinition, keys: list[str]
) -> str:
    """A run that has planned partitions and a check of them, as Dagster tells of them: together."""
    run = instance.create_run_for_job(dg.GraphDefinition("nothing").to_job()).run_id
    subset = partitions.subset_with_partition_keys(keys)
    check = AssetCheckEvaluationPlanned(
        asset_key=TABLE, check_name="quality", partitions_subset=subset
    )
    plans = [
        dg.DagsterEvent.build_asset_materialization_planned_event(
            "nothing", "s", AssetMaterializationPlannedData(TABLE, key)
        )
        for key in keys
    ]
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value
    plans.append(dg.DagsterEvent(kind, "nothing", event_specific_data=check))
    for number, plan in enumerate(plans):
        batch = DagsterEventBatchMetadata(run, number == len(plans) - 1)
        instance.report_dagster_event(plan, run, batch_metadata=batch)
    return run


def tell(instance: dg.DagsterInstance, run: str, key: str, finding: Finding = GOOD) -> None:
    """What a step of a run tells of a partition: its materialization, a check, a message."""
    made = dg.AssetMaterialization(TABLE, partition=key, tags=VERSION, metadata={"key": key})
    events = {
        dg.DagsterEventType.ASSET_MATERIALIZATION: StepMaterializationData(made, []),
        dg.DagsterEventType.ASSET_CHECK_EVALUATION: evaluation("trades", key, [finding]),
    }
    for kind, data in events.items():
        told = dg.DagsterEvent(kind.value, "nothing", event_specific_data=data)
        instance.report_dagster_event(told, run)
    instance.handle_new_event(
        dg.EventLogEntry(None, 20, f"{key} is told", run, 1.0, None, "nothing")
    )


SCRIPT = (("a", GOOD), ("b", BAD), ("c", GOOD), ("a", BAD))


def stored(instance: dg.DagsterInstance, run: str) -> dict[str, Any]:
    """What readers find of a run, without moments and ids."""
    log: Any = instance.event_log_storage
    checks, tags, assets = (
        t.c for t in (AssetCheckExecutionsTable, AssetEventTagsTable, AssetKeyTable)
    )
    latest = instance.get_latest_materialization_event(TABLE)
    queries = (
        select(checks.partition, checks.execution_status, checks.run_id == run),
        select(tags.asset_key, tags.key, tags.value),
        select(assets.asset_key, assets.last_run_id == run),
    )
    with log.index_connection() as connection:
        tables = [sorted(map(tuple, connection.execute(query))) for query in queries]
    return {
        "log": [
            (e.dagster_event_type, e.message, e.dagster_event and e.dagster_event.partition)
            for e in instance.all_logs(run)
        ],
        "latest": latest and latest.asset_materialization,
        "partitions": instance.get_materialized_partitions(TABLE),
        "statistics": instance.get_run_stats(run).materializations,
        "tables": tables,
    }


def found_after(instance: dg.DagsterInstance) -> dict[str, Any]:
    run = run_of(instance)
    with together(instance):
        for key, finding in SCRIPT:
            tell(instance, run, key, finding)
    return stored(instance, run)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the stock log has."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("stock"))) as stock:
        return found_after(stock)


def test_batch_is_read_as_the_stock_log_has_single_events(
    instance: dg.DagsterInstance, expected: dict[str, Any]
):
    assert found_after(instance) == expected
    assert expected["latest"].partition == "a"
    assert len(expected["log"]) == 3 + 3 * len(SCRIPT)


def test_evaluation_is_current_and_names_the_materialization_of_its_batch(
    instance: dg.DagsterInstance,
):
    run = run_of(instance)
    with together(instance):
        tell(instance, run, "a")
    log: Any = instance.event_log_storage
    key = dg.AssetCheckKey(TABLE, "quality")
    [info] = [x for x in log.get_asset_check_partition_info([key]) if x.partition_key == "a"]
    assert info.is_current
    [record] = [x for x in log.get_asset_check_execution_history(key, 9) if x.partition == "a"]
    told = record.event.get_dagster_event().asset_check_evaluation_data
    target = told.target_materialization_data
    assert (target.storage_id, target.run_id) == (info.latest_materialization_storage_id, run)


def counted(instance: dg.DagsterInstance) -> Counter[str]:
    """Counts transactions from now on."""
    commits: Counter[str] = Counter()
    log: Any = instance.event_log_storage
    engines = list(getattr(log, "_engines", {}).values()) or [log._engine]
    for engine in engines:
        event.listen(engine, "begin", lambda _: commits.update(["begin"]))
    return commits


def test_plans_of_a_run_take_few_transactions_and_name_no_other_partition(
    instance: dg.DagsterInstance,
):
    """So that a run of a thousand ticker-sessions starts in seconds, and its rows stay small."""
    keys = [f"k{number}" for number in range(300)]
    run_of(instance)
    commits = counted(instance)
    run = planned(instance, dg.StaticPartitionsDefinition(keys), keys)
    assert commits["begin"] <= 12
    log: Any = instance.event_log_storage
    with log.index_connection() as connection:
        checks = AssetCheckExecutionsTable.c
        rows = connection.execute(
            select(checks.partition, checks.execution_status, checks.evaluation_event).where(
                checks.run_id == run
            )
        ).fetchall()
    assert sorted(row[0] for row in rows) == sorted(keys)
    assert {row[1] for row in rows} == {"PLANNED"}
    assert max(len(row[2]) for row in rows) < 2_000
    subset = log.get_records_for_run(run, of_type=PLAN).records[0].event_log_entry
    plan = subset.get_dagster_event().asset_check_planned_data
    assert len(plan.partitions_subset) == 300
    tell(instance, run, "k7")
    [record] = [
        x
        for x in log.get_asset_check_execution_history(dg.AssetCheckKey(TABLE, "quality"), 400)
        if x.partition == "k7" and x.run_id == run
    ]
    assert record.status.value == "SUCCEEDED"


def test_many_partitions_take_few_transactions(instance: dg.DagsterInstance):
    run = run_of(instance)
    commits = counted(instance)
    with together(instance):
        for number in range(50):
            tell(instance, run, f"k{number}")
        before = commits["begin"]
    assert commits["begin"] - before <= 4
    assert len(instance.get_materialized_partitions(TABLE)) == 50


def test_other_events_keep_their_place_among_those_of_a_batch(instance: dg.DagsterInstance):
    run = run_of(instance)
    with together(instance):
        tell(instance, run, "a")
        planned = AssetMaterializationPlannedData(TABLE, "b")
        instance.report_dagster_event(
            dg.DagsterEvent.build_asset_materialization_planned_event("nothing", "s", planned), run
        )
        tell(instance, run, "c")
    kinds = [entry.dagster_event_type for entry in instance.all_logs(run)][-7:]
    made = ["ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", None]
    assert kinds == [*made, "ASSET_MATERIALIZATION_PLANNED", *made]


def test_block_that_raises_stores_nothing_and_the_next_one_works(instance: dg.DagsterInstance):
    run = run_of(instance)
    with pytest.raises(ZeroDivisionError), together(instance):
        tell(instance, run, "a")
        raise ZeroDivisionError
    assert not instance.get_materialized_partitions(TABLE)
    with together(instance):
        tell(instance, run, "b")
    assert instance.get_materialized_partitions(TABLE) == {"b"}


def test_batches_of_threads_and_of_another_process_are_all_kept(
    instance: dg.DagsterInstance, lake: Path
):
    run = run_of(instance)
    with open_instance(lake) as other:

        def work(number: int) -> None:
            for k in range(5):
                with together((instance, other)[number % 2]):
                    tell((instance, other)[number % 2], run, f"{number}-{k}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(instance.get_materialized_partitions(TABLE)) == 20
    log: Any = instance.event_log_storage
    with log.index_connection() as connection:
        rows = connection.execute(
            select(SqlEventLogStorageTable.c.id, SqlEventLogStorageTable.c.partition)
            .where(SqlEventLogStorageTable.c.dagster_event_type == "ASSET_MATERIALIZATION")
            .order_by(SqlEventLogStorageTable.c.id)
        ).all()
        assets = connection.execute(select(AssetKeyTable.c.last_run_id)).scalars().all()
    assert sorted(row.partition for row in rows) == sorted(
        f"{n}-{k}" for n in range(4) for k in range(5)
    )
    assert assets == [run]


def test_a_stored_partition_is_reported_again_and_again(instance: dg.DagsterInstance):
    stored = Written("trades", "a", rows=1, bytes=10, path="raw/trades/a")
    for finding in (GOOD, BAD):
        report_stored(instance, Outcome("trades", "a", written=stored, findings=(finding,)))
    log: Any = instance.event_log_storage
    [info] = log.get_asset_check_partition_info([dg.AssetCheckKey(TABLE, "quality")])
    assert (info.latest_execution_status.value, info.is_current) == ("FAILED", True)
