"""Vendors and regulators, as frames in the columns of the raw tables.

`PolygonClient` (REST), `FlatFiles`, `Router` (which of the two) and `FinraClient` are what the rest
of the project uses; all failures are `SourceError`s. Nothing here knows the lake or the
orchestrator, and nothing is decided about which rows matter.
"""

from smallcaps_assets.sources.errors import SourceError
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.polygon.client import PolygonClient, make_throttle
from smallcaps_assets.sources.polygon.flatfiles import FlatFiles, FlatFrame, make_flat_files
from smallcaps_assets.sources.polygon.router import Route, Router
from smallcaps_assets.sources.regulators.finra import FinraClient, ShortVolumeFile

__all__ = [
    "FinraClient",
    "FlatFiles",
    "FlatFrame",
    "PolygonClient",
    "Route",
    "Router",
    "ShortVolumeFile",
    "SourceError",
    "Throttle",
    "make_flat_files",
    "make_throttle",
]
