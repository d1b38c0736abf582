"""meta.json: what is said of a partition's rows, in a file beside theirs.

It is written after the file of the rows and names that file's seal. One that names another, as
after a kill between the two, tells of rows that are gone: it counts as absent until it is written
again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from smallcaps_assets.lake.file_identity import is_intact
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES

if TYPE_CHECKING:
    from upath import UPath

META = "meta.json"
DESCRIBES = "describes"


def meta_path(lake: Lake, name: str, key: str | None) -> UPath:
    """Where the meta.json of a partition lies, whether it exists or not."""
    return lake.path(name, key).parent / META


def write_meta(lake: Lake, name: str, key: str | None, values: dict[str, Any], seal: str) -> None:
    """Store what is said of the rows of the file that has this seal."""
    place = meta_path(lake, name, key).relative_to(lake.root)
    described = {"file": f"{name}.parquet", "seal": seal}
    lake.write_json(str(place), {**values, DESCRIBES: described})


def read_meta(lake: Lake, name: str, key: str | None) -> dict[str, Any] | None:
    """What is said of a stored partition; None when that is absent, damaged or of another file."""
    try:
        data = lake.read_file(f"{lake.place(name, key).rpartition('/')[0]}/{META}")
    except FileNotFoundError:
        return None
    values = json.loads(data) if is_intact(data) else {}
    described = values.get(DESCRIBES, {}).get("seal")
    return values if described and described == lake.seal(name, key) else None


def is_described(lake: Lake, name: str, key: str | None) -> bool:
    """Whether a partition has the meta.json that its table wants, if any."""
    return not TABLES[name].has_meta or read_meta(lake, name, key) is not None
