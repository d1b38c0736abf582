"""Why partitions, or single tickers in them, could not be had at the last attempt.

One small JSON file per partition below `state/failures`, written when an attempt fails and removed
when one succeeds, so that coverage can be told without asking the orchestrator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from smallcaps_assets.lake.paths import key_of_folder, partition_folder
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES

FOLDER = "state/failures"


@dataclass(frozen=True)
class Failure:
    """`kind` is the type of the error; `tickers` has the reasons of single tickers."""

    kind: str
    reason: str
    tickers: Mapping[str, str] = field(default_factory=dict)


class Failures:
    """The failures of one lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def record(self, table: str, key: str | None, failure: Failure) -> None:
        """Keep why the last attempt failed."""
        text = json.dumps(asdict(failure), sort_keys=True)
        self._lake.write_bytes(self._place(table, key), text.encode())

    def clear(self, table: str, key: str | None) -> None:
        """The partition is whole."""
        self._lake.remove_file(self._place(table, key))

    def find(self, table: str, key: str | None) -> Failure | None:
        """Why the last attempt failed; None when it did not, or was never made."""
        try:
            return Failure(**json.loads(self._lake.read_file(self._place(table, key))))
        except (OSError, ValueError, TypeError):
            return None

    def all(self) -> Iterator[tuple[str, str, Failure]]:
        """Table, key and failure of every partition whose last attempt failed, in that order."""
        places = self._lake.files_below(FOLDER)
        partitions = [_partition(place) for place in places if place.endswith("/failure.json")]
        found = self._lake.each(lambda one: self.find(one[0], one[1] or None), partitions)
        for (table, key), failure in zip(partitions, found, strict=True):
            if failure is not None:
                yield table, key, failure

    def digest(self, table: str, key: str | None) -> str:
        """A text that changes with the failure; `none` if there is none."""
        failure = self.find(table, key)
        return "none" if failure is None else f"{failure.kind} {sorted(failure.tickers)}"

    def _place(self, table: str, key: str | None) -> str:
        return f"{FOLDER}/{partition_folder(TABLES[table], key)}/failure.json"


def _partition(place: str) -> tuple[str, str]:
    """Table and key of a failure's place."""
    _, table, *folders = place.removeprefix(f"{FOLDER}/").split("/")[:-1]
    return table, key_of_folder(TABLES[table], "/".join(folders))
