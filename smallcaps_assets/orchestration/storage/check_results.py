"""The newest result of every check of every partition, as Dagster's event log has it.

Read in two steps, because the text of an evaluation is a hundred times larger than its status: the
status of all of them, then the texts of those that did not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Recorded,
)
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._serdes import deserialize_value
from sqlalchemy import func, select

RESULTS = {
    "table": pl.String,
    "check": pl.String,
    "key": pl.String,
    "is_good": pl.Boolean,
    "is_error": pl.Boolean,
    "text": pl.String,
}
_AT_ONCE = 500


def check_results(instance: dg.DagsterInstance) -> pl.DataFrame:
    """One row per table, check and partition, of the newest evaluation: RESULTS.

    `key` is empty for a check of a whole table. `is_error` and `text` tell of those that are not
    good: a defect of the data, else something to look at; what was found, and the remedy.
    """
    storage: Any = instance.event_log_storage
    runs = AssetCheckExecutionsTable.c
    newest = (
        select(func.max(runs.id).label("id"))
        .where(runs.execution_status.in_([Recorded.SUCCEEDED.value, Recorded.FAILED.value]))
        .group_by(runs.asset_key, runs.check_name, runs.partition)
        .subquery()
    )
    columns = (runs.id, runs.asset_key, runs.check_name, runs.partition, runs.execution_status)
    with storage.index_connection() as connection:
        found = connection.execute(
            select(*columns).join(newest, runs.id == newest.c.id).order_by(runs.id)
        ).all()
        bad = [row[0] for row in found if row[4] == Recorded.FAILED.value]
        texts = _texts(connection, bad)
    rows = [
        (dg.AssetKey.from_db_string(asset), check, key or "", number not in texts,
         *texts.get(number, (False, "")))
        for number, asset, check, key, _ in found
    ]  # fmt: skip
    named = [(asset.to_user_string() if asset else "", *rest) for asset, *rest in rows]
    return pl.DataFrame(named, schema=RESULTS, orient="row")


def _texts(connection: Any, numbers: Sequence[int]) -> dict[int, tuple[bool, str]]:
    """Of evaluations that did not pass: whether it is a defect, and what was found."""
    runs, found = AssetCheckExecutionsTable.c, {}
    for start in range(0, len(numbers), _AT_ONCE):
        wanted = runs.id.in_(numbers[start : start + _AT_ONCE])
        for number, event in connection.execute(
            select(runs.id, runs.evaluation_event).where(wanted)
        ):
            told = deserialize_value(event, EventLogEntry).get_dagster_event()
            data: Any = told.event_specific_data
            is_error = data.severity == dg.AssetCheckSeverity.ERROR
            found[number] = (is_error, data.description or "")
    return found
