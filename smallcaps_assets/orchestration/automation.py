"""Which schedules and sensors of a lake's instance are on, and the result of their last evaluation.

Dagster keeps state and cursor under the name of each, in the instance's own database, and a daemon
takes a change into account at its next round, so that nothing need run while it is made.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import dagster as dg

from smallcaps_assets.orchestration.instance import LOCATION, MODULE
from smallcaps_assets.orchestration.storage.private import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    InstigatorType,
    LoadableTargetOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)

Instigator = dg.ScheduleDefinition | dg.SensorDefinition
_DAEMON_SECONDS = 180
"""A daemon sends a heartbeat every thirty seconds."""


@dataclass(frozen=True)
class Look:
    """A schedule or sensor: whether it is on, its last evaluation (Unix seconds) and its result."""

    name: str
    kind: str
    is_on: bool
    at: float | None
    told: str


def look_of(instance: dg.DagsterInstance, definition: Instigator) -> Look:
    """State of a schedule or sensor, and its last evaluation."""
    state = _state(instance, definition)
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    kind = state.instigator_type.value.lower()
    at, told = (ticks[0].timestamp, _told(ticks[0])) if ticks else (None, "")
    return Look(definition.name, kind, state.is_running, at, told)


def switch(instance: dg.DagsterInstance, definition: Instigator, is_on: bool) -> bool:
    """Switch one on or off, keeping its cursor. Returns whether that changed anything."""
    state = _state(instance, definition)
    if state.is_running == is_on:
        return False
    status = InstigatorStatus.RUNNING if is_on else InstigatorStatus.STOPPED
    known = instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
    changed = state.with_status(status).with_data(_data(definition, state, is_on))
    store = instance.update_instigator_state if known else instance.add_instigator_state
    store(changed)
    return True


def is_daemon_alive(instance: dg.DagsterInstance) -> bool:
    """Whether a daemon has been running on the instance in the last minutes."""
    beats = instance.get_daemon_heartbeats().values()
    return any(time.time() - beat.timestamp < _DAEMON_SECONDS for beat in beats)


def _state(instance: dg.DagsterInstance, definition: Instigator) -> InstigatorState:
    """The stored state, or the definition's default."""
    is_sensor = isinstance(definition, dg.SensorDefinition)
    kind = InstigatorType.SENSOR if is_sensor else InstigatorType.SCHEDULE
    is_on = definition.default_status.value == "RUNNING"
    status = InstigatorStatus.DECLARED_IN_CODE if is_on else InstigatorStatus.STOPPED
    data = _data(definition, None, is_on=False)
    first = InstigatorState(_origin(definition.name), kind, status, data)
    known = instance.get_instigator_state(first.instigator_origin_id, first.selector_id)
    return known or first


def _data(
    definition: Instigator, state: InstigatorState | None, is_on: bool
) -> ScheduleInstigatorData | SensorInstigatorData:
    """Dagster's stored data of one; a sensor's cursor is in it."""
    now = time.time()
    if isinstance(definition, dg.ScheduleDefinition):
        return ScheduleInstigatorData(definition.cron_schedule, now if is_on else None)
    kept = (state and state.sensor_instigator_data) or SensorInstigatorData(
        min_interval=definition.minimum_interval_seconds, sensor_type=definition.sensor_type
    )
    return kept.with_sensor_start_timestamp(now) if is_on else kept


def _origin(name: str) -> RemoteInstigatorOrigin:
    target = LoadableTargetOrigin(module_name=MODULE)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteRepositoryOrigin(location, "__repository__").get_instigator_origin(name)


def _told(tick: InstigatorTick) -> str:
    """The result of an evaluation, in one line."""
    if tick.status is TickStatus.FAILURE and tick.error is not None:
        error = tick.error
        while error.cause is not None:
            error = error.cause
        return f"failed: {' '.join(error.message.split())}"
    if tick.status is TickStatus.SUCCESS:
        count = len(tick.run_ids)
        return f"requested {count} runs" if count > 1 else "requested a run"
    return tick.skip_reason or tick.status.value.lower()
