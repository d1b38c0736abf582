"""Where a stored dagster.yaml may still look for what is in `storage/compute_logs.py`."""

from smallcaps_assets.orchestration.storage.compute_logs import ComputeLogs, Uncaptured

__all__ = ["ComputeLogs", "Uncaptured"]
