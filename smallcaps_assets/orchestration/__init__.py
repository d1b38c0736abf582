"""Reusable Dagster code: partitions, the partition runner, resources, metadata and launching.

Belongs here: everything that knows Dagster and is not the declaration of one asset. Does not
belong here: what a table computes (domain) and which assets exist (defs).
"""
