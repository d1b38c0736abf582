"""A code location whose ticker-sessions are trivial work: what is left is Dagster and our runner.

Loaded by `orchestration.py` with the tables in TRIVIAL_TABLES, comma-separated.
"""

import os
from collections.abc import Iterator

import dagster as dg
import polars as pl

from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.lake import Written
from smallcaps_assets.orchestration.checks import quality_specs
from smallcaps_assets.orchestration.describe import asset_spec
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    materialize,
    partition_keys,
    selected_tables,
)
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.schemas import OPS, TABLES, TICK_CHAIN

CHOSEN = os.environ.get("TRIVIAL_TABLES", "trades").split(",")
_FRAME = pl.DataFrame({"ticker": ["AA"], "rows": [1]})


class _NoCuts:
    def of(self, table: object) -> dg.PartitionsDefinition:
        return TICKER_SESSIONS


def _spec(name: str) -> dg.AssetSpec:
    deps = [dg.AssetDep(upstream) for upstream in TABLES[name].upstream if upstream in CHOSEN]
    return asset_spec(name, deps)


@dg.multi_asset(
    name="tick_chain",
    specs=[_spec(name) for name in CHOSEN],
    check_specs=quality_specs(CHOSEN, _NoCuts()),  # type: ignore[arg-type]
    partitions_def=TICKER_SESSIONS,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.multi_run(
        max_partitions_per_run=OPS["tick_chain"].keys_per_run
    ),
)
def tick_chain(context: dg.AssetExecutionContext, config: RunConfig) -> Iterator[dg.Output[None]]:
    """Every key of every table, done at once."""
    tables = [name for name in TICK_CHAIN if name in selected_tables(context)]

    def one(key: str) -> list[Outcome]:
        good = (Finding("contract", True, "1 row"),)
        return [
            Outcome(t, key, 0.0, Written(t, key, 1, 100, f"{t}/{key}"), _FRAME, findings=good)
            for t in tables
        ]

    batches = in_threads(one, partition_keys(context, config), 2)
    yield from materialize(context, (outcome for batch in batches for outcome in batch))


defs = dg.Definitions(assets=[tick_chain], executor=dg.in_process_executor)
