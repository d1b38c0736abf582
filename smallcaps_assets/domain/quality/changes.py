"""What differs between two readings of the same partition.

Vendors correct what they have published: trades are cancelled, prints arrive late, files are
replaced. Which of the two is right is not decided here; the later one is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

NOTHING_CHANGED = "nothing changed"
_EXAMPLES = 3


@dataclass(frozen=True)
class Changes:
    """Rows added, removed and changed; `columns` are those that changed, `examples` first cases."""

    added: int
    removed: int
    changed: int
    columns: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        if not self:
            return NOTHING_CHANGED
        where = f" in {', '.join(self.columns)}" if self.columns else ""
        counts = f"{self.added} rows added, {self.removed} removed, {self.changed} changed{where}"
        return "; ".join((counts, *self.examples))


def changes(old: pl.DataFrame, new: pl.DataFrame, key: Sequence[str]) -> Changes:
    """What became of `old` in `new`; both have the same columns, rows are told apart by `key`."""
    if old.equals(new):
        return Changes(0, 0, 0)
    on = list(key)
    added, removed = (
        new.join(old, on=on, how="anti", nulls_equal=True),
        old.join(new, on=on, how="anti", nulls_equal=True),
    )
    both = old.join(new, on=on, how="inner", suffix=" now", nulls_equal=True)
    differs = {
        name: pl.col(name).ne_missing(pl.col(f"{name} now"))
        for name in old.columns
        if name not in on
    }
    changed = both.filter(pl.any_horizontal(False, *differs.values()))
    columns = tuple(name for name, differ in differs.items() if changed.select(differ.any()).item())
    examples = [
        *(f"changed {_name(row, on)}: {_before_and_now(row, columns)}" for row in _first(changed)),
        *(f"added {_name(row, on)}" for row in _first(added)),
        *(f"removed {_name(row, on)}" for row in _first(removed)),
    ]
    return Changes(added.height, removed.height, changed.height, columns, tuple(examples))


def _first(rows: pl.DataFrame) -> list[dict[str, object]]:
    return rows.head(_EXAMPLES).to_dicts()


def _name(row: dict[str, object], key: Sequence[str]) -> str:
    return " ".join(str(row[name]) for name in key if row[name] not in ("", 0))


def _before_and_now(row: dict[str, object], columns: Sequence[str]) -> str:
    different = [name for name in columns if row[name] != row[f"{name} now"]]
    return ", ".join(f"{name} {row[name]} -> {row[f'{name} now']}" for name in different)
