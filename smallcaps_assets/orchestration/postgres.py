"""Where a stored dagster.yaml may still look for what is in `storage/postgres.py`."""

from smallcaps_assets.orchestration.storage.postgres import PostgresStorage

__all__ = ["PostgresStorage"]
