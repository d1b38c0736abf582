"""The partition runner: the one way in which partitions are materialized.

Many partitions go through one run; each is worked on in a thread, stored, and logged within a
second with those that were finished meanwhile. If the process is killed Dagster may not know of the
last second's, whose files stay and are reported by the next start. A failing key is named and the
others go on. At the end the run fails, naming the failed keys, or ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from smallcaps_assets.domain.quality.changes import NOTHING_CHANGED
from smallcaps_assets.orchestration.checks import evaluation, latest_materialization
from smallcaps_assets.orchestration.describe import event_metadata
from smallcaps_assets.orchestration.event_writer import EventWriter
from smallcaps_assets.orchestration.storage.private import AssetMaterializationPlannedData
from smallcaps_assets.pipeline.outcome import Observer, Outcome
from smallcaps_assets.pipeline.workspace import CHANGES, PACE
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import RunSettings
from smallcaps_assets.sources.errors import RateLimited, SourceUnavailable, Unauthorized
from smallcaps_assets.sources.http.notices import say_once

# An output with this metadata key makes no materialization event of its own (the runner has logged
# one per partition already) and still lets downstream steps of the same run go on.
# dagster 1.13.27, _log_materialization_or_observation_events_for_asset.
_NO_EVENT = {"__source_asset_observation__": True}
_SHOWN_FAILURES = 20
_LOG_SECONDS = 10.0
_MOST_RUNS = 4
_PAGE = 1000
_RETRY = "dagster/retry_number"
_DONE: dict[str, set[tuple[str, str | None]]] = {}
_TRANSIENT = (SourceUnavailable, RateLimited)


class RunConfig(dg.Config):
    """The configuration of a partitioned run.

    The launchpad fills in the fields that have a plain default, by their names' alphabet: the two
    that a user fills in. The third is made by a factory and left to those who look for it.
    """

    keys: list[str] = Field(
        default=[],
        description="partition keys to make instead of the run's own, for scattered sets:"
        ' ["GEVO_2024-12-13", "PUX_2025-01-10"]',
    )
    tickers: list[str] = Field(
        default=[],
        description="only these tickers inside market-wide tables, other rows stay as they are:"
        ' ["GEVO", "PUX"]',
    )
    skip_complete: bool = Field(
        default_factory=bool,
        description="true leaves partitions that are stored and current as they are; false by"
        " default: requested partitions are made again",
    )


def done_in(run_id: str) -> set[tuple[str, str | None]]:
    """Tables and keys that a run of this process has finished; a retry leaves them as they are."""
    while len(_DONE) > _MOST_RUNS and run_id not in _DONE:
        _DONE.pop(next(iter(_DONE)))
    return _DONE.setdefault(run_id, set())


def made_by_earlier_attempts(
    instance: dg.DagsterInstance, run: dg.DagsterRun
) -> dict[tuple[str, str | None], str]:
    """Tables and keys that a run has made before Dagster launched it once more, with their seals.

    A run that somebody repeats by hand makes all of it again, as asked for.
    """
    found: dict[tuple[str, str | None], str] = {}
    while _RETRY in run.tags and run.parent_run_id:
        before = instance.get_run_by_id(run.parent_run_id)
        if before is None:
            break
        for made in _materializations(instance, before.run_id):
            seal = made.metadata.get("seal")
            place = made.asset_key.to_user_string(), made.partition
            found.setdefault(place, str(seal.value) if seal is not None else "")
        run = before
    return found


def _materializations(
    instance: dg.DagsterInstance, run_id: str
) -> Iterator[dg.AssetMaterialization]:
    """What a run has materialized, the newest first."""
    cursor, has_more = None, True
    while has_more:
        page = instance.get_records_for_run(
            run_id, cursor, dg.DagsterEventType.ASSET_MATERIALIZATION, _PAGE, ascending=False
        )
        for record in page.records:
            if record.asset_materialization is not None:
                yield record.asset_materialization
        cursor, has_more = page.cursor, page.has_more


def partition_keys(context: dg.AssetExecutionContext, config: RunConfig) -> list[str]:
    """The keys that a run is for: those of its configuration, else of its partition or range.

    An op makes them in the order of their dates.
    """
    if config.keys:
        return config.keys
    if not context.has_partition_key and not context.has_partition_key_range:
        raise dg.Failure(
            "this run names no partition: choose partitions, or give `keys` in the run's config",
            allow_retries=False,
        )
    return list(context.partition_keys)


def selected_tables(context: dg.AssetExecutionContext) -> list[str]:
    """Names of the tables that the run is to make."""
    return [key.to_user_string() for key in context.selected_asset_keys]


def materialize(
    context: dg.AssetExecutionContext,
    outcomes: Iterable[Outcome],
    observer: Observer | None = None,
    settings: RunSettings | None = None,
) -> Iterator[dg.Output[None]]:
    """Log each outcome as it comes; yield the op's outputs, or raise naming the failed keys.

    While sources are out of reach the op is retried after a pause, and then after longer ones.
    A retry policy would also retry what somebody stopped.
    """
    failed: list[Outcome] = []
    progress, done = _Progress(context), done_in(context.run.run_id)
    with EventWriter(context.instance) as writer:
        for outcome in outcomes:
            if observer is not None:
                observer(outcome)
            if (outcome.table, outcome.key) not in done or outcome.is_failed:
                writer.add(partial(_tell, context, progress, outcome))
            if not outcome.is_failed:
                done.add((outcome.table, outcome.key))
                if outcome.error is not None:
                    say_once(f"{outcome.table}: {outcome.error}")
                continue
            failed.append(outcome)
            if isinstance(outcome.error, Unauthorized):
                break
    if failed:
        _retry(context, failed, settings or RunSettings())
        raise _failure(failed)
    yield from _outputs(context.op_execution_context)


def _outputs(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
    """All outputs that the op should yield, tables and checks; Dagster reports missing ones."""
    for output in context.op_def.output_defs:
        if output.name in context.selected_output_names:
            yield dg.Output(None, output_name=output.name, metadata=_NO_EVENT)


def _retry(
    context: dg.AssetExecutionContext, failed: Sequence[Outcome], settings: RunSettings
) -> None:
    """Raise the request to retry, if that may help and retries are left."""
    number = context.retry_number
    if number < settings.retries and any(isinstance(o.error, _TRANSIENT) for o in failed):
        seconds = settings.retry_seconds * 2**number
        context.log.warning(f"a source is out of reach; trying again in {seconds:.0f} s")
        # Waited for here: Dagster counts by the wall clock, which may be set back meanwhile.
        time.sleep(seconds)
        raise dg.RetryRequested(settings.retries) from _failure(failed)


class _Progress:
    """Logs now and then how many partitions are stored, and the pace of the vendor's client."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context, self._count = context, 0
        self._told_at = time.monotonic()

    def tell(self, outcome: Outcome) -> None:
        """One more partition is stored."""
        self._count += 1
        if time.monotonic() - self._told_at < _LOG_SECONDS:
            return
        self._told_at = time.monotonic()
        told = outcome.metadata
        pace = [f"{name}: {told[name]}" for name in PACE if name in told]
        self._context.log.info("; ".join([f"{self._count} partitions stored", *pace]))


