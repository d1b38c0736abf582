"""Files of older contracts brought to the present one, partition by partition."""

from __future__ import annotations

import io
from dataclasses import replace

import polars as pl

from smallcaps_assets.lake.errors import DamagedFileError, UnknownContractError
from smallcaps_assets.lake.file_identity import footer_of, is_intact, seal_of, stamp_in
from smallcaps_assets.lake.store import Lake, Written
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.migrations import MIGRATIONS


def outdated_keys(lake: Lake, name: str) -> list[str]:
    """Stored partitions of another version of their contract."""
    keys = lake.keys(name)
    stamps = zip(keys, lake.each(lambda key: lake.stamp(name, key or None), keys), strict=True)
    return [key for key, stamp in stamps if stamp and stamp.version != TABLES[name].version]


def is_migratable(name: str, version: int) -> bool:
    """Whether there are steps from a version of a contract to the present one."""
    return all((name, step) in MIGRATIONS for step in range(version, TABLES[name].version))


def migrate(lake: Lake, name: str, key: str) -> Written:
    """Rewrite a partition in the present contract; the file of a raw one is kept for a while.

    Raises UnknownContractError when a step is missing or the file is of a later version,
    ContractError when the outcome breaks the contract, DamagedFileError; the stored file is then
    as it was.
    """
    data = lake.read_bytes(name, key or None)
    stamp = stamp_in(footer_of(io.BytesIO(data)))
    if stamp is None or not is_intact(data):
        raise DamagedFileError(f"{name} {key} is damaged; run `smallcaps verify --repair` first")
    table = TABLES[name]
    if stamp.version > table.version:
        raise UnknownContractError(
            f"{name} {key} is of version {stamp.version}; update the project"
        )
    if not is_migratable(name, stamp.version):
        raise UnknownContractError(
            f"{name} {key}: nothing leads from version {stamp.version} to {table.version};"
            f" make it again with `smallcaps backfill {name} --keys {key}`"
        )
    rows = pl.read_parquet(io.BytesIO(data), hive_partitioning=False)
    for step in range(stamp.version, table.version):
        rows = MIGRATIONS[name, step](rows)
    return lake.write(name, key or None, rows, replace(stamp, version=table.version), seal_of(data))
