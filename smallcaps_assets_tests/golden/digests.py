"""What a lake's partitions are told apart by: the digest of each table's settings, and the inputs.

python -m smallcaps_assets_tests.golden.digests LAKE     # writes the golden file anew

An input is written as the name of its file and not as the file's checksum, which may differ in the
last bit of a sum on another processor. Where anything here changes, stored lakes are made anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.inputs import input_digests
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

DIGESTS_FILE = Path(__file__).with_name("digests.json")


class NamedLake(Lake):
    """A lake whose files are told apart by their names alone."""

    def digest(self, name: str, key: str | None = None) -> str:
        """The name of a stored file; `absent` for one that is not."""
        return f"{name} {key}" if self.exists(name, key) else "absent"


def digests(root: Path, settings: Settings) -> dict[str, dict[str, str]]:
    """Of each table: the digest of its settings, and one of what its partitions are made from."""
    span = MarketSpan.of_market(settings)
    work = Workspace(settings, NamedLake(root), span)
    return {
        name: {
            "settings": settings.digest(table.settings),
            "inputs": _hash(
                line
                for key in work.lake.keys(name)
                for line in (f"partition {key}", *input_digests(work, name, key or None))
            ),
        }
        for name, table in TABLES.items()
    }


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


if __name__ == "__main__":
    from smallcaps_assets_tests.end_to_end.test_digests import settings_of_small_lake

    found = digests(Path(sys.argv[1]), settings_of_small_lake())
    DIGESTS_FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
