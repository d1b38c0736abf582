"""What the stored folds say of each test month, for the tables that are made from them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.file_cache import FileCache
from smallcaps_assets.schemas import OPS

MONTHLY = OPS["walk_forward"].tables
"""Tables by test month."""
OF_EXTRA = (*MONTHLY, "day_families")
"""Tables that the extra `models` is needed for."""


def _by_month(lake: Lake, key: str | None) -> dict[str, list[str]]:
    """Digests of the folds of each usable test month, in order."""
    rows = lake.read("folds").filter(pl.col("refusal").is_null()).sort("month", "sample")
    found: dict[str, list[str]] = {}
    for sample, month, digest in rows.select("sample", "month", "digest").iter_rows():
        found.setdefault(month, []).append(f"{sample} {digest}")
    return found


_FOLDS = FileCache("folds", _by_month, most=4)


def test_months(lake: Lake) -> list[str]:
    """Test months of which some sample has a usable fold, in order."""
    return list(_FOLDS.get(lake) or {})


def month_digest(lake: Lake, month: str) -> str:
    """What tells the folds of a test month apart; empty when it has none."""
    return "\n".join((_FOLDS.get(lake) or {}).get(month, []))


def anchor_of(lake: Lake, month: str) -> str:
    """The first test month of the year, on whose validation parameters are tuned."""
    return next((m for m in test_months(lake) if m[:4] == month[:4]), month)


def of_month(work: LakeContext, table: str, month: str) -> Iterator[str]:
    """Digests of what a test month's table is made from."""
    if table != "models":
        yield work.lake.digest("models", month)
    if table != "model_importance":
        yield month_digest(work.lake, month)
    if table == "models" and work.settings.models.trials:
        yield month_digest(work.lake, anchor_of(work.lake, month))
