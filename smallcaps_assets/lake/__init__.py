"""The lake: where a table's partition lies, and how it is stored and read.

Belongs here: paths, the atomic store, the lake's identity, scans, the SQL catalog. Does not belong
here: what the rows mean (schemas, domain) and who asks for them (orchestration). Knows nothing of
Dagster. A researcher reads with

    from smallcaps_assets import lake
    bars = lake.scan("daily_bars", tickers=["GEVO"], start="2024-12-02", adjusted=True).collect()
    flow = lake.features(families=["flow", "quotes"]).collect()
    past = lake.sequences(["bar_return", "imbalance_ratio"])
"""

from smallcaps_assets.lake.empties import Empties, Empty
from smallcaps_assets.lake.errors import (
    ConflictError,
    DamagedFileError,
    LakeError,
    RequestError,
    UnknownContractError,
)
from smallcaps_assets.lake.failures import Failure, Failures
from smallcaps_assets.lake.file_identity import Stamp
from smallcaps_assets.lake.market import LakeIdentity, open_lake
from smallcaps_assets.lake.paths import PartitionKeyError, partition_folder, split_ticker_session
from smallcaps_assets.lake.reading import features, scan, sequences
from smallcaps_assets.lake.scope import Scope
from smallcaps_assets.lake.store import Lake, Written

__all__ = [
    "ConflictError",
    "DamagedFileError",
    "Empties",
    "Empty",
    "Failure",
    "Failures",
    "Lake",
    "LakeError",
    "LakeIdentity",
    "PartitionKeyError",
    "RequestError",
    "Scope",
    "Stamp",
    "UnknownContractError",
    "Written",
    "features",
    "open_lake",
    "partition_folder",
    "scan",
    "sequences",
    "split_ticker_session",
]
