"""One contract per table: columns, types, units and meaning. Data only; no I/O."""

from smallcaps_assets.schemas.table import ContractError, Partitioning, Table
from smallcaps_assets.schemas.tables import BAR_TABLES, FEATURE_COLUMNS, RULES, TABLES, TICK_CHAIN

__all__ = [
    "BAR_TABLES",
    "FEATURE_COLUMNS",
    "RULES",
    "TABLES",
    "TICK_CHAIN",
    "ContractError",
    "Partitioning",
    "Table",
]
