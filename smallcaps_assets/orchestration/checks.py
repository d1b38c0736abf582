"""From findings to Dagster's asset checks: one event for a partition, with every finding in it.

One event and not one per finding, because an event costs as much as small work does. What is looked
at is in `domain/quality/checks.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import dagster as dg

from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.orchestration.partitions import Partitions
from smallcaps_assets.orchestration.storage.batches import Batches
from smallcaps_assets.orchestration.storage.private import (
    AssetCheckEvaluationTargetMaterializationData,
)
from smallcaps_assets.schemas import TABLES

QUALITY = "quality"
_MEANING = (
    "What a contract can't refuse, checked right after the partition is stored. Never blocks;"
    " an error means: don't use this partition, a warning: have a look."
)


def quality_specs(tables: Iterable[str], partitions: Partitions) -> list[dg.AssetCheckSpec]:
    """The per-partition check of each table, to stand beside the asset specs of its op."""
    return [
        dg.AssetCheckSpec(
            QUALITY, asset=name, description=_MEANING, partitions_def=partitions.of(TABLES[name])
        )
        for name in tables
    ]


def evaluation(
    table: str,
    key: str | None,
    findings: Sequence[Finding],
    target: AssetCheckEvaluationTargetMaterializationData | None = None,
    check: str = QUALITY,
) -> dg.AssetCheckEvaluation:
    """A check's event of one partition, about its materialization `target`, or of a whole table."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(table),
        check_name=check,
        passed=all(finding.is_good for finding in findings),
        severity=severity(findings),
        description=describe(findings),
        metadata=_metadata(findings),
        partition=key,
        target_materialization_data=target,
    )


def latest_materialization(
    context: dg.AssetExecutionContext, table: str, key: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """What an evaluation must name to count as current: the partition's newest materialization.

    None where the storage finds that in the batch itself.
    """
    storage = context.instance.event_log_storage
    if isinstance(storage, Batches):
        return None
    found = storage.get_latest_storage_id_by_partition(
        dg.AssetKey(table), dg.DagsterEventType.ASSET_MATERIALIZATION, {key}
    ).get(key)
    if found is None:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=found, run_id=context.run.run_id, timestamp=time.time()
    )


def result(findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """The result of a check over a whole table."""
    return dg.AssetCheckResult(
        passed=all(finding.is_good for finding in findings),
        severity=severity(findings),
        description=describe(findings),
        metadata=_metadata(findings),
    )


def _metadata(findings: Iterable[Finding]) -> dict[str, str | int | float]:
    """Each finding in words, then its figures, which Dagster plots over the evaluations."""
    told: dict[str, str | int | float] = {}
    for finding in findings:
        told |= {finding.name: finding.text(), **finding.figures}
    return told


def severity(findings: Iterable[Finding]) -> dg.AssetCheckSeverity:
    """ERROR when a finding is a defect of the data, else WARN."""
    is_error = any(finding.is_error for finding in findings if not finding.is_good)
    return dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN


def describe(findings: Sequence[Finding]) -> str:
    """What is wrong and what to do, or what was found."""
    bad = [finding for finding in findings if not finding.is_good]
    if bad:
        return "; ".join(f"{finding.name}: {finding.text()}" for finding in bad)
    return ", ".join(finding.name for finding in findings)
