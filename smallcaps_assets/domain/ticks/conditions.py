"""What each trade condition id of the vendor means for flow and price.

The table is data, `conditions.csv`: id, tape, valid_from, class, source, name. This module reads
it and turns it into bits, and compares it with the vendor's own list; what a trade with those bits
does is decided in `ticks.py`. Ids are those of trades: the vendor uses the same numbers for quotes
with other meanings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import IntFlag
from functools import lru_cache
from importlib.resources import files
from typing import Any

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
    text = files("smallcaps_assets.domain.ticks").joinpath("conditions.csv").read_bytes()
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


VENDOR_COLUMNS = {
    "id": pl.Int64,
    "name": pl.String,
    "updates_high_low": pl.Boolean,
    "updates_open_close": pl.Boolean,
    "updates_volume": pl.Boolean,
}
DIFFERENCE_COLUMNS = {
    "id": pl.Int64,
    "difference": pl.String,
    "shipped": pl.String,
    "vendor": pl.String,
}
_LEAVES_PRICES = ("excluded", "flow_only", "form_t")


def condition_differences(
    vendor: pl.DataFrame, shipped: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Where the vendor's list of trade conditions and the shipped table differ, by id.

    `vendor` has VENDOR_COLUMNS, as `PolygonClient.conditions` reads them. Differences: `not
    shipped` (such a trade counts as unknown), `not at the vendor`, `name`, and `update rules`: a
    class taken over from the vendor that forms prices where the vendor's rules don't, or the other
    way round. Classes whose source is a rule of our own differ on purpose. Columns: id, difference,
    shipped, vendor.
    """
    table = conditions() if shipped is None else shipped
    ours = {row["id"]: row for row in table.sort("valid_from").to_dicts()}
    theirs = {row["id"]: row for row in vendor.to_dicts()}
    rows: list[tuple[int, str, str | None, str | None]] = []
    for code in sorted(ours.keys() | theirs.keys()):
        own, other = ours.get(code), theirs.get(code)
        if own is None or other is None:
            missing = "not shipped" if own is None else "not at the vendor"
            rows.append((code, missing, _name(own), _name(other)))
            continue
        if _words(own["name"]) != _words(other["name"]):
            rows.append((code, "name", own["name"], other["name"]))
        if own["source"] == "vendor" and _forms_prices(other) not in (None, _is_forming(own)):
            rows.append((code, "update rules", own["class"], _rules(other)))
    return pl.DataFrame(rows, schema=DIFFERENCE_COLUMNS, orient="row")


def _name(row: dict[str, Any] | None) -> str | None:
    return None if row is None else row["name"]


def _words(name: str) -> list[str]:
    """A name without case, punctuation and plural, since the vendor is not strict with them."""
    plain = "".join(c if c.isalnum() else " " for c in name.lower())
    return [word.removesuffix("s") for word in plain.split()]


def _is_forming(row: dict[str, Any]) -> bool:
    return row["class"] not in _LEAVES_PRICES


def _forms_prices(vendor_row: dict[str, Any]) -> bool | None:
    """Whether the vendor's rules let the trade set all prices of a bar; None without rules."""
    rules = vendor_row["updates_high_low"], vendor_row["updates_open_close"]
    return None if None in rules else all(rules)


def _rules(vendor_row: dict[str, Any]) -> str:
    updates = [n.removeprefix("updates_") for n in VENDOR_COLUMNS if n.startswith("updates_")]
    allowed = [name for name in updates if vendor_row[f"updates_{name}"]]
    return "updates " + (", ".join(allowed) or "nothing")
