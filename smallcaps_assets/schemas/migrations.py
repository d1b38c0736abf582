"""How rows of an older version of a contract become rows of the next one.

A raw table's rows can't always be had again, so a change of its columns comes with a step here, a
pure function on the frame of one partition, and with a higher `version` of the table. Steps are
taken one after the other. Processed tables need none: their partitions are made again.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

Migration = Callable[[pl.DataFrame], pl.DataFrame]
"""From the columns of a version to those of the next; the new contract is checked afterwards."""

MIGRATIONS: dict[tuple[str, int], Migration] = {}
"""By table and the version that a step starts from."""
