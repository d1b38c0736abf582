"""Reusable Dagster code: partitions, the partition runner, resources, metadata and launching.

Belongs here: everything that knows Dagster and is not the declaration of one asset. Does not
belong here: how a table is made (pipeline) and which assets exist (defs).
"""
