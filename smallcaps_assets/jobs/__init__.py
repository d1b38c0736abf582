"""Work on many partitions through Dagster: the main job, and backfills of chosen tables."""
