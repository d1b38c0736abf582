"""Which op makes a table; its name is where a run's configuration goes."""

from __future__ import annotations

from smallcaps_assets.pipeline.feeds import op_groups
from smallcaps_assets.pipeline.reference import ACTIONS
from smallcaps_assets.pipeline.sessions import SESSION_TABLES
from smallcaps_assets.schemas import TICK_CHAIN

_GROUPS = {
    "corporate_actions": ACTIONS,
    "session_tables": SESSION_TABLES,
    "tick_chain": TICK_CHAIN,
    **op_groups(),
}


def op_of(table: str) -> str:
    """The op of a table: a group's, or one of its own name."""
    return next((op for op, tables in _GROUPS.items() if table in tables), table)
