"""What a sensor remembers between its evaluations, as JSON in its cursor.

The daemon stores a cursor after it has submitted the requests of an evaluation. A daemon that dies
in between evaluates again and asks for the same runs under the same run keys, which Dagster starts
once. Frames that are too large for a cursor are kept in the lake under a name made of their digest.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import dagster as dg
import polars as pl

from smallcaps_assets.lake import Lake


class Cursor:
    """Values of one sensor's cursor; `text` is what to store."""

    def __init__(self, text: str | None) -> None:
        self._values: dict[str, Any] = json.loads(text) if text else {}

    def get(self, name: str, default: Any = None) -> Any:
        """A remembered value."""
        return self._values.get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Remember a value."""
        self._values[name] = value

    def waited(self, name: str, now: float, quiet: float) -> float | None:
        """Seconds since a remembered time while they are fewer than `quiet`, else None.

        Negative seconds are no wait: the clock has been set back since.
        """
        seconds = now - self.get(name, 0.0)
        return seconds if 0 <= seconds < quiet else None

    @property
    def text(self) -> str:
        """The cursor to store."""
        return json.dumps(self._values, sort_keys=True)


def newest_event(instance: dg.DagsterInstance, table: str) -> tuple[int, float]:
    """Storage id and time of a table's newest materialization; zeros when there is none."""
    records = instance.fetch_materializations(dg.AssetKey(table), limit=1).records
    return (records[0].storage_id, records[0].timestamp) if records else (0, 0.0)


def remember_frame(lake: Lake, name: str, frame: pl.DataFrame) -> str:
    """Keep a frame in the lake's state folder; returns the digest to find it by."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    lake.write_bytes(f"state/seen/{name}-{digest}.parquet", buffer.getvalue())
    return digest


def remembered_frame(lake: Lake, name: str, digest: str) -> pl.DataFrame | None:
    """A remembered frame; None when it no longer exists."""
    try:
        return pl.read_parquet(lake.read_file(f"state/seen/{name}-{digest}.parquet"))
    except FileNotFoundError:
        return None
