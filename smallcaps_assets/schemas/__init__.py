"""One contract per table: columns, types, units and meaning. Data only; no I/O."""

from smallcaps_assets.schemas.lean import load_dataframely

load_dataframely()

from smallcaps_assets.schemas.table import (  # noqa: E402
    GROUPS,
    TICKS,
    VENDOR,
    ContractError,
    Op,
    Partitioning,
    Table,
    Window,
)
from smallcaps_assets.schemas.tables import (  # noqa: E402
    BAR_TABLES,
    CLOSES_LOOKED_BACK,
    FEATURE_COLUMNS,
    MADE_OF_TICKS,
    METRICS_WINDOW,
    OPS,
    RULES,
    SESSION_TABLES,
    TABLES,
    TICK_CHAIN,
    YEAR_WINDOW,
    lineage,
)

__all__ = [
    "BAR_TABLES",
    "CLOSES_LOOKED_BACK",
    "FEATURE_COLUMNS",
    "GROUPS",
    "MADE_OF_TICKS",
    "METRICS_WINDOW",
    "OPS",
    "RULES",
    "SESSION_TABLES",
    "TABLES",
    "TICKS",
    "TICK_CHAIN",
    "VENDOR",
    "YEAR_WINDOW",
    "ContractError",
    "Op",
    "Partitioning",
    "Table",
    "Window",
    "lineage",
]
