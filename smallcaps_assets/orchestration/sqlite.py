"""Where a stored dagster.yaml may still look for what is in `storage/sqlite.py`."""

from smallcaps_assets.orchestration.storage.sqlite import SqliteStorage

__all__ = ["SqliteStorage"]
