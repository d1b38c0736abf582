"""What each trade condition id of the vendor means for flow and price.

The table is data, `conditions.csv`: id, tape, valid_from, class, source, name. This module reads
it and turns it into bits; what a trade with those bits does is decided in `ticks.py`. Ids are those
of trades: the vendor uses the same numbers for quotes with other meanings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntFlag
from functools import lru_cache
from importlib.resources import files

import numpy as np
import polars as pl

TAPES = {"A": 1, "B": 2, "C": 3}


class Flag(IntFlag):
    """What a condition says about a trade; a trade has the union of its conditions' flags."""

    NEUTRAL = 0
    PRICE_FORMING = 1
    FLOW_ONLY = 2
    EXCLUDED = 4
    UNKNOWN = 8
    FORM_T = 16
    OPENING = 32
    REOPENING = 64
    CLOSING = 128
    CROSS = 256


AUCTION = Flag.OPENING | Flag.REOPENING | Flag.CLOSING | Flag.CROSS
CLASSES = {flag.name.lower(): flag for flag in Flag if flag.name} | {"neutral": Flag.NEUTRAL}
ODD_LOTS_SINCE = date(2013, 12, 9)


@dataclass(frozen=True)
class ConditionTable:
    """Conditions as of one session: `flags[tape, id]` of shape (4, ids), uint16; names by id."""

    flags: np.ndarray
    names: dict[int, str]


@lru_cache(maxsize=1)
def conditions() -> pl.DataFrame:
    """The shipped table, one row per id, tape and first day of validity."""
    text = files("smallcaps_assets.domain").joinpath("conditions.csv").read_bytes()
    return pl.read_csv(text, schema_overrides={"valid_from": pl.Date, "id": pl.Int16})


@lru_cache(maxsize=256)
def condition_table(day: date) -> ConditionTable:
    """The table as of a session.

    Of several rows of one id and tape the latest one valid by the session holds. An id that occurs
    before its first validity has the meaning of its first row: the vendor maps old tapes into its
    newer ids, and a lawful id must not fail a session.
    """
    rows = conditions().sort("id", "valid_from").to_dicts()
    flags = np.full((4, max(r["id"] for r in rows) + 1), Flag.UNKNOWN, np.uint16)
    names: dict[int, str] = {}
    for row in sorted(rows, key=lambda r: r["tape"] != "all"):
        tapes = range(4) if row["tape"] == "all" else [TAPES[row["tape"]]]
        for tape in tapes:
            if row["valid_from"] <= day or flags[tape, row["id"]] == Flag.UNKNOWN:
                flags[tape, row["id"]] = CLASSES[row["class"]]
                names[row["id"]] = row["name"]
    flags.setflags(write=False)
    return ConditionTable(flags, names)
