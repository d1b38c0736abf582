"""Which stage of the pipeline makes an op's tables, and the asset definitions made from that.

What an op's tables are made from, how they are cut and how many of their partitions go in a run is
declared with the tables, in `schemas/tables.py`; what builds a feed, in `pipeline/feeds.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from inspect import getsourcefile, getsourcelines
from typing import Any

import dagster as dg

from smallcaps_assets.defs.common import RESOURCES, Location
from smallcaps_assets.orchestration.checks import quality_specs
from smallcaps_assets.orchestration.describe import asset_spec
from smallcaps_assets.orchestration.dynamic_partitions import registering
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    materialize,
    partition_keys,
    selected_tables,
)
from smallcaps_assets.pipeline import (
    backtest,
    coverage,
    dataset,
    day_families,
    desk_records,
    feeds,
    models,
    reference,
    registry,
    sessions,
    ticks,
)
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.pipeline.workspace import Stage
from smallcaps_assets.schemas import OPS, TABLES, Op, Partitioning


def all_assets(location: Location) -> list[dg.AssetsDefinition]:
    """One op for each source or stage, in the order of the data."""

    def op(name: str, stage: Stage, source: Any = None) -> dg.AssetsDefinition:
        return _assets(location, OPS[name], stage, source or stage)

    return [
        op("corporate_actions", reference.actions),
        op("ticker_details", reference.details),
        op("adjustment_factors", reference.factors),
        op("session_tables", sessions.session_tables),
        op("ticker_sessions", registry.registry),
        *(op(name, feeds.feed(build), build) for name, build in feeds.FEEDS.items()),
        op("tick_chain", ticks.tick_chain),
        op("coverage", coverage.session_coverage),
        op("ml_dataset", dataset.datasets),
        op("ticker_history", dataset.histories),
        op("folds", models.folds),
        op("walk_forward", models.walk_forward),
        op("backtest_candidates", backtest.candidates),
        op("desk_records", desk_records.desk_records),
        op("backtest", backtest.backtests),
        op("backtest_report", backtest.report),
        op("day_families", day_families.day_families),
    ]


def _assets(
    location: Location, op: Op, stage: Stage, source: Callable[..., Any]
) -> dg.AssetsDefinition:
    """The assets of one op, which makes any of its tables over the keys of a run."""
    partitions = location.partitions.of(TABLES[op.tables[0]])
    code = _code_reference(source)

    @dg.multi_asset(
        name=op.name,
        specs=[asset_spec(name, map(_dep(name), TABLES[name].upstream)).merge_attributes(
            metadata=code) for name in op.tables],
        check_specs=quality_specs(op.tables, location.partitions),
        partitions_def=partitions,
        can_subset=True,
        required_resource_keys=RESOURCES,
        pool=op.pool or None,
        backfill_policy=_policy(op, location.settings.run.keys_per_run) if partitions else None,
    )  # fmt: skip
    def _op(context: dg.AssetExecutionContext, config: RunConfig) -> Iterator[dg.Output[None]]:
        work, selected = location.workspace(context, config), selected_tables(context)
        tables = [name for name in op.tables if name in selected]
        keys = sorted(partition_keys(context, config), key=date_of) if partitions else []
        made = registering(context.instance, work, stage(work, tables, keys))
        with closing(made) as outcomes:
            yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _op


def _policy(op: Op, most: int | None) -> dg.BackfillPolicy:
    if not op.keys_per_run:
        return dg.BackfillPolicy.single_run()
    count = min(op.keys_per_run, most or op.keys_per_run)
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=count)


def _dep(table: str) -> Callable[[str], dg.AssetDep]:
    return lambda upstream: dg.AssetDep(upstream, partition_mapping=_mapping(table, upstream))


def _mapping(table: str, upstream: str) -> dg.PartitionMapping | None:
    """How Dagster finds the partitions that one is made from: as the table declares it."""
    window, cut = TABLES[table].window(upstream), TABLES[upstream].partitioning
    if window is None or TABLES[table].partitioning is not Partitioning.SESSION:
        is_alike = cut in (TABLES[table].partitioning, Partitioning.NONE)
        return None if is_alike else dg.AllPartitionMapping()
    if not window.before:
        return None
    return dg.TimeWindowPartitionMapping(
        start_offset=-window.before,
        end_offset=0 if window.has_own else -1,
        allow_nonexistent_upstream_partitions=True,
    )


def _code_reference(function: Callable[..., Any]) -> dict[str, Any]:
    """Where the web server finds what makes a table."""
    place = dg.LocalFileCodeReference(
        file_path=getsourcefile(function) or "", line_number=getsourcelines(function)[1]
    )
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[place])}
