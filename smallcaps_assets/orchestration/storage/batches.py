"""Events of finished partitions, many in one transaction, for SQLite and PostgreSQL.

The stock event log takes three to six transactions for the materialization of a partition and its
check, writes each text twice and looks up what the check is about. Here the ids are set before the
texts are written, an asset's newest materialization is noted once a batch, and all rows of a batch
go in together. What readers find afterwards is the same.

So are the plans of a new run, of which there are two for each of its partitions. With a planned
check the stock log stores, for each partition, the names of all partitions of the run: 20 KB a row
in a run of a thousand, and minutes until it can start. Here such a row has the plan without them.

Other events (states of runs and steps) are stored one by one as the stock log does.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import itemgetter
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Recorded,
)
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster_shared.record import replace
from dagster_shared.serdes import serialize_value

_MOST = 1000
_PLAN = ("asset_key", "check_name", "run_id", "partition")
_OF_ASSETS = (
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
)
_LOCAL = threading.local()
Numbered = list[tuple[int, EventLogEntry]]


@contextmanager
def together(instance: dg.DagsterInstance) -> Iterator[None]:
    """What this thread tells an instance inside is stored at the end, in one transaction.

    A block that raises stores nothing of what waits. On a stock storage each event goes for itself.
    """
    storage = instance.event_log_storage
    with storage.together() if isinstance(storage, Batches) else nullcontext():
        yield


class Batches:
    """Mixed into an event log storage, which says how it numbers and where it copies.

    A check's evaluation that names no materialization is about the one of the same partition that
    is stored in the same batch, if there is one.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Without it Dagster hands over the plans of a run one by one. It is read at each event.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(_MOST))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep back what this thread stores inside, and store it at the end."""
        before = getattr(_LOCAL, "kept", None)
        _LOCAL.kept = (self, [])
        try:
            yield
            self._store_waiting()
        finally:
            _LOCAL.kept = before

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, or keep it back while the thread stores several together."""
        stock: Any = super()
        waiting, is_message = _waiting(self), not event.is_dagster_event
        if not (is_message or _is_batched(event)) or (is_message and waiting is None):
            self._store_waiting()
            stock.store_event(event)
        elif waiting is None:
            self._store([event])
        else:
            if len(waiting) >= _MOST and not _is(event, DagsterEventType.ASSET_CHECK_EVALUATION):
                self._store_waiting()
            waiting.append(event)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store several events in one transaction."""
        with self.together() if _waiting(self) is None else nullcontext():
            for event in events:
                self.store_event(event)

    def _store_waiting(self) -> None:
        waiting = _waiting(self)
        if waiting:
            events, waiting[:] = list(waiting), []
            self._store(events)

    def _store(self, events: Sequence[EventLogEntry]) -> None:
        storage: Any = self
        with self._alone() as connection:
            numbered = _with_targets(self._number(connection, events))
            rows = [
                {"id": number, **storage._event_to_row(event)}
                for number, event in numbered
                if self._is_indexed(event)
            ]
            if rows:
                connection.execute(SqlEventLogStorageTable.insert(), rows)
            self._note_assets(connection, numbered)
            self._note_checks(connection, numbered, {row["id"]: row["event"] for row in rows})
            self._copy(numbered, {row["id"]: row for row in rows})

    def _note_assets(self, connection: Any, numbered: Numbered) -> None:
        """The tags of materializations, and the newest of each asset and the newest plan of it."""
        storage: Any = self
        made = [(n, e) for n, e in numbered if _is(e, DagsterEventType.ASSET_MATERIALIZATION)]
        if made:
            storage._store_asset_event_tags(connection, [e for _, e in made], [n for n, _ in made])
        newest = {
            (event.dagster_event_type, event.get_dagster_event().asset_key): (number, event)
            for number, event in numbered
            if _is(event, *_OF_ASSETS)
        }
        for number, event in sorted(newest.values(), key=itemgetter(0)):
            storage._store_asset_event(connection, event, number)

    def _note_checks(self, connection: Any, numbered: Numbered, texts: Mapping[int, str]) -> None:
        """Plans of checks, and their results, each in the place of its plan if the run has one."""
        storage: Any = self
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for number, event in numbered:
            if _is(event, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED):
                moment = storage._event_insert_timestamp(event)
                rows = _plan_rows(number, event, moment)
                connection.execute(AssetCheckExecutionsTable.insert(), rows)
            elif _is(event, DagsterEventType.ASSET_CHECK_EVALUATION):
                moment = storage._event_insert_timestamp(event)
                row = _check_row(number, event, texts[number], moment)
                found[tuple(row[name] for name in _PLAN)] = row
        if found:
            insert = self._insert(AssetCheckExecutionsTable)
            values = {name: insert.excluded[name] for name in row if name not in _PLAN}
            upsert = insert.on_conflict_do_update(index_elements=_PLAN, set_=values)
            connection.execute(upsert, list(found.values()))

    def _alone(self) -> AbstractContextManager[Any]:
        """A transaction on the index of events, while no other process is in one."""
        raise NotImplementedError

    def _number(self, connection: Any, events: Sequence[EventLogEntry]) -> Numbered:
        """The events with new ids, in ascending order."""
        raise NotImplementedError

    def _is_indexed(self, event: EventLogEntry) -> bool:
        """Whether an event has a row in the index."""
        raise NotImplementedError

    def _insert(self, table: Any) -> Any:
        """An insertion that may meet a row that is there."""
        raise NotImplementedError

    def _copy(self, numbered: Numbered, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """Put the events where else they belong."""
        raise NotImplementedError


def _waiting(storage: Any) -> list[EventLogEntry] | None:
    """What this thread keeps back for a storage; None if it stores each event at once."""
    kept_for, events = getattr(_LOCAL, "kept", None) or (None, None)
    return events if kept_for is storage else None


def _is(event: EventLogEntry, *kinds: DagsterEventType) -> bool:
    return event.is_dagster_event and event.dagster_event_type in kinds


def _is_batched(event: EventLogEntry) -> bool:
    """Whether an event is a plan, a materialization, or what a check found in a partition."""
    if _is(event, *_OF_ASSETS, DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED):
        return True
    is_check = _is(event, DagsterEventType.ASSET_CHECK_EVALUATION)
    return is_check and event.get_dagster_event().asset_check_evaluation_data.partition is not None


def _with_targets(numbered: Numbered) -> Numbered:
    """The events, with what each evaluation is about."""
    made: dict[tuple[Any, str | None], tuple[int, EventLogEntry]] = {}
    found: Numbered = []
    for number, event in numbered:
        told = event
        if _is(event, DagsterEventType.ASSET_MATERIALIZATION):
            made[event.get_dagster_event().asset_key, event.get_dagster_event().partition] = (
                number,
                event,
            )
        elif _is(event, DagsterEventType.ASSET_CHECK_EVALUATION):
            data = event.get_dagster_event().asset_check_evaluation_data
            target = made.get((data.asset_key, data.partition))
            if target is not None and data.target_materialization_data is None:
                told = _about(event, *target)
        found.append((number, told))
    return found


def _about(event: EventLogEntry, number: int, made: EventLogEntry) -> EventLogEntry:
    """An evaluation, as one of a materialization."""
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=number, run_id=made.run_id, timestamp=made.timestamp
    )
    told = event.get_dagster_event()
    data = replace(told.asset_check_evaluation_data, target_materialization_data=target)
    return event._replace(dagster_event=told._replace(event_specific_data=data))


def _plan_rows(number: int, event: EventLogEntry, moment: Any) -> list[dict[str, Any]]:
    """A row for each partition of a planned check; one with no partition for a check of none."""
    told = event.get_dagster_event()
    plan: Any = told.event_specific_data
    alone = told._replace(event_specific_data=replace(plan, partitions_subset=None))
    row = {
        "asset_key": plan.asset_key.to_string(),
        "check_name": plan.check_name,
        "run_id": event.run_id,
        "execution_status": Recorded.PLANNED.value,
        "evaluation_event": serialize_value(event._replace(dagster_event=alone)),
        "evaluation_event_timestamp": moment,
        "evaluation_event_storage_id": number,
    }
    partitions = plan.partitions_subset.get_partition_keys() if plan.partitions_subset else [None]
    return [{**row, "partition": partition} for partition in partitions]


def _check_row(number: int, event: EventLogEntry, text: str, moment: Any) -> dict[str, Any]:
    data = event.get_dagster_event().asset_check_evaluation_data
    target = data.target_materialization_data
    return {
        "asset_key": data.asset_key.to_string(),
        "check_name": data.check_name,
        "run_id": event.run_id,
        "partition": data.partition,
        "execution_status": (Recorded.SUCCEEDED if data.passed else Recorded.FAILED).value,
        "evaluation_event": text,
        "evaluation_event_timestamp": moment,
        "evaluation_event_storage_id": number,
        "materialization_event_storage_id": target.storage_id if target else None,
    }
