"""The state of partitioned checks against Dagster's own, which counts one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.subset.default import DefaultPartitionsSubset
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_state import AssetCheckState, bulk_update_asset_check_state
from dagster._core.storage.dagster_run import DagsterRun

from smallcaps_assets_tests.orchestration.storage.test_sqlite import CONFIG

ASSET, CHECK = dg.AssetKey("trades"), dg.AssetCheckKey(dg.AssetKey("trades"), "quality")
DYNAMIC = dg.DynamicPartitionsDefinition(name="ticker_session")
DAILY = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01")
KEYS = list(DAILY.get_partition_keys())[:20]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One with our SQLite storage."""
    (tmp_path / "dagster.yaml").write_text(CONFIG.format(tmp_path))
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


class History:
    """Random events of the partitions of one asset and its check."""

    def __init__(
        self, instance: dg.DagsterInstance, definition: dg.PartitionsDefinition, seed: int
    ) -> None:
        self.instance, self.definition, self.random = instance, definition, random.Random(seed)
        self.keys, self.planned = KEYS, set[tuple[str, str]]()
        self.runs = [DagsterRun(job_name="job") for _ in range(9)]
        for run in self.runs:
            instance.add_run(run)

    def go_on(self, events: int) -> None:
        """Some more events, and the end of a run now and then."""
        for _ in range(events):
            key, run = self.random.choice(self.keys), self.random.choice(self.runs)
            self.random.choice((self.materialize, self.plan, self.evaluate))(key, run)
        ended = self.random.choice(["report_run_failed", "report_run_canceled"])
        run = self.random.choice(self.runs)
        if not self.instance.get_run_by_id(run.run_id).is_finished:  # type: ignore[union-attr]
            getattr(self.instance, ended)(run)

    def materialize(self, key: str, run: DagsterRun) -> None:
        event = dg.AssetMaterialization(ASSET, partition=key)
        self.instance.report_runless_asset_event(event)

    def plan(self, key: str, run: DagsterRun) -> None:
        if (run.run_id, key) in self.planned:
            return
        self.planned.add((run.run_id, key))
        planned = AssetCheckEvaluationPlanned(
            asset_key=ASSET,
            check_name=CHECK.name,
            partitions_subset=DefaultPartitionsSubset({key}),
        )
        self._store(DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned, run)

    def evaluate(self, key: str, run: DagsterRun) -> None:
        self.plan(key, run)
        newest = self.instance.event_log_storage.get_latest_storage_id_by_partition(
            ASSET, DagsterEventType.ASSET_MATERIALIZATION, {key}
        ).get(key)
        target = None
        if newest is not None and self.random.random() < 0.8:
            target = AssetCheckEvaluationTargetMaterializationData(
                storage_id=newest, run_id=run.run_id, timestamp=1.0
            )
        found = dg.AssetCheckEvaluation(
            asset_key=ASSET,
            check_name=CHECK.name,
            passed=self.random.random() < 0.7,
            metadata={},
            partition=key,
            target_materialization_data=target,
        )
        self._store(DagsterEventType.ASSET_CHECK_EVALUATION, found, run)

    def _store(self, kind: DagsterEventType, data: object, run: DagsterRun) -> None:
        event = DagsterEvent(kind.value, "job", event_specific_data=data)  # type: ignore[arg-type]
        entry = EventLogEntry(None, "debug", "", run.run_id, 1.0, dagster_event=event)
        self.instance.event_log_storage.store_event(entry)


def keys_by_status(state: AssetCheckState) -> dict[str, set[str]]:
    found = {
        status.value: set(subset.subset_value.get_partition_keys())
        for status, subset in state.subsets.items()
    }
    return {status: keys for status, keys in found.items() if keys}


@pytest.mark.parametrize("definition", [DYNAMIC, DAILY], ids=["dynamic", "daily"])
@pytest.mark.parametrize("seed", range(4))
def test_state_is_the_one_that_dagster_counts_one_by_one(
    instance: dg.DagsterInstance, definition: dg.PartitionsDefinition, seed: int
):
    instance.add_dynamic_partitions("ticker_session", KEYS)
    history, asked = History(instance, definition, seed), [(CHECK, definition)]
    storage = instance.event_log_storage
    seen = set()
    for _ in range(6):
        history.go_on(15)
        ours = storage.get_asset_check_state(asked)[CHECK]
        empty = {CHECK: AssetCheckState.empty()}
        with partition_loading_context(dynamic_partitions_store=instance):
            theirs = bulk_update_asset_check_state(instance, asked, empty)[CHECK]
        assert keys_by_status(ours) == keys_by_status(theirs)
        seen |= set(keys_by_status(ours))
    assert len(seen) >= 4


def test_state_of_a_check_without_partitions_is_left_to_dagster(instance: dg.DagsterInstance):
    state = instance.event_log_storage.get_asset_check_state([(CHECK, None)])[CHECK]
    assert state.latest_storage_id == 0
