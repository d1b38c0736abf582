"""How rows of an older version of a contract become rows of the next one.

A raw table's rows can't always be had again, so a change of its columns comes with a step here, a
pure function on the frame of one partition, and with a higher `version` of the table. Steps are
taken one after the other. Processed tables need none: their partitions are made again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import time

import polars as pl

Migration = Callable[[pl.DataFrame], pl.DataFrame]
"""From the columns of a version to those of the next; the new contract is checked afterwards."""


def _filings_1(rows: pl.DataFrame) -> pl.DataFrame:
    """Times of acceptance were all read as New York's, the later of the two that they can mean.

    That stays until the month is fetched again: what tells the clock was not stored.
    """
    local = pl.col("accepted_at").dt.convert_time_zone("America/New_York")
    is_known = (local.dt.hour() + local.dt.minute() + local.dt.second() > 0).fill_null(False)
    opening, closing = (
        pl.col("filing_date")
        .dt.combine(time(hour))
        .dt.replace_time_zone("America/New_York")
        .dt.convert_time_zone("UTC")
        .dt.cast_time_unit("ns")
        for hour in (6, 22)
    )
    return rows.with_columns(
        local.dt.strftime("%Y-%m-%dT%H:%M:%S.000Z").alias("accepted_raw"),
        pl.lit("unknown").alias("accepted_clock"),
        pl.when(is_known).then("accepted_at").alias("accepted_at"),
        pl.when(is_known)
        .then(pl.max_horizontal("accepted_at", opening))
        .otherwise(closing)
        .alias("known_at"),
    )


MIGRATIONS: dict[tuple[str, int], Migration] = {("filings", 1): _filings_1}
"""By table and the version that a step starts from."""
