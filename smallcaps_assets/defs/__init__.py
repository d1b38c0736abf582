"""Dagster definitions: assets and their ops, jobs, checks, schedules and sensors.

Declarations only. How a table is made is in `pipeline`, reusable Dagster code in `orchestration`.
"""
