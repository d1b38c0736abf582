"""What the registry says, for the tables that are made of its ticker-sessions."""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.file_cache import FileCache


def registry_rows(lake: Lake) -> dict[str, dict]:
    """Rows of the registry by partition key."""
    return (_REGISTRY.get(lake) or ({}, {}))[0]


def ticker_sessions_of(lake: Lake, day: date) -> dict[str, str]:
    """Partition keys of a session's qualified ticker-sessions by ticker."""
    return (_REGISTRY.get(lake) or ({}, {}))[1].get(day, {})


def _registry(lake: Lake, key: str | None) -> tuple[dict[str, dict], dict[date, dict[str, str]]]:
    """Rows by key, and qualified keys by session and ticker."""
    frame: pl.DataFrame = lake.read("ticker_sessions")
    rows = {row["partition_key"]: row for row in frame.iter_rows(named=True)}
    by_day: dict[date, dict[str, str]] = {}
    for name, row in rows.items():
        if row["is_qualified"]:
            by_day.setdefault(row["date"], {})[row["ticker"]] = name
    return rows, by_day


_REGISTRY = FileCache("ticker_sessions", _registry, most=4)
