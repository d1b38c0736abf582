"""Which partitions of a partitioned check are good, bad or running, at the scale of a lake.

Dagster rebuilds this state for every page, from all evaluations one by one, with a query each:
minutes for 50,000 ticker-sessions. Here the state is kept in the process, what is new is asked for
once, and sets of keys are united instead of single keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import DynamicPartitionsDefinition, PartitionsDefinition
from dagster._core.asset_graph_view.serializable_entity_subset import SerializableEntitySubset
from dagster._core.definitions.asset_key import AssetCheckKey, AssetKey
from dagster._core.events import DagsterEventType
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Recorded,
)
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionResolvedStatus as Resolved,
)
from dagster._core.storage.asset_check_execution_record import AssetCheckPartitionInfo
from dagster._core.storage.asset_check_state import AssetCheckState
from dagster._core.storage.dagster_run import FINISHED_STATUSES, DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from sqlalchemy import func, select

_MADE = DagsterEventType.ASSET_MATERIALIZATION.value
_CHECKED = (
    DagsterEventType.ASSET_CHECK_EVALUATION.value,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
)
_ENDED = {Recorded.SUCCEEDED: Resolved.SUCCEEDED, Recorded.FAILED: Resolved.FAILED}
_FEW = 1000  # keys that are asked for by name, before all are read
Keys = dict[Resolved, set[str]]


class CheckStates:
    """Mixed into an event log storage."""

    _check_states: dict[AssetCheckKey, tuple[int, AssetCheckState]]

    def get_asset_check_state(
        self, keys: Sequence[tuple[AssetCheckKey, PartitionsDefinition | None]]
    ) -> Mapping[AssetCheckKey, AssetCheckState]:
        """The state of each check, with all that the storage holds by now."""
        storage: Any = super()
        plain = [(key, definition) for key, definition in keys if definition is None]
        found = dict(storage.get_asset_check_state(plain)) if plain else {}
        for key, definition in keys:
            if definition is not None:
                found[key] = self._check_state(key, definition)
        return found

    def _check_state(self, key: AssetCheckKey, definition: PartitionsDefinition) -> AssetCheckState:
        storage: Any = self
        kept = self.__dict__.setdefault("_check_states", {})
        seen, before = kept.get(key, (0, AssetCheckState.empty()))
        if not before.compatible_with(definition):
            seen, before = 0, AssetCheckState.empty()
        newest = newest_event(storage, key.asset_key, seen)
        if newest is not None or before.in_progress_runs:
            new = storage.get_asset_check_partition_info([key], before.latest_storage_id)
            known = existing(storage, definition, {info.partition_key for info in new})
            new = [info for info in new if info.partition_key in known]
            before = updated(storage, key, definition, before, new)
            kept[key] = newest or seen, before
        return before


def newest_event(storage: Any, asset: AssetKey, seen: int) -> int | None:
    """The id of the newest event, after the one last seen, that may change a check of an asset.

    Checks' events are stored without their asset, so that those of other assets count too.
    """
    events = SqlEventLogStorageTable.c
    of_asset = (events.asset_key == asset.to_string()) & (events.dagster_event_type == _MADE)
    wheres = [of_asset, *(events.dagster_event_type == kind for kind in _CHECKED)]
    with storage.index_connection() as connection:
        found = [
            connection.execute(select(func.max(events.id)).where(events.id > seen, where)).scalar()
            for where in wheres
        ]
    return max((number for number in found if number is not None), default=None)


def existing(
    storage: Any, definition: PartitionsDefinition, keys: Iterable[str | None]
) -> set[str]:
    """Those of some keys that the definition has."""
    asked = {key for key in keys if key is not None}
    if not asked:
        return set()
    if not isinstance(definition, DynamicPartitionsDefinition):
        return asked & set(definition.get_partition_keys())
    if len(asked) > _FEW:
        return asked & set(storage.get_dynamic_partitions(definition.name))
    return set(storage.get_existing_dynamic_partitions(definition.name, list(asked)))


def updated(
    storage: Any,
    key: AssetCheckKey,
    definition: PartitionsDefinition,
    before: AssetCheckState,
    new: Sequence[AssetCheckPartitionInfo],
) -> AssetCheckState:
    """The state after some partitions' latest evaluations, and after runs that have ended since."""
    touched = {str(info.partition_key) for info in new}
    old = {status: _keys(before.subsets.get(status)) for status in Resolved}
    sets: Keys = {status: keys - touched for status, keys in old.items()}
    running: defaultdict[str, set[str]] = defaultdict(set)
    for run, subset in before.in_progress_runs.items():
        running[run] = _keys(subset) - touched
    for info in new:
        if info.latest_execution_status == Recorded.PLANNED:
            running[info.latest_planned_run_id].add(str(info.partition_key))
        elif info.is_current:
            sets[_ENDED[info.latest_execution_status]].add(str(info.partition_key))
    sets[Resolved.IN_PROGRESS] = set()
    for run, keys in _resolved(storage, running, sets):
        sets[Resolved.IN_PROGRESS] |= keys
        running[run] = keys
    events = [info.latest_check_event_storage_id for info in new]
    events += [info.latest_materialization_storage_id or 0 for info in new]

    def of(keys: set[str]) -> SerializableEntitySubset[AssetCheckKey]:
        return SerializableEntitySubset(key, definition.subset_with_partition_keys(keys))

    return AssetCheckState(
        latest_storage_id=max([before.latest_storage_id, *events]),
        subsets={
            status: before.subsets[status]
            if status in before.subsets and keys == old[status]
            else of(keys)
            for status, keys in sets.items()
        },
        in_progress_runs={run: of(keys) for run, keys in running.items()},
    )


def _resolved(storage: Any, running: dict[str, set[str]], sets: Keys) -> list[tuple[str, set[str]]]:
    """Runs that go on with their keys; the keys of ended ones are put where they belong."""
    if not running:
        return []
    asked = RunsFilter(run_ids=list(running), statuses=FINISHED_STATUSES)
    for run in storage._instance.get_runs(asked):
        is_failed = run.status == DagsterRunStatus.FAILURE
        fate = Resolved.EXECUTION_FAILED if is_failed else Resolved.SKIPPED
        sets[fate] |= running.pop(run.run_id)
    return [(run, keys) for run, keys in running.items() if keys]


def _keys(subset: SerializableEntitySubset[AssetCheckKey] | None) -> set[str]:
    return set() if subset is None else set(subset.subset_value.get_partition_keys())