def explain(outcome: Outcome) -> str:
    """One line that names the table, the key and what went wrong."""
    error = outcome.error
    key = f" {outcome.key}" if outcome.key else ""
    kind = getattr(error, "kind", type(error).__name__)
    return f"{outcome.table}{key}: {kind}: {error}"


def _tell(context: dg.AssetExecutionContext, progress: _Progress, outcome: Outcome) -> None:
    """Log what became of a partition."""
    if outcome.written is not None and not outcome.is_unchanged:
        _log(context, outcome)
        progress.tell(outcome)
        if outcome.metadata.get(CHANGES, NOTHING_CHANGED) != NOTHING_CHANGED:
            context.log.warning(f"{outcome.table} {outcome.key}: {outcome.metadata[CHANGES]}")
    if outcome.is_failed:
        _log_failure(context, outcome)


def _log(context: dg.AssetExecutionContext, outcome: Outcome) -> None:
    context.log_event(
        dg.AssetMaterialization(
            asset_key=outcome.table, partition=outcome.key, metadata=event_metadata(outcome)
        )
    )
    if outcome.findings:
        key = outcome.key
        target = latest_materialization(context, outcome.table, key) if key else None
        found = evaluation(outcome.table, key, outcome.findings, target)
        context.log_event(found)  # type: ignore[arg-type]


def _log_failure(context: dg.AssetExecutionContext, outcome: Outcome) -> None:
    """Name a failed partition; in a run by a list of keys Dagster hears only now of its plan.

    Dagster shows a partition as failed when a failed run had planned it.
    """
    context.log.error(explain(outcome))
    if outcome.key is None or outcome.written is not None or _is_planned(context, outcome.key):
        return
    step = context.op_execution_context.get_step_execution_context().step.key
    for table in _below(outcome.table, selected_tables(context)):
        planned = AssetMaterializationPlannedData(dg.AssetKey(table), outcome.key)
        event = dg.DagsterEvent.build_asset_materialization_planned_event(
            context.job_name, step, planned
        )
        context.instance.report_dagster_event(event, context.run.run_id)


def _is_planned(context: dg.AssetExecutionContext, key: str) -> bool:
    """Whether a key is one of the run's own partitions; of a list only the first is."""
    if context.has_partition_key:
        return key == context.partition_key
    return context.has_partition_key_range


def _below(table: str, selected: Sequence[str]) -> list[str]:
    """A table and those of the selected ones that are made from it, in the graph's order."""
    found = [table]
    for name in TABLES:
        if name in selected and any(upstream in found for upstream in TABLES[name].upstream):
            found.append(name)
    return found


def _failure(failed: Sequence[Outcome]) -> dg.Failure:
    names = ", ".join(f"{o.table} {o.key or ''}".strip() for o in failed[:_SHOWN_FAILURES])
    more = len(failed) - _SHOWN_FAILURES
    reasons: dict[str, Any] = {o.key or o.table: explain(o) for o in failed[:_SHOWN_FAILURES]}
    return dg.Failure(
        f"{len(failed)} failed: {names}" + (f" and {more} more" if more > 0 else ""),
        metadata=reasons,
    )
