"""Work over many partitions through Dagster: the main job, and backfills of chosen tables."""
