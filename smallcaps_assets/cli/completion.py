"""Shell completion: names of tables, groups and markets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from click.shell_completion import CompletionItem

Items = list[CompletionItem]
Complete = Callable[[Any, Any, str], Items]


def tables(context: Any, parameter: Any, incomplete: str) -> Items:
    """Tables with their meaning."""
    from smallcaps_assets.schemas import TABLES

    return [
        CompletionItem(name, help=table.meaning)
        for name, table in TABLES.items()
        if name.startswith(incomplete)
    ]


def tables_and_groups(context: Any, parameter: Any, incomplete: str) -> Items:
    """Tables, and the groups that a backfill takes."""
    from smallcaps_assets.schemas import OPS, TABLES

    names = (name for name in OPS if name not in TABLES and name.startswith(incomplete))
    groups = [CompletionItem(name) for name in names]
    return [*tables(context, parameter, incomplete), *groups]


def markets(context: Any, parameter: Any, incomplete: str) -> Items:
    """Markets; `recorded:` is followed by a folder."""
    names = ("simulated", "placebo", "recorded:", "polygon")
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
