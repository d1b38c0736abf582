"""From a table's declaration to what Dagster shows: specs, column schemas, event metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import dagster as dg

from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.reports.markdown import Markdown, preview
from smallcaps_assets.schemas import GROUPS, TABLES, Partitioning, Table
from smallcaps_assets.settings import Settings

OWNER = "team:data"
_KINDS = {"raw": {"parquet", "bronze"}, "processed": {"parquet", "polars"}}
_IMAGE = re.compile(r"!\[[^\[\]<>]*\]\(data:image/svg\+xml,[^\s()<>]*\)")
_CUT_NAMES = {
    Partitioning.NONE: "not partitioned: small and made whole",
    Partitioning.SESSION: "session (New York date)",
    Partitioning.HALF_MONTH: "half-month, key YYYY-MM-01 or YYYY-MM-16",
    Partitioning.MONTH: "month",
    Partitioning.YEAR: "year",
    Partitioning.TICKER: "ticker",
    Partitioning.TICKER_SESSION: "ticker-session, key TICKER_YYYY-MM-DD",
    Partitioning.PERIOD: "period of the dataset, and their union",
    Partitioning.STRATEGY: "strategy of the backtest",
}


@lru_cache(maxsize=64)
def column_schema(name: str) -> dg.TableSchema:
    """The columns of a table with types, units, meaning and constraints."""
    table = TABLES[name]
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column,
                type=str(dtype),
                description=_meaning(table, column),
                constraints=dg.TableColumnConstraints(
                    nullable=bool(table.schema.columns()[column].nullable),
                    unique=list(table.key) == [column],
                ),
            )
            for column, dtype in table.columns.items()
        ]
    )


def asset_spec(
    name: str,
    deps: Iterable[dg.AssetDep] = (),
    partitions_def: dg.PartitionsDefinition | None = None,
    is_skippable: bool = True,
) -> dg.AssetSpec:
    """The spec of a table's asset, described from its declaration."""
    table = TABLES[name]
    return dg.AssetSpec(
        key=name,
        deps=list(deps),
        group_name=group_name(table),
        kinds=_KINDS[table.layer],
        owners=[OWNER],
        tags={"layer": table.layer, "partitions": str(table.partitioning)},
        skippable=is_skippable,
        partitions_def=partitions_def,
        metadata={
            "dagster/column_schema": column_schema(name),
            "contract_version": table.version,
            "primary_key": ", ".join(table.key),
            "place": f"{table.layer}/{name}",
        },
    )


def group_name(table: Table) -> str:
    """The group of a table, numbered so that the UI's alphabetical order is that of the data."""
    return f"{GROUPS.index(table.group) + 1:02d}_{table.group}"


def with_descriptions(assets: Iterable[Any], settings: Settings) -> Sequence[Any]:
    """Assets definitions, described with the settings in force."""
    return dg.map_asset_specs(
        lambda spec: spec.replace_attributes(
            description=describe(TABLES[spec.key.to_user_string()], settings)
        ),
        assets,
    )


def describe(table: Table, settings: Settings) -> str:
    """What a table holds, how it is cut, what changes it and where more is told, in plain text."""
    sentences = [
        table.described(dict(settings)),
        f"Partition: {_CUT_NAMES[table.partitioning]}.",
        f"One row per {', '.join(table.key)}.",
    ]
    if table.settings:
        sentences.append(f"Settings that change it: {', '.join(table.settings)}.")
    if table.is_optional:
        sentences.append(
            "Optional: the main job leaves it out; materialize it here if you want it."
        )
    return " ".join([*sentences, f"Columns: docs/data_dictionary.md#{table.name}"])


def event_metadata(outcome: Outcome) -> dict[str, Any]:
    """What a materialization event tells: size, timing, source and a preview. Columns are told by
    the asset, not by each of thousands of events, of which they would be two thirds."""
    written = outcome.written
    assert written is not None
    return {
        "dagster/row_count": written.rows,
        **_values({"preview": preview(outcome.preview), **outcome.metadata}),
        "path": written.path,
        "bytes": written.bytes,
        "seconds": round(outcome.seconds, 4),
        **({"is_reused": True} if outcome.is_reused else {}),
        "seal": written.seal,
    }


def _values(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Images and tables drawn here stay what they are; other values as Dagster finds them."""
    return {
        name: dg.MetadataValue.md(value)
        if isinstance(value, Markdown) or (isinstance(value, str) and _IMAGE.fullmatch(value))
        else value
        for name, value in metadata.items()
    }


def _meaning(table: Table, column: str) -> str:
    declared = table.schema.columns()[column]
    unit = (declared.metadata or {}).get("unit", "")
    return f"{table.says(column)} [{unit}]" if unit else table.says(column)
