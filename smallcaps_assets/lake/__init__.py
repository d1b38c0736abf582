"""The lake: where a table's partition lies, and how it is stored and read.

Belongs here: paths, the atomic store, the lake's identity, scans. Does not belong here: what the
rows mean (schemas, domain) and who asks for them (orchestration). Knows nothing of Dagster.
"""

from smallcaps_assets.lake.errors import DamagedFileError, LakeError, UnknownContractError
from smallcaps_assets.lake.failures import Failure, Failures
from smallcaps_assets.lake.identity import LakeIdentity, open_lake
from smallcaps_assets.lake.paths import PartitionKeyError, partition_folder, split_ticker_session
from smallcaps_assets.lake.scope import Scope
from smallcaps_assets.lake.stamp import Stamp
from smallcaps_assets.lake.store import Lake, Written

__all__ = [
    "DamagedFileError",
    "Failure",
    "Failures",
    "Lake",
    "LakeError",
    "LakeIdentity",
    "PartitionKeyError",
    "Scope",
    "Stamp",
    "UnknownContractError",
    "Written",
    "open_lake",
    "partition_folder",
    "split_ticker_session",
]
