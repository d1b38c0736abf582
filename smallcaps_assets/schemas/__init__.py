"""One contract per table: columns, types, units and meaning. Data only; no I/O."""

from smallcaps_assets.schemas.lean import load_dataframely

load_dataframely()

from smallcaps_assets.schemas.table import GROUPS, ContractError, Partitioning, Table  # noqa: E402
from smallcaps_assets.schemas.tables import (  # noqa: E402
    BAR_TABLES,
    FEATURE_COLUMNS,
    RULES,
    TABLES,
    TICK_CHAIN,
    lineage,
)

__all__ = [
    "BAR_TABLES",
    "FEATURE_COLUMNS",
    "GROUPS",
    "RULES",
    "TABLES",
    "TICK_CHAIN",
    "ContractError",
    "Partitioning",
    "Table",
    "lineage",
]
